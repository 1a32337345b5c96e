//! The model owner: encrypted inference.

use std::io::Read;
use std::time::Duration;

use ckks::{EvaluationKeys, wire};

use super::FileError;
use super::chunk::Ciphertexts;
use super::client::read_key;
use super::frame::Kind;
use super::plan_file::PlanFile;
use crate::error::Result;
use crate::exec::encrypted::{Input, Prepared};
use crate::fingerprint::Fingerprint;
use crate::plan::ServerPlan;
use crate::program::Operation;

/// A model ready to run on encrypted samples. It holds the weights and a data owner's evaluation keys, and can hold no secret key.
pub struct Server {
    prepared: Prepared,
    keys: EvaluationKeys,
}

impl Server {
    /// Encodes the weights of the plan, and has the system find the memory of its ciphertexts, so that the first chunk takes as long as
    /// the others. Where that is more than 2 GiB, the first chunk finds it itself: it takes long in any case.
    ///
    /// # Errors
    /// [`Error::Program`](crate::Error::Program) for weights that overflow their scale.
    pub fn new(plan: &ServerPlan, keys: EvaluationKeys) -> Result<Self> {
        let memory = plan.memory();
        let prepared = Prepared::new(plan.program().clone(), &memory.streamed)?;
        memory.buffers.iter().for_each(|&(limbs, count)| plan.program().params().reserve(limbs, count));
        Ok(Self { prepared, keys })
    }

    /// Runs the program on one chunk, the expansion of seeds included, on the threads of the current rayon pool.
    /// At the end `done` is told of each operation, in the order of the program, with the time it took.
    ///
    /// # Errors
    /// [`Error::Program`](crate::Error::Program) for ciphertexts that are not as planned, and for a missing key.
    pub fn infer(&self, input: Ciphertexts, done: &mut dyn FnMut(&Operation, Duration)) -> Result<Ciphertexts> {
        let input = match input {
            Ciphertexts::Seeded(seeded) => Input::Seeded(seeded),
            Ciphertexts::Whole(ciphertexts) => Input::Whole(ciphertexts),
        };
        Ok(Ciphertexts::Whole(self.prepared.run(&self.keys, input, done)?))
    }
}

/// Reads the evaluation keys that `plan` asks for, and the fingerprint of the pair that they belong to.
///
/// # Errors
/// [`FileError`]: all of a frame's, and keys that are others than the plan's or cannot be.
pub fn read_evaluation_keys(plan: &PlanFile, from: &mut dyn Read) -> Result<(EvaluationKeys, Fingerprint), FileError> {
    let keys = &plan.plan().keys;
    read_key(plan, Kind::EvaluationKeys, from, |params, from| wire::read_evaluation_keys(params, keys, from))
}
