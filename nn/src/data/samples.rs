//! Samples of a file that need not fit into memory.

use std::path::{Path, PathBuf};

use super::DataError;
use super::source::{Blocks, Source, Table, product};
use crate::error::{Error, Result};

/// The arrays of an .npz file that are taken for samples.
const NAMES: [&str; 5] = ["x", "data", "images", "inputs", "arr_0"];

/// Samples in a file, of which no more than a chunk is in memory. The file is read once when it is opened, so that whatever is
/// wrong with it shows before anything is made of it, and again for its chunks. Arrays in .npz files or in column order are in
/// memory as a whole while they are read.
#[derive(Debug, Clone)]
pub struct SampleFile {
    source: Source,
    shape: Vec<usize>,
    n: usize,
    max_abs: f32,
}

impl SampleFile {
    /// Reads a file of samples once, to its end.
    ///
    /// # Errors
    /// As [`Dataset::read`](super::Dataset::read).
    pub fn open(path: impl AsRef<Path>) -> Result<Self> {
        let source = Source::new(path.as_ref())?;
        let table = sample_table(&source)?;
        let features = product(&table.shape);
        let (mut values, mut max_abs) = (0, 0.0f32);
        for block in table.blocks {
            let block = block?;
            all_finite(&source.path, features, values, &block)?;
            max_abs = block.iter().fold(max_abs, |max, x| max.max(x.abs()));
            values += block.len();
        }
        match values {
            0 => Err(DataError::NoSamples { path: source.path }.into()),
            _ => Ok(Self { source, shape: table.shape, n: values / features, max_abs }),
        }
    }

    /// As [`Dataset::for_model`](super::Dataset::for_model).
    ///
    /// # Errors
    /// [`DataError::Shape`].
    pub fn for_model(mut self, input_shape: &[usize]) -> Result<Self> {
        self.shape = fitted(&self.source.path, &self.shape, input_shape)?;
        Ok(self)
    }

    /// The file.
    pub fn path(&self) -> &Path {
        &self.source.path
    }

    /// Number of samples.
    pub fn n(&self) -> usize {
        self.n
    }

    /// Features of one sample.
    pub fn features(&self) -> usize {
        self.shape.iter().product()
    }

    /// The largest absolute value.
    pub fn max_abs(&self) -> f32 {
        self.max_abs
    }

    /// All samples in their order, `samples` of them at a time.
    ///
    /// # Errors
    /// As [`SampleFile::open`]; the iterator's are the same.
    pub fn chunks(&self, samples: usize) -> Result<Chunks> {
        let features = self.features();
        let blocks = sample_table(&self.source)?.blocks;
        let length = features * samples.clamp(1, self.n);
        let values = self.n * features;
        Ok(Chunks { path: self.source.path.clone(), blocks, features, length, values, read: 0, ahead: Vec::new() })
    }
}

/// Chunks of a [`SampleFile`]: [n, features] values each, in row-major order.
pub struct Chunks {
    path: PathBuf,
    blocks: Blocks<f32>,
    features: usize,
    /// Values of a chunk.
    length: usize,
    /// Values of all chunks.
    values: usize,
    /// Values of the chunks that were read.
    read: usize,
    /// Values beyond those.
    ahead: Vec<f32>,
}

impl Chunks {
    fn chunk(&mut self) -> Result<Vec<f32>> {
        let length = self.length.min(self.values - self.read);
        let mut chunk = std::mem::take(&mut self.ahead);
        while chunk.len() < length {
            chunk.extend(self.blocks.next().ok_or_else(|| self.changed())??);
        }
        self.ahead = chunk.split_off(length);
        all_finite(&self.path, self.features, self.read, &chunk)?;
        self.read += length;
        let more = self.read == self.values && (!self.ahead.is_empty() || self.blocks.next().transpose()?.is_some());
        if more { Err(self.changed()) } else { Ok(chunk) }
    }

    fn changed(&self) -> Error {
        let problem = "it changed while it was read; encrypt it again once it is at rest".into();
        DataError::Format { path: self.path.clone(), problem }.into()
    }
}

impl Iterator for Chunks {
    type Item = Result<Vec<f32>>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.read == self.values {
            return None;
        }
        let chunk = self.chunk();
        if chunk.is_err() {
            self.read = self.values;
        }
        Some(chunk)
    }
}

/// The table of a file of samples.
pub(super) fn sample_table(source: &Source) -> Result<Table<f32>> {
    let table = source.read(&NAMES)?;
    match table.shape.is_empty() {
        true => Err(table.refuse(&source.path, "samples need [n, ...], one row a sample")),
        false => Ok(table),
    }
}

/// Refuses values that are NaN or infinite; `before` values came before these.
pub(super) fn all_finite(path: &Path, features: usize, before: usize, values: &[f32]) -> Result<()> {
    match values.iter().position(|x| !x.is_finite()) {
        None => Ok(()),
        Some(at) => {
            let (sample, feature, value) = ((before + at) / features, (before + at) % features, values[at]);
            Err(DataError::NotFinite { path: path.into(), sample, feature, value }.into())
        }
    }
}

/// The shape that a model reads, if samples of `shape` are the same up to dimensions of length 1, or flat.
pub(super) fn fitted(path: &Path, shape: &[usize], model: &[usize]) -> Result<Vec<usize>> {
    let long = |shape: &[usize]| shape.iter().copied().filter(|&length| length != 1).collect::<Vec<_>>();
    let (found, wanted) = (long(shape), long(model));
    let flat = found.len() <= 1 || wanted.len() <= 1;
    if found == wanted || (flat && shape.iter().product::<usize>() == model.iter().product::<usize>()) {
        return Ok(model.to_vec());
    }
    Err(DataError::Shape { path: path.into(), found: shape.to_vec(), expected: model.to_vec() }.into())
}
