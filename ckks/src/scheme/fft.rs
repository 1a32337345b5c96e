//! The canonical embedding of both rings as one complex FFT of M points, M = number of slots.
//!
//! With ζ a primitive 4M-th root of unity, slot k is the value at ζ^e for e = 5^k = 4 j_k + 1. In the standard ring
//! (M = N/2) put c_n = a_n + i a_(n+M); in the conjugate-invariant one (M = N) c_n = a_n − i a_(N−n) and c_0 = a_0. As ζ^(eM) = i,
//! both give a(ζ^e) = Σ_n (c_n ζ^n) exp(2πi j_k n / M): a twist, a plain FFT and a permutation.

use std::f64::consts::PI;
use std::sync::Arc;

use rustfft::num_complex::Complex64;
use rustfft::{Fft, FftPlanner};

use crate::arith::RingKind;

/// Tables of one ring degree.
pub(super) struct Embedding {
    kind: RingKind,
    forward: Arc<dyn Fft<f64>>,
    inverse: Arc<dyn Fft<f64>>,
    /// ζ^n.
    twist: Vec<Complex64>,
    /// j_k.
    order: Vec<u32>,
}

impl Embedding {
    pub(super) fn new(kind: RingKind, log_n: u32) -> Self {
        let m = kind.slots(1 << log_n);
        let mut planner = FftPlanner::new();
        let twist = (0..m).map(|n| Complex64::cis(2.0 * PI * n as f64 / (4 * m) as f64)).collect();
        let powers = std::iter::successors(Some(1usize), |e| Some((e * 5) & (4 * m - 1)));
        let order = powers.take(m).map(|e| (e / 4) as u32).collect();
        Self { kind, forward: planner.plan_fft_forward(m), inverse: planner.plan_fft_inverse(m), twist, order }
    }

    fn slots(&self) -> usize {
        self.order.len()
    }

    /// Coefficients of the real polynomial whose slots are `values`, then zeros; times `factor`.
    pub(super) fn coefficients(&self, values: impl Iterator<Item = Complex64>, factor: f64) -> Vec<f64> {
        let m = self.slots();
        let mut points = vec![Complex64::ZERO; m];
        for (value, &j) in values.zip(&self.order) {
            points[j as usize] = value;
        }
        self.forward.process(&mut points);
        let factor = factor / m as f64;
        for (point, twist) in points.iter_mut().zip(&self.twist) {
            *point = *point * twist.conj() * factor;
        }
        match self.kind {
            RingKind::Standard => points.iter().map(|c| c.re).chain(points.iter().map(|c| c.im)).collect(),
            RingKind::ConjugateInvariant => points.iter().map(|c| c.re).collect(),
        }
    }

    /// Slots of the polynomial with the given coefficients, times `factor`.
    pub(super) fn slots_of(&self, coefficients: &[f64], factor: f64) -> Vec<Complex64> {
        let m = self.slots();
        let folded = |n: usize| match self.kind {
            RingKind::Standard => Complex64::new(coefficients[n], coefficients[n + m]),
            RingKind::ConjugateInvariant if n == 0 => Complex64::new(coefficients[0], 0.0),
            RingKind::ConjugateInvariant => Complex64::new(coefficients[n], -coefficients[m - n]),
        };
        let mut points: Vec<Complex64> = (0..m).map(|n| folded(n) * self.twist[n] * factor).collect();
        self.inverse.process(&mut points);
        self.order.iter().map(|&j| points[j as usize]).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn slots_are_values_at_powers_of_five_and_coefficients_undo_them() {
        for kind in [RingKind::Standard, RingKind::ConjugateInvariant] {
            let log_n = 4;
            let embedding = Embedding::new(kind, log_n);
            let n = 1usize << log_n;
            let coefficients: Vec<f64> = (0..n).map(|j| ((j * j + 3) % 11) as f64 - 5.0).collect();
            let slots = embedding.slots_of(&coefficients, 2.0);
            let order = (kind.root_factor() * n) as f64;
            let mut exponent = 1.0;
            for (k, slot) in slots.iter().enumerate() {
                let direct: Complex64 = coefficients
                    .iter()
                    .enumerate()
                    .map(|(j, &a)| {
                        let power = Complex64::cis(2.0 * PI * exponent * j as f64 / order);
                        let basis =
                            if kind == RingKind::ConjugateInvariant && j > 0 { power + power.conj() } else { power };
                        basis * a * 2.0
                    })
                    .sum();
                assert!((slot - direct).norm() < 1e-10, "{kind:?} slot {k}: {slot} {direct}");
                exponent = exponent * 5.0 % order;
            }
            let back = embedding.coefficients(slots.into_iter(), 0.5);
            assert!(back.iter().zip(&coefficients).all(|(a, b)| (a - b).abs() < 1e-12), "{kind:?}");
        }
    }
}
