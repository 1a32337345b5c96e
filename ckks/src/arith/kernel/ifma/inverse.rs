//! The inverse transform, from the leaves to the root.
//!
//! The conjugate-invariant ring unfolds on the way out. The partner of a_j is a_(N−j). In a block of R rows of n vectors, those of the vector
//! (r, c), row r and column c, lie in the vector (R−1−r, n−1−c) and in the first lane of the one after it; so a column c and its mirror
//! d = n−1−c are done together, from the outside in, and what is needed of the columns before, c−1 and d+1, is kept.

#![expect(clippy::needless_range_loop, reason = "sets of vectors advance together, and only plain loops unroll")]

use std::arch::x86_64::*;

use super::super::super::modulus::Modulus;
use super::super::super::ntt::Fold;
use super::super::super::twiddles::{Pass, Passes};
use super::super::layers::{block_lines, columns, layers_up, part_lines, rows};
use super::super::{OnPart, Root};
use super::ntt::{PAIR, factors, lane_lines, leaf_lines, mirror, read_ahead, transpose};
use super::{Factor, LANES, Line, Prime, Vector, load, reduce_once, splat, store};

#[target_feature(enable = "avx512f,avx512dq,avx512ifma")]
pub(in super::super) fn ntt_inverse(q: &Modulus, a: &mut [u64], twiddles: &Passes, root: Root<'_>, fill: OnPart<'_>) {
    let lines = a.as_chunks_mut().0;
    // How many sums of values below 2q stay below 2^52 when each is summed again.
    match q.bits() {
        50 => Inverse::<1>::new(q, twiddles, root).run(lines, root.fold, fill),
        49 => Inverse::<2>::new(q, twiddles, root).run(lines, root.fold, fill),
        _ => Inverse::<3>::new(q, twiddles, root).run(lines, root.fold, fill),
    }
}

/// The inverse transform for primes that allow RUN sums in a row: 1, 2 or 3.
struct Inverse<'a, const RUN: u32> {
    p: Prime,
    /// 2q, 4q, 8q.
    offsets: [Vector; 3],
    twiddles: &'a Passes,
    /// What multiplies sums and differences in the last layer.
    root: [Factor; 2],
}

impl<'a, const RUN: u32> Inverse<'a, RUN> {
    #[inline]
    #[target_feature(enable = "avx512f,avx512dq,avx512ifma")]
    fn new(q: &Modulus, twiddles: &'a Passes, root: Root<'_>) -> Self {
        let two_q = 2 * q.value();
        let offsets = [splat(two_q), splat(2 * two_q), splat(4 * two_q)];
        Self { p: Prime::new(q), offsets, twiddles, root: root.factors.map(|w| Factor::splat(w)) }
    }

    /// All layers.
    #[target_feature(enable = "avx512f,avx512dq,avx512ifma")]
    fn run(&self, lines: &mut [Line], fold: Option<&Fold>, fill: OnPart<'_>) {
        let Some((root, rest)) = self.twiddles.passes.split_first() else { unreachable!("a root above the leaves") };
        let child = block_lines::<LANES>(rest);
        let part = part_lines::<LANES>(lines.len(), child);
        for (k, lines) in lines.chunks_exact_mut(part).enumerate() {
            fill(k * part * LANES, lines.as_flattened_mut());
            self.ascend(lines, rest, k * (part / child));
        }
        match (root.radix, fold) {
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
        let size = block_lines::<LANES>(passes);
        let part = part_lines::<LANES>(lines.len(), size);
        for (k, lines) in lines.chunks_exact_mut(part).enumerate() {
            let first = first + k * (part / size);
            let Some((pass, rest)) = passes.split_first() else {
                match self.twiddles.lane_fields {
                    1 => self.leaves::<1>(lines, first),
                    _ => self.leaves::<2>(lines, first),
                }
                continue;
            };
            self.ascend(lines, rest, first * pass.radix);
            match pass.radix {
                4 => self.pass::<4, 4, false>(lines, pass, first, block_lines::<LANES>(rest)),
                _ => self.pass::<8, 2, false>(lines, pass, first, block_lines::<LANES>(rest)),
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
            columns::<Line, Vector, R, C>(block, this.p.q, load, store, |v| {
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

    /// log2 R layers to b_j, N-th and halved, then a_j ← b_j + i b_(N−j) for j > 0 and a_0 ← 2 b_0.
    #[target_feature(enable = "avx512f,avx512dq,avx512ifma")]
    fn unfolded_pass<const R: usize>(&self, block: &mut [Line], record: &[u64], i: Factor) {
        let w = &factors::<R>(record);
        let (rows, columns) = rows::<Line, R>(block);
        let unfold = |x: Vector, partner: Vector| self.p.finish_four(self.p.mul_lazy(x, partner, i));
        // Columns c − 1 and d + 1 of b.
        let (mut before, mut after) = ([[0; LANES]; R], [[0; LANES]; R]);
        let mut first = self.p.q;
        for c in 0..columns / 2 {
            let d = columns - 1 - c;
            let mut v = [[self.p.q; R]; 2];
            for r in 0..R {
                v[0][r] = load(&rows[r][c]);
                v[1][r] = load(&rows[r][d]);
            }
            self.root_layers(&mut v, w);
            if c == 0 {
                first = v[0][0];
                for r in 1..R {
                    store(&mut after[r - 1], v[0][r]);
                }
            }
            for r in 0..R {
                let mirrored = R - 1 - r;
                let next = load(&after[mirrored]);
                store(&mut rows[r][c], unfold(v[0][r], mirror(v[1][mirrored], next)));
                if c > 0 {
                    store(&mut rows[mirrored][d + 1], unfold(next, mirror(load(&before[r]), v[0][r])));
                }
            }
            for r in 0..R {
                store(&mut before[r], v[0][r]);
                store(&mut after[r], v[1][r]);
            }
        }
        for r in 0..R {
            let x = load(&after[R - 1 - r]);
            store(&mut rows[R - 1 - r][columns / 2], unfold(x, mirror(load(&before[r]), load(&after[r]))));
        }
        let mut doubled = [0; LANES];
        store(&mut doubled, self.p.finish_four(_mm512_add_epi64(first, first)));
        rows[0][0][0] = doubled[0];
    }

    /// The layers down to the root, in [0, 2q) modulo 2^52.
    #[inline]
    #[target_feature(enable = "avx512f,avx512dq,avx512ifma")]
    fn root_layers<const R: usize, const C: usize>(&self, v: &mut [[Vector; R]; C], w: &[Factor; R]) {
        layers_up(
            v,
            [w; C],
            |half, k, x, y, w| self.butterfly((half, k), true, false, x, y, w),
            |half, k, x, y, _| self.root_butterfly(half, k, x, y),
        );
    }

    #[target_feature(enable = "avx512f,avx512dq,avx512ifma")]
    fn leaves<const FIELDS: usize>(&self, lines: &mut [Line], first: usize) {
        let (this, size) = (Self { ..*self }, leaf_lines(FIELDS));
        let table = this.twiddles.leaves.as_chunks().0;
        let pairs = lines.as_chunks_mut::<LANES>().0.as_chunks_mut::<PAIR>().0;
        for (i, lines) in pairs.iter_mut().enumerate() {
            let at = size * (first + PAIR * i);
            read_ahead::<FIELDS>(table, at, PAIR * size);
            let records = &table[at..at + PAIR * size];
            let records = [&records[..size], &records[size..]];
            let mut v = [[this.p.q; LANES]; PAIR];
            for c in 0..PAIR {
                for r in 0..LANES {
                    v[c][r] = load(&lines[c][r]);
                }
                transpose(&mut v[c]);
            }
            layers_up(
                &mut v,
                [&lane_lines::<FIELDS>(records[0]), &lane_lines(records[1])],
                |half, k, x, y, w| this.butterfly((half, k), false, false, x, y, this.p.lane_factor(w)),
                |half, k, x, y, w| this.butterfly((half, k), false, true, x, y, this.p.lane_factor(w)),
            );
            v.iter_mut().for_each(|v| transpose(v));
            layers_up(
                &mut v,
                [&factors(records[0][..2].as_flattened()), &factors(records[1][..2].as_flattened())],
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
    fn root_butterfly(&self, half: usize, k: usize, x: Vector, y: Vector) -> (Vector, Vector) {
        let (sum, difference) = self.sum_and_difference(half, k, x, y);
        let zero = _mm512_setzero_si512();
        (self.p.mul_lazy(zero, sum, self.root[0]), self.p.mul_lazy(zero, difference, self.root[1]))
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
