//! The passes at the root of the conjugate-invariant ring, which fold on the way in and unfold on the way out.
//!
//! The partner of a_j is a_(N−j). In a block of R rows of n vectors, those of the vector (r, c), row r and column c, lie in the vector
//! (R−1−r, n−1−c) and in the first lane of the one after it; so a column c and its mirror d = n−1−c are done together, from the outside
//! in, and what they need of the columns before, that is c−1 and d+1, is kept.

use std::arch::x86_64::*;

use super::ntt::{Forward, Inverse, factors, layers_down, rows};
use super::{Factor, LANES, Line, Vector, load, store};

/// The lanes of a vector and of the one after it that belong to the mirrored one: (w_0, v_7, v_6, …, v_1).
#[inline]
#[target_feature(enable = "avx512f,avx512dq,avx512ifma")]
fn mirror(v: Vector, w: Vector) -> Vector {
    _mm512_permutex2var_epi64(v, _mm512_set_epi64(1, 2, 3, 4, 5, 6, 7, 8), w)
}

impl<const FREE: usize> Forward<'_, FREE> {
    /// a_j ← a_j − i a_(N−j) for j > 0, then log2 R layers.
    #[target_feature(enable = "avx512f,avx512dq,avx512ifma")]
    pub(super) fn folded_pass<const R: usize>(&self, block: &mut [Line], record: &[u64], minus_i: Factor) {
        let w = &factors::<R>(record);
        let (rows, columns) = rows::<R>(block);
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
}

impl<const RUN: u32> Inverse<'_, RUN> {
    /// log2 R layers to b_j, N-th and halved, then a_j ← b_j + i b_(N−j) for j > 0 and a_0 ← 2 b_0.
    #[target_feature(enable = "avx512f,avx512dq,avx512ifma")]
    pub(super) fn unfolded_pass<const R: usize>(&self, block: &mut [Line], record: &[u64], i: Factor) {
        let w = &factors::<R>(record);
        let (rows, columns) = rows::<R>(block);
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
}
