//! The one error type of the crate: what was asked, which values stood in the way, what to do.

use thiserror::Error;

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
