//! Seconds from counts and measured primitives.

use ckks::Params;

use super::counts::{self, KeySwitch};
use crate::program::{Kind, LinearOperator, Value};

/// Core-seconds of the primitives that programs spend their time in.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct CostModel {
    /// One butterfly of a limb NTT, of which there are N/2 · log2 N.
    pub butterfly: f64,
    /// One multiply-accumulate of a residue by a constant in the GEMM.
    pub mac: f64,
    /// One residue read from memory, multiplied and added where it does not stay in cache: products of ciphertexts and of
    /// diagonals, key switching's inner products, permutations.
    pub residue: f64,
}

impl Default for CostModel {
    /// One core of a Zen 4 with AVX-512 IFMA, November 2026: 14 µs a limb NTT at N = 2^13, 13.6 G multiply-accumulates a
    /// second, and 2.5 G residues a second through memory.
    fn default() -> Self {
        Self { butterfly: 0.26e-9, mac: 1.0 / 13.6e9, residue: 0.4e-9 }
    }
}

impl CostModel {
    /// Core-seconds of an operation that reads `x` and makes `y`.
    pub(super) fn seconds(&self, params: &Params, kind: &Kind, x: &Value, y: &Value) -> f64 {
        let n = params.ring().n() as f64;
        let counts = counts::of(params, kind, x, y);
        let ntts = counts.limb_ntts as f64 * n / 2.0 * f64::from(params.log_n()) * self.butterfly;
        let macs = counts.scalar_mac as f64 * self.mac;
        ntts + macs + self.limb_passes(params, kind, x, y) as f64 * n * self.residue
    }

    /// Limbs that pass through memory for products and sums.
    fn limb_passes(&self, params: &Params, kind: &Kind, x: &Value, y: &Value) -> u64 {
        let limbs = super::limbs(params, x.level);
        let parts = x.degree as u64 + 1;
        let inputs = x.layout.ciphertexts() as u64;
        let switch = KeySwitch::at(params, x.level).inner_product;
        match kind {
            Kind::LinearMap { map, .. } => match map.operator() {
                LinearOperator::Gemm => (inputs + y.layout.ciphertexts() as u64) * parts * limbs,
                LinearOperator::Diagonals(plan) => {
                    let rotations = plan.baby_rotations() + plan.giant_rotations() + plan.fold_rotations();
                    let extended = limbs + params.ring().p().len() as u64;
                    2 * extended * plan.products() as u64 + (switch + 2 * extended) * rotations as u64
                }
            },
            Kind::Square | Kind::Mul => 4 * inputs * limbs,
            Kind::Relinearize | Kind::RelinearizeRescale => inputs * switch,
            Kind::Rescale | Kind::Add | Kind::DropLevel { .. } => inputs * parts * limbs,
            Kind::AddConstant(_) => inputs * limbs,
            Kind::Input | Kind::MulConstant { .. } => 0,
        }
    }
}
