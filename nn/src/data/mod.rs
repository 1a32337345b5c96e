//! Samples, labels and results as files.
//!
//! | file | samples | labels |
//! |---|---|---|
//! | IDX, plain or .gz | bytes, divided by 255 | bytes |
//! | .npy | floats as they are | integers |
//! | text, a line a sample, commas or blanks between | numbers as they are | integers |
//! | .npz | floats as they are: the only array, or `x`, `data`, `images`, `inputs` or `arr_0` | integers: the only array, or `y`, `labels`, `targets` or `arr_1` |
//!
//! The first dimension counts the samples. What a file is, its first bytes tell, not its name. Sizes that a header claims are
//! held against the file before memory is asked for.

mod error;
mod idx;
mod npy;
mod samples;
mod source;
mod text;
mod write;

use std::path::{Path, PathBuf};

pub use error::DataError;
pub use samples::{Chunks, SampleFile};
pub use write::{NewFile, OutputFile, TEMPORARY_PREFIX, check_output_name, replace_file, write_outputs};

use samples::{all_finite, fitted, sample_table};
use source::Source;

use crate::error::{Error, Result};

/// A batch of samples of one shape, finite values in row-major order.
#[derive(Debug, Clone, PartialEq)]
pub struct Dataset {
    path: PathBuf,
    shape: Vec<usize>,
    samples: Vec<f32>,
}

impl Dataset {
    /// Samples from memory: [n, shape...] values in row-major order. `path` is what messages call them.
    ///
    /// # Errors
    /// [`Error::SampleLength`] if the values are no whole number of samples, [`DataError::NoSamples`],
    /// [`DataError::NotFinite`].
    pub fn new(path: impl Into<PathBuf>, shape: Vec<usize>, samples: Vec<f32>) -> Result<Self> {
        let features: usize = shape.iter().product();
        if features == 0 || !samples.len().is_multiple_of(features) {
            return Err(Error::SampleLength { found: samples.len(), features });
        }
        let data = Dataset { path: path.into(), shape, samples };
        if data.samples.is_empty() {
            return Err(DataError::NoSamples { path: data.path }.into());
        }
        all_finite(&data.path, features, 0, &data.samples)?;
        Ok(data)
    }

    /// Reads samples from an IDX, .npy, .npz or text file; see the table of this module.
    ///
    /// # Errors
    /// [`Error::ReadFile`], [`Error::EmptyFile`], [`DataError::Format`] for a file of another kind or type of numbers,
    /// [`DataError::Truncated`] for one that has not what its header claims, [`DataError::NpzMember`], and those of
    /// [`Dataset::new`].
    pub fn read(path: impl AsRef<Path>) -> Result<Self> {
        let source = Source::new(path.as_ref())?;
        let table = sample_table(&source)?;
        let mut samples = Vec::new();
        for block in table.blocks {
            samples.extend(block?);
        }
        match samples.is_empty() {
            true => Err(DataError::NoSamples { path: source.path }.into()),
            false => Dataset::new(source.path, table.shape, samples),
        }
    }

    /// The file that the samples are from.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Shape of one sample.
    pub fn shape(&self) -> &[usize] {
        &self.shape
    }

    /// Features of one sample.
    pub fn features(&self) -> usize {
        self.shape.iter().product()
    }

    /// Number of samples.
    pub fn n(&self) -> usize {
        self.samples.len() / self.features()
    }

    /// All values, [n, shape...] in row-major order.
    pub fn samples(&self) -> &[f32] {
        &self.samples
    }

    /// All values in double precision.
    pub fn to_f64(&self) -> Vec<f64> {
        self.samples.iter().map(|&x| f64::from(x)).collect()
    }

    /// `n` samples, at least one: the first ones, and the set over again where it has fewer.
    ///
    /// # Errors
    /// [`Error::TooManySamples`] if memory does not hold them.
    pub fn cycled(mut self, n: usize) -> Result<Self> {
        let features = self.features();
        let length = n.max(1).saturating_mul(features);
        let once = self.samples.len();
        // A run holds them in double precision too.
        let refused = |_| Error::TooManySamples { samples: n, features };
        Vec::<f64>::new().try_reserve_exact(length).map_err(refused)?;
        self.samples.try_reserve_exact(length.saturating_sub(once)).map_err(refused)?;
        self.samples.truncate(length);
        while self.samples.len() < length {
            let more = once.min(length - self.samples.len());
            self.samples.extend_from_within(..more);
        }
        Ok(self)
    }

    /// The others of these samples, without those of the numbers `left_out`, which ascend.
    ///
    /// # Errors
    /// [`DataError::NoSamples`] if none is left.
    pub fn without(&self, left_out: &[usize]) -> Result<Self> {
        Self::new(&self.path, self.shape.clone(), without(&self.samples, self.features(), left_out))
    }

    /// Gives the samples the shape that a model reads. Dimensions of length 1 may come and go, and flat samples of the right
    /// length are taken; anything else could be a transposition, which no model would notice.
    ///
    /// # Errors
    /// [`DataError::Shape`] if the shapes are not the same up to that.
    pub fn for_model(mut self, input_shape: &[usize]) -> Result<Self> {
        self.shape = fitted(&self.path, &self.shape, input_shape)?;
        Ok(self)
    }
}

/// The others of some rows, without those of the numbers `left_out`, which ascend.
pub(crate) fn without<T: Copy>(rows: &[T], columns: usize, left_out: &[usize]) -> Vec<T> {
    let mut left_out = left_out.iter().peekable();
    let others = rows.chunks(columns.max(1)).enumerate().filter(|(row, _)| left_out.next_if_eq(&row).is_none());
    others.flat_map(|(_, row)| row).copied().collect()
}

/// The class of each sample.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Labels {
    path: PathBuf,
    labels: Vec<usize>,
}

impl Labels {
    /// Reads labels from an IDX, .npy, .npz or text file; see the table of this module.
    ///
    /// # Errors
    /// [`Error::ReadFile`], [`Error::EmptyFile`], [`DataError::Format`], [`DataError::Truncated`], [`DataError::NpzMember`] as for
    /// samples, and [`DataError::LabelNegative`].
    pub fn read(path: impl AsRef<Path>) -> Result<Self> {
        let source = Source::new(path.as_ref())?;
        let table = source.read::<i64>(&["y", "labels", "targets", "arr_1"])?;
        let path = &source.path;
        if table.shape.iter().any(|&length| length != 1) || (table.rows.is_none() && table.shape.is_empty()) {
            return Err(table.refuse(path, "labels need [n], one number a sample"));
        }
        let mut values = Vec::new();
        for block in table.blocks {
            values.extend(block?);
        }
        let label = |(sample, value): (usize, i64)| {
            usize::try_from(value).map_err(|_| DataError::LabelNegative { path: path.into(), sample, value }.into())
        };
        let labels: Result<Vec<usize>> = values.into_iter().enumerate().map(label).collect();
        Ok(Labels { path: path.into(), labels: labels? })
    }

    /// The labels of the first samples of a larger set, one for each sample and below the number of classes.
    ///
    /// # Errors
    /// [`DataError::LabelCount`] if there are fewer labels than samples, [`DataError::LabelRange`] for a label that no output of the
    /// model stands for.
    pub fn first(mut self, samples: usize, classes: usize) -> Result<Vec<usize>> {
        if self.labels.len() < samples {
            return Err(DataError::LabelCount { path: self.path, labels: self.labels.len(), samples }.into());
        }
        self.labels.truncate(samples);
        match self.labels.iter().position(|&label| label >= classes) {
            None => Ok(self.labels),
            Some(sample) => {
                Err(DataError::LabelRange { label: self.labels[sample], path: self.path, sample, classes }.into())
            }
        }
    }

    /// All labels.
    pub fn labels(&self) -> &[usize] {
        &self.labels
    }
}

#[cfg(test)]
mod tests;
