//! The pass at the root in the conjugate-invariant ring: the fold and the first layer, or the last layer and the unfolding, at once.
//!
//! With H = N/2 and w = ψ^H, w² = i, the fold takes a_j to b_j = a_j − i a_(N−j), and the first layer b_j, b_(H+j) to b_j ± w b_(H+j). As
//! b_(N−j) = −i (a_j + i a_(N−j)) and −i w = w^−1, four products of residues are enough for a_j, a_(H−j), a_(H+j), a_(N−j):
//!
//! ```text
//! s, t = a_j     ∓ i a_(N−j)      at j and H + j:      s ± w^−1 u
//! u, v = a_(H−j) ± i a_(H+j)      at H − j and N − j:  v ± w^−1 t
//! ```
//!
//! which are two layers of butterflies, one more than in the standard ring. The inverse is the same in the opposite order:
//!
//! ```text
//! s, t = x_j     + x_(H+j), w (x_j     − x_(H+j))      at j and N − j:      s + v, i (s − v)
//! u, v = x_(H−j) + x_(N−j), w (x_(H−j) − x_(N−j))      at H − j and H + j:  u + t, i (u − t)
//! ```
//!
//! Vectors of j go from 1 to N/4, those that mirror them are reversed. The last ones meet at N/4 and 3N/4, where both find the same.

use std::arch::x86_64::*;

use super::super::super::modulus::{Modulus, ShoupFactor};
use super::super::super::ntt::Fold;
use super::ntt::Transform;
use super::stages::{PAIR, load_double, staged, store_double};
use super::{Factor, LANES, Line, Prime, Vector, load, splat};

/// The words from 1, to H − 1, to N − 1 and from H + 1 on, in pairs of vectors.
type Quarters<'a> = [&'a mut [[Line; PAIR]]; 4];

/// In which order the pass at the root goes through [`Quarters`] on the side of the other layers.
const INNER: [usize; 4] = [0, 3, 1, 2];

/// The words of a pair.
const SIDE: usize = PAIR * LANES;

/// Where column c of pair i is in a quarter of so many pairs, and whether it is reversed there.
#[inline(always)]
fn place(pairs: usize, i: usize, c: usize, quarter: usize) -> (usize, usize, bool) {
    if quarter == 1 || quarter == 2 { (pairs - 1 - i, PAIR - 1 - c, true) } else { (i, c, false) }
}

/// The lanes in the opposite order.
#[inline]
#[target_feature(enable = "avx2,fma")]
fn reversed(x: Vector) -> Vector {
    _mm256_permute4x64_pd::<0b00_01_10_11>(x)
}

/// `pass` on all words but those at 0 and H: on those that no two quarters share, then on a copy of the others.
#[inline]
#[target_feature(enable = "avx2,fma")]
fn in_quarters(a: &mut [u64], pass: impl Fn(Quarters<'_>)) {
    let quarter = a.len() / 4;
    let (low, high) = a.split_at_mut(2 * quarter);
    let [(first, second, low), (fourth, third, high)] = [low, high].map(|half| {
        let (from, rest) = half[1..].split_at_mut(quarter - SIDE);
        let (middle, to) = rest.split_at_mut(2 * SIDE - 1);
        (from.as_chunks_mut().0.as_chunks_mut().0, to.as_chunks_mut().0.as_chunks_mut().0, middle)
    });
    pass([first, second, third, fourth]);
    let mut last = [[[0; LANES]; PAIR]; 4];
    let places = [(0, 0), (0, SIDE - 1), (1, SIDE - 1), (1, 0)];
    let middles = [low, high];
    for (pair, (half, at)) in last.iter_mut().zip(places) {
        pair.as_flattened_mut().copy_from_slice(&middles[half][at..at + SIDE]);
    }
    pass(last.each_mut().map(std::array::from_mut).map(|quarter| quarter.as_mut_slice()));
    for (pair, (half, at)) in last.iter().zip(places) {
        middles[half][at..at + SIDE].copy_from_slice(pair.as_flattened());
    }
}

impl Transform<'_> {
    /// w in the forward direction, w^−1 in the other.
    fn root_factor(&self, q: &Modulus) -> u64 {
        q.from_i64(f64::from_bits(self.twiddles.passes[0].records[1]) as i64)
    }

    /// The fold, then the layer at the root.
    #[target_feature(enable = "avx2,fma")]
    pub(super) fn folded_root(&self, q: &Modulus, a: &mut [u64], fold: &Fold) {
        let (root, half) = (self.root_factor(q), a.len() / 2);
        let factors = [fold.i.value, q.mul_shoup(root, fold.minus_i)].map(|w| Prime::factor(q, w));
        in_quarters(a, |quarters| self.fold_down(quarters, factors));
        // b_H = (1 − i) a_H.
        let w = Prime::factor(q, q.add(root, q.mul_shoup(root, fold.minus_i)));
        let (x, y) = self.butterfly(load(&[a[0]; LANES]), load(&[a[half]; LANES]), w);
        (a[0], a[half]) = (_mm256_cvtsd_f64(x).to_bits(), _mm256_cvtsd_f64(y).to_bits());
    }

    #[target_feature(enable = "avx2,fma")]
    fn fold_down(&self, mut quarters: Quarters<'_>, [i, root]: [Factor; 2]) {
        let this = *self;
        let pairs = quarters[0].len();
        staged::<_, true>(
            &mut quarters,
            pairs,
            |quarters, i, c, r| {
                let (i, c, mirrored) = place(pairs, i, c, r);
                let x = load(&quarters[r][i][c]);
                if mirrored { reversed(x) } else { x }
            },
            |quarters, i, c, r, x| {
                let (i, c, mirrored) = place(pairs, i, c, INNER[r]);
                store_double(&mut quarters[INNER[r]][i][c], if mirrored { reversed(x) } else { x });
            },
            |_, _, k, x, y| {
                let (plus, minus) = this.butterfly(x, y, i);
                if k == 0 { (minus, plus) } else { (plus, minus) }
            },
            |_, _, k, x, y| if k == 0 { this.butterfly(x, y, root) } else { this.butterfly(y, x, root) },
        );
    }

    /// The last layer, then the unfolding, times the constants of the root.
    #[target_feature(enable = "avx2,fma")]
    pub(super) fn unfolded_root(&self, q: &Modulus, a: &mut [u64], factors: [ShoupFactor; 2], fold: &Fold) {
        let half = a.len() / 2;
        let [sum, difference] = factors.map(|w| w.value);
        let root = q.mul_shoup(self.root_factor(q), fold.i);
        let quarter_factors = [root, sum, q.mul_shoup(sum, fold.i)].map(|w| Prime::factor(q, w));
        in_quarters(a, |quarters| self.unfold_up(quarters, quarter_factors));
        // a_0 = 2 b_0, a_H = (1 + i) b_H.
        let [sum, difference] =
            [q.add(sum, sum), q.add(difference, q.mul_shoup(difference, fold.i))].map(|w| Prime::factor(q, w));
        let (x, y) = (splat(f64::from_bits(a[0])), splat(f64::from_bits(a[half])));
        for (at, x) in [(0, self.p.mul(_mm256_add_pd(x, y), sum)), (half, self.p.mul(_mm256_sub_pd(x, y), difference))]
        {
            let mut line = [0; LANES];
            self.p.store_signed(&mut line, x);
            a[at] = line[0];
        }
    }

    #[target_feature(enable = "avx2,fma")]
    fn unfold_up(&self, mut quarters: Quarters<'_>, [root, sum, difference]: [Factor; 3]) {
        let this = *self;
        let pairs = quarters[0].len();
        let last = |x, y| (this.p.mul(_mm256_add_pd(x, y), sum), this.p.mul(_mm256_sub_pd(x, y), difference));
        staged::<_, false>(
            &mut quarters,
            pairs,
            |quarters, i, c, r| {
                let (i, c, mirrored) = place(pairs, i, c, INNER[r]);
                let x = load_double(&quarters[INNER[r]][i][c]);
                if mirrored { reversed(x) } else { x }
            },
            |quarters, i, c, r, x| {
                let (i, c, mirrored) = place(pairs, i, c, r);
                this.p.store_signed(&mut quarters[r][i][c], if mirrored { reversed(x) } else { x });
            },
            |_, _, k, x, y| {
                let (sum, product) = this.inverse_butterfly(x, y, root);
                if k == 0 { (sum, product) } else { (product, sum) }
            },
            |_, _, k, x, y| if k == 0 { last(x, y) } else { last(y, x) },
        );
    }
}
