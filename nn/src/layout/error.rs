//! What can be wrong with a layout, or with data brought to it.

use thiserror::Error;

/// A layout that contradicts itself, or values that do not fit it.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum LayoutError {
    /// A size that has to be a power of two and divide another is not, or does not.
    #[error("layout: {what} is {value}; it must be a power of two that divides the {limit} {of} of a ciphertext")]
    Size {
        /// Interleave, period, …
        what: &'static str,
        /// The size given.
        value: usize,
        /// What it must divide.
        limit: usize,
        /// Slots or positions.
        of: &'static str,
    },
    /// Two features in one place.
    #[error("layout: features {first} and {second} both lie at position {position}")]
    Collision {
        /// The feature that came first.
        first: usize,
        /// The one that found its place taken.
        second: usize,
        /// Position counted over all ciphertexts, in periods.
        position: usize,
    },
    /// More positions than a 32-bit index can name, or none.
    #[error("layout: {features} features need {positions} positions; between 1 and 2^31 are possible")]
    Extent {
        /// Number of features.
        features: usize,
        /// Positions up to the last feature.
        positions: usize,
    },
    /// More samples than fit a ciphertext, or values that are no whole number of samples.
    #[error("{values} values for a layout of {features} features and at most {interleave} samples at a time")]
    Batch {
        /// Values given.
        values: usize,
        /// Features of a sample.
        features: usize,
        /// Samples that fit.
        interleave: usize,
    },
    /// Slot vectors of another shape than the layout's.
    #[error("{what}: the layout has {expected}, and {found} were given")]
    Shape {
        /// Ciphertexts, slots, rows, columns, …
        what: &'static str,
        /// The layout's number.
        expected: usize,
        /// The number given.
        found: usize,
    },
}
