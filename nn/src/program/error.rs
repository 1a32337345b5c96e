//! What a program can have wrong, before anything runs.

use ckks::Scale;
use thiserror::Error;

use crate::layout::LayoutError;

/// A program that cannot run, or a graph that cannot become one.
#[derive(Debug, Clone, PartialEq, Error)]
#[non_exhaustive]
pub enum ProgramError {
    /// A layout that contradicts itself.
    #[error(transparent)]
    Layout(#[from] LayoutError),
    /// Parameters or scales that cannot be.
    #[error(transparent)]
    Scheme(#[from] ckks::Error),
    /// An operation that the scheme refuses.
    #[error("{operation}: {source}")]
    Operation {
        /// The operation.
        operation: String,
        /// What the scheme said.
        source: ckks::Error,
    },
    /// Encrypted inputs that are not what the program was planned for.
    #[error(
        "{found} input ciphertexts; the program reads {expected}, of level {level}, scale {scale} and degree 1: encrypt with its plan"
    )]
    InputCiphertexts {
        /// Ciphertexts planned.
        expected: usize,
        /// Ciphertexts given.
        found: usize,
        /// Level planned.
        level: usize,
        /// Scale planned.
        scale: Scale,
    },
    /// A program without operations, or without an input at its head, or with another input behind it.
    #[error("{operation}: a program has exactly one input, and begins with it")]
    InputPlace {
        /// The operation in the wrong place.
        operation: String,
    },
    /// An operation that reads what is not there yet, or a wrong number of values.
    #[error("{operation}: reads {found:?}, but needs {expected} values that were made before it")]
    Operands {
        /// The operation.
        operation: String,
        /// How many values it takes.
        expected: usize,
        /// The numbers of the values it reads.
        found: Vec<usize>,
    },
    /// Operands of unequal scale.
    #[error("{operation}: scales {left:?} and {right:?} differ; the plan has to make them equal first")]
    Scales {
        /// The operation.
        operation: String,
        /// Planned scale on the left.
        left: Scale,
        /// Planned scale on the right.
        right: Scale,
    },
    /// Operands of unequal level, or a level that does not exist.
    #[error("{operation}: level {left} where level {right} is needed")]
    Levels {
        /// The operation.
        operation: String,
        /// Level found.
        left: usize,
        /// Level needed.
        right: usize,
    },
    /// A rescale at level 0.
    #[error("{operation}: no level is left to rescale by; use a longer chain, lower scales or a shallower network")]
    Exhausted {
        /// The operation.
        operation: String,
    },
    /// A ciphertext of the wrong degree.
    #[error("{operation}: operands have degrees {found:?}; relinearise first")]
    Degrees {
        /// The operation.
        operation: String,
        /// Degrees found.
        found: Vec<usize>,
    },
    /// Operands with features in different places.
    #[error("{operation}: the operands' features lie in different slots")]
    Places {
        /// The operation.
        operation: String,
    },
    /// An operation whose recorded result differs from what its operands make.
    #[error("{operation}: the recorded {what} is not what its operands make")]
    Recorded {
        /// The operation.
        operation: String,
        /// Level, scale, degree or layout.
        what: &'static str,
    },
    /// A value that overflows the modulus.
    #[error(
        "{operation}: values up to {magnitude} at scale {scale:?} need {needed:.1} bits, and level {level} has {available:.1}; \
         lower the scales or use a larger modulus"
    )]
    Overflow {
        /// The operation.
        operation: String,
        /// Largest absolute value in calibration, margin included.
        magnitude: f64,
        /// Planned scale.
        scale: Scale,
        /// log2 of the modulus needed.
        needed: f64,
        /// Level of the value.
        level: usize,
        /// log2 of the modulus there is.
        available: f64,
    },
    /// A key that the program needs and that is not there, or not at that level.
    #[error("the program needs {key} up to level {level}, and the keys do not have it")]
    MissingKey {
        /// Relinearisation, or a rotation by so many slots.
        key: String,
        /// Highest level at which it is used.
        level: usize,
    },
    /// A function that ciphertexts cannot compute.
    #[error("node '{node}': {op} is no polynomial; approximate it before lowering")]
    NotPolynomial {
        /// The node.
        node: String,
        /// Its operation.
        op: &'static str,
    },
    /// Magnitudes of another number than nodes.
    #[error("{magnitudes} calibrated magnitudes for a graph of {nodes} nodes")]
    Magnitudes {
        /// Magnitudes given.
        magnitudes: usize,
        /// Nodes of the graph.
        nodes: usize,
    },
}

impl ProgramError {
    /// Whether a longer chain could help.
    pub fn is_of_depth(&self) -> bool {
        matches!(self, Self::Exhausted { .. } | Self::Overflow { .. })
    }
}
