//! The one error type of the crate: what was asked, which values stood in the way, what to do.

use thiserror::Error;

use crate::scheme::Scale;

/// Result of every fallible operation of this crate.
pub type Result<T> = std::result::Result<T, Error>;

/// Everything that can go wrong in `ckks`. Each variant names the operation or object and both sides of a disagreement.
#[non_exhaustive]
#[derive(Debug, Error, Clone, PartialEq)]
pub enum Error {
    /// A number that is no valid modulus of this library.
    #[error("{value} is not a modulus of this library: it must be an odd prime below 2^50")]
    InvalidModulus {
        /// The offending number.
        value: u64,
    },
    /// There are not enough primes of a size in the right residue class.
    #[error("no {count} primes of {bits} bits are congruent to 1 modulo {order}; use a larger size or fewer limbs")]
    NotEnoughPrimes {
        /// Requested size.
        bits: u32,
        /// Requested number of primes.
        count: usize,
        /// The primes must be 1 modulo this.
        order: u64,
    },
    /// The operating system gave no randomness.
    #[error("the operating system gave no randomness: {reason}")]
    NoEntropy {
        /// What it said.
        reason: String,
    },
    /// Parameters that cannot exist.
    #[error("invalid parameters: {reason}")]
    InvalidParams {
        /// What is wrong with them.
        reason: String,
    },
    /// Parameters below 128 bits of security.
    #[error(
        "log2(QP) = {log_qp:.1} at log2 N = {log_n} is above {bound} bits, the bound for 128-bit security; use fewer or smaller primes, or a larger N"
    )]
    Insecure {
        /// log2 of the degree.
        log_n: u32,
        /// log2 of the modulus of the keys.
        log_qp: f64,
        /// Largest log2(QP) for this degree; 0 where the table has no row.
        bound: f64,
    },
    /// A level that the chain does not have.
    #[error("level {level} is above the highest level {max_level}")]
    LevelTooHigh {
        /// The level asked for.
        level: usize,
        /// The highest there is.
        max_level: usize,
    },
    /// A scale that is not positive and finite.
    #[error("{value} is no scale: it must be positive and finite")]
    InvalidScale {
        /// The number given.
        value: f64,
    },
    /// More values than slots.
    #[error("{values} values do not fit into {slots} slots")]
    TooManyValues {
        /// How many values there were.
        values: usize,
        /// How many fit.
        slots: usize,
    },
    /// A value that is not finite, or too large for the modulus at its scale.
    #[error(
        "a coefficient of {largest:e} at scale {scale} is not finite or does not fit a modulus of {log_q:.1} bits; lower the scale or raise the level"
    )]
    EncodeOverflow {
        /// Largest scaled coefficient.
        largest: f64,
        /// log2 of the modulus.
        log_q: f64,
        /// The scale.
        scale: Scale,
    },
    /// Complex slots asked of a ring that has real ones.
    #[error("{operation}: the conjugate-invariant ring has real slots only; use the standard ring")]
    NoComplexSlots {
        /// The operation.
        operation: &'static str,
    },
    /// Objects of different parameters.
    #[error("{operation}: the operands belong to different parameters")]
    ParamsMismatch {
        /// The operation.
        operation: &'static str,
    },
    /// Operands at different levels.
    #[error("{operation}: operands at levels {left} and {right}; drop the higher one first")]
    LevelMismatch {
        /// The operation.
        operation: &'static str,
        /// Level of the left operand.
        left: usize,
        /// Level of the right operand.
        right: usize,
    },
    /// Operands at different scales.
    #[error("{operation}: operands at scales {left} and {right}; they must be planned to be equal")]
    ScaleMismatch {
        /// The operation.
        operation: &'static str,
        /// Scale of the left operand.
        left: Scale,
        /// Scale of the right operand.
        right: Scale,
    },
    /// A ciphertext of the wrong degree.
    #[error("{operation}: a ciphertext of degree {degree}; {advice}")]
    WrongDegree {
        /// The operation.
        operation: &'static str,
        /// Degree of the ciphertext.
        degree: usize,
        /// What to do.
        advice: &'static str,
    },
    /// No step of the chain is left to drop.
    #[error("{operation}: level 0 has no step left to drop; use a longer chain or fewer rescales")]
    LevelExhausted {
        /// The operation.
        operation: &'static str,
    },
    /// A ciphertext at a lower level than is asked for.
    #[error("{operation}: a ciphertext at level {level} cannot be taken to level {wanted}; no operation raises levels")]
    LevelTooLow {
        /// The operation.
        operation: &'static str,
        /// Level of the ciphertext.
        level: usize,
        /// Level asked for.
        wanted: usize,
    },
    /// A deviation that noise cannot have.
    #[error(
        "noise of deviation {sigma:e} would be none: it must be positive, finite, and far above the smallest double"
    )]
    InvalidNoise {
        /// The deviation given.
        sigma: f64,
    },
    /// An evaluation key that was not generated.
    #[error("no evaluation key for {wanted} at level {level}: request it when generating keys")]
    MissingKey {
        /// The rotation, conjugation or relinearisation that needs it.
        wanted: String,
        /// The level at which it is needed.
        level: usize,
    },
    /// A number that names no automorphism of the ring.
    #[error("{element} is no Galois element of the ring: it must be a unit modulo {order} that the ring keeps")]
    InvalidGaloisElement {
        /// The number.
        element: u64,
        /// Order of the roots of unity.
        order: u64,
    },
    /// A linear map whose shape does not fit its operands.
    #[error("{operation}: {reason}")]
    ShapeMismatch {
        /// The operation.
        operation: &'static str,
        /// Both shapes.
        reason: String,
    },
    /// `SLOTWISE_BACKEND` or a caller names kernels that do not exist.
    #[error("there is no backend {name:?}; use one of ifma, avx2, scalar, or leave SLOTWISE_BACKEND unset")]
    UnknownBackend {
        /// The name as given.
        name: String,
    },
    /// `SLOTWISE_BACKEND` or a caller names kernels that this machine cannot run.
    #[error(
        "this CPU lacks the instructions of the backend {name:?}; name another one, or leave SLOTWISE_BACKEND unset"
    )]
    UnavailableBackend {
        /// The name as given.
        name: String,
    },
}
