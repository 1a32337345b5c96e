//! The model owner: encrypted inference.

use std::time::Duration;

use ckks::{Ciphertext, EvaluationKeys, SeededCiphertext};
use rayon::prelude::*;

use crate::error::Result;
use crate::exec::encrypted::Prepared;
use crate::plan::ServerPlan;
use crate::program::Operation;

/// A model ready to run on encrypted samples. It holds the weights and a data owner's evaluation keys, and can hold no secret key.
pub struct Server {
    prepared: Prepared,
    keys: EvaluationKeys,
}

impl Server {
    /// Encodes the weights of the plan.
    ///
    /// # Errors
    /// [`Error::Program`](crate::Error::Program) for weights that overflow their scale.
    pub fn new(plan: &ServerPlan, keys: EvaluationKeys) -> Result<Self> {
        Ok(Self { prepared: Prepared::new(plan.program().clone())?, keys })
    }

    /// Runs the program on one chunk, the expansion of seeds included, on the threads of the current rayon pool.
    /// `done` is told of each operation when it ends, with the time it took.
    ///
    /// # Errors
    /// [`Error::Program`](crate::Error::Program) for ciphertexts that are not as planned, and for a missing key.
    pub fn infer(
        &self,
        input: Vec<SeededCiphertext>,
        done: &mut dyn FnMut(&Operation, Duration),
    ) -> Result<Vec<Ciphertext>> {
        let expanded = input.into_par_iter().map(SeededCiphertext::into_expanded).collect();
        Ok(self.prepared.run(&self.keys, expanded, done)?)
    }
}
