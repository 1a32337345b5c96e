//! Algorithms over the evaluator: linear maps on ciphertexts, by constants and by diagonals.

mod diagonals;
mod gemm;

pub use diagonals::{DiagonalMap, DiagonalTerm};
pub use gemm::ScalarMatrix;
