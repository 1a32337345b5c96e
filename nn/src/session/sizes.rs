//! What travels for a plan, in bytes.

use std::fmt;

use super::chunk;
use super::frame::FRAME;
use crate::plan::ClientPlan;
use crate::program::Value;

/// Bytes of every file that a plan leads to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Sizes {
    /// Samples of a full chunk.
    pub samples: usize,
    /// The secret key.
    pub secret_key: usize,
    /// The public key.
    pub public_key: usize,
    /// The evaluation keys.
    pub evaluation_keys: usize,
    /// A chunk of samples under the secret key.
    pub input_by_secret_key: usize,
    /// A chunk of samples under the public key.
    pub input_by_public_key: usize,
    /// A chunk of results.
    pub output: usize,
}

/// Level, scale, and a seed with the number of its polynomial.
const LEVEL: usize = 2;
const SCALE: usize = 16;
const SEED: usize = 32;
const OBJECT: usize = 8;

impl Sizes {
    /// The sizes of the files of `plan`.
    pub fn new(plan: &ClientPlan) -> Self {
        let params = &plan.params;
        let polynomial = |level: usize| params.packed_bytes(level).unwrap_or(0);
        let chunk = |value: &Value, head: usize, polynomials: usize| {
            let ciphertext = LEVEL + SCALE + head + polynomials * polynomial(value.level);
            FRAME + chunk::HEAD + value.layout.ciphertexts() * ciphertext
        };
        Self {
            samples: plan.interleave(),
            secret_key: FRAME + params.ring().n() / 4,
            public_key: FRAME + SEED + polynomial(params.max_level()),
            evaluation_keys: FRAME + plan.keys.packed_bytes(params).unwrap_or(0),
            input_by_secret_key: chunk(&plan.input, SEED + OBJECT, 1),
            input_by_public_key: chunk(&plan.input, 1, 2),
            output: chunk(&plan.output, 1, 2),
        }
    }
}

impl fmt::Display for Sizes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let chunk = |f: &mut fmt::Formatter<'_>, name: &str, bytes: usize| {
            writeln!(f, "{name:<24}{bytes:>14} bytes a chunk, {} a sample", bytes.div_ceil(self.samples))
        };
        writeln!(f, "{:<24}{:>14} samples", "chunk", self.samples)?;
        chunk(f, "input, secret key", self.input_by_secret_key)?;
        chunk(f, "input, public key", self.input_by_public_key)?;
        chunk(f, "output", self.output)?;
        writeln!(f, "{:<24}{:>14} bytes", "evaluation keys", self.evaluation_keys)?;
        writeln!(f, "{:<24}{:>14} bytes", "public key", self.public_key)?;
        write!(f, "{:<24}{:>14} bytes", "secret key", self.secret_key)
    }
}
