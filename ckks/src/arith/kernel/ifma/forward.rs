//! The forward transform, from the root to the leaves.
//!
//! The conjugate-invariant ring folds on the way in. The partner of a_j is a_(N−j). In a block of R rows of n vectors, those of the vector
//! (r, c), row r and column c, lie in the vector (R−1−r, n−1−c) and in the first lane of the one after it; so a column c and its mirror
//! d = n−1−c are done together, from the outside in, and what is needed of the columns before, c−1 and d+1, is kept.

#![expect(clippy::needless_range_loop, reason = "sets of vectors advance together, and only plain loops unroll")]

use std::arch::x86_64::*;

use super::super::super::modulus::Modulus;
use super::super::super::twiddles::{Pass, Passes};
use super::super::layers::{block_lines, columns, layers_down, part_lines, rows};
use super::super::{OnPart, Start};
use super::ntt::{PAIR, factors, lane_lines, leaf_lines, mirror, read_ahead, transpose};
use super::{Centring, Factor, LANES, Line, Prime, Vector, load, splat, store};

#[target_feature(enable = "avx512f,avx512dq,avx512ifma")]
pub(in super::super) fn ntt_forward(q: &Modulus, a: &mut [u64], twiddles: &Passes, start: Start<'_>, done: OnPart<'_>) {
    let lines = a.as_chunks_mut().0;
    // How many layers values may drift by q each way without leaving [0, 2^52).
    match q.bits() {
        50 => Forward::<1>::new(q, twiddles).run(lines, q, start, done),
        49 => Forward::<3>::new(q, twiddles).run(lines, q, start, done),
        _ => Forward::<6>::new(q, twiddles).run(lines, q, start, done),
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

    /// All layers.
    #[target_feature(enable = "avx512f,avx512dq,avx512ifma")]
    fn run(&self, lines: &mut [Line], q: &Modulus, start: Start<'_>, done: OnPart<'_>) {
        let Some((root, rest)) = self.twiddles.passes.split_first() else { unreachable!("a root above the leaves") };
        let child = block_lines::<LANES>(rest);
        match (root.radix, start) {
            (2, Start::Limb) => self.pass::<2, 8, true>(lines, root, 0, child),
            (4, Start::Limb) => self.pass::<4, 4, true>(lines, root, 0, child),
            (_, Start::Limb) => self.pass::<8, 2, true>(lines, root, 0, child),
            (2, Start::Centred { x, d }) => self.centred_pass::<2, 8>(lines, &root.records, x, Centring::new(q, d)),
            (4, Start::Centred { x, d }) => self.centred_pass::<4, 4>(lines, &root.records, x, Centring::new(q, d)),
            (_, Start::Centred { x, d }) => self.centred_pass::<8, 2>(lines, &root.records, x, Centring::new(q, d)),
            (2, Start::Fold(fold)) => self.folded_pass::<2>(lines, &root.records, Factor::splat(fold.minus_i)),
            (4, Start::Fold(fold)) => self.folded_pass::<4>(lines, &root.records, Factor::splat(fold.minus_i)),
            (_, Start::Fold(fold)) => self.folded_pass::<8>(lines, &root.records, Factor::splat(fold.minus_i)),
        }
        let part = part_lines::<LANES>(lines.len(), child);
        for (k, lines) in lines.chunks_exact_mut(part).enumerate() {
            self.descend(lines, rest, k * (part / child), root.radix.ilog2() as usize);
            done(k * part * LANES, lines.as_flattened_mut());
        }
    }

    /// The nodes from `first` on of the first of `passes`, and all below, `drift` layers after values were recentred: depth first while
    /// blocks are larger than the cache, then pass after pass.
    #[target_feature(enable = "avx512f,avx512dq,avx512ifma")]
    fn descend(&self, lines: &mut [Line], passes: &[Pass], first: usize, drift: usize) {
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
            let layers = pass.radix.ilog2() as usize;
            let recentre = drift + layers > FREE;
            let child = block_lines::<LANES>(rest);
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
            columns::<Line, Vector, R, C>(block, this.centre, load, store, |v| {
                if RECENTRE {
                    this.recentre(v);
                }
                layers_down(v, [w; C], |_, _, x, y, w| this.butterfly(x, y, w));
            });
        }
    }

    /// The representatives of `x`, then log2 R layers. Not inlined: its caller would hold it nine times.
    #[inline(never)]
    #[target_feature(enable = "avx512f,avx512dq,avx512ifma")]
    fn centred_pass<const R: usize, const C: usize>(
        &self,
        block: &mut [Line],
        record: &[u64],
        x: &[u64],
        centring: Centring,
    ) {
        let (this, w) = (Self { ..*self }, &factors::<R>(record));
        let (rows, columns) = rows::<Line, R>(block);
        let rows = rows.map(|row| row.as_chunks_mut::<C>().0);
        let x = x.as_chunks::<LANES>().0;
        let sources: [_; R] = std::array::from_fn(|r| x[r * columns..][..columns].as_chunks::<C>().0);
        for i in 0..columns / C {
            let mut v = [[this.centre; R]; C];
            for r in 0..R {
                for c in 0..C {
                    v[c][r] = centring.lift(load(&sources[r][i][c]));
                }
            }
            this.recentre(&mut v);
            layers_down(&mut v, [w; C], |_, _, x, y, w| this.butterfly(x, y, w));
            for r in 0..R {
                for c in 0..C {
                    store(&mut rows[r][i][c], v[c][r]);
                }
            }
        }
    }

    /// a_j ← a_j − i a_(N−j) for j > 0, then log2 R layers.
    #[target_feature(enable = "avx512f,avx512dq,avx512ifma")]
    fn folded_pass<const R: usize>(&self, block: &mut [Line], record: &[u64], minus_i: Factor) {
        let w = &factors::<R>(record);
        let (rows, columns) = rows::<Line, R>(block);
        // Column d + 1 before the fold. There is no a_N.
        let mut after = [[0; LANES]; R];
        for r in 1..R {
            after[r - 1] = rows[r][0];
        }
        for c in 0..columns / 2 {
            let d = columns - 1 - c;
            let mut v = [[self.p.q; R]; 2];
            for r in 0..R {
                let mirrored = R - 1 - r;
                let (x, y) = (load(&rows[r][c]), load(&rows[mirrored][d]));
                let partner_of_x = mirror(y, load(&after[mirrored]));
                let partner_of_y = mirror(x, load(&rows[r][c + 1]));
                store(&mut after[mirrored], y);
                v[0][r] = self.p.mul_lazy(x, partner_of_x, minus_i);
                v[1][mirrored] = self.p.mul_lazy(y, partner_of_y, minus_i);
            }
            self.recentre(&mut v);
            layers_down(&mut v, [w; 2], |_, _, x, y, w| self.butterfly(x, y, w));
            for r in 0..R {
                store(&mut rows[r][c], v[0][r]);
                store(&mut rows[r][d], v[1][r]);
            }
        }
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
            let mut v = [[this.centre; LANES]; PAIR];
            for c in 0..PAIR {
                for r in 0..LANES {
                    v[c][r] = load(&lines[c][r]);
                }
            }
            this.recentre(&mut v);
            let w = [&factors(records[0][..2].as_flattened()), &factors(records[1][..2].as_flattened())];
            layers_down(&mut v, w, |_, _, x, y, w| this.butterfly(x, y, w));
            v.iter_mut().for_each(|v| transpose(v));
            if FREE == 3 {
                this.recentre(&mut v);
            }
            let w = [&lane_lines::<FIELDS>(records[0]), &lane_lines(records[1])];
            layers_down(&mut v, w, |_, _, x, y, w| this.butterfly(x, y, this.p.lane_factor(w)));
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
