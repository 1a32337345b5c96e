//! The canonical embedding of both rings as one complex FFT of N/2 points.
//!
//! With M slots and ζ a primitive 4M-th root of unity, slot k is the value at ζ^e for e = 5^k = 4 j_k + 1. In the standard ring
//! (M = N/2) put c_n = a_n + i a_(n+M); in the conjugate-invariant one (M = N) c_n = a_n − i a_(N−n) and c_0 = a_0. As ζ^(eM) = i,
//! both give a(ζ^e) = Σ_n C_n exp(2πi j_k n / M) with C_n = c_n ζ^n: a twist, a plain FFT and a permutation.
//!
//! In the conjugate-invariant ring C_(M−n) is the conjugate of C_n, and the M values x_j are real: the transform of the M/2
//! points z_j = x_2j + i x_(2j+1) holds them all (Sorensen, Jones, Heideman, Burrus 1987, section III). With m = M/2 − n and Z the
//! transform of the z_j, 2 C_n = (Z_n + Z_m*) − i (Z_n − Z_m*) exp(−2πi n / M), and C_m* is the same with the second sign changed. As
//! exp(2πi / M) = ζ^4 and ζ^(M/2) = √i, both factors of a pair and both its twists are powers of ζ^n:
//! c_n = P + Q and c_m* = √i (P − Q) for P = (Z_n + Z_m*) ζ^−n / 2 and Q = −i (Z_n − Z_m*) ζ^−5n / 2.
//!
//! The permutation has a period: 5^(M/4) = 1 − M mod 4M for M >= 8, so that j_(k + M/4) = j_k − M/4 mod M.

use std::f64::consts::{FRAC_1_SQRT_2, PI, SQRT_2};
use std::sync::Arc;

use rustfft::num_complex::Complex64;
use rustfft::{Fft, FftPlanner};

use crate::arith::{Backend, Loops, RingKind};

/// Tables of one ring degree.
pub(super) struct Embedding {
    kind: RingKind,
    backend: Backend,
    /// Slots, M.
    slots: usize,
    forward: Arc<dyn Fft<f64>>,
    inverse: Arc<dyn Fft<f64>>,
    /// ζ^n: for all points in the standard ring, up to M/4 in the conjugate-invariant one.
    twist: Vec<Complex64>,
    /// ζ^5n, likewise: conjugate-invariant ring only.
    twist_5: Vec<Complex64>,
    /// Slot k with j_k = j, for j < M/4, or for all j if M < 8.
    slot: Vec<u32>,
    /// j_k, for the same k.
    place: Vec<u32>,
}

/// Buffers of one transform.
#[derive(Default)]
pub(super) struct Workspace {
    points: Vec<Complex64>,
    scratch: Vec<Complex64>,
}

impl Embedding {
    pub(super) fn new(kind: RingKind, log_n: u32, backend: Backend) -> Self {
        let (m, points) = (kind.slots(1 << log_n), 1usize << (log_n - 1));
        let mut planner = FftPlanner::new();
        let roots = |step: usize, count: usize| {
            (0..count).map(|n| Complex64::cis(2.0 * PI * (step * n) as f64 / (4 * m) as f64)).collect()
        };
        let (twist, twist_5) = match kind {
            RingKind::Standard => (roots(1, points), Vec::new()),
            RingKind::ConjugateInvariant => (roots(1, m / 4 + 1), roots(5, m / 4 + 1)),
        };
        let known = if m < 8 { m } else { m / 4 };
        let places =
            std::iter::successors(Some(1), |exponent| Some(exponent * 5 % (4 * m))).map(|exponent| exponent / 4);
        let (mut slot, mut place) = (vec![0; known], Vec::new());
        for (k, j) in places.take(m).enumerate() {
            if k < known {
                place.push(j as u32);
            }
            if j < known {
                slot[j] = k as u32;
            }
        }
        let (forward, inverse) = (planner.plan_fft_forward(points), planner.plan_fft_inverse(points));
        Self { kind, backend, slots: m, forward, inverse, twist, twist_5, slot, place }
    }

    /// The points of the transform of the real polynomial whose slots are `value(k)`, in `work` for [`Self::words`].
    pub(super) fn transform(&self, work: &mut Workspace, value: impl Fn(usize) -> Complex64) {
        let points = &mut work.points;
        points.resize(self.forward.len(), Complex64::ZERO);
        let parts = self.parts();
        for (t, points) in points.chunks_exact_mut(self.forward.len() / parts).enumerate() {
            let shifted = self.shifted(t);
            let value = |&entry: &u32| value(shifted(entry));
            match self.kind {
                RingKind::Standard => points.iter_mut().zip(&self.slot).for_each(|(point, k)| *point = value(k)),
                RingKind::ConjugateInvariant => {
                    for (point, [k, l]) in points.iter_mut().zip(self.slot.as_chunks().0) {
                        *point = Complex64::new(value(k).re, value(l).re);
                    }
                }
            }
        }
        work.scratch.resize(self.forward.get_inplace_scratch_len(), Complex64::ZERO);
        self.forward.process_with_scratch(points, &mut work.scratch);
    }

    /// Times that [`Self::slot`] and [`Self::place`] go into a table of all slots.
    #[inline]
    fn parts(&self) -> usize {
        self.slots / self.slot.len()
    }

    /// What takes entry i of a table of all slots or places to entry i + t M/4.
    #[inline]
    fn shifted(&self, t: usize) -> impl Fn(u32) -> usize + use<> {
        let (shift, mask) = (self.slots - t * self.slot.len(), self.slots - 1);
        move |entry| (entry as usize + shift) & mask
    }

    /// The nearest integers to the coefficients of what [`Self::transform`] has left, times `factor`, if that is below 2^51 for all; and the
    /// largest coefficient, times `factor`, in absolute value, or infinity or NaN if one is not finite.
    pub(super) fn words(&self, work: &Workspace, factor: f64, words: &mut [i64]) -> f64 {
        let (low, high) = words.split_at_mut(self.forward.len());
        let factor = factor / self.slots as f64;
        self.backend.vectorize(Words { embedding: self, points: &work.points, factor, low, high })
    }

    /// `value` of every slot of the polynomial with the given coefficients, times `factor`.
    pub(super) fn slots_of<T>(
        &self,
        work: &mut Workspace,
        coefficients: &[f64],
        factor: f64,
        value: impl Fn(Complex64) -> T,
    ) -> Vec<T> {
        let points = &mut work.points;
        points.resize(self.inverse.len(), Complex64::ZERO);
        let (low, high) = coefficients.split_at(points.len());
        self.backend.vectorize(Points { embedding: self, points, factor, low, high });
        work.scratch.resize(self.inverse.get_inplace_scratch_len(), Complex64::ZERO);
        self.inverse.process_with_scratch(points, &mut work.scratch);
        let (points, mut slots) = (points.as_slice(), Vec::with_capacity(self.slots));
        for t in 0..self.parts() {
            let shifted = self.shifted(t);
            let places = self.place.iter().map(|&entry| shifted(entry));
            match self.kind {
                RingKind::Standard => slots.extend(places.map(|j| value(points[j]))),
                // j_k is even where k is, as 5^k = 4 j_k + 1 is 1 or 5 modulo 8.
                RingKind::ConjugateInvariant => slots.extend(places.enumerate().map(|(k, j)| {
                    let Complex64 { re, im } = points[j / 2];
                    value(if k % 2 == 0 { re } else { im }.into())
                })),
            }
        }
        slots
    }
}

/// [`Embedding::words`], of both halves.
struct Words<'a> {
    embedding: &'a Embedding,
    points: &'a [Complex64],
    factor: f64,
    low: &'a mut [i64],
    high: &'a mut [i64],
}

impl Loops for Words<'_> {
    type Output = f64;

    #[inline(always)]
    fn run(self) -> f64 {
        let largest = match self.embedding.kind {
            RingKind::Standard => self.standard(),
            RingKind::ConjugateInvariant => self.real(),
        };
        f64::from_bits(largest.cast_unsigned())
    }
}

impl Words<'_> {
    /// c_n = a_n + i a_(n+M).
    #[inline(always)]
    fn standard(self) -> i64 {
        let Self { embedding, points, factor, low, high } = self;
        let mut largest = 0;
        for ((low, high), (point, twist)) in low.iter_mut().zip(high).zip(points.iter().zip(&embedding.twist)) {
            let c = point * twist.conj() * factor;
            (*low, *high) = (round_to_word(c.re), round_to_word(c.im));
            largest = largest.max(magnitude(c.re)).max(magnitude(c.im));
        }
        largest
    }

    /// c_n = a_n − i a_(N−n), a pair of them at a time: a_n and a_m are in `low`, a_(N−m) and a_(N−n) in `high`, at n and m.
    #[inline(always)]
    fn real(self) -> i64 {
        let Self { embedding: Embedding { twist, twist_5, .. }, points, factor, low, high } = self;
        let middle = points.len() / 2;
        let Complex64 { re, im } = points[0];
        let ends = [(re + im) * factor, (re - im) * FRAC_1_SQRT_2 * factor];
        let [c, _] = separate([points[middle]; 2], [twist[middle], twist_5[middle]], factor);
        [low[0], high[0], low[middle], high[middle]] = [ends[0], ends[1], c.re, -c.im].map(round_to_word);
        let mut largest = [ends[0], ends[1], c.re, c.im].map(magnitude).into_iter().fold(0, i64::max);

        let [mut z, mut mirrored, mut w, mut w_5] = [const { Block::zero() }; 4];
        for n in (1..middle).step_by(BLOCK) {
            let len = BLOCK.min(middle - n);
            let m = 2 * middle + 1 - len - n;
            z.load(points[n..][..len].iter());
            mirrored.load(points[m..][..len].iter().rev());
            w.load(twist[n..][..len].iter());
            w_5.load(twist_5[n..][..len].iter());
            for i in 0..len.min(BLOCK) {
                let [c, d] = separate([z.at(i), mirrored.at(i)], [w.at(i), w_5.at(i)], factor);
                z.set(i, c);
                mirrored.set(i, d);
            }
            largest = largest.max(round_all(low[n..][..len].iter_mut(), &z.re, 1.0));
            largest = largest.max(round_all(high[m..][..len].iter_mut().rev(), &z.im, -1.0));
            largest = largest.max(round_all(low[m..][..len].iter_mut().rev(), &mirrored.re, 1.0));
            largest = largest.max(round_all(high[n..][..len].iter_mut(), &mirrored.im, 1.0));
        }
        largest
    }
}

/// c_n and c_m* from Z_n and Z_m, with the twists ζ^n and ζ^5n.
#[inline(always)]
fn separate([z, mirrored]: [Complex64; 2], [twist, twist_5]: [Complex64; 2], factor: f64) -> [Complex64; 2] {
    let (even, odd) = (z + mirrored.conj(), z - mirrored.conj());
    let (p, q) = (even * twist.conj(), Complex64::new(odd.im, -odd.re) * twist_5.conj());
    let difference = (p - q) * FRAC_1_SQRT_2;
    let turned = Complex64::new(difference.re - difference.im, difference.re + difference.im);
    [(p + q) * (0.5 * factor), turned * (0.5 * factor)]
}

/// [`separate`] undone.
#[inline(always)]
fn join([c, d]: [Complex64; 2], [twist, twist_5]: [Complex64; 2], factor: f64) -> [Complex64; 2] {
    let d = Complex64::new(d.re + d.im, d.im - d.re) * FRAC_1_SQRT_2;
    let (even, odd) = ((c + d) * twist, (c - d) * twist_5);
    let odd = Complex64::new(-odd.im, odd.re);
    [(even + odd) * factor, (even - odd).conj() * factor]
}

/// The points of [`Embedding::slots_of`].
struct Points<'a> {
    embedding: &'a Embedding,
    points: &'a mut [Complex64],
    factor: f64,
    low: &'a [f64],
    high: &'a [f64],
}

impl Loops for Points<'_> {
    type Output = ();

    #[inline(always)]
    fn run(self) {
        match self.embedding.kind {
            RingKind::Standard => self.standard(),
            RingKind::ConjugateInvariant => self.real(),
        }
    }
}

impl Points<'_> {
    /// [`Words::standard`] undone.
    #[inline(always)]
    fn standard(self) {
        let Self { embedding, points, factor, low, high } = self;
        for ((point, twist), (&low, &high)) in points.iter_mut().zip(&embedding.twist).zip(low.iter().zip(high)) {
            *point = Complex64::new(low, high) * twist * factor;
        }
    }

    /// [`Words::real`] undone.
    #[inline(always)]
    fn real(self) {
        let Self { embedding: Embedding { twist, twist_5, .. }, points, factor, low, high } = self;
        let middle = points.len() / 2;
        let (re, im) = (low[0], high[0] * SQRT_2);
        points[0] = Complex64::new(re + im, re - im) * factor;
        let c = Complex64::new(low[middle], -high[middle]);
        [points[middle], _] = join([c, c.conj()], [twist[middle], twist_5[middle]], factor);

        let [mut c, mut d, mut w, mut w_5] = [const { Block::zero() }; 4];
        for n in (1..middle).step_by(BLOCK) {
            let len = BLOCK.min(middle - n);
            let m = 2 * middle + 1 - len - n;
            c.re.iter_mut().zip(&low[n..][..len]).for_each(|(re, &x)| *re = x);
            c.im.iter_mut().zip(high[m..][..len].iter().rev()).for_each(|(im, &x)| *im = -x);
            d.re.iter_mut().zip(low[m..][..len].iter().rev()).for_each(|(re, &x)| *re = x);
            d.im.iter_mut().zip(&high[n..][..len]).for_each(|(im, &x)| *im = x);
            w.load(twist[n..][..len].iter());
            w_5.load(twist_5[n..][..len].iter());
            for i in 0..len.min(BLOCK) {
                let [z, mirrored] = join([c.at(i), d.at(i)], [w.at(i), w_5.at(i)], factor);
                c.set(i, z);
                d.set(i, mirrored);
            }
            c.store(points[n..][..len].iter_mut());
            d.store(points[m..][..len].iter_mut().rev());
        }
    }
}

/// Pairs at a time.
const BLOCK: usize = 64;

/// Some points, real and imaginary parts apart: loops over blocks become vectors, where a loop over many arrays, some of them backwards,
/// does not. Nor does one that the compiler unrolls first, knowing how long it is.
#[derive(Clone, Copy)]
struct Block {
    re: [f64; BLOCK],
    im: [f64; BLOCK],
}

impl Block {
    const fn zero() -> Self {
        Self { re: [0.0; BLOCK], im: [0.0; BLOCK] }
    }

    #[inline(always)]
    fn load<'a>(&mut self, points: impl Iterator<Item = &'a Complex64>) {
        for ((re, im), point) in self.re.iter_mut().zip(&mut self.im).zip(points) {
            (*re, *im) = (point.re, point.im);
        }
    }

    #[inline(always)]
    fn store<'a>(&self, points: impl Iterator<Item = &'a mut Complex64>) {
        for ((&re, &im), point) in self.re.iter().zip(&self.im).zip(points) {
            *point = Complex64::new(re, im);
        }
    }

    #[inline(always)]
    fn at(&self, i: usize) -> Complex64 {
        Complex64::new(self.re[i], self.im[i])
    }

    #[inline(always)]
    fn set(&mut self, i: usize, point: Complex64) {
        (self.re[i], self.im[i]) = (point.re, point.im);
    }
}

/// [`round_to_word`] of values times ±1, and their largest [`magnitude`].
#[inline(always)]
fn round_all<'a>(words: impl Iterator<Item = &'a mut i64>, values: &[f64; BLOCK], sign: f64) -> i64 {
    let mut largest = 0;
    for (&x, word) in values.iter().zip(words) {
        *word = round_to_word(sign * x);
        largest = largest.max(magnitude(x));
    }
    largest
}

/// 1.5 · 2^52: doubles are integers from 2^52 to 2^53, and the lower bits of the sum with an integer are that integer. SSE2 and AVX2 have no
/// conversions between doubles and words.
const MAGIC: f64 = 6_755_399_441_055_744.0;

/// Nearest integer of |x| < 2^51; of others, anything.
#[inline(always)]
pub(super) fn round_to_word(x: f64) -> i64 {
    (x + MAGIC).to_bits().wrapping_sub(MAGIC.to_bits()).cast_signed()
}

/// An integer below 2^51 in absolute value.
#[inline(always)]
pub(super) fn word_to_double(x: i64) -> f64 {
    f64::from_bits(MAGIC.to_bits().wrapping_add_signed(x)) - MAGIC
}

/// The bits of |x|, in the order of sizes, infinity and NaN last.
#[inline(always)]
fn magnitude(x: f64) -> i64 {
    x.to_bits().cast_signed() & i64::MAX
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn slots_are_values_at_powers_of_five_and_coefficients_undo_them() {
        for (kind, log_n) in [RingKind::Standard, RingKind::ConjugateInvariant]
            .into_iter()
            .flat_map(|k| [(k, 2), (k, 3), (k, 4), (k, 9)])
        {
            let embedding = Embedding::new(kind, log_n, Backend::Scalar);
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
            embedding.transform(&mut work, |k| slots[k]);
            let mut words = vec![0; n];
            let largest = embedding.words(&work, 0.5e12, &mut words);
            let expected = coefficients.iter().fold(0.0f64, |max, a| max.max(a.abs()));
            assert!((largest / 1e12 - expected).abs() < 1e-12, "{kind:?}: {largest}");
            let error = |(&word, &a): (&i64, &f64)| (word as f64 / 1e12 - a).abs();
            assert!(words.iter().zip(&coefficients).map(error).fold(0.0, f64::max) < 1e-12, "{kind:?}");
            for backend in Backend::available() {
                let embedding = Embedding::new(kind, log_n, backend);
                assert_eq!(embedding.slots_of(&mut work, &coefficients, 2.0, |z| z), slots, "{}", backend.name());
                embedding.transform(&mut work, |k| slots[k]);
                let mut same = vec![0; n];
                assert_eq!(embedding.words(&work, 0.5e12, &mut same), largest, "{}", backend.name());
                assert_eq!(same, words, "{}", backend.name());
            }
        }
    }

    #[test]
    fn a_value_that_is_not_finite_shows() {
        for kind in [RingKind::Standard, RingKind::ConjugateInvariant] {
            let embedding = Embedding::new(kind, 8, Backend::available()[0]);
            for bad in [f64::NAN, -f64::NAN, f64::INFINITY, f64::NEG_INFINITY] {
                let mut work = Workspace::default();
                embedding.transform(&mut work, |k| Complex64::new(if k == 3 { bad } else { 1.0 }, 0.0));
                assert!(!embedding.words(&work, 1.0, &mut [0; 256]).is_finite());
            }
        }
    }
}
