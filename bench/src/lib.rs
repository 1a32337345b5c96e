//! The primitives of `ckks`, each a [`Case`]: an operation with its operands, which has computed the right value, with neither more
//! nor less error than its estimate, before anybody times it. `slotwise bench` samples these cases, and so do the criterion suites:
//!
//! ```text
//! cargo bench -p bench                            all suites, single-threaded
//! cargo bench -p bench --bench scheme -- rotate   the ids that contain `rotate`
//! cargo bench -p bench -- --test                  checks only
//! SLOTWISE_BACKEND=scalar cargo bench -p bench    another backend (suite `arith` runs all there are)
//! RAYON_NUM_THREADS=2 cargo bench -p bench        threads inside an operation
//! ```
//!
//! Ids are `op/log_n/limbs/backend`; an op of the conjugate-invariant ring ends in `_ci`. Suites run the presets p13 to p16 at
//! their top level, the last one in the standard ring only. `bench/peers/` runs other libraries beside these cases.
//!
//! Begin with [`Setting`], which makes the operands, and [`scheme()`], which goes through the operations. [`Limits`] is what to hold
//! them against, and [`independent()`] what several threads do on ciphertexts of their own.

mod independent;
mod limb;
mod limits;
mod ring;
mod scheme;
mod setting;

use std::hint::black_box;
use std::time::{Duration, Instant};

pub use independent::{Independent, independent};
pub use limb::{products, transforms};
pub use limits::Limits;
pub use ring::ring;
pub use scheme::{HOISTED, scheme};
pub use setting::{Setting, check_slots};

/// What a case gives.
pub type Result<T> = std::result::Result<T, Error>;

/// Why a case is not timed.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// The library refused.
    #[error(transparent)]
    Ckks(#[from] ckks::Error),
    /// The system gave no threads.
    #[error("threads of their own for independent ciphertexts: {0}")]
    Threads(#[from] rayon::ThreadPoolBuildError),
    /// A result that is not the right one, or is too good to come from an encryption.
    #[error("{op}: slots are off by {found:.2e} on average, and {expected:.2e} is to be expected; nothing was timed")]
    WrongSlots {
        /// The operation.
        op: &'static str,
        /// Root mean square of the errors.
        found: f64,
        /// What the estimate says.
        expected: f64,
    },
    /// A key that is not the one that was generated.
    #[error("{op}: the key is not the one that was generated; nothing was timed")]
    WrongKey {
        /// The operation.
        op: &'static str,
    },
    /// Residues that are not the ones specified.
    #[error("{op}: N = {n}, q = {modulus}: the {backend} kernels are wrong; nothing was timed")]
    WrongWords {
        /// The operation.
        op: &'static str,
        /// Degree.
        n: usize,
        /// The prime.
        modulus: u64,
        /// The kernels.
        backend: &'static str,
    },
}

/// An operation that is ready to be timed.
pub struct Case<'a> {
    /// Its name.
    pub op: &'static str,
    /// −log2 of the largest absolute error of a slot after it, where slots come out of it.
    pub precision_bits: Option<f64>,
    /// Runs it once on fresh operands, which are made outside the clock. What it returns is dropped inside: a program does that,
    /// too, and the buffer is there for the next run.
    pub run: &'a mut dyn FnMut() -> Result<Duration>,
}

/// Takes cases as they come and times them as it sees fit.
pub type Clock<'a> = dyn FnMut(Case<'_>) -> Result<()> + 'a;

/// Hands `run` to the clock, on what `input` makes.
pub fn time<I, T>(
    clock: &mut Clock<'_>,
    op: &'static str,
    precision_bits: impl Into<Option<f64>>,
    mut input: impl FnMut() -> I,
    mut run: impl FnMut(I) -> ckks::Result<T>,
) -> Result<()> {
    let mut once = || {
        let input = input();
        let start = Instant::now();
        drop(black_box(run(input)?));
        Ok(start.elapsed())
    };
    clock(Case { op, precision_bits: precision_bits.into(), run: &mut once })
}
