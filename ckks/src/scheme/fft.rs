//! The canonical embedding of both rings as one complex FFT of N/2 points.
//!
//! With M slots and ζ a primitive 4M-th root of unity, slot k is the value at ζ^e for e = 5^k = 4 j_k + 1. In the standard ring
//! (M = N/2) put c_n = a_n + i a_(n+M); in the conjugate-invariant one (M = N) c_n = a_n − i a_(N−n) and c_0 = a_0. As ζ^(eM) = i,
//! both give a(ζ^e) = Σ_n C_n exp(2πi j_k n / M) with C_n = c_n ζ^n: a twist, a plain FFT and a permutation.
//!
//! In the conjugate-invariant ring C_(M−n) is the conjugate of C_n, and the M values x_j are real: the transform of the M/2
//! points x_2j + i x_(2j+1) holds them all (Sorensen, Jones, Heideman, Burrus 1987, section III).

use std::f64::consts::{FRAC_1_SQRT_2, PI, SQRT_2};
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
    /// exp(2πi n / M) up to M/4: conjugate-invariant ring only.
    split: Vec<Complex64>,
    /// Slot k with j_k = j.
    slot: Vec<u32>,
}

/// Buffers of one transform.
#[derive(Default)]
pub(super) struct Workspace {
    points: Vec<Complex64>,
    scratch: Vec<Complex64>,
}

impl Embedding {
    pub(super) fn new(kind: RingKind, log_n: u32) -> Self {
        let (m, points) = (kind.slots(1 << log_n), 1usize << (log_n - 1));
        let mut planner = FftPlanner::new();
        let roots = |count: usize, order: usize| {
            (0..count).map(|n| Complex64::cis(2.0 * PI * n as f64 / order as f64)).collect::<Vec<_>>()
        };
        let mut slot = vec![0; m];
        let mut exponent = 1;
        for k in 0..m as u32 {
            slot[exponent / 4] = k;
            exponent = (exponent * 5) % (4 * m);
        }
        Self {
            kind,
            forward: planner.plan_fft_forward(points),
            inverse: planner.plan_fft_inverse(points),
            twist: roots(points, 4 * m),
            split: if kind == RingKind::ConjugateInvariant { roots(m / 4 + 1, m) } else { Vec::new() },
            slot,
        }
    }

    /// The coefficients of the real polynomial whose slots are `value(k)`, times `factor`, in `work` for [`Self::words`];
    /// and the largest of them in absolute value, or infinity or NaN if one is not finite.
    pub(super) fn coefficients(&self, work: &mut Workspace, value: impl Fn(usize) -> Complex64, factor: f64) -> f64 {
        let points = &mut work.points;
        points.clear();
        match self.kind {
            RingKind::Standard => points.extend(self.slot.iter().map(|&k| value(k as usize))),
            RingKind::ConjugateInvariant => {
                let pairs = self.slot.as_chunks().0.iter();
                points.extend(pairs.map(|&[k, l]| Complex64::new(value(k as usize).re, value(l as usize).re)));
            }
        }
        work.scratch.resize(self.forward.get_inplace_scratch_len(), Complex64::ZERO);
        self.forward.process_with_scratch(points, &mut work.scratch);
        let factor = factor / self.slot.len() as f64;
        if self.kind == RingKind::ConjugateInvariant {
            self.separate(points);
        }
        // Of real and imaginary parts; a NaN would vanish in a maximum, and shows in a sum.
        let (mut largest, mut total) = ([0.0; 2], [0.0; 2]);
        for (point, twist) in points.iter_mut().zip(&self.twist) {
            *point = *point * twist.conj() * factor;
            let sizes = [point.re.abs(), point.im.abs()];
            for i in 0..2 {
                largest[i] = if sizes[i] > largest[i] { sizes[i] } else { largest[i] };
                total[i] += sizes[i];
            }
        }
        let total = total[0] + total[1];
        if total.is_finite() { largest[0].max(largest[1]) } else { total }
    }

    /// `word(a_j)` for every coefficient that [`Self::coefficients`] left in `work`.
    pub(super) fn words(&self, work: &Workspace, word: impl Fn(f64) -> i64, words: &mut [i64]) {
        let points = &work.points;
        let (low, high) = words.split_at_mut(points.len());
        match self.kind {
            RingKind::Standard => {
                for ((low, high), c) in low.iter_mut().zip(high).zip(points) {
                    (*low, *high) = (word(c.re), word(c.im));
                }
            }
            RingKind::ConjugateInvariant => {
                (low[0], high[0]) = (word(points[0].re), word(points[0].im));
                let mirrored = high[1..].iter_mut().rev();
                for ((low, high), c) in low[1..].iter_mut().zip(mirrored).zip(&points[1..]) {
                    (*low, *high) = (word(c.re), word(-c.im));
                }
            }
        }
    }

    /// `value` of every slot of the polynomial with the given coefficients, times `factor`.
    pub(super) fn slots_of<T: Clone + Default>(
        &self,
        work: &mut Workspace,
        coefficients: &[f64],
        factor: f64,
        value: impl Fn(Complex64) -> T,
    ) -> Vec<T> {
        let points = &mut work.points;
        points.clear();
        let (low, high) = coefficients.split_at(self.twist.len());
        match self.kind {
            RingKind::Standard => points.extend(low.iter().zip(high).map(|(&low, &high)| Complex64::new(low, high))),
            RingKind::ConjugateInvariant => {
                points.push(Complex64::new(low[0], high[0]));
                let mirrored = high[1..].iter().rev();
                points.extend(low[1..].iter().zip(mirrored).map(|(&low, &high)| Complex64::new(low, -high)));
            }
        }
        for (point, twist) in points.iter_mut().zip(&self.twist) {
            *point = *point * twist * factor;
        }
        if self.kind == RingKind::ConjugateInvariant {
            self.combine(points);
        }
        work.scratch.resize(self.inverse.get_inplace_scratch_len(), Complex64::ZERO);
        self.inverse.process_with_scratch(points, &mut work.scratch);
        let mut slots = vec![T::default(); self.slot.len()];
        match self.kind {
            RingKind::Standard => {
                for (&k, &point) in self.slot.iter().zip(points.iter()) {
                    slots[k as usize] = value(point);
                }
            }
            RingKind::ConjugateInvariant => {
                for ([k, l], point) in self.slot.as_chunks().0.iter().zip(points.iter()) {
                    slots[*k as usize] = value(point.re.into());
                    slots[*l as usize] = value(point.im.into());
                }
            }
        }
        slots
    }

    /// The transform of M real values from that of their M/2 pairs: X_n for 0 < n < M/2, and X_0 + i √½ X_(M/2).
    fn separate(&self, points: &mut [Complex64]) {
        let half = points.len();
        let Complex64 { re, im } = points[0];
        points[0] = Complex64::new(re + im, (re - im) * FRAC_1_SQRT_2);
        for (k, root) in self.split.iter().enumerate().skip(1) {
            let (z, mirrored) = (points[k], points[half - k].conj());
            let even = (z + mirrored) * 0.5;
            // Divided by i, times the conjugate root.
            let difference = (z - mirrored) * 0.5;
            let odd = Complex64::new(difference.im, -difference.re) * root.conj();
            points[k] = even + odd;
            points[half - k] = (even - odd).conj();
        }
    }
    /// The points whose transform is that of the pairs of M real values: C_n for 0 < n < M/2, and C_0 + i √½ C_(M/2), are given.
    fn combine(&self, points: &mut [Complex64]) {
        let half = points.len();
        let Complex64 { re, im } = points[0];
        points[0] = Complex64::new(re + im * SQRT_2, re - im * SQRT_2);
        for (k, root) in self.split.iter().enumerate().skip(1) {
            let (c, mirrored) = (points[k], points[half - k].conj());
            let even = c + mirrored;
            let difference = (c - mirrored) * root;
            let odd = Complex64::new(-difference.im, difference.re);
            points[k] = even + odd;
            points[half - k] = (even - odd).conj();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn slots_are_values_at_powers_of_five_and_coefficients_undo_them() {
        for (kind, log_n) in
            [RingKind::Standard, RingKind::ConjugateInvariant].into_iter().flat_map(|k| [(k, 2), (k, 3), (k, 5)])
        {
            let embedding = Embedding::new(kind, log_n);
            let mut work = Workspace::default();
            let n = 1usize << log_n;
            let coefficients: Vec<f64> = (0..n).map(|j| ((j * j + 3) % 11) as f64 - 5.0).collect();
            let slots = embedding.slots_of(&mut work, &coefficients, 2.0, |z| z);
            assert_eq!(slots.len(), kind.slots(n));
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
            let largest = embedding.coefficients(&mut work, |k| slots[k], 0.5);
            let expected = coefficients.iter().fold(0.0f64, |max, a| max.max(a.abs()));
            assert!((largest - expected).abs() < 1e-12, "{kind:?}: {largest}");
            let mut words = vec![0; n];
            embedding.words(&work, |x| (x * 1e12).round() as i64, &mut words);
            let error = |(&word, &a): (&i64, &f64)| (word as f64 / 1e12 - a).abs();
            assert!(words.iter().zip(&coefficients).map(error).fold(0.0, f64::max) < 1e-12, "{kind:?}");
        }
    }

    #[test]
    fn a_value_that_is_not_finite_shows() {
        for kind in [RingKind::Standard, RingKind::ConjugateInvariant] {
            let embedding = Embedding::new(kind, 4);
            for bad in [f64::NAN, -f64::NAN, f64::INFINITY, f64::NEG_INFINITY] {
                let value = |k| Complex64::new(if k == 3 { bad } else { 1.0 }, 0.0);
                assert!(!embedding.coefficients(&mut Workspace::default(), value, 1.0).is_finite());
            }
        }
    }
}
