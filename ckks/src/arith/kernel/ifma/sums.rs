//! Sums of products over rows: inner products, and base conversions.
//!
//! Each has a loop of its own over groups of four vectors and the rest: through one generic body they took half as long again.

use std::arch::x86_64::*;

use super::super::super::modulus::{Modulus, ShoupFactor};
use super::super::{Rows, prefetch, scalar};
use super::{Accumulated, LANES, Line, Prime, Vector, load, splat, store};

/// Words between a use of a key and what is asked for meanwhile: 2 KiB of each row.
const AHEAD: usize = 256;

/// The most rows for which that pays: hardware keeps up with more, and asking takes their time.
const AHEAD_ROWS: usize = 4;

#[target_feature(enable = "avx512f,avx512dq,avx512ifma")]
pub(in super::super) fn dot_into(q: &Modulus, out: &mut [u64], x: Rows<'_>, y: Rows<'_>) {
    let (p, accumulated) = (Prime::new(q), Accumulated::new(q, x.count, q.value() - 1));
    let len = out.len();
    let (lines, rest) = out.as_chunks_mut();
    // Four vectors at a time hide the latency of the multipliers.
    let (groups, tail) = lines.as_chunks_mut();
    for (i, group) in groups.iter_mut().enumerate() {
        let (x, y) = (x.from(4 * LANES * i), y.from(4 * LANES * i));
        dot_lines::<4>(&p, &accumulated, group, (0..x.count).map(|r| [x.lines(r), y.lines(r)]));
    }
    let done = 4 * LANES * groups.len();
    for (i, line) in tail.iter_mut().enumerate() {
        let (x, y) = (x.from(done + LANES * i), y.from(done + LANES * i));
        dot_lines::<1>(&p, &accumulated, std::array::from_mut(line), (0..x.count).map(|r| [x.lines(r), y.lines(r)]));
    }
    let at = len - rest.len();
    scalar::dot_into(q, rest, x.from(at), y.from(at));
}

/// Asks for the four vectors of each row that come [`AHEAD`] words after word `at`, unless the rows are many.
#[inline(always)]
fn read_ahead(y: &[&[u64]], at: usize) {
    if y.len() <= AHEAD_ROWS {
        y.iter().for_each(|y| prefetch(y.get(at + AHEAD..at + AHEAD + 4 * LANES).unwrap_or_default()));
    }
}

#[target_feature(enable = "avx512f,avx512dq,avx512ifma")]
pub(in super::super) fn dot_slices_into(q: &Modulus, out: &mut [u64], x: &[&[u64]], y: &[&[u64]]) {
    let (p, accumulated) = (Prime::new(q), Accumulated::new(q, x.len(), q.value() - 1));
    let len = out.len();
    let (lines, rest) = out.as_chunks_mut();
    let (groups, tail) = lines.as_chunks_mut();
    for (i, group) in groups.iter_mut().enumerate() {
        let at = 4 * LANES * i;
        read_ahead(y, at);
        let terms = x.iter().zip(y).map(|(x, y)| [Rows::of(x).from(at).lines(0), Rows::of(y).from(at).lines(0)]);
        dot_lines::<4>(&p, &accumulated, group, terms);
    }
    let done = 4 * LANES * groups.len();
    for (i, line) in tail.iter_mut().enumerate() {
        let at = done + LANES * i;
        let terms = x.iter().zip(y).map(|(x, y)| [Rows::of(x).from(at).lines(0), Rows::of(y).from(at).lines(0)]);
        dot_lines::<1>(&p, &accumulated, std::array::from_mut(line), terms);
    }
    scalar::dot_slices_from(len - rest.len(), q, rest, x, y);
}

#[target_feature(enable = "avx512f,avx512dq,avx512ifma")]
pub(in super::super) fn dot_scalars_into(q: &Modulus, out: &mut [u64], x: &[&[u64]], weights: &[u64]) {
    let (p, accumulated) = (Prime::new(q), Accumulated::new(q, x.len(), q.value() - 1));
    let len = out.len();
    let (lines, rest) = out.as_chunks_mut();
    let (groups, tail) = lines.as_chunks_mut();
    for (i, group) in groups.iter_mut().enumerate() {
        scalar_lines::<4>(&p, &accumulated, group, 4 * LANES * i, x, weights);
    }
    let done = 4 * LANES * groups.len();
    for (i, line) in tail.iter_mut().enumerate() {
        scalar_lines::<1>(&p, &accumulated, std::array::from_mut(line), done + LANES * i, x, weights);
    }
    scalar::dot_scalars_from(len - rest.len(), q, rest, x, weights);
}

/// `V` vectors of [`dot_scalars_into`], from word `at` of the rows on.
#[inline]
#[target_feature(enable = "avx512f,avx512dq,avx512ifma")]
fn scalar_lines<const V: usize>(
    p: &Prime,
    accumulated: &Accumulated,
    out: &mut [Line; V],
    at: usize,
    x: &[&[u64]],
    weights: &[u64],
) {
    let (mut hi, mut lo) = ([_mm512_setzero_si512(); V], [_mm512_setzero_si512(); V]);
    for (x, &weight) in x.iter().zip(weights) {
        let (x, weight) = (Rows::of(x).from(at).lines::<V>(0), splat(weight));
        for v in 0..V {
            let x = load(&x[v]);
            hi[v] = _mm512_madd52hi_epu64(hi[v], x, weight);
            lo[v] = _mm512_madd52lo_epu64(lo[v], x, weight);
        }
    }
    for v in 0..V {
        store(&mut out[v], accumulated.finish(p, hi[v], lo[v]));
    }
}

/// `V` vectors of an inner product.
#[inline]
#[target_feature(enable = "avx512f,avx512dq,avx512ifma")]
fn dot_lines<'a, const V: usize>(
    p: &Prime,
    accumulated: &Accumulated,
    out: &mut [Line; V],
    terms: impl Iterator<Item = [&'a [Line; V]; 2]>,
) {
    let (mut hi, mut lo) = ([_mm512_setzero_si512(); V], [_mm512_setzero_si512(); V]);
    for [x, y] in terms {
        for v in 0..V {
            let (x, y) = (load(&x[v]), load(&y[v]));
            hi[v] = _mm512_madd52hi_epu64(hi[v], x, y);
            lo[v] = _mm512_madd52lo_epu64(lo[v], x, y);
        }
    }
    for v in 0..V {
        store(&mut out[v], accumulated.finish(p, hi[v], lo[v]));
    }
}

#[target_feature(enable = "avx512f,avx512dq,avx512ifma")]
pub(in super::super) fn round_quotient(v: &mut [u64], x: Rows<'_>, inverses: &[f64]) {
    let len = v.len();
    let (lines, rest) = v.as_chunks_mut::<LANES>();
    for (i, line) in lines.iter_mut().enumerate() {
        let x = x.from(LANES * i);
        let mut sum = _mm512_setzero_pd();
        for (r, &inverse) in inverses.iter().enumerate() {
            // Products and sums rounded one by one, in the order of the specification.
            let term = _mm512_mul_pd(_mm512_cvtepu64_pd(load(&x.lines::<1>(r)[0])), _mm512_set1_pd(inverse));
            sum = _mm512_add_pd(sum, term);
        }
        store(line, _mm512_cvttpd_epu64(_mm512_add_pd(sum, _mm512_set1_pd(0.5))));
    }
    scalar::round_quotient(rest, x.from(len - rest.len()), inverses);
}

#[target_feature(enable = "avx512f,avx512dq,avx512ifma")]
pub(in super::super) fn convert_into(
    q: &Modulus,
    out: &mut [u64],
    x: Rows<'_>,
    weights: &[u64],
    v: &[u64],
    d: ShoupFactor,
) {
    let (p, accumulated) = (Prime::new(q), Accumulated::new(q, x.count + 1, (1 << 50) - 1));
    let minus_d = splat(q.value() - d.value);
    let len = out.len();
    let ((lines, rest), (v, v_rest)) = (out.as_chunks_mut(), v.as_chunks());
    let ((groups, tail), (v_groups, v_tail)) = (lines.as_chunks_mut(), v.as_chunks());
    for (i, (group, v)) in groups.iter_mut().zip(v_groups).enumerate() {
        convert_lines::<4>(&p, &accumulated, group, x.from(4 * LANES * i), weights, v, minus_d);
    }
    let done = 4 * LANES * groups.len();
    for (i, (line, v)) in tail.iter_mut().zip(v_tail).enumerate() {
        let (line, v) = (std::array::from_mut(line), std::array::from_ref(v));
        convert_lines::<1>(&p, &accumulated, line, x.from(done + LANES * i), weights, v, minus_d);
    }
    scalar::convert_into(q, rest, x.from(len - rest.len()), weights, v_rest, d);
}

/// `V` vectors of [`convert_into`], at the front of the rows.
#[inline]
#[target_feature(enable = "avx512f,avx512dq,avx512ifma")]
fn convert_lines<const V: usize>(
    p: &Prime,
    accumulated: &Accumulated,
    out: &mut [Line; V],
    x: Rows<'_>,
    weights: &[u64],
    v: &[Line; V],
    minus_d: Vector,
) {
    let (mut hi, mut lo) = ([_mm512_setzero_si512(); V], [_mm512_setzero_si512(); V]);
    for i in 0..V {
        let v = load(&v[i]);
        hi[i] = _mm512_madd52hi_epu64(hi[i], v, minus_d);
        lo[i] = _mm512_madd52lo_epu64(lo[i], v, minus_d);
    }
    for (r, &weight) in weights.iter().enumerate() {
        let (x, weight) = (x.lines::<V>(r), splat(weight));
        for i in 0..V {
            let x = load(&x[i]);
            hi[i] = _mm512_madd52hi_epu64(hi[i], x, weight);
            lo[i] = _mm512_madd52lo_epu64(lo[i], x, weight);
        }
    }
    for i in 0..V {
        store(&mut out[i], accumulated.finish(p, hi[i], lo[i]));
    }
}
