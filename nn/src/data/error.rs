//! What can be wrong with files of samples, labels and results.

use std::path::PathBuf;

/// An error of data; names the file, and what to do about it.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum DataError {
    /// A file of another format, or with another type of numbers.
    #[error("{}: {problem}", path.display())]
    Format {
        /// The file.
        path: PathBuf,
        /// What it is, and what to do.
        problem: String,
    },
    /// A file that has more or less than its header claims.
    #[error("{}: the header claims a file of {expected} bytes, but it has {found}; download or save it again", path.display())]
    Truncated {
        /// The file.
        path: PathBuf,
        /// Bytes that the header claims, itself included.
        expected: usize,
        /// Bytes that are there, after unpacking.
        found: usize,
    },
    /// A file without samples.
    #[error("{}: there is no sample in it", path.display())]
    NoSamples {
        /// The file.
        path: PathBuf,
    },
    /// A sample with a value that is NaN or infinite.
    #[error("{}: feature {feature} of sample {sample} is {value}; clean the data", path.display())]
    NotFinite {
        /// The file.
        path: PathBuf,
        /// The sample, from 0.
        sample: usize,
        /// The feature, from 0 in row-major order.
        feature: usize,
        /// NaN or infinite.
        value: f32,
    },
    /// Samples of another shape than the model reads.
    #[error("{}: samples have shape {found:?}, but the model reads {expected:?}; reshape or transpose them to [n, ...] of that", path.display())]
    Shape {
        /// The file.
        path: PathBuf,
        /// Shape of its samples.
        found: Vec<usize>,
        /// Shape that the model reads.
        expected: Vec<usize>,
    },
    /// An .npz file in which the array meant cannot be told.
    #[error("{}: it holds the arrays {found:?}; name the one to read one of {wanted:?}, or save it alone", path.display())]
    NpzMember {
        /// The file.
        path: PathBuf,
        /// The arrays in it.
        found: Vec<String>,
        /// The names looked for.
        wanted: Vec<String>,
    },
    /// Fewer labels than samples.
    #[error("{}: {labels} labels for {samples} samples; is it the file that belongs to the data?", path.display())]
    LabelCount {
        /// The file.
        path: PathBuf,
        /// Labels in it.
        labels: usize,
        /// Samples that need one.
        samples: usize,
    },
    /// A label below zero.
    #[error("{}: the label of sample {sample} is {value}; classes count from 0", path.display())]
    LabelNegative {
        /// The file.
        path: PathBuf,
        /// The sample, from 0.
        sample: usize,
        /// Its label.
        value: i64,
    },
    /// A label beyond the classes of the model.
    #[error("{}: the label of sample {sample} is {label}, but the model knows {classes} classes; they count from 0", path.display())]
    LabelRange {
        /// The file.
        path: PathBuf,
        /// The sample, from 0.
        sample: usize,
        /// Its label.
        label: usize,
        /// Classes that the model knows.
        classes: usize,
    },
    /// A file for results whose name does not say what to write.
    #[error("{}: results are written as .npy or .csv; give the file one of these endings", path.display())]
    OutputName {
        /// The file.
        path: PathBuf,
    },
}
