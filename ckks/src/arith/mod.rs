//! Z_q for word-sized primes q < 2^50: scalars, primes, the number-theoretic transform, and slice kernels.
//!
//! Every prime of the library, ciphertext or special, is below 2^50, so that a product of two residues fits the 52-bit
//! multipliers of AVX-512 IFMA and leaves room for lazy values in `[0, 4q)`. Read [`Modulus`] first, then [`NttTable`], then
//! the kernels (`kernel/mod.rs`).

mod kernel;
mod modulus;
mod ntt;
mod primes;
mod twiddles;

pub use kernel::{Backend, Rows};
pub(crate) use kernel::{
    GEMM_COLUMNS, GEMM_OUTPUTS, Keystream, Loops, MAX_LAZY_TERMS, MAX_SHORT_SUM, OnPart, Pair, Panels, Pieces,
    prefetch, tiled,
};
pub use modulus::{MAX_MODULUS_BITS, Modulus, ShoupFactor};
pub(crate) use ntt::bit_reverse;
pub use ntt::{NttTable, RingKind};
pub use primes::{is_prime, ntt_primes};
