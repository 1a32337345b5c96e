//! NumPy's .npy, and .npz, a zip file of them.

use std::io::{Cursor, Read};
use std::path::Path;

use ndarray::ArrayD;
use ndarray_npy::ReadNpyExt;
use ndarray_npy::ReadableElement;
use ndarray_npy::npy::header::Header;
use zip::ZipArchive;

use crate::error::{Error, Result};

/// The dimensions and the values of an array of floats.
pub(super) fn floats(path: &Path, file: &[u8]) -> Result<(Vec<usize>, Vec<f32>)> {
    let (dims, kind) = header(path, file)?;
    let values = match kind.as_str() {
        "f4" => elements::<f32>(path, file)?.into_iter().collect(),
        "f8" => elements::<f64>(path, file)?.into_iter().map(|x| x as f32).collect(),
        _ => return Err(other_type(path, &kind, "floats are read; save it with .astype(numpy.float32)")),
    };
    Ok((dims, values))
}

/// The dimensions and the values of an array of integers.
pub(super) fn integers(path: &Path, file: &[u8]) -> Result<(Vec<usize>, Vec<i64>)> {
    fn wide<T: ReadableElement + Into<i64>>(path: &Path, file: &[u8]) -> Result<Vec<i64>> {
        Ok(elements::<T>(path, file)?.into_iter().map(Into::into).collect())
    }
    let (dims, kind) = header(path, file)?;
    let values = match kind.as_str() {
        "i1" => wide::<i8>(path, file),
        "i2" => wide::<i16>(path, file),
        "i4" => wide::<i32>(path, file),
        "i8" => wide::<i64>(path, file),
        "u1" => wide::<u8>(path, file),
        "u2" => wide::<u16>(path, file),
        "u4" => wide::<u32>(path, file),
        _ => Err(other_type(path, &kind, "integers are read as labels; save them with .astype(numpy.int64)")),
    };
    Ok((dims, values?))
}

/// The dimensions, and the type of the elements without its byte order; the file has exactly what they promise.
fn header(path: &Path, file: &[u8]) -> Result<(Vec<usize>, String)> {
    let damaged = |error: &dyn std::fmt::Display| Error::DataFormat {
        path: path.into(),
        problem: format!("its .npy header is damaged ({error}); save it again"),
    };
    // From version 2 on, the length of the header has 32 bits, which the reader would take at their word.
    if let &[_, _, _, _, _, _, version, _, a, b, c, d, ..] = file
        && version >= 2
    {
        let expected = (u32::from_le_bytes([a, b, c, d]) as usize).saturating_add(12);
        if expected > file.len() {
            return Err(Error::DataTruncated { path: path.into(), expected, found: file.len() });
        }
    }
    let mut rest = file;
    let header = Header::from_reader(&mut rest).map_err(|error| damaged(&error))?;
    let kind = header.type_descriptor.as_string().map(|kind| kind.trim_start_matches(['<', '>', '=', '|']).to_owned());
    let kind = kind.ok_or_else(|| other_type(path, &header.type_descriptor.to_string(), "plain arrays are read"))?;
    let size = kind.get(1..).and_then(|size| size.parse::<usize>().ok());
    let size = size.ok_or_else(|| other_type(path, &kind, "numbers are read"))?;
    let expected = header.shape.iter().try_fold(size, |product, &length| product.checked_mul(length));
    let expected = expected.unwrap_or(usize::MAX).saturating_add(file.len() - rest.len());
    if expected != file.len() {
        return Err(Error::DataTruncated { path: path.into(), expected, found: file.len() });
    }
    Ok((header.shape, kind))
}

/// All elements in row-major order.
fn elements<T: ReadableElement>(path: &Path, file: &[u8]) -> Result<Vec<T>> {
    let array = ArrayD::<T>::read_npy(file).map_err(|error| Error::DataFormat {
        path: path.into(),
        problem: format!("it cannot be read ({error}); save it again with numpy.save"),
    })?;
    // Iteration is in the order of the indices, whichever order the file is in.
    Ok(array.into_iter().collect())
}

fn other_type(path: &Path, kind: &str, but: &str) -> Error {
    Error::DataFormat { path: path.into(), problem: format!("its numbers are of type '{kind}', and only {but}") }
}

/// The .npy file in a .npz file that has one of these names, or that is the only one.
pub(super) fn member(path: &Path, file: &[u8], names: &[&str]) -> Result<Vec<u8>> {
    let damaged = |error: &dyn std::fmt::Display| Error::DataFormat {
        path: path.into(),
        problem: format!("it is a damaged or truncated .npz file ({error}); save it again"),
    };
    let mut archive = ZipArchive::new(Cursor::new(file)).map_err(|error| damaged(&error))?;
    let found: Vec<String> = archive.file_names().map(str::to_owned).collect();
    let array = |name: &str| name.trim_end_matches(".npy").to_owned();
    let wanted = names.iter().find_map(|name| found.iter().find(|file| array(file) == **name));
    let only = || found.first().filter(|_| found.len() == 1);
    let Some(name) = wanted.or_else(only) else {
        let wanted = names.iter().map(|&name| name.to_owned()).collect();
        return Err(Error::NpzMember {
            path: path.into(),
            found: found.iter().map(|name| array(name)).collect(),
            wanted,
        });
    };
    let member = archive.by_name(name).map_err(|error| damaged(&error))?;
    let mut bytes = Vec::new();
    // What it unpacks to is found by unpacking: the size that the archive claims is not asked for.
    let limit = member.compressed_size().saturating_mul(1032).saturating_add(1);
    member.take(limit).read_to_end(&mut bytes).map_err(|error| damaged(&error))?;
    Ok(bytes)
}
