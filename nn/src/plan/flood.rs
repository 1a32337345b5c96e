//! Noise flooding: what a key holder adds to results before anyone else sees them.
//!
//! A decrypted CKKS result is the message plus an error that depends on the secret key, and gives it away
//! (Li-Micciancio 2020/1533). Gaussian noise far above the largest possible error hides it: against τ decryptions, with
//! σ = √(12 τ) 2^(s/2) · ‖error‖₂, scheme and noise together keep s bits of statistical security in the sense of IND-CPA-D
//! (Li, Micciancio, Schultz, Sorrell 2022/816, theorem 3 with the Euclidean norm). ‖error‖₂ is bounded by √(results) times the
//! largest error of one result that the planned program allows ([`worst_error`]).

use serde::{Deserialize, Serialize};

use crate::exec::trace::worst_error;
use crate::program::Program;

/// What flooding is to withstand.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct FloodGoal {
    /// s: bits of statistical security.
    pub security_bits: f64,
    /// τ: decryptions under one key whose results others see.
    pub queries: u64,
}

/// The noise of a plan.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Flood {
    /// What it withstands.
    pub goal: FloodGoal,
    /// Largest error of a result over the planned program and magnitudes.
    pub worst_error: f64,
    /// Results of one decryption: those of a full chunk.
    pub results: usize,
}

impl Flood {
    /// The noise for `program`.
    pub fn new(goal: FloodGoal, program: &Program) -> Self {
        let layout = &program.output().layout;
        Self { goal, worst_error: worst_error(program), results: layout.features() * layout.interleave() }
    }

    /// Standard deviation of the noise of each result.
    pub fn sigma(&self) -> f64 {
        let FloodGoal { security_bits, queries } = self.goal;
        let norm = (self.results as f64).sqrt() * self.worst_error;
        (12.0 * queries as f64).sqrt() * (security_bits / 2.0).exp2() * norm
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sigma_is_that_of_the_theorem() {
        let flood = |security_bits, queries, results| Flood {
            goal: FloodGoal { security_bits, queries },
            worst_error: 2f64.powi(-40),
            results,
        };
        assert_eq!(flood(20.0, 3, 1).sigma(), 6.0 * 2f64.powi(-30));
        assert_eq!(flood(20.0, 12, 1).sigma(), 12.0 * 2f64.powi(-30));
        assert_eq!(flood(40.0, 3, 16).sigma(), 24.0 * 2f64.powi(-20));
    }
}
