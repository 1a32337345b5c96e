//! Sums of products over rows: inner products, and base conversions.

use std::arch::x86_64::*;

use super::super::super::modulus::{Modulus, ShoupFactor};
use super::super::{Rows, scalar};
use super::{LANES, Line, Prime, TERMS, Vector, load, splat, store};

/// Vectors in flight: products are chains of a dozen cycles and more.
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

#[target_feature(enable = "avx2,fma")]
pub(in super::super) fn dot_into(q: &Modulus, out: &mut [u64], x: Rows<'_>, y: Rows<'_>) {
    let p = Prime::new(q);
    let len = out.len();
    let (groups, rest) = out.as_chunks_mut::<WORDS>();
    for (i, out) in groups.iter_mut().enumerate() {
        let (x, y) = (x.from(WORDS * i), y.from(WORDS * i));
        let terms = (0..x.count).map(|r| (group(x, r), group(y, r)));
        let sums = sums(&p, [splat(0.0); GROUP], terms, |(x, y), v| (load(&x[v]), load(&y[v])));
        finish(&p, out, sums);
    }
    let at = len - rest.len();
    scalar::dot_into(q, rest, x.from(at), y.from(at));
}

#[target_feature(enable = "avx2,fma")]
pub(in super::super) fn dot_slices_into(q: &Modulus, out: &mut [u64], x: &[&[u64]], y: &[&[u64]]) {
    let p = Prime::new(q);
    let len = out.len();
    let (groups, rest) = out.as_chunks_mut::<WORDS>();
    for (i, out) in groups.iter_mut().enumerate() {
        let row = |row| group(Rows::of(row).from(WORDS * i), 0);
        let terms = x.iter().zip(y).map(|(x, y)| (row(x), row(y)));
        let sums = sums(&p, [splat(0.0); GROUP], terms, |(x, y), v| (load(&x[v]), load(&y[v])));
        finish(&p, out, sums);
    }
    scalar::dot_slices_from(len - rest.len(), q, rest, x, y);
}

#[target_feature(enable = "avx2,fma")]
pub(in super::super) fn dot_scalars_into(q: &Modulus, out: &mut [u64], x: &[&[u64]], weights: &[u64]) {
    let p = Prime::new(q);
    let len = out.len();
    let (groups, rest) = out.as_chunks_mut::<WORDS>();
    for (i, out) in groups.iter_mut().enumerate() {
        let row = |row| group(Rows::of(row).from(WORDS * i), 0);
        let terms = x.iter().zip(weights).map(|(x, &weight)| (row(x), splat(weight as f64)));
        let sums = sums(&p, [splat(0.0); GROUP], terms, |(x, weight), v| (load(&x[v]), *weight));
        finish(&p, out, sums);
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
    let (p, minus_d) = (Prime::new(q), Prime::factor(q, q.neg(d.value)));
    let len = out.len();
    let ((groups, rest), (v, v_rest)) = (out.as_chunks_mut::<WORDS>(), v.as_chunks::<WORDS>());
    for (i, (out, v)) in groups.iter_mut().zip(v).enumerate() {
        let x = x.from(WORDS * i);
        let terms = weights.iter().enumerate().map(|(r, &weight)| (group(x, r), splat(weight as f64)));
        let mut start = [splat(0.0); GROUP];
        for (start, v) in start.iter_mut().zip(v.as_chunks().0) {
            *start = p.mul(load(v), minus_d);
        }
        let sums = sums(&p, start, terms, |(x, weight), v| (load(&x[v]), *weight));
        finish(&p, out, sums);
    }
    scalar::convert_into(q, rest, x.from(len - rest.len()), weights, v_rest, d);
}

/// start + Σ x y, centred, for the x and y of each term and vector: products are added [`TERMS`] at a time.
#[inline]
#[target_feature(enable = "avx2,fma")]
fn sums<T>(
    p: &Prime,
    start: [Vector; GROUP],
    terms: impl Iterator<Item = T>,
    factors: impl Fn(&T, usize) -> (Vector, Vector),
) -> [Vector; GROUP] {
    let (mut sums, mut free) = (start, TERMS);
    for term in terms {
        if free == 0 {
            sums.iter_mut().for_each(|sum| *sum = p.centre(*sum));
            free = TERMS;
        }
        free -= 1;
        for (v, sum) in sums.iter_mut().enumerate() {
            let (x, y) = factors(&term, v);
            *sum = _mm256_add_pd(*sum, p.product(x, y));
        }
    }
    sums.iter_mut().for_each(|sum| *sum = p.centre(*sum));
    sums
}

#[inline]
#[target_feature(enable = "avx2,fma")]
fn finish(p: &Prime, out: &mut [u64; WORDS], sums: [Vector; GROUP]) {
    for (line, sum) in out.as_chunks_mut().0.iter_mut().zip(sums) {
        store(line, p.finish(sum));
    }
}
