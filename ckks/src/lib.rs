//! RNS-CKKS from scratch: approximate arithmetic on encrypted vectors.

mod arith;
mod error;

pub use arith::{Backend, Modulus, NttTable, RingKind, ShoupFactor, is_prime, ntt_primes};
pub use error::{Error, Result};
