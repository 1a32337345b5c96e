//! NumPy's .npy, and .npz, a zip file of them.

use std::io::{Cursor, Read};
use std::path::Path;

use ndarray::{ArrayD, IxDyn, ShapeBuilder};
use ndarray_npy::npy::header::Header;
use ndarray_npy::{ReadDataError, ReadableElement};
use zip::ZipArchive;

use super::DataError;
use super::source::{Binary, Blocks, Number, Table, damaged, format_error, product};
use crate::error::{Error, Result};

/// Reads so many numbers, no fewer and no more, of the type in a header.
pub(super) type Decode<T> = fn(&[u8], &Header, usize) -> std::result::Result<Vec<T>, ReadDataError>;

fn elements<T: ReadableElement>(
    bytes: &[u8],
    header: &Header,
    count: usize,
) -> std::result::Result<Vec<T>, ReadDataError> {
    T::read_to_end_exact_vec(bytes, &header.type_descriptor, count)
}

fn wide<T: ReadableElement + Into<i64>>(
    bytes: &[u8],
    header: &Header,
    count: usize,
) -> std::result::Result<Vec<i64>, ReadDataError> {
    Ok(elements::<T>(bytes, header, count)?.into_iter().map(Into::into).collect())
}

impl Number for f32 {
    fn from_byte(byte: u8) -> Self {
        f32::from(byte) / 255.0
    }

    fn from_npy(kind: &str) -> Option<Decode<Self>> {
        match kind {
            "f4" => Some(elements),
            "f8" => Some(|bytes, header, count| {
                Ok(elements::<f64>(bytes, header, count)?.into_iter().map(|x| x as f32).collect())
            }),
            _ => None,
        }
    }

    const NPY_ADVICE: &'static str = "floats are read; save it with .astype(numpy.float32)";
}

impl Number for i64 {
    fn from_byte(byte: u8) -> Self {
        byte.into()
    }

    fn from_npy(kind: &str) -> Option<Decode<Self>> {
        match kind {
            "i1" => Some(wide::<i8>),
            "i2" => Some(wide::<i16>),
            "i4" => Some(wide::<i32>),
            "i8" => Some(wide::<i64>),
            "u1" => Some(wide::<u8>),
            "u2" => Some(wide::<u16>),
            "u4" => Some(wide::<u32>),
            _ => None,
        }
    }

    const NPY_ADVICE: &'static str = "integers are read as labels; save them with .astype(numpy.int64)";
}

/// The dimensions and the numbers of an array.
pub(super) fn table<T: Number>(path: &Path, mut from: Box<dyn Read + Send>) -> Result<Table<T>> {
    let head = head(path, &mut from)?;
    let header = Header::from_reader(&mut &head[..])
        .map_err(|error| format_error(path, format_args!("its .npy header is damaged ({error}); save it again")))?;
    let kind = header.type_descriptor.as_string().map(|kind| kind.trim_start_matches(['<', '>', '=', '|']).to_owned());
    let kind = kind.ok_or_else(|| other_type(path, &header.type_descriptor.to_string(), "plain arrays are read"))?;
    let decode = T::from_npy(&kind).ok_or_else(|| other_type(path, &kind, T::NPY_ADVICE))?;
    // The types that are read have one digit: their width.
    let width = kind.bytes().last().map_or(1, |digit| usize::from(digit - b'0'));
    let dims = header.shape.clone();
    let claimed = product(&dims);
    let (fortran, owned) = (header.layout.is_fortran(), path.to_path_buf());
    let decode = Box::new(move |bytes: &[u8]| {
        decode(bytes, &header, bytes.len() / width).map_err(|error| damaged(&owned, error))
    });
    let numbers = Binary { path: path.into(), from, header: head.len(), width, claimed, read: 0, decode };
    let blocks: Blocks<T> = match fortran {
        true => Box::new(std::iter::once(turned(path, &dims, numbers))),
        false => Box::new(numbers),
    };
    Ok(Table::new(&dims, blocks))
}

/// The longest header that is read; NumPy's are a few hundred bytes long, and it refuses longer ones than this as well.
const MAX_HEADER: usize = 10_000;

/// The bytes of a header.
fn head(path: &Path, from: &mut dyn Read) -> Result<Vec<u8>> {
    let mut head = Vec::new();
    let mut until = |head: &mut Vec<u8>, expected: usize| -> Result<()> {
        let more = (expected - head.len()) as u64;
        from.take(more).read_to_end(head).map_err(|error| damaged(path, error))?;
        match head.len() == expected {
            true => Ok(()),
            false => Err(DataError::Truncated { path: path.into(), expected, found: head.len() }.into()),
        }
    };
    until(&mut head, 8)?;
    // From version 2 on, the length has 32 bits.
    let length_bytes = if head[6] < 2 { 2 } else { 4 };
    until(&mut head, 8 + length_bytes)?;
    let length = head[8..].iter().rev().fold(0usize, |length, &byte| length << 8 | usize::from(byte));
    if length > MAX_HEADER {
        return Err(damaged(path, format_args!("its header claims {length} bytes")));
    }
    until(&mut head, 8 + length_bytes + length)?;
    Ok(head)
}

/// All numbers of an array that is stored in column order, in row-major order.
fn turned<T: Number>(path: &Path, dims: &[usize], numbers: Binary<T>) -> Result<Vec<T>> {
    let values: Vec<T> = numbers.collect::<Result<Vec<_>>>()?.into_iter().flatten().collect();
    let array = ArrayD::from_shape_vec(IxDyn(dims).f(), values).map_err(|error| damaged(path, error))?;
    // Iteration is in the order of the indices, whichever order the file is in.
    Ok(array.into_iter().collect())
}

fn other_type(path: &Path, kind: &str, but: &str) -> Error {
    format_error(path, format_args!("its numbers are of type '{kind}', and only {but}"))
}

/// The .npy file in a .npz file that has one of these names, or that is the only one.
pub(super) fn member(path: &Path, mut file: Box<dyn Read + Send>, names: &[&str]) -> Result<Vec<u8>> {
    let damaged = |error: &dyn std::fmt::Display| {
        format_error(path, format_args!("it is a damaged or truncated .npz file ({error}); save it again"))
    };
    let mut bytes = Vec::new();
    file.read_to_end(&mut bytes).map_err(|error| damaged(&error))?;
    let mut archive = ZipArchive::new(Cursor::new(bytes)).map_err(|error| damaged(&error))?;
    let found: Vec<String> = archive.file_names().map(str::to_owned).collect();
    let array = |name: &str| name.trim_end_matches(".npy").to_owned();
    let wanted = names.iter().find_map(|name| found.iter().find(|file| array(file) == **name));
    let only = || found.first().filter(|_| found.len() == 1);
    let Some(name) = wanted.or_else(only) else {
        let wanted = names.iter().map(|&name| name.to_owned()).collect();
        return Err(DataError::NpzMember {
            path: path.into(),
            found: found.iter().map(|name| array(name)).collect(),
            wanted,
        }
        .into());
    };
    let member = archive.by_name(name).map_err(|error| damaged(&error))?;
    let mut bytes = Vec::new();
    // What it unpacks to is found by unpacking: the size that the archive claims is not asked for.
    let limit = member.compressed_size().saturating_mul(1032).saturating_add(1);
    member.take(limit).read_to_end(&mut bytes).map_err(|error| damaged(&error))?;
    Ok(bytes)
}
