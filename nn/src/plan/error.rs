//! Why there is no plan.

use std::fmt;

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
        "no parameters of 128-bit security up to N = 2^{log_n} run this network with {precision_bits:.1} bits of precision: {refusal}; {}",
        match flooded {
            false => "ask for fewer (--precision), or lower the degrees (--degree)",
            true => "the noise of --flood is in these bits: flood with less, or see docs/security.md for what can bear it",
        }
    )]
    NoParameters {
        /// Largest log2 of a ring degree tried.
        log_n: u32,
        /// Precision asked for.
        precision_bits: f64,
        /// Whether results are flooded.
        flooded: bool,
        /// What stood in the way of the largest parameters.
        refusal: String,
    },
    /// Plans that hold the precision for typical values, and not for samples like those of the calibration.
    #[error(
        "no plan gives samples like those of the calibration {wanted:.1} bits of precision; the best gives {bits:.1}: ask for that (--precision), lower the degrees (--degree), or leave out samples far from all others"
    )]
    Unreached {
        /// Precision asked for.
        wanted: f64,
        /// What can be had.
        bits: f64,
    },
    /// Chains that hold the values, but not precisely enough.
    #[error("{limbs} primes give {bits:.1} of {wanted:.1} bits of precision")]
    Imprecise {
        /// Primes of the longest chain.
        limbs: usize,
        /// Bits that the results have.
        bits: f64,
        /// Bits that they need.
        wanted: f64,
    },
    /// A degree too small for any chain worth trying.
    #[error("N = 2^{log_n} has room for no chain that is long enough")]
    NoChain {
        /// log2 of the degree.
        log_n: u32,
    },
    /// A place that was not looked into, since it cannot be the best.
    #[error("a chunk would take about {seconds:.3} s, which costs {times:.1} times the best plan")]
    Costly {
        /// Server seconds of a chunk.
        seconds: f64,
        /// Its cost over that of the best plan.
        times: f64,
    },
    /// More multiplications, one after another, than the longest chain has room for.
    #[error(
        "the network is too deep: it multiplies {needed} times one after another, and the longest chain of 128-bit security (N = 2^{log_n}) has room for about {levels}. By layer:{}\n\
         What shortens it: polynomials of lower degree (--degree), squares in place of ReLU, fewer layers. ({refusal})",
        Layers(layers)
    )]
    TooDeep {
        /// Multiplications on the longest way through the network.
        needed: usize,
        /// Levels of the longest chain.
        levels: usize,
        /// log2 of its degree.
        log_n: u32,
        /// How many each layer takes.
        layers: Vec<(String, usize)>,
        /// What the longest chain ran into.
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
    /// More evaluation keys than there should be.
    #[error(
        "{} MB of evaluation keys, above {} MB (--keys), with which a chunk would take about {seconds:.3} s",
        megabytes(*needed),
        megabytes(*limit)
    )]
    Keys {
        /// Bytes that they should keep to.
        limit: u64,
        /// Bytes that they take as they travel.
        needed: u64,
        /// Server seconds of a chunk.
        seconds: f64,
    },
    /// A limit of evaluation keys below what any plan asks for.
    #[error(
        "no plan keeps to {} MB of evaluation keys (--keys); the least that any takes is {} MB: allow that, or leave --interleave and --precision free",
        megabytes(*limit),
        megabytes(*needed)
    )]
    FewestKeys {
        /// Bytes that they should keep to.
        limit: u64,
        /// Bytes that they take at least.
        needed: u64,
    },
    /// A plan brought to another model than it was made for.
    #[error("the plan was made for another model: {what}; plan again, or bring the model that belongs to it")]
    OtherModel {
        /// What differs.
        what: String,
    },
}

/// Each layer with its multiplications.
struct Layers<'a>(&'a [(String, usize)]);

impl fmt::Display for Layers<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|(layer, levels)| write!(f, "\n  {layer}: {levels}"))
    }
}

/// To three decimals, and no more than there are.
fn megabytes(bytes: u64) -> f64 {
    bytes.div_ceil(1000) as f64 / 1e3
}

fn gib(bytes: u64) -> f64 {
    bytes as f64 / (1u64 << 30) as f64
}
