//! IDX, the format of MNIST: two zeros, the type of the numbers, the number of dimensions, each dimension as a big-endian
//! 32-bit number, then the numbers in row-major order (<https://yann.lecun.org/exdb/mnist/>).

use std::io::Read;
use std::path::Path;

use super::DataError;
use super::source::{Binary, Number, Table, damaged, format_error, product};
use crate::error::Result;

/// The type of unsigned bytes.
const BYTES: u8 = 0x08;

/// The dimensions and the numbers of an IDX file of bytes.
pub(super) fn table<T: Number>(path: &Path, mut from: Box<dyn Read + Send>) -> Result<Table<T>> {
    let mut take = |length: usize, before: usize| -> Result<Vec<u8>> {
        let mut bytes = Vec::new();
        from.by_ref().take(length as u64).read_to_end(&mut bytes).map_err(|error| damaged(path, error))?;
        let (expected, found) = (before + length, before + bytes.len());
        match expected == found {
            true => Ok(bytes),
            false => Err(DataError::Truncated { path: path.into(), expected, found }.into()),
        }
    };
    let head = take(4, 0)?;
    let (kind, rank) = (head[2], usize::from(head[3]));
    if kind != BYTES {
        let problem = format_args!("it is IDX of type 0x{kind:02X}, and only bytes (0x08) are read; save it as .npy");
        return Err(format_error(path, problem));
    }
    let dims = take(4 * rank, 4)?;
    let dims: Vec<usize> =
        dims.chunks_exact(4).map(|d| d.iter().fold(0, |n, &byte| n << 8 | usize::from(byte))).collect();
    let (claimed, header) = (product(&dims), 4 + 4 * rank);
    let decode = Box::new(|bytes: &[u8]| Ok(bytes.iter().copied().map(T::from_byte).collect()));
    let numbers = Binary { path: path.into(), from, header, width: 1, claimed, read: 0, decode };
    Ok(Table::new(&dims, Box::new(numbers)))
}
