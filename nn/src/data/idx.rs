//! IDX, the format of MNIST: two zeros, the type of the numbers, the number of dimensions, each dimension as a big-endian
//! 32-bit number, then the numbers in row-major order (<https://yann.lecun.org/exdb/mnist/>).

use std::io::Read;
use std::path::Path;

use flate2::read::MultiGzDecoder;

use crate::error::{Error, Result};

/// The type of unsigned bytes.
const BYTES: u8 = 0x08;

/// The most that a byte of a gzip file can unpack to.
const MAX_RATIO: u64 = 1032;

/// The dimensions and the numbers of an IDX file of bytes.
pub(super) fn bytes<'a>(path: &Path, file: &'a [u8]) -> Result<(Vec<usize>, &'a [u8])> {
    let truncated = |expected| Error::DataTruncated { path: path.into(), expected, found: file.len() };
    let &[_, _, kind, rank, ref rest @ ..] = file else { return Err(truncated(4)) };
    if kind != BYTES {
        let problem = format!("it is IDX of type 0x{kind:02X}, and only bytes (0x08) are read; save it as .npy");
        return Err(Error::DataFormat { path: path.into(), problem });
    }
    let Some((dims, numbers)) = rest.split_at_checked(4 * usize::from(rank)) else {
        return Err(truncated(4 + 4 * usize::from(rank)));
    };
    let dims: Vec<usize> =
        dims.chunks_exact(4).map(|d| d.iter().fold(0, |n, &byte| n << 8 | usize::from(byte))).collect();
    let promised = dims.iter().try_fold(1usize, |product, &length| product.checked_mul(length)).unwrap_or(usize::MAX);
    if promised != numbers.len() || rank == 0 {
        return Err(truncated(promised.saturating_add(file.len() - numbers.len())));
    }
    Ok((dims, numbers))
}

/// Bytes as numbers in [0, 1].
pub(super) fn unit_floats(bytes: &[u8]) -> Vec<f32> {
    bytes.iter().map(|&byte| f32::from(byte) / 255.0).collect()
}

/// The contents of a gzip file.
pub(super) fn unpack(path: &Path, packed: &[u8]) -> Result<Vec<u8>> {
    let mut bytes = Vec::new();
    let limit = MAX_RATIO.saturating_mul(packed.len() as u64);
    let read = MultiGzDecoder::new(packed).take(limit).read_to_end(&mut bytes);
    read.map_err(|error| {
        let problem = format!("it is a damaged or truncated gzip file ({error}); download it again");
        Error::DataFormat { path: path.into(), problem }
    })?;
    Ok(bytes)
}
