//! How often an operation does what.

use std::ops::AddAssign;

use ckks::Params;
use serde::Serialize;

use crate::exec::is_one;
use crate::program::{Kind, LinearOperator, Value};

/// Operation counts by kind, as reports quote them.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize)]
pub struct Counts {
    /// Products of two ciphertexts.
    pub ct_ct_mul: u64,
    /// Products of a ciphertext and an encoded plaintext.
    pub ct_pt_mul: u64,
    /// Multiply-accumulates by constants: one for each coefficient, limb and component.
    pub scalar_mac: u64,
    /// Rotations.
    pub rotations: u64,
    /// Relinearisations.
    pub relinearizations: u64,
    /// Rescales of a ciphertext.
    pub rescales: u64,
    /// Number-theoretic transforms of one limb, forward or inverse.
    pub limb_ntts: u64,
}

impl Counts {
    /// These counts, `times` times.
    #[must_use]
    pub fn times(self, times: u64) -> Self {
        let Self { ct_ct_mul, ct_pt_mul, scalar_mac, rotations, relinearizations, rescales, limb_ntts } = self;
        Self {
            ct_ct_mul: ct_ct_mul * times,
            ct_pt_mul: ct_pt_mul * times,
            scalar_mac: scalar_mac * times,
            rotations: rotations * times,
            relinearizations: relinearizations * times,
            rescales: rescales * times,
            limb_ntts: limb_ntts * times,
        }
    }
}

impl AddAssign for Counts {
    fn add_assign(&mut self, other: Self) {
        let Self { ct_ct_mul, ct_pt_mul, scalar_mac, rotations, relinearizations, rescales, limb_ntts } = other;
        self.ct_ct_mul += ct_ct_mul;
        self.ct_pt_mul += ct_pt_mul;
        self.scalar_mac += scalar_mac;
        self.rotations += rotations;
        self.relinearizations += relinearizations;
        self.rescales += rescales;
        self.limb_ntts += limb_ntts;
    }
}

/// Limb NTTs of the parts of a key switch, with l limbs, k special ones and d digits.
pub(super) struct KeySwitch {
    /// ModUp: l inverse, d (l + k) − l forward.
    pub(super) mod_up: u64,
    /// ModDown of both parts: 2 k inverse, 2 l forward.
    pub(super) mod_down: u64,
}

impl KeySwitch {
    pub(super) fn at(params: &Params, level: usize) -> Self {
        let limbs = super::limbs(params, level);
        let (special, digits) = (params.ring().p().len() as u64, params.digits(limbs as usize) as u64);
        Self { mod_up: digits * (limbs + special), mod_down: 2 * (limbs + special) }
    }

    /// One that shares nothing.
    pub(super) fn limb_ntts(&self) -> u64 {
        self.mod_up + self.mod_down
    }
}

/// The counts of an operation that reads `x` and makes `y`.
pub(super) fn of(params: &Params, kind: &Kind, x: &Value, y: &Value) -> Counts {
    let n = params.ring().n() as u64;
    let (inputs, outputs) = (x.layout.ciphertexts() as u64, y.layout.ciphertexts() as u64);
    let (limbs, parts) = (super::limbs(params, x.level), x.degree as u64 + 1);
    let switch = KeySwitch::at(params, x.level);
    let mut counts = Counts::default();
    match kind {
        Kind::LinearMap { map, .. } => match map.operator() {
            LinearOperator::Gemm => counts.scalar_mac = map.map().matrix.nnz() as u64 * n * limbs * parts,
            LinearOperator::Diagonals(plan) => {
                let [hoisted, giant, fold] = [plan.hoisted_rotations(), plan.giant_rotations(), plan.fold_rotations()];
                counts.ct_pt_mul = plan.products() as u64;
                counts.rotations = (hoisted + giant + fold) as u64;
                // All stay in the basis QP: what is decomposed there divides one part, each output both at the end.
                counts.limb_ntts = plan.hoisted_inputs() as u64 * switch.mod_up
                    + (plan.hoisted_hubs() + giant + plan.fold_steps()) as u64 * (switch.mod_down / 2 + switch.mod_up)
                    + plan.computed() as u64 * switch.mod_down;
            }
        },
        Kind::Square | Kind::Mul => counts.ct_ct_mul = inputs,
        // The product with one is no product.
        Kind::MulConstant { constant, scale } if is_one(*constant, *scale) => {}
        Kind::MulConstant { .. } => counts.scalar_mac = inputs * n * limbs * parts,
        Kind::Relinearize => {
            counts.relinearizations = outputs;
            counts.limb_ntts = outputs * switch.limb_ntts();
        }
        Kind::Rescale => {
            counts.rescales = outputs;
            counts.limb_ntts = outputs * parts * limbs;
        }
        Kind::RelinearizeRescale => {
            counts.relinearizations = outputs;
            counts.rescales = outputs;
            counts.limb_ntts = outputs * switch.limb_ntts();
        }
        Kind::Input | Kind::Add | Kind::AddConstant(_) | Kind::DropLevel { .. } => {}
    }
    counts
}
