//! Algorithms over the evaluator: linear maps on ciphertexts, by constants and by diagonals.

mod diagonals;
mod gemm;
mod pointwise;

pub use diagonals::{DiagonalMap, DiagonalTerm};
pub use gemm::ScalarMatrix;
pub use pointwise::{Chained, Pointwise, PointwiseInputs, apply_pointwise};
