//! R_Q in RNS: polynomials of Z\[X\]/(X^N + 1) or Z\[X + 1/X\] as limbs modulo the primes of a basis.
//!
//! [`Ring`] holds the primes and their tables, [`Poly`] one element in coefficient or NTT form, `convert` the exact base
//! conversions behind ModDown and rescale, `digits` those of key switching, `products` sums of products, `automorphism` the Galois
//! group, `sample` the distributions.

mod automorphism;
mod context;
mod convert;
mod digits;
mod ledger;
mod poly;
mod pool;
mod products;
mod sample;

pub use context::{Basis, Ring, Work};
pub use ledger::{Ledger, Taken};
pub use poly::{Coeff, Form, Ntt, Poly};
pub use sample::{Entropy, Seed};

pub(crate) use automorphism::{Permutation, rotation_element};
pub(crate) use convert::{Division, divide_round, divide_round_assign};
pub(crate) use digits::{Digits, KeyRows, Operand};
pub(crate) use pool::Buffer;
pub(crate) use products::{Factor, Term};
pub(crate) use sample::{MAX_ERROR, SIGMA, fill_gaussian, fill_ternary, stream};
