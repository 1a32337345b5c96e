//! Sums of products over rows: inner products, and base conversions.
//!
//! Products are cut, not reduced: adding C = 2^(52 + k) to x y leaves its multiple of 2^k nearest to it in the mantissa, where whole words
//! are summed, and a second FMA gives what that leaves, exactly, to be summed as a double (Emmart, Zheng, Weems: Faster modular
//! exponentiation using double precision floating point arithmetic on the GPU, ARITH 2018). `NOTES.md` has k and the number of terms.

#![expect(clippy::needless_range_loop, reason = "sets of vectors advance together, and only plain loops unroll")]

use std::arch::x86_64::*;

use smallvec::SmallVec;

use super::super::super::modulus::{Modulus, ShoupFactor};
use super::super::{Rows, scalar};
use super::{LANES, Line, Prime, TWO_52, Vector, load, load_bits, splat, store};

/// Vectors in flight.
const GROUP: usize = 4;

/// Words of them.
const WORDS: usize = GROUP * LANES;

type Group = [Line; GROUP];

/// The first vectors of row `r`.
#[inline(always)]
fn group(rows: Rows<'_>, r: usize) -> &Group {
    match rows.data[r * rows.stride..].as_chunks().0.first_chunk() {
        Some(group) => group,
        None => unreachable!("row {r} is shorter than its kernel was told"),
    }
}

/// The vectors of group `i` of a row.
#[inline(always)]
fn group_at(row: &[u64], i: usize) -> &Group {
    group(Rows::of(row).from(WORDS * i), 0)
}

/// A weight y and C − 2^52 y for each row; no allocation for the rows of a key switch.
type Weights = SmallVec<[[f64; 2]; 32]>;

/// How products below 2^s are summed modulo q.
#[derive(Clone, Copy)]
struct Cut {
    /// C = 2^(52 + k).
    adder: f64,
    /// 2^k.
    weight: Vector,
    /// 2^k / q.
    quotient: Vector,
    /// Terms before sums are brought back to a residue.
    terms: usize,
}

impl Cut {
    #[inline]
    #[target_feature(enable = "avx2,fma")]
    fn new(q: &Modulus, s: u32) -> Self {
        let (k, b) = (s / 2 + 1, q.bits());
        let weight = (1u64 << k) as f64;
        let upper = 1 << (52 + k - s);
        let lower = ((1 << 53) - (3 << (b - 1))) / ((1 << (k - 1)) + (1 << (b - 2)));
        Self {
            adder: TWO_52 * weight,
            weight: splat(weight),
            quotient: splat(weight / q.value() as f64),
            terms: usize::min(upper, lower),
        }
    }

    /// The constants of weights that words below 2^50 are multiplied by: see [`Sums::add_multiple`].
    fn weights(&self, weights: impl Iterator<Item = u64>) -> Weights {
        weights.map(|y| [y as f64, self.adder - TWO_52 * y as f64]).collect()
    }

    /// No products yet, of `count` to come, beside `start`.
    #[inline]
    #[target_feature(enable = "avx2,fma")]
    fn open(&self, start: [Vector; GROUP], count: usize) -> Sums {
        // What the bits of so many C leave of 2^52.
        let empty = TWO_52.to_bits().wrapping_sub(self.adder.to_bits().wrapping_mul(count as u64));
        Sums { upper: [_mm256_set1_epi64x(empty.cast_signed()); GROUP], lower: start }
    }

    /// The sums, centred.
    #[inline]
    #[target_feature(enable = "avx2,fma")]
    fn close(&self, p: &Prime, sums: &Sums) -> [Vector; GROUP] {
        let two_52 = splat(TWO_52);
        let (high_start, quotient_start) = (_mm256_mul_pd(two_52, self.weight), _mm256_mul_pd(two_52, self.quotient));
        let mut out = sums.lower;
        for v in 0..GROUP {
            let raised = _mm256_castsi256_pd(sums.upper[v]);
            let high = _mm256_fmsub_pd(raised, self.weight, high_start);
            let quotient = _mm256_fmsub_pd(raised, self.quotient, quotient_start);
            let quotient = _mm256_round_pd::<{ _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC }>(quotient);
            out[v] = p.centre(_mm256_add_pd(out[v], _mm256_fnmadd_pd(quotient, p.q, high)));
        }
        out
    }
}

/// Sums of cut products.
struct Sums {
    /// 2^52 + Σ (multiple of 2^k) / 2^k once all products are there, as the bits of doubles.
    upper: [__m256i; GROUP],
    lower: [Vector; GROUP],
}

impl Sums {
    /// Adds x y to sum `v`; `adder` is C.
    #[inline]
    #[target_feature(enable = "avx2,fma")]
    fn add(&mut self, v: usize, x: Vector, y: Vector, adder: Vector) {
        let sum = _mm256_fmadd_pd(x, y, adder);
        let rest = _mm256_fmadd_pd(x, y, _mm256_sub_pd(adder, sum));
        self.upper[v] = _mm256_add_epi64(self.upper[v], _mm256_castpd_si256(sum));
        self.lower[v] = _mm256_add_pd(self.lower[v], rest);
    }

    /// Adds the products of two rows.
    #[inline]
    #[target_feature(enable = "avx2,fma")]
    fn add_products(&mut self, x: &Group, y: &Group, adder: Vector) {
        for v in 0..GROUP {
            self.add(v, load(&x[v]), load(&y[v]), adder);
        }
    }

    /// Adds a row times y; `adder` is C − 2^52 y, as the bits of a word x are those of 2^52 + x.
    #[inline]
    #[target_feature(enable = "avx2,fma")]
    fn add_multiple(&mut self, x: &Group, [y, adder]: [f64; 2]) {
        for v in 0..GROUP {
            let raised = _mm256_or_pd(_mm256_castsi256_pd(load_bits(&x[v])), splat(TWO_52));
            self.add(v, raised, splat(y), splat(adder));
        }
    }
}

#[target_feature(enable = "avx2,fma")]
pub(in super::super) fn dot_into(q: &Modulus, out: &mut [u64], x: Rows<'_>, y: Rows<'_>) {
    let (p, cut) = (Prime::new(q), Cut::new(q, 2 * q.bits()));
    let (len, adder) = (out.len(), splat(cut.adder));
    let (groups, rest) = out.as_chunks_mut::<WORDS>();
    for (i, out) in groups.iter_mut().enumerate() {
        let (x, y) = (x.from(WORDS * i), y.from(WORDS * i));
        let mut total = [splat(0.0); GROUP];
        for first in (0..x.count).step_by(cut.terms) {
            let rows = first..x.count.min(first + cut.terms);
            let mut sums = cut.open(total, rows.len());
            rows.for_each(|r| sums.add_products(group(x, r), group(y, r), adder));
            total = cut.close(&p, &sums);
        }
        finish(&p, out, total);
    }
    let at = len - rest.len();
    scalar::dot_into(q, rest, x.from(at), y.from(at));
}

#[target_feature(enable = "avx2,fma")]
pub(in super::super) fn dot_slices_into(q: &Modulus, out: &mut [u64], x: &[&[u64]], y: &[&[u64]]) {
    let (p, cut) = (Prime::new(q), Cut::new(q, 2 * q.bits()));
    let (len, adder) = (out.len(), splat(cut.adder));
    let (groups, rest) = out.as_chunks_mut::<WORDS>();
    for (i, out) in groups.iter_mut().enumerate() {
        let mut total = [splat(0.0); GROUP];
        for (x, y) in x.chunks(cut.terms).zip(y.chunks(cut.terms)) {
            let mut sums = cut.open(total, x.len());
            for (x, y) in x.iter().zip(y) {
                sums.add_products(group_at(x, i), group_at(y, i), adder);
            }
            total = cut.close(&p, &sums);
        }
        finish(&p, out, total);
    }
    scalar::dot_slices_from(len - rest.len(), q, rest, x, y);
}

#[target_feature(enable = "avx2,fma")]
pub(in super::super) fn dot_scalars_into(q: &Modulus, out: &mut [u64], x: &[&[u64]], weights: &[u64]) {
    let (p, cut) = (Prime::new(q), Cut::new(q, 2 * q.bits()));
    let (len, factors) = (out.len(), cut.weights(weights.iter().copied()));
    let (groups, rest) = out.as_chunks_mut::<WORDS>();
    for (i, out) in groups.iter_mut().enumerate() {
        let mut total = [splat(0.0); GROUP];
        for (x, factors) in x.chunks(cut.terms).zip(factors.chunks(cut.terms)) {
            let mut sums = cut.open(total, x.len());
            for (x, &factors) in x.iter().zip(factors) {
                sums.add_multiple(group_at(x, i), factors);
            }
            total = cut.close(&p, &sums);
        }
        finish(&p, out, total);
    }
    scalar::dot_scalars_from(len - rest.len(), q, rest, x, weights);
}

#[target_feature(enable = "avx2,fma")]
pub(in super::super) fn round_quotient(v: &mut [u64], x: Rows<'_>, inverses: &[f64]) {
    let len = v.len();
    let (groups, rest) = v.as_chunks_mut::<WORDS>();
    for (i, out) in groups.iter_mut().enumerate() {
        let x = x.from(WORDS * i);
        let mut sums = [splat(0.0); GROUP];
        for (r, &inverse) in inverses.iter().enumerate() {
            // Products and sums rounded one by one, in the order of the specification.
            for (sum, x) in sums.iter_mut().zip(group(x, r)) {
                *sum = _mm256_add_pd(*sum, _mm256_mul_pd(load(x), splat(inverse)));
            }
        }
        for (line, sum) in out.as_chunks_mut().0.iter_mut().zip(sums) {
            store(line, _mm256_floor_pd(_mm256_add_pd(sum, splat(0.5))));
        }
    }
    scalar::round_quotient(rest, x.from(len - rest.len()), inverses);
}

#[target_feature(enable = "avx2,fma")]
pub(in super::super) fn convert_into(
    q: &Modulus,
    out: &mut [u64],
    x: Rows<'_>,
    weights: &[u64],
    v: &[u64],
    d: ShoupFactor,
) {
    let (p, cut) = (Prime::new(q), Cut::new(q, 50 + q.bits()));
    // The v are one more row.
    let (len, factors) = (out.len(), cut.weights(weights.iter().copied().chain([q.neg(d.value)])));
    let (groups, rest) = out.as_chunks_mut::<WORDS>();
    for (i, out) in groups.iter_mut().enumerate() {
        let from = x.from(WORDS * i);
        let mut total = [splat(0.0); GROUP];
        for (chunk, factors) in factors.chunks(cut.terms).enumerate() {
            let mut sums = cut.open(total, factors.len());
            for (r, &factors) in (chunk * cut.terms..).zip(factors) {
                sums.add_multiple(if r < x.count { group(from, r) } else { group_at(v, i) }, factors);
            }
            total = cut.close(&p, &sums);
        }
        finish(&p, out, total);
    }
    let at = len - rest.len();
    scalar::convert_into(q, rest, x.from(at), weights, &v[at..], d);
}

#[inline]
#[target_feature(enable = "avx2,fma")]
fn finish(p: &Prime, out: &mut [u64; WORDS], sums: [Vector; GROUP]) {
    for (line, sum) in out.as_chunks_mut().0.iter_mut().zip(sums) {
        p.store_signed(line, sum);
    }
}
