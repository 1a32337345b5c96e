//! Why there is no plan.

use thiserror::Error;

use crate::program::ProgramError;

/// A graph or a goal for which there is no plan, or a plan of another model.
#[derive(Debug, Clone, PartialEq, Error)]
#[non_exhaustive]
pub enum PlanError {
    /// A program that cannot be.
    #[error(transparent)]
    Program(#[from] ProgramError),
    /// Nothing within the security bounds runs the network.
    #[error(
        "no parameters of 128-bit security up to N = 2^{log_n} run this network with {precision_bits} bits of precision: {refusal}"
    )]
    NoParameters {
        /// Largest log2 of a ring degree tried.
        log_n: u32,
        /// Precision asked for.
        precision_bits: f64,
        /// What stood in the way of the largest parameters.
        refusal: String,
    },
    /// A forced interleave that no ciphertext has room for.
    #[error("an interleave of {interleave} is no power of two up to the {slots} slots of the largest ciphertexts")]
    Interleave {
        /// The interleave asked for.
        interleave: usize,
        /// The largest possible one.
        slots: usize,
    },
    /// A memory limit below what any plan needs.
    #[error(
        "no plan fits into {:.2} GiB of memory; the least that any needs is {:.2} GiB: raise --memory to that, or leave --interleave and --precision free",
        gib(*limit),
        gib(*needed)
    )]
    Memory {
        /// Bytes that there are.
        limit: u64,
        /// Bytes that the smallest plan needs.
        needed: u64,
    },
    /// A plan brought to another model than it was made for.
    #[error("the plan was made for another model: {what}; plan again, or bring the model that belongs to it")]
    OtherModel {
        /// What differs.
        what: String,
    },
}

fn gib(bytes: u64) -> f64 {
    bytes as f64 / (1u64 << 30) as f64
}
