//! The transforms: passes of radix 2, 4 or 8 over blocks that fit the cache, then leaves of 64 words in registers.
//!
//! A leaf takes three layers between its eight vectors, transposes them as an 8 x 8 matrix, takes the last three layers, again between
//! vectors, with one factor a lane, and transposes back. Bounds of the lazy values: `NOTES.md`.
//!
//! A butterfly is a chain of ten cycles and more, and the reorder buffer holds a few hundred instructions; so sixteen vectors are in
//! flight at any time: two leaves, or 16/R columns of a pass. The skeletons below are inlined always, so that their loops unroll and
//! the vectors stay in registers; the arithmetic is a closure of a function with the target features.

#![expect(
    clippy::needless_range_loop,
    reason = "sets of vectors advance together, and only plain loops unroll into registers"
)]

use std::arch::x86_64::*;

use super::super::super::modulus::{Modulus, ShoupFactor};
use super::super::super::twiddles::{Pass, Passes};
use super::{Factor, LANES, Line, Prime, Vector, load, reduce_once, splat, store};

/// Lines of a block that stays in the first-level cache while its factors stream by: 16 KiB.
const CACHED: usize = 256;

/// Words of the factors of a leaf.
const LEAF: usize = 2 * LANES * LANES;

/// Leaves in flight.
const PAIR: usize = 2;

#[target_feature(enable = "avx512f,avx512dq,avx512ifma")]
pub(in super::super) fn ntt_forward(q: &Modulus, a: &mut [u64], twiddles: &Passes) {
    let lines = a.as_chunks_mut().0;
    // How many layers values may drift by q each way without leaving [0, 2^52).
    match q.bits() {
        50 => Forward::<1>::new(q, twiddles).descend(lines, &twiddles.passes, 0, 1),
        49 => Forward::<3>::new(q, twiddles).descend(lines, &twiddles.passes, 0, 3),
        _ => Forward::<6>::new(q, twiddles).descend(lines, &twiddles.passes, 0, 6),
    }
}

#[target_feature(enable = "avx512f,avx512dq,avx512ifma")]
pub(in super::super) fn ntt_inverse(q: &Modulus, a: &mut [u64], twiddles: &Passes, inv_n: ShoupFactor) {
    let lines = a.as_chunks_mut().0;
    // How many sums of values below 2q stay below 2^52 when each is summed again.
    match q.bits() {
        50 => Inverse::<1>::new(q, twiddles, inv_n).ascend(lines, &twiddles.passes, 0),
        49 => Inverse::<2>::new(q, twiddles, inv_n).ascend(lines, &twiddles.passes, 0),
        _ => Inverse::<3>::new(q, twiddles, inv_n).ascend(lines, &twiddles.passes, 0),
    }
}

/// The factors of a node and of its descendants, numbered from 1 as in a heap.
#[inline]
#[target_feature(enable = "avx512f,avx512dq,avx512ifma")]
fn factors<const R: usize>(record: &[u64]) -> [Factor; R] {
    let (values, quotients) = record.split_at(R);
    let mut w = [Factor::zero(); R];
    for h in 1..R {
        w[h] = Factor { value: splat(values[h]), quotient: splat(quotients[h]) };
    }
    w
}

/// The factors inside the vectors of a leaf, numbered likewise, one a lane.
#[inline]
#[target_feature(enable = "avx512f,avx512dq,avx512ifma")]
fn lane_factors(record: &[u64; LEAF]) -> [Factor; LANES] {
    let lines = record.as_chunks().0;
    let mut w = [Factor::zero(); LANES];
    for h in 1..LANES {
        w[h] = Factor { value: load(&lines[1 + h]), quotient: load(&lines[LANES + h]) };
    }
    w
}

/// The 8 x 8 matrix of words, transposed.
#[inline]
#[target_feature(enable = "avx512f,avx512dq,avx512ifma")]
fn transpose(v: &mut [Vector; LANES]) {
    for i in [0, 2, 4, 6] {
        (v[i], v[i + 1]) = (_mm512_unpacklo_epi64(v[i], v[i + 1]), _mm512_unpackhi_epi64(v[i], v[i + 1]));
    }
    // The 128-bit quarters of a vector, even ones and odd ones, twice.
    for i in [0, 1, 4, 5] {
        (v[i], v[i + 2]) = (_mm512_shuffle_i64x2::<0x88>(v[i], v[i + 2]), _mm512_shuffle_i64x2::<0xdd>(v[i], v[i + 2]));
    }
    for i in 0..4 {
        (v[i], v[i + 4]) = (_mm512_shuffle_i64x2::<0x88>(v[i], v[i + 4]), _mm512_shuffle_i64x2::<0xdd>(v[i], v[i + 4]));
    }
}

/// Lines of a block of the first of these passes, or of a leaf.
fn block_lines(passes: &[Pass]) -> usize {
    passes.iter().map(|pass| pass.radix).product::<usize>() * LANES
}

/// log2 R layers on C sets of R vectors, from the widest to the narrowest; `butterfly` gets the half of a block that it belongs to, its
/// place in there, and both values with their factor.
#[inline(always)]
fn layers_down<const R: usize, const C: usize>(
    v: &mut [[Vector; R]; C],
    w: [&[Factor; R]; C],
    butterfly: impl Fn(usize, usize, Vector, Vector, Factor) -> (Vector, Vector),
) {
    if R >= 8 {
        layer::<4, R, C>(v, w, &butterfly);
    }
    if R >= 4 {
        layer::<2, R, C>(v, w, &butterfly);
    }
    layer::<1, R, C>(v, w, &butterfly);
}

/// The same, from the narrowest to the widest.
#[inline(always)]
fn layers_up<const R: usize, const C: usize>(
    v: &mut [[Vector; R]; C],
    w: [&[Factor; R]; C],
    butterfly: impl Fn(usize, usize, Vector, Vector, Factor) -> (Vector, Vector),
) {
    layer::<1, R, C>(v, w, &butterfly);
    if R >= 4 {
        layer::<2, R, C>(v, w, &butterfly);
    }
    if R >= 8 {
        layer::<4, R, C>(v, w, &butterfly);
    }
}

/// The layer of blocks of 2 HALF vectors.
#[inline(always)]
fn layer<const HALF: usize, const R: usize, const C: usize>(
    v: &mut [[Vector; R]; C],
    w: [&[Factor; R]; C],
    butterfly: impl Fn(usize, usize, Vector, Vector, Factor) -> (Vector, Vector),
) {
    let nodes = R / (2 * HALF);
    for node in 0..nodes {
        for k in 0..HALF {
            let x = 2 * HALF * node + k;
            for c in 0..C {
                (v[c][x], v[c][x + HALF]) = butterfly(HALF, k, v[c][x], v[c][x + HALF], w[c][nodes + node]);
            }
        }
    }
}

/// `step` on each run of C columns of a block of R rows.
#[inline(always)]
fn columns<const R: usize, const C: usize>(block: &mut [Line], zero: Vector, step: impl Fn(&mut [[Vector; R]; C])) {
    let length = block.len() / R;
    let mut rest = block.chunks_exact_mut(length);
    let rows: [&mut [[Line; C]]; R] = [(); R].map(|()| rest.next().unwrap_or_default().as_chunks_mut().0);
    let runs = rows[0].len();
    for row in &rows {
        assert_eq!(row.len(), runs);
    }
    for i in 0..runs {
        let mut v = [[zero; R]; C];
        for r in 0..R {
            for c in 0..C {
                v[c][r] = load(&rows[r][i][c]);
            }
        }
        step(&mut v);
        for r in 0..R {
            for c in 0..C {
                store(&mut rows[r][i][c], v[c][r]);
            }
        }
    }
}

/// The forward transform for primes that let values drift for FREE layers: 1, 3, or 6.
struct Forward<'a, const FREE: usize> {
    p: Prime,
    /// Added to a quotient, it centres the product: [−q, q) for [0, 2q).
    one: Vector,
    /// FREE q.
    centre: Vector,
    twiddles: &'a Passes,
}

impl<'a, const FREE: usize> Forward<'a, FREE> {
    #[inline]
    #[target_feature(enable = "avx512f,avx512dq,avx512ifma")]
    fn new(q: &Modulus, twiddles: &'a Passes) -> Self {
        let centre = splat(FREE as u64 * q.value());
        Self { p: Prime::new(q), one: splat(1), centre, twiddles }
    }

    /// `lines` are the nodes from `first` on of the first of the `passes` left; their values have drifted for `drift` layers.
    #[target_feature(enable = "avx512f,avx512dq,avx512ifma")]
    fn descend(&self, lines: &mut [Line], passes: &[Pass], first: usize, drift: usize) {
        let Some((pass, rest)) = passes.split_first() else { return self.leaves(lines, first) };
        let layers = pass.radix.ilog2() as usize;
        let recentre = drift + layers > FREE;
        let child = block_lines(rest);
        match (pass.radix, recentre) {
            (2, _) => self.pass::<2, 8, true>(lines, pass, first, child),
            (4, true) => self.pass::<4, 4, true>(lines, pass, first, child),
            (4, false) => self.pass::<4, 4, false>(lines, pass, first, child),
            (_, true) => self.pass::<8, 2, true>(lines, pass, first, child),
            (_, false) => self.pass::<8, 2, false>(lines, pass, first, child),
        }
        let drift = if recentre { layers } else { drift + layers };
        // Depth first while blocks are larger than the cache, then pass after pass.
        let part = child.max(CACHED).min(lines.len());
        for (k, part_lines) in lines.chunks_exact_mut(part).enumerate() {
            self.descend(part_lines, rest, first * pass.radix + k * (part / child), drift);
        }
    }

    #[target_feature(enable = "avx512f,avx512dq,avx512ifma")]
    fn pass<const R: usize, const C: usize, const RECENTRE: bool>(
        &self,
        lines: &mut [Line],
        pass: &Pass,
        first: usize,
        child: usize,
    ) {
        let this = Self { ..*self };
        let nodes = pass.records[2 * R * first..].chunks_exact(2 * R);
        for (block, record) in lines.chunks_exact_mut(R * child).zip(nodes) {
            let w = &factors::<R>(record);
            columns::<R, C>(block, this.centre, |v| {
                if RECENTRE {
                    this.recentre(v);
                }
                layers_down(v, [w; C], |_, _, x, y, w| this.butterfly(x, y, w));
            });
        }
    }

    #[target_feature(enable = "avx512f,avx512dq,avx512ifma")]
    fn leaves(&self, lines: &mut [Line], first: usize) {
        let this = Self { ..*self };
        let records = this.twiddles.leaves.as_chunks::<LEAF>().0[first..].as_chunks::<PAIR>().0;
        for (lines, record) in lines.as_chunks_mut::<LANES>().0.as_chunks_mut::<PAIR>().0.iter_mut().zip(records) {
            let mut v = [[this.centre; LANES]; PAIR];
            for c in 0..PAIR {
                for r in 0..LANES {
                    v[c][r] = load(&lines[c][r]);
                }
            }
            this.recentre(&mut v);
            let w = [&factors(&record[0][..2 * LANES]), &factors(&record[1][..2 * LANES])];
            layers_down(&mut v, w, |_, _, x, y, w| this.butterfly(x, y, w));
            v.iter_mut().for_each(|v| transpose(v));
            if FREE == 3 {
                this.recentre(&mut v);
            }
            let w = [&lane_factors(&record[0]), &lane_factors(&record[1])];
            layers_down(&mut v, w, |_, _, x, y, w| this.butterfly(x, y, w));
            for c in 0..PAIR {
                transpose(&mut v[c]);
                for r in 0..LANES {
                    store(&mut lines[c][r], this.p.finish(this.p.reduce_lazy(v[c][r], v[c][r])));
                }
            }
        }
    }

    /// Brings the first halves of the blocks to [FREE q, (FREE + 2) q).
    #[inline]
    #[target_feature(enable = "avx512f,avx512dq,avx512ifma")]
    fn recentre<const R: usize, const C: usize>(&self, v: &mut [[Vector; R]; C]) {
        if FREE > 1 {
            for c in 0..C {
                for r in 0..R / 2 {
                    v[c][r] = self.p.reduce_lazy(_mm512_add_epi64(v[c][r], self.centre), v[c][r]);
                }
            }
        }
    }

    /// (x + w y, x − w y).
    #[inline]
    #[target_feature(enable = "avx512f,avx512dq,avx512ifma")]
    fn butterfly(&self, x: Vector, y: Vector, w: Factor) -> (Vector, Vector) {
        if FREE == 1 {
            let high = _mm512_test_epi64_mask(x, splat(1 << 51));
            let x = _mm512_mask_sub_epi64(x, high, x, self.p.two_q);
            let product = self.p.mul_lazy(_mm512_setzero_si512(), y, w);
            (_mm512_add_epi64(x, product), _mm512_sub_epi64(_mm512_add_epi64(x, self.p.two_q), product))
        } else {
            let quotient = _mm512_madd52hi_epu64(self.one, y, w.quotient);
            let low = _mm512_madd52lo_epu64(x, y, w.value);
            let plus = _mm512_madd52lo_epu64(low, quotient, self.p.minus_q);
            (plus, _mm512_sub_epi64(_mm512_add_epi64(x, x), plus))
        }
    }
}

/// The inverse transform for primes that allow RUN sums in a row: 1, 2 or 3.
struct Inverse<'a, const RUN: u32> {
    p: Prime,
    /// 2q, 4q, 8q.
    offsets: [Vector; 3],
    inv_n: Factor,
    twiddles: &'a Passes,
}

impl<'a, const RUN: u32> Inverse<'a, RUN> {
    #[inline]
    #[target_feature(enable = "avx512f,avx512dq,avx512ifma")]
    fn new(q: &Modulus, twiddles: &'a Passes, inv_n: ShoupFactor) -> Self {
        let two_q = 2 * q.value();
        let offsets = [splat(two_q), splat(2 * two_q), splat(4 * two_q)];
        Self { p: Prime::new(q), offsets, inv_n: Factor::splat(inv_n), twiddles }
    }

    #[target_feature(enable = "avx512f,avx512dq,avx512ifma")]
    fn ascend(&self, lines: &mut [Line], passes: &[Pass], first: usize) {
        let Some((pass, rest)) = passes.split_first() else { return self.leaves(lines, first) };
        let child = block_lines(rest);
        let part = child.max(CACHED).min(lines.len());
        for (k, part_lines) in lines.chunks_exact_mut(part).enumerate() {
            self.ascend(part_lines, rest, first * pass.radix + k * (part / child));
        }
        match (pass.radix, passes.len() == self.twiddles.passes.len()) {
            (2, true) => self.pass::<2, 8, true>(lines, pass, first, child),
            (2, false) => self.pass::<2, 8, false>(lines, pass, first, child),
            (4, true) => self.pass::<4, 4, true>(lines, pass, first, child),
            (4, false) => self.pass::<4, 4, false>(lines, pass, first, child),
            (_, true) => self.pass::<8, 2, true>(lines, pass, first, child),
            (_, false) => self.pass::<8, 2, false>(lines, pass, first, child),
        }
    }

    #[target_feature(enable = "avx512f,avx512dq,avx512ifma")]
    fn pass<const R: usize, const C: usize, const LAST: bool>(
        &self,
        lines: &mut [Line],
        pass: &Pass,
        first: usize,
        child: usize,
    ) {
        let this = Self { ..*self };
        let nodes = pass.records[2 * R * first..].chunks_exact(2 * R);
        for (block, record) in lines.chunks_exact_mut(R * child).zip(nodes) {
            let w = &factors::<R>(record);
            columns::<R, C>(block, this.p.q, |v| {
                layers_up(v, [w; C], |half, k, x, y, w| {
                    if LAST && half == R / 2 {
                        this.last_butterfly(sums(k, half), x, y, w)
                    } else {
                        this.butterfly(
                            sums(k, half),
                            if half == 1 { true } else { k >= half / 2 },
                            half == R / 2,
                            x,
                            y,
                            w,
                        )
                    }
                });
            });
        }
    }

    #[target_feature(enable = "avx512f,avx512dq,avx512ifma")]
    fn leaves(&self, lines: &mut [Line], first: usize) {
        let this = Self { ..*self };
        let records = this.twiddles.leaves.as_chunks::<LEAF>().0[first..].as_chunks::<PAIR>().0;
        for (lines, record) in lines.as_chunks_mut::<LANES>().0.as_chunks_mut::<PAIR>().0.iter_mut().zip(records) {
            let mut v = [[this.p.q; LANES]; PAIR];
            for c in 0..PAIR {
                for r in 0..LANES {
                    v[c][r] = load(&lines[c][r]);
                }
                transpose(&mut v[c]);
            }
            let w = [&lane_factors(&record[0]), &lane_factors(&record[1])];
            layers_up(&mut v, w, |half, k, x, y, w| {
                this.butterfly(sums(k, half), half > 1 && k >= half / 2, half == LANES / 2, x, y, w)
            });
            v.iter_mut().for_each(|v| transpose(v));
            let w = [&factors(&record[0][..2 * LANES]), &factors(&record[1][..2 * LANES])];
            layers_up(&mut v, w, |half, k, x, y, w| {
                this.butterfly(sums(k, half), half == 1 || k >= half / 2, half == LANES / 2, x, y, w)
            });
            for c in 0..PAIR {
                for r in 0..LANES {
                    store(&mut lines[c][r], v[c][r]);
                }
            }
        }
    }

    /// (x + y, (x − y) w) of values that have been summed `sums` times since they were last below 2q.
    #[inline]
    #[target_feature(enable = "avx512f,avx512dq,avx512ifma")]
    fn butterfly(&self, sums: u32, dirty: bool, reduce: bool, x: Vector, y: Vector, w: Factor) -> (Vector, Vector) {
        let sums = sums % RUN;
        let sum = _mm512_add_epi64(x, y);
        let difference = _mm512_add_epi64(_mm512_sub_epi64(x, y), self.offsets[sums as usize]);
        let product = self.p.mul_lazy(_mm512_setzero_si512(), difference, w);
        if RUN == 1 {
            let sum = if dirty { _mm512_and_si512(sum, self.p.mask) } else { sum };
            (reduce_once(sum, self.p.two_q), product)
        } else if sums + 1 == RUN || reduce {
            (self.p.reduce_lazy(sum, sum), product)
        } else {
            (sum, product)
        }
    }

    /// The same, over N and reduced.
    #[inline]
    #[target_feature(enable = "avx512f,avx512dq,avx512ifma")]
    fn last_butterfly(&self, sums: u32, x: Vector, y: Vector, w: Factor) -> (Vector, Vector) {
        let difference = _mm512_add_epi64(_mm512_sub_epi64(x, y), self.offsets[(sums % RUN) as usize]);
        (self.p.mul(_mm512_add_epi64(x, y), self.inv_n), self.p.mul(difference, w))
    }
}

/// How often the values at place k of a half block have been summed since they were last a product, or the input of these layers.
#[inline(always)]
fn sums(k: usize, half: usize) -> u32 {
    half.ilog2() - k.checked_ilog2().map_or(0, |top| top + 1)
}
