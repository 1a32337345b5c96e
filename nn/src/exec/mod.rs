//! The interpreters of a program: `clear` on slots of f64, `trace` on numbers about ciphertexts, `encrypted` on ciphertexts.
//!
//! [`run`] walks the operations and frees each tensor at its last use; an [`Interpreter`] says what a tensor is and what each
//! operation does to it. graph != clear means that packing is wrong; clear != encrypted, that scheme or noise is.

pub mod clear;
pub mod encrypted;
pub mod schedule;
pub mod trace;

use std::sync::Arc;

use ckks::Scale;

use crate::program::{Operation, Program};

/// What a tensor is, and what operations do to it.
pub trait Interpreter {
    /// A value of the program.
    type Tensor;
    /// What can go wrong on the way.
    type Error;

    /// The value of `operation`, the program's `index`-th, which is not the input, from those it reads. A tensor read for the last time arrives as the
    /// only reference to it, so that it can be taken apart or overwritten.
    ///
    /// # Errors
    /// Whatever the interpreter meets.
    fn evaluate(
        &mut self,
        index: usize,
        operation: &Operation,
        inputs: Vec<Arc<Self::Tensor>>,
    ) -> Result<Self::Tensor, Self::Error>;
}

/// Runs `program` on `input`; the result is that of its last operation.
///
/// # Errors
/// The first error of the interpreter.
pub fn run<I: Interpreter>(
    program: &Program,
    interpreter: &mut I,
    input: I::Tensor,
) -> Result<Arc<I::Tensor>, I::Error> {
    let last_uses = program.last_uses();
    let mut tensors = Vec::with_capacity(last_uses.len());
    let mut latest = Arc::new(input);
    for (index, operation) in program.operations().iter().enumerate().skip(1) {
        tensors.push(Some(latest));
        let inputs = operation.inputs.iter().filter_map(|id| tensors[id.0].clone()).collect();
        for id in &operation.inputs {
            if last_uses[id.0] == index {
                tensors[id.0] = None;
            }
        }
        latest = Arc::new(interpreter.evaluate(index, operation, inputs)?);
    }
    Ok(latest)
}

/// Whether the integer that stands for a constant is one.
fn is_one(constant: f64, scale: Scale) -> bool {
    (constant * scale.to_f64() - 1.0).abs() < f64::EPSILON
}
