//! What a plan is chosen for.

use super::FloodGoal;
use crate::exec::trace::Trace;

/// What a plan is chosen for, and what it has to keep to.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Goal {
    /// What to minimise.
    pub objective: Objective,
    /// Samples to come, if known; otherwise ciphertexts are full, and weights serve for so many chunks that preparing them does not count.
    pub samples: Option<usize>,
    /// b, if it is not free.
    pub interleave: Option<usize>,
    /// Bits of precision that the results need at least: −log2 of the largest error. Left out, the error of typical
    /// values is held to 2^−9 of the largest result, and that of samples if possible to two bits less.
    pub precision_bits: Option<f64>,
    /// Largest resident memory that a server may have.
    pub memory_bytes: Option<u64>,
    /// Most bytes of evaluation keys, as they travel. Left out, keys have a price where that keeps to 150 MB, but no plan is
    /// refused.
    pub key_bytes: Option<u64>,
    /// What results are flooded against, if they are.
    pub flood: Option<FloodGoal>,
    /// Factor from calibrated to planned magnitudes.
    pub margin: f64,
    /// What results may be off by, as a root mean square, for polynomials in the place of activations, if they are values and not scores of classes.
    /// Encryption may then add as much to any of them, unless a precision is asked for.
    pub tolerance: Option<f64>,
    /// Largest degree of such a polynomial.
    pub max_degree: usize,
}

/// What to minimise, all in server seconds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Objective {
    /// Seconds a sample, for all samples together, and for preparing weights and memory if it is known how many there are.
    Throughput,
    /// Seconds of a single chunk.
    Latency,
    /// The product of both: of two plans, one that halves the latency may cost up to twice as much a sample.
    Balanced,
}

impl Default for Goal {
    fn default() -> Self {
        Self {
            objective: Objective::Throughput,
            samples: None,
            interleave: None,
            precision_bits: None,
            memory_bytes: None,
            key_bytes: None,
            flood: None,
            margin: 1.25,
            tolerance: None,
            max_degree: 32,
        }
    }
}

/// Bytes of evaluation keys above which plans look for fewer, if nobody says otherwise.
const FEW_KEY_BYTES: u64 = 150_000_000;

/// Precision relative to the largest result, where none is asked for.
const RELATIVE_BITS: f64 = 9.0;

impl Goal {
    /// Where no precision is asked for, samples may have so many bits less than typical values.
    pub(crate) const SLACK_BITS: f64 = 2.0;

    /// What to minimise, of a chunk of `interleave` samples.
    pub(super) fn cost(&self, trace: &Trace, interleave: usize) -> f64 {
        let samples = self.samples.unwrap_or(interleave).max(1);
        let once = self.samples.map_or(0.0, |_| trace.prepare_s + trace.first_s);
        let a_sample = (trace.seconds * samples.div_ceil(interleave) as f64 + once) / samples as f64;
        match self.objective {
            Objective::Latency => trace.seconds,
            Objective::Throughput => a_sample,
            Objective::Balanced => trace.seconds * a_sample,
        }
    }

    /// Bytes of evaluation keys that plans should keep to.
    pub(super) fn key_limit(&self) -> u64 {
        self.key_bytes.unwrap_or(FEW_KEY_BYTES)
    }

    /// Bits of precision without which there is no plan.
    pub(crate) fn demanded_bits(&self) -> Option<f64> {
        self.precision_bits.or(self.tolerance.map(|tolerance| -tolerance.log2()))
    }

    /// Bits of precision that results of at most `largest` need.
    pub(crate) fn bits(&self, largest: f64) -> f64 {
        self.demanded_bits().unwrap_or(RELATIVE_BITS - largest.max(f64::MIN_POSITIVE).log2())
    }

    /// The interleaves to try for a number of slots, in the order in which costs tend to rise.
    pub(super) fn interleaves(&self, slots: usize) -> Vec<usize> {
        if let Some(interleave) = self.interleave {
            return if interleave <= slots { vec![interleave] } else { Vec::new() };
        }
        let most = self.samples.map_or(slots, |samples| samples.next_power_of_two().min(slots));
        let powers = |log_b: u32| 1 << log_b;
        match self.objective {
            // Between them, a chunk holds samples that nobody waits for.
            Objective::Latency => vec![1, slots],
            // A chunk that is not full can still be the cheapest where it takes neither rotations nor weights to prepare.
            Objective::Throughput => {
                let full = (most < slots).then_some(slots);
                full.into_iter().chain((0..=most.ilog2()).rev().map(powers)).collect()
            }
            // Between full ciphertexts and few samples, both of the product's factors are large.
            Objective::Balanced => {
                let below = (0..=most.ilog2()).map(powers).filter(|&b| b < slots);
                std::iter::once(slots).chain(below).collect()
            }
        }
    }
}
