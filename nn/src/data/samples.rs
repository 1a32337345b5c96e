//! Samples of a file that need not fit into memory.

use std::path::{Path, PathBuf};

use super::DataError;
use super::source::{Blocks, Source, Table, product};
use crate::error::{Error, Result};

/// The arrays of an .npz file that are taken for samples.
const NAMES: [&str; 5] = ["x", "data", "images", "inputs", "arr_0"];

/// Samples that are read together where it does not matter how many.
const TOGETHER: usize = 1024;

/// Samples in a file, of which no more than a chunk is in memory. The file is read once when it is opened, so that whatever is
/// wrong with it shows before anything is made of it, and again for its chunks. Arrays in .npz files or in column order are in
/// memory as a whole while they are read.
#[derive(Debug, Clone)]
pub struct SampleFile {
    source: Source,
    shape: Vec<usize>,
    /// Numbers of those that are left out, ascending.
    left_out: Vec<usize>,
    /// How many others there are.
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
            _ => Ok(Self { source, shape: table.shape, left_out: Vec::new(), n: values / features, max_abs }),
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

    /// The others of the file's samples, without those of the numbers `left_out`, which ascend.
    ///
    /// # Errors
    /// [`DataError::NoSamples`] if none is left; those of [`SampleFile::chunks`].
    pub fn without(mut self, left_out: Vec<usize>) -> Result<Self> {
        self.n = (self.n + self.left_out.len()).saturating_sub(left_out.len());
        if self.n == 0 {
            return Err(DataError::NoSamples { path: self.source.path }.into());
        }
        self.left_out = left_out;
        self.max_abs = 0.0;
        for chunk in self.chunks(TOGETHER)? {
            self.max_abs = chunk?.iter().fold(self.max_abs, |max, x| max.max(x.abs()));
        }
        Ok(self)
    }

    /// All samples in their order, `samples` of them at a time.
    ///
    /// # Errors
    /// As [`SampleFile::open`]; the iterator's are the same.
    pub fn chunks(&self, samples: usize) -> Result<Chunks> {
        let features = self.features();
        Ok(Chunks {
            path: self.source.path.clone(),
            blocks: sample_table(&self.source)?.blocks,
            features,
            left_out: self.left_out.clone(),
            length: features * samples.clamp(1, self.n),
            values: self.n * features,
            taken: 0,
            read: 0,
            ahead: Vec::new(),
        })
    }
}

/// Chunks of a [`SampleFile`]: [n, features] values each, in row-major order.
pub struct Chunks {
    path: PathBuf,
    blocks: Blocks<f32>,
    features: usize,
    /// Samples to be skipped.
    left_out: Vec<usize>,
    /// Values of a chunk.
    length: usize,
    /// Values of all chunks.
    values: usize,
    /// Values that were taken from the file, skipped ones included.
    taken: usize,
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
            chunk.extend(self.block()?.ok_or_else(|| self.changed())?);
        }
        self.ahead = chunk.split_off(length);
        self.read += length;
        if chunk.iter().any(|x| !x.is_finite()) || (self.read == self.values && self.has_more()?) {
            return Err(self.changed());
        }
        Ok(chunk)
    }

    /// The next values that are not to be skipped.
    fn block(&mut self) -> Result<Option<Vec<f32>>> {
        let Some(block) = self.blocks.next().transpose()? else {
            return Ok(None);
        };
        let first = self.taken;
        self.taken += block.len();
        if self.left_out.is_empty() {
            return Ok(Some(block));
        }
        let stays = |at: usize| self.left_out.binary_search(&((first + at) / self.features)).is_err();
        Ok(Some(block.into_iter().enumerate().filter(|&(at, _)| stays(at)).map(|(_, x)| x).collect()))
    }

    /// Whether values come behind the last one.
    fn has_more(&mut self) -> Result<bool> {
        while self.ahead.is_empty() {
            match self.block()? {
                Some(block) => self.ahead = block,
                None => return Ok(false),
            }
        }
        Ok(true)
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
