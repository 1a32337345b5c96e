//! A file of numbers: told by its first bytes, unpacked if it is gzipped, and read a block at a time, as often as needed.

use std::fmt;
use std::fs::File;
use std::io::{self, BufReader, Cursor, Read};
use std::path::{Path, PathBuf};
use std::str::FromStr;
use std::sync::Arc;

use flate2::bufread::MultiGzDecoder;

use super::{DataError, idx, npy, text};
use crate::error::{Error, Result};

/// Numbers of a block, at most.
pub(super) const BLOCK: usize = 1 << 16;

/// What files are read as: values of samples, or labels.
pub(super) trait Number: FromStr + Send + 'static {
    /// What a byte of an IDX file stands for.
    fn from_byte(byte: u8) -> Self;

    /// How numbers of so many of a .npy file's types are read; none if they are not.
    fn from_npy(kind: &str) -> Option<npy::Decode<Self>>;

    /// Which types those are, and what to do with others.
    const NPY_ADVICE: &'static str;
}

/// Numbers in row-major order.
pub(super) type Blocks<T> = Box<dyn Iterator<Item = Result<Vec<T>>> + Send>;

/// What a file claims to hold, and its numbers: as many as it claims, or an error.
pub(super) struct Table<T> {
    /// First dimension, if the file says it before its end.
    pub rows: Option<usize>,
    /// Further dimensions.
    pub shape: Vec<usize>,
    /// The numbers.
    pub blocks: Blocks<T>,
}

impl<T> Table<T> {
    pub(super) fn new(dims: &[usize], blocks: Blocks<T>) -> Self {
        let (rows, shape) = dims.split_first().map_or((None, &[][..]), |(&rows, shape)| (Some(rows), shape));
        Self { rows, shape: shape.to_vec(), blocks }
    }

    /// A file whose dimensions are not what is needed.
    pub(super) fn refuse(&self, path: &Path, need: &str) -> Error {
        let dims: Vec<usize> = self.rows.into_iter().chain(self.shape.iter().copied()).collect();
        format_error(path, format_args!("it has the dimensions {dims:?}: {need}"))
    }
}

/// A file that can be read again.
#[derive(Debug, Clone)]
pub(super) struct Source {
    pub path: PathBuf,
    /// What came through a pipe, which nobody can read twice.
    piped: Option<Arc<[u8]>>,
}

impl Source {
    /// # Errors
    /// [`Error::ReadFile`].
    pub(super) fn new(path: &Path) -> Result<Self> {
        let failed = |source| Error::ReadFile { path: path.into(), source };
        let piped = match std::fs::metadata(path).map_err(failed)?.is_file() {
            true => None,
            false => Some(std::fs::read(path).map_err(failed)?.into()),
        };
        Ok(Self { path: path.into(), piped })
    }

    /// Reads the file from its beginning; of the arrays in an .npz file, one with a name among `names`.
    ///
    /// # Errors
    /// [`Error::ReadFile`], [`Error::EmptyFile`], [`DataError::Format`], [`DataError::Truncated`], [`DataError::NpzMember`].
    pub(super) fn read<T: Number>(&self, names: &[&str]) -> Result<Table<T>> {
        let path = &self.path;
        let unpacked = |error| format_error(path, format_args!("it is a damaged or truncated gzip file ({error})"));
        let (mut first, mut file) =
            begin(self.open()?).map_err(|source| Error::ReadFile { path: path.clone(), source })?;
        if first.starts_with(&[0x1F, 0x8B]) {
            (first, file) = begin(Box::new(MultiGzDecoder::new(BufReader::new(file)))).map_err(unpacked)?;
        }
        match first[..] {
            [] => Err(Error::EmptyFile { path: path.clone() }),
            [0x93, b'N', b'U', b'M', b'P', b'Y', ..] => npy::table(path, file),
            [b'P', b'K', 3 | 5, 4 | 6, ..] => npy::table(path, Box::new(Cursor::new(npy::member(path, file, names)?))),
            [0, 0, ..] => idx::table(path, file),
            _ if text::is_text(&first) => text::table(path, file),
            _ if first.iter().all(|byte| matches!(byte, b' '..=b'~' | b'\t' | b'\r' | b'\n')) => Err(format_error(
                path,
                "its first line is none of numbers: leave out headings and columns of words, or save it with numpy.save",
            )),
            _ => Err(format_error(path, "it is none of IDX, .npy, .npz and lines of numbers; save it with numpy.save")),
        }
    }

    fn open(&self) -> Result<Box<dyn Read + Send>> {
        if let Some(bytes) = &self.piped {
            return Ok(Box::new(Cursor::new(Arc::clone(bytes))));
        }
        let file = File::open(&self.path).map_err(|source| Error::ReadFile { path: self.path.clone(), source })?;
        Ok(Box::new(BufReader::new(file)))
    }
}

/// The first bytes, and everything from them on.
fn begin(mut from: Box<dyn Read + Send>) -> io::Result<(Vec<u8>, Box<dyn Read + Send>)> {
    let mut first = Vec::new();
    from.by_ref().take(8).read_to_end(&mut first)?;
    Ok((first.clone(), Box::new(Cursor::new(first).chain(from))))
}

/// Numbers that dimensions stand for; the largest of all where there are more.
pub(super) fn product(dims: &[usize]) -> usize {
    dims.iter().try_fold(1usize, |product, &length| product.checked_mul(length)).unwrap_or(usize::MAX)
}

/// A file of another format, or a damaged one.
pub(super) fn format_error(path: &Path, problem: impl fmt::Display) -> Error {
    DataError::Format { path: path.into(), problem: problem.to_string() }.into()
}

/// A file that ends the reading with an error of its own.
pub(super) fn damaged(path: &Path, error: impl fmt::Display) -> Error {
    format_error(path, format_args!("it is damaged or truncated ({error}); download or save it again"))
}

/// Numbers of the bytes of whole ones.
pub(super) type Decoder<T> = Box<dyn Fn(&[u8]) -> Result<Vec<T>> + Send>;

/// Numbers of one width each, to the end of a file.
pub(super) struct Binary<T> {
    pub path: PathBuf,
    pub from: Box<dyn Read + Send>,
    /// Bytes before the numbers.
    pub header: usize,
    /// Bytes of a number.
    pub width: usize,
    /// Numbers that the header claims.
    pub claimed: usize,
    /// Numbers that were read.
    pub read: usize,
    /// Makes numbers of their bytes.
    pub decode: Decoder<T>,
}

impl<T> Binary<T> {
    /// An error if there is another number of bytes than claimed: `more` were found behind those read.
    fn ends(&self, more: u64) -> Result<()> {
        let bytes = |numbers: usize| numbers.saturating_mul(self.width).saturating_add(self.header);
        let (expected, found) = (bytes(self.claimed), bytes(self.read).saturating_add(more as usize));
        match expected == found {
            true => Ok(()),
            false => Err(DataError::Truncated { path: self.path.clone(), expected, found }.into()),
        }
    }

    fn block(&mut self) -> Result<Vec<T>> {
        let numbers = BLOCK.min(self.claimed - self.read);
        let (path, length) = (&self.path, numbers * self.width);
        if numbers == 0 {
            let rest = io::copy(&mut self.from, &mut io::sink()).map_err(|error| damaged(path, error))?;
            return self.ends(rest).map(|()| Vec::new());
        }
        let mut bytes = Vec::with_capacity(length);
        self.from.by_ref().take(length as u64).read_to_end(&mut bytes).map_err(|error| damaged(path, error))?;
        if bytes.len() < length {
            self.ends(bytes.len() as u64)?;
        }
        self.read += numbers;
        (self.decode)(&bytes)
    }
}

impl<T> Iterator for Binary<T> {
    type Item = Result<Vec<T>>;

    fn next(&mut self) -> Option<Self::Item> {
        let block = self.block();
        match block {
            Ok(numbers) if numbers.is_empty() => None,
            block => Some(block),
        }
    }
}
