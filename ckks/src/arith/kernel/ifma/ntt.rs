//! The transforms: passes of radix 2, 4 or 8 over blocks that fit the cache, then six layers on 64 words in registers.

use std::arch::x86_64::*;

use super::super::super::modulus::{Modulus, ShoupFactor};
use super::super::super::ntt::Twiddles;
use super::super::scalar;
use super::{Factor, LANES, Prime, Vector, load, reduce_once, splat, store};

/// Words of the blocks that take six layers in registers.
const BLOCK: usize = LANES * LANES;

type Line = [u64; LANES];

#[target_feature(enable = "avx512f,avx512dq,avx512ifma")]
pub(in super::super) fn ntt_forward(q: &Modulus, a: &mut [u64], twiddles: &Twiddles) {
    if a.len() < BLOCK {
        return scalar::ntt_forward(q, a, twiddles);
    }
    let (p, lines) = (Prime::new(q), a.as_chunks_mut().0);
    let plan = Plan { p, twiddles };
    // How many layers a value may drift by q each way within [0, 2^52).
    match q.bits() {
        50 => plan.forward::<1>(lines, 1, 0),
        49 => plan.forward::<3>(lines, 1, 0),
        _ => plan.forward::<6>(lines, 1, 0),
    }
}

#[target_feature(enable = "avx512f,avx512dq,avx512ifma")]
pub(in super::super) fn ntt_inverse(q: &Modulus, a: &mut [u64], twiddles: &Twiddles, inv_n: ShoupFactor) {
    if a.len() < BLOCK {
        return scalar::ntt_inverse(q, a, twiddles, inv_n);
    }
    let (p, lines) = (Prime::new(q), a.as_chunks_mut().0);
    let plan = Plan { p, twiddles };
    match q.bits() {
        50 => plan.inverse::<4>(lines, 1, 0),
        49 => plan.inverse::<8>(lines, 1, 0),
        _ => plan.inverse::<16>(lines, 1, 0),
    }
    let inv_n = Factor::splat(inv_n);
    for line in lines {
        store(line, p.mul(load(line), inv_n));
    }
}

/// One transform: what every pass needs.
struct Plan<'a> {
    p: Prime,
    twiddles: &'a Twiddles,
}

impl Plan<'_> {
    /// Node `i` of the `m` of its layer, down to the leaves. FREE layers may follow each other before values are recentred.
    #[target_feature(enable = "avx512f,avx512dq,avx512ifma")]
    fn forward<const FREE: usize>(&self, lines: &mut [Line], m: usize, i: usize) {
        let layers = lines.len().ilog2() - 3;
        match layers {
            0 => return self.forward_last::<FREE>(lines, m, i),
            1 => self.forward_pass::<2, FREE>(lines, m, i),
            2 | 4 => self.forward_pass::<4, FREE>(lines, m, i),
            _ => self.forward_pass::<8, FREE>(lines, m, i),
        }
        let radix = match layers {
            1 => 2,
            2 | 4 => 4,
            _ => 8,
        };
        for (k, block) in lines.chunks_exact_mut(lines.len() / radix).enumerate() {
            self.forward::<FREE>(block, m * radix, i * radix + k);
        }
    }

    #[inline]
    #[target_feature(enable = "avx512f,avx512dq,avx512ifma")]
    fn forward_pass<const R: usize, const FREE: usize>(&self, lines: &mut [Line], m: usize, i: usize) {
        let w = self.factors::<R>(m, i);
        let stride = lines.len() / R;
        let mut rows = lines.chunks_exact_mut(stride);
        let rows: [&mut [Line]; R] = std::array::from_fn(|_| rows.next().unwrap_or_default());
        for row in &rows {
            assert!(row.len() == stride);
        }
        #[expect(clippy::needless_range_loop, reason = "R rows advance together")]
        for column in 0..stride {
            let mut v: [Vector; R] = std::array::from_fn(|r| load(&rows[r][column]));
            self.forward_layers::<R, FREE>(&mut v, &w);
            for r in 0..R {
                store(&mut rows[r][column], v[r]);
            }
        }
    }

    /// The factors of a node and its descendants in ilog2(R) layers, numbered as in a heap from 1.
    #[inline]
    #[target_feature(enable = "avx512f,avx512dq,avx512ifma")]
    fn factors<const R: usize>(&self, m: usize, i: usize) -> [Factor; R] {
        std::array::from_fn(|h| {
            let layer = h.max(1).ilog2();
            let at = (m << layer) + (i << layer) + h.max(1) - (1 << layer);
            Factor { value: splat(self.twiddles.values[at]), quotient: splat(self.twiddles.quotients[at]) }
        })
    }

    #[inline]
    #[target_feature(enable = "avx512f,avx512dq,avx512ifma")]
    fn lane_factors(&self, m: usize, i: usize) -> [Factor; 8] {
        std::array::from_fn(|h| {
            let layer = h.max(1).ilog2();
            let at = (m << layer) + (i << layer) + (h.max(1) - (1 << layer)) * LANES;
            let line = |words: &[u64]| load(&words[at..].as_chunks().0[0]);
            Factor { value: line(&self.twiddles.values), quotient: line(&self.twiddles.quotients) }
        })
    }

    #[inline]
    #[target_feature(enable = "avx512f,avx512dq,avx512ifma")]
    fn forward_layers<const R: usize, const FREE: usize>(&self, v: &mut [Vector; R], w: &[Factor; R]) {
        for layer in 0..R.ilog2() {
            let half = R >> (layer + 1);
            for h in 0..1 << layer {
                for k in 0..half {
                    let (x, y) = (2 * half * h + k, 2 * half * h + half + k);
                    (v[x], v[y]) = self.forward_butterfly::<FREE>(v[x], v[y], w[(1 << layer) + h], layer == 0);
                }
            }
        }
    }

    #[inline]
    #[target_feature(enable = "avx512f,avx512dq,avx512ifma")]
    fn forward_butterfly<const FREE: usize>(&self, x: Vector, y: Vector, w: Factor, first: bool) -> (Vector, Vector) {
        let p = &self.p;
        if FREE == 1 {
            let high = _mm512_test_epi64_mask(x, splat(1 << 51));
            let x = _mm512_mask_sub_epi64(x, high, x, p.two_q);
            let t = p.mul_lazy(_mm512_setzero_si512(), y, w);
            return (_mm512_add_epi64(x, t), _mm512_sub_epi64(_mm512_add_epi64(x, p.two_q), t));
        }
        let mut x = x;
        if first {
            let three = _mm512_add_epi64(_mm512_add_epi64(p.two_q, p.two_q), p.two_q);
            x = p.reduce_lazy(_mm512_add_epi64(x, if FREE == 3 { _mm512_add_epi64(p.two_q, p.q) } else { three }), x);
        }
        let minus = _mm512_sub_epi64(_mm512_setzero_si512(), p.q);
        let t = p.mul_lazy(minus, y, w);
        (_mm512_add_epi64(x, t), _mm512_sub_epi64(x, t))
    }

    #[inline]
    #[target_feature(enable = "avx512f,avx512dq,avx512ifma")]
    fn forward_last<const FREE: usize>(&self, lines: &mut [Line], m: usize, i: usize) {
        let lines: &mut [Line; 8] = &mut lines.as_chunks_mut().0[0];
        let mut v: [Vector; 8] = std::array::from_fn(|r| load(&lines[r]));
        self.forward_layers::<8, FREE>(&mut v, &self.factors(m, i));
        v = transpose(v);
        self.forward_layers::<8, FREE>(&mut v, &self.lane_factors(8 * m, 8 * i));
        v = transpose(v);
        for r in 0..8 {
            store(&mut lines[r], self.p.finish(self.p.reduce_lazy(v[r], v[r])));
        }
    }

    #[target_feature(enable = "avx512f,avx512dq,avx512ifma")]
    fn inverse<const LIMIT: usize>(&self, lines: &mut [Line], m: usize, i: usize) {
        let layers = lines.len().ilog2() - 3;
        if layers == 0 {
            return self.inverse_first::<LIMIT>(lines, m, i);
        }
        let radix = match layers {
            1 => 2,
            2 | 4 => 4,
            _ => 8,
        };
        for (k, block) in lines.chunks_exact_mut(lines.len() / radix).enumerate() {
            self.inverse::<LIMIT>(block, m * radix, i * radix + k);
        }
        match layers {
            1 => self.inverse_pass::<2, LIMIT>(lines, m, i),
            2 | 4 => self.inverse_pass::<4, LIMIT>(lines, m, i),
            _ => self.inverse_pass::<8, LIMIT>(lines, m, i),
        }
    }

    #[inline]
    #[target_feature(enable = "avx512f,avx512dq,avx512ifma")]
    fn inverse_pass<const R: usize, const LIMIT: usize>(&self, lines: &mut [Line], m: usize, i: usize) {
        let w = self.factors::<R>(m, i);
        let stride = lines.len() / R;
        let mut rows = lines.chunks_exact_mut(stride);
        let rows: [&mut [Line]; R] = std::array::from_fn(|_| rows.next().unwrap_or_default());
        for row in &rows {
            assert!(row.len() == stride);
        }
        #[expect(clippy::needless_range_loop, reason = "R rows advance together")]
        for column in 0..stride {
            let mut v: [Vector; R] = std::array::from_fn(|r| load(&rows[r][column]));
            self.inverse_layers::<R, LIMIT>(&mut v, &w);
            for r in 0..R {
                store(&mut rows[r][column], v[r]);
            }
        }
    }

    #[inline]
    #[target_feature(enable = "avx512f,avx512dq,avx512ifma")]
    fn inverse_first<const LIMIT: usize>(&self, lines: &mut [Line], m: usize, i: usize) {
        let lines: &mut [Line; 8] = &mut lines.as_chunks_mut().0[0];
        let mut v: [Vector; 8] = std::array::from_fn(|r| load(&lines[r]));
        v = transpose(v);
        self.inverse_layers::<8, LIMIT>(&mut v, &self.lane_factors(8 * m, 8 * i));
        v = transpose(v);
        self.inverse_layers::<8, LIMIT>(&mut v, &self.factors(m, i));
        for r in 0..8 {
            store(&mut lines[r], v[r]);
        }
    }

    #[inline]
    #[target_feature(enable = "avx512f,avx512dq,avx512ifma")]
    fn inverse_layers<const R: usize, const LIMIT: usize>(&self, v: &mut [Vector; R], w: &[Factor; R]) {
        // Bounds of the values in multiples of q; known at compile time.
        let p = &self.p;
        let mut bound = [2; R];
        for layer in (0..R.ilog2()).rev() {
            let half = R >> (layer + 1);
            for h in 0..1 << layer {
                for k in 0..half {
                    let (x, y) = (2 * half * h + k, 2 * half * h + half + k);
                    let offset = match bound[y] {
                        2 => p.two_q,
                        4 => splat2(p),
                        _ => splat4(p),
                    };
                    let difference = _mm512_add_epi64(_mm512_sub_epi64(v[x], v[y]), offset);
                    v[x] = _mm512_add_epi64(v[x], v[y]);
                    bound[x] += bound[y];
                    if LIMIT == 4 {
                        v[x] = reduce_once(_mm512_and_si512(v[x], p.mask), p.two_q);
                        bound[x] = 2;
                    } else if bound[x] == LIMIT || (layer == 0 && bound[x] > 2) {
                        v[x] = p.reduce_lazy(v[x], v[x]);
                        bound[x] = 2;
                    }
                    v[y] = p.mul_lazy(_mm512_setzero_si512(), difference, w[(1 << layer) + h]);
                    bound[y] = 2;
                }
            }
        }
        for r in 0..R {
            if bound[r] > 2 {
                v[r] = p.reduce_lazy(v[r], v[r]);
            }
        }
    }
}

#[inline]
#[target_feature(enable = "avx512f,avx512dq,avx512ifma")]
fn splat2(p: &Prime) -> Vector {
    _mm512_add_epi64(p.two_q, p.two_q)
}
#[inline]
#[target_feature(enable = "avx512f,avx512dq,avx512ifma")]
fn splat4(p: &Prime) -> Vector {
    _mm512_add_epi64(splat2(p), splat2(p))
}

/// The 8 x 8 matrix of words, transposed.
#[inline]
#[target_feature(enable = "avx512f,avx512dq,avx512ifma")]
fn transpose(v: [Vector; 8]) -> [Vector; 8] {
    let mut a = v;
    for i in [0, 2, 4, 6] {
        a[i] = _mm512_unpacklo_epi64(v[i], v[i + 1]);
        a[i + 1] = _mm512_unpackhi_epi64(v[i], v[i + 1]);
    }
    let mut b = a;
    for i in [0, 1, 4, 5] {
        // Pairs (i, i+2): 128-bit lanes as a 4x4 matrix across registers.
        b[i] = _mm512_shuffle_i64x2::<0x88>(a[i], a[i + 2]);
        b[i + 2] = _mm512_shuffle_i64x2::<0xdd>(a[i], a[i + 2]);
    }
    let mut c = b;
    for i in 0..4 {
        c[i] = _mm512_shuffle_i64x2::<0x88>(b[i], b[i + 4]);
        c[i + 4] = _mm512_shuffle_i64x2::<0xdd>(b[i], b[i + 4]);
    }
    c
}
