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
use super::super::super::ntt::Fold;
use super::super::super::twiddles::{Pass, Passes};
use super::{Factor, LANES, Line, Prime, Vector, load, reduce_once, splat, store};

/// Lines of a block that stays in the first-level cache while its factors stream by: 16 KiB.
const CACHED: usize = 256;

/// Words of the factors of a leaf.
const LEAF: usize = 2 * LANES * LANES;

/// Leaves in flight.
const PAIR: usize = 2;

#[target_feature(enable = "avx512f,avx512dq,avx512ifma")]
pub(in super::super) fn ntt_forward(q: &Modulus, a: &mut [u64], twiddles: &Passes, fold: Option<&Fold>) {
    let lines = a.as_chunks_mut().0;
    // How many layers values may drift by q each way without leaving [0, 2^52).
    match q.bits() {
        50 => Forward::<1>::new(q, twiddles, fold).run(lines),
        49 => Forward::<3>::new(q, twiddles, fold).run(lines),
        _ => Forward::<6>::new(q, twiddles, fold).run(lines),
    }
}

#[target_feature(enable = "avx512f,avx512dq,avx512ifma")]
pub(in super::super) fn ntt_inverse(
    q: &Modulus,
    a: &mut [u64],
    twiddles: &Passes,
    scale: ShoupFactor,
    fold: Option<&Fold>,
) {
    let lines = a.as_chunks_mut().0;
    // How many sums of values below 2q stay below 2^52 when each is summed again.
    match q.bits() {
        50 => Inverse::<1>::new(q, twiddles, scale, fold).run(lines),
        49 => Inverse::<2>::new(q, twiddles, scale, fold).run(lines),
        _ => Inverse::<3>::new(q, twiddles, scale, fold).run(lines),
    }
}

/// The factors of a node and of its descendants, numbered from 1 as in a heap.
#[inline]
#[target_feature(enable = "avx512f,avx512dq,avx512ifma")]
pub(super) fn factors<const R: usize>(record: &[u64]) -> [Factor; R] {
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
pub(super) fn layers_down<const R: usize, const C: usize>(
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

/// The same, from the narrowest to the widest, which has a butterfly of its own.
#[inline(always)]
pub(super) fn layers_up<const R: usize, const C: usize>(
    v: &mut [[Vector; R]; C],
    w: [&[Factor; R]; C],
    butterfly: impl Fn(usize, usize, Vector, Vector, Factor) -> (Vector, Vector),
    widest: impl Fn(usize, usize, Vector, Vector, Factor) -> (Vector, Vector),
) {
    if R == 2 {
        return layer::<1, R, C>(v, w, &widest);
    }
    layer::<1, R, C>(v, w, &butterfly);
    if R == 4 {
        return layer::<2, R, C>(v, w, &widest);
    }
    layer::<2, R, C>(v, w, &butterfly);
    layer::<4, R, C>(v, w, &widest);
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

/// A block cut into R rows of equal length, and that length.
#[inline(always)]
pub(super) fn rows<const R: usize>(block: &mut [Line]) -> ([&mut [Line]; R], usize) {
    let columns = block.len() / R;
    let mut rest = block.chunks_exact_mut(columns);
    let rows = [(); R].map(|()| rest.next().unwrap_or_default());
    for row in &rows {
        assert_eq!(row.len(), columns);
    }
    (rows, columns)
}

/// `step` on each run of C columns of a block of R rows.
#[inline(always)]
fn columns<const R: usize, const C: usize>(block: &mut [Line], zero: Vector, step: impl Fn(&mut [[Vector; R]; C])) {
    let (rows, columns) = rows::<R>(block);
    let rows = rows.map(|row| row.as_chunks_mut::<C>().0);
    for row in &rows {
        assert_eq!(row.len(), columns / C);
    }
    for i in 0..columns / C {
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
pub(super) struct Forward<'a, const FREE: usize> {
    pub(super) p: Prime,
    /// Added to a quotient, it centres the product: [−q, q) for [0, 2q).
    one: Vector,
    /// FREE q.
    centre: Vector,
    twiddles: &'a Passes,
    fold: Option<&'a Fold>,
}

impl<'a, const FREE: usize> Forward<'a, FREE> {
    #[inline]
    #[target_feature(enable = "avx512f,avx512dq,avx512ifma")]
    fn new(q: &Modulus, twiddles: &'a Passes, fold: Option<&'a Fold>) -> Self {
        let centre = splat(FREE as u64 * q.value());
        Self { p: Prime::new(q), one: splat(1), centre, twiddles, fold }
    }

    /// All layers.
    #[target_feature(enable = "avx512f,avx512dq,avx512ifma")]
    fn run(&self, lines: &mut [Line]) {
        let Some((root, rest)) = self.twiddles.passes.split_first() else { unreachable!("a root above the leaves") };
        let child = block_lines(rest);
        match (root.radix, self.fold) {
            (2, None) => self.pass::<2, 8, true>(lines, root, 0, child),
            (4, None) => self.pass::<4, 4, true>(lines, root, 0, child),
            (_, None) => self.pass::<8, 2, true>(lines, root, 0, child),
            (2, Some(fold)) => self.folded_pass::<2>(lines, &root.records, Factor::splat(fold.minus_i)),
            (4, Some(fold)) => self.folded_pass::<4>(lines, &root.records, Factor::splat(fold.minus_i)),
            (_, Some(fold)) => self.folded_pass::<8>(lines, &root.records, Factor::splat(fold.minus_i)),
        }
        self.descend(lines, rest, 0, root.radix.ilog2() as usize);
    }

    /// The nodes from `first` on of the first of `passes`, and all below, `drift` layers after values were recentred: depth first while
    /// blocks are larger than the cache, then pass after pass.
    #[target_feature(enable = "avx512f,avx512dq,avx512ifma")]
    fn descend(&self, lines: &mut [Line], passes: &[Pass], first: usize, drift: usize) {
        let size = block_lines(passes);
        let part = size.max(CACHED).min(lines.len());
        for (k, lines) in lines.chunks_exact_mut(part).enumerate() {
            let first = first + k * (part / size);
            let Some((pass, rest)) = passes.split_first() else {
                self.leaves(lines, first);
                continue;
            };
            let layers = pass.radix.ilog2() as usize;
            let recentre = drift + layers > FREE;
            let child = block_lines(rest);
            match (pass.radix, recentre) {
                (4, true) => self.pass::<4, 4, true>(lines, pass, first, child),
                (4, false) => self.pass::<4, 4, false>(lines, pass, first, child),
                (_, true) => self.pass::<8, 2, true>(lines, pass, first, child),
                (_, false) => self.pass::<8, 2, false>(lines, pass, first, child),
            }
            self.descend(lines, rest, first * pass.radix, if recentre { layers } else { drift + layers });
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
    pub(super) fn recentre<const R: usize, const C: usize>(&self, v: &mut [[Vector; R]; C]) {
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
    pub(super) fn butterfly(&self, x: Vector, y: Vector, w: Factor) -> (Vector, Vector) {
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
pub(super) struct Inverse<'a, const RUN: u32> {
    pub(super) p: Prime,
    /// 2q, 4q, 8q.
    offsets: [Vector; 3],
    scale: Factor,
    twiddles: &'a Passes,
    fold: Option<&'a Fold>,
}

impl<'a, const RUN: u32> Inverse<'a, RUN> {
    #[inline]
    #[target_feature(enable = "avx512f,avx512dq,avx512ifma")]
    fn new(q: &Modulus, twiddles: &'a Passes, scale: ShoupFactor, fold: Option<&'a Fold>) -> Self {
        let two_q = 2 * q.value();
        let offsets = [splat(two_q), splat(2 * two_q), splat(4 * two_q)];
        Self { p: Prime::new(q), offsets, scale: Factor::splat(scale), twiddles, fold }
    }

    /// All layers.
    #[target_feature(enable = "avx512f,avx512dq,avx512ifma")]
    fn run(&self, lines: &mut [Line]) {
        let Some((root, rest)) = self.twiddles.passes.split_first() else { unreachable!("a root above the leaves") };
        self.ascend(lines, rest, 0);
        let child = block_lines(rest);
        match (root.radix, self.fold) {
            (2, None) => self.pass::<2, 8, true>(lines, root, 0, child),
            (4, None) => self.pass::<4, 4, true>(lines, root, 0, child),
            (_, None) => self.pass::<8, 2, true>(lines, root, 0, child),
            (2, Some(fold)) => self.unfolded_pass::<2>(lines, &root.records, Factor::splat(fold.i)),
            (4, Some(fold)) => self.unfolded_pass::<4>(lines, &root.records, Factor::splat(fold.i)),
            (_, Some(fold)) => self.unfolded_pass::<8>(lines, &root.records, Factor::splat(fold.i)),
        }
    }

    /// All below the nodes from `first` on of the first of `passes`, then these, in the order of [`Forward::descend`] reversed.
    #[target_feature(enable = "avx512f,avx512dq,avx512ifma")]
    fn ascend(&self, lines: &mut [Line], passes: &[Pass], first: usize) {
        let size = block_lines(passes);
        let part = size.max(CACHED).min(lines.len());
        for (k, lines) in lines.chunks_exact_mut(part).enumerate() {
            let first = first + k * (part / size);
            let Some((pass, rest)) = passes.split_first() else {
                self.leaves(lines, first);
                continue;
            };
            self.ascend(lines, rest, first * pass.radix);
            match pass.radix {
                4 => self.pass::<4, 4, false>(lines, pass, first, block_lines(rest)),
                _ => self.pass::<8, 2, false>(lines, pass, first, block_lines(rest)),
            }
        }
    }

    #[target_feature(enable = "avx512f,avx512dq,avx512ifma")]
    fn pass<const R: usize, const C: usize, const ROOT: bool>(
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
                if ROOT {
                    this.root_layers(v, w);
                    for c in 0..C {
                        for r in 0..R {
                            v[c][r] = this.p.finish(v[c][r]);
                        }
                    }
                } else {
                    layers_up(
                        v,
                        [w; C],
                        |half, k, x, y, w| this.butterfly((half, k), true, false, x, y, w),
                        |half, k, x, y, w| this.butterfly((half, k), true, true, x, y, w),
                    );
                }
            });
        }
    }

    /// The layers down to the root, in [0, 2q) modulo 2^52.
    #[inline]
    #[target_feature(enable = "avx512f,avx512dq,avx512ifma")]
    pub(super) fn root_layers<const R: usize, const C: usize>(&self, v: &mut [[Vector; R]; C], w: &[Factor; R]) {
        layers_up(
            v,
            [w; C],
            |half, k, x, y, w| self.butterfly((half, k), true, false, x, y, w),
            |half, k, x, y, w| self.root_butterfly(half, k, x, y, w),
        );
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
            layers_up(
                &mut v,
                [&lane_factors(&record[0]), &lane_factors(&record[1])],
                |half, k, x, y, w| this.butterfly((half, k), false, false, x, y, w),
                |half, k, x, y, w| this.butterfly((half, k), false, true, x, y, w),
            );
            v.iter_mut().for_each(|v| transpose(v));
            layers_up(
                &mut v,
                [&factors(&record[0][..2 * LANES]), &factors(&record[1][..2 * LANES])],
                |half, k, x, y, w| this.butterfly((half, k), true, false, x, y, w),
                |half, k, x, y, w| this.butterfly((half, k), true, true, x, y, w),
            );
            for c in 0..PAIR {
                for r in 0..LANES {
                    store(&mut lines[c][r], v[c][r]);
                }
            }
        }
    }

    /// (x + y, (x − y) w), the sum in [0, 2q) if `reduce`, or if the next one would not fit. `dirty` tells that the values of the first
    /// layer may be right modulo 2^52 only.
    #[inline]
    #[target_feature(enable = "avx512f,avx512dq,avx512ifma")]
    fn butterfly(
        &self,
        (half, k): (usize, usize),
        dirty: bool,
        reduce: bool,
        x: Vector,
        y: Vector,
        w: Factor,
    ) -> (Vector, Vector) {
        let (sum, difference) = self.sum_and_difference(half, k, x, y);
        let product = self.p.mul_lazy(_mm512_setzero_si512(), difference, w);
        if RUN == 1 {
            // Sums of the layer before are clean, products are not.
            let clean = if half == 1 { !dirty } else { k < half / 2 };
            let sum = if clean { sum } else { _mm512_and_si512(sum, self.p.mask) };
            (reduce_once(sum, self.p.two_q), product)
        } else if reduce || sums(half, k) % RUN + 1 == RUN {
            (self.p.reduce_lazy(sum, sum), product)
        } else {
            (sum, product)
        }
    }

    /// The last of all, scaled, in [0, 2q) modulo 2^52.
    #[inline]
    #[target_feature(enable = "avx512f,avx512dq,avx512ifma")]
    fn root_butterfly(&self, half: usize, k: usize, x: Vector, y: Vector, w: Factor) -> (Vector, Vector) {
        let (sum, difference) = self.sum_and_difference(half, k, x, y);
        let zero = _mm512_setzero_si512();
        (self.p.mul_lazy(zero, sum, self.scale), self.p.mul_lazy(zero, difference, w))
    }

    /// x + y and x − y + (multiple of q), not negative, at place k of a half block.
    #[inline]
    #[target_feature(enable = "avx512f,avx512dq,avx512ifma")]
    fn sum_and_difference(&self, half: usize, k: usize, x: Vector, y: Vector) -> (Vector, Vector) {
        let offset = self.offsets[(sums(half, k) % RUN) as usize];
        (_mm512_add_epi64(x, y), _mm512_add_epi64(_mm512_sub_epi64(x, y), offset))
    }
}

/// How often the values at place k of a half block have been summed since they were last a product, or the input of these layers.
#[inline(always)]
fn sums(half: usize, k: usize) -> u32 {
    half.ilog2() - k.checked_ilog2().map_or(0, |top| top + 1)
}
