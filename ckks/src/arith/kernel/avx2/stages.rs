//! What both directions of the transform share: factors, the transposition of a leaf, and layers that overlap.

use std::arch::x86_64::*;

use super::{Factor, LANES, Line, Vector, load_bits, splat, store_bits};

/// Words of the factors of a leaf.
pub(super) const LEAF: usize = 2 * LANES * LANES;

/// Columns, or leaves, in flight.
pub(super) const PAIR: usize = 2;

/// Doubles kept from pass to pass.
#[inline]
#[target_feature(enable = "avx2,fma")]
pub(super) fn load_double(line: &Line) -> Vector {
    _mm256_castsi256_pd(load_bits(line))
}

#[inline]
#[target_feature(enable = "avx2,fma")]
pub(super) fn store_double(line: &mut Line, x: Vector) {
    store_bits(line, _mm256_castpd_si256(x));
}

/// The factors of a node and of its descendants, numbered from 1 as in a heap.
#[inline]
#[target_feature(enable = "avx2,fma")]
pub(super) fn factors<const R: usize>(record: &[u64]) -> [Factor; R] {
    let (values, quotients) = record.split_at(R);
    let mut w = [Factor { value: _mm256_setzero_pd(), quotient: _mm256_setzero_pd() }; R];
    for h in 1..R {
        w[h] = Factor { value: splat(f64::from_bits(values[h])), quotient: splat(f64::from_bits(quotients[h])) };
    }
    w
}

/// Factor h between the vectors of a leaf.
#[inline]
#[target_feature(enable = "avx2,fma")]
pub(super) fn broadcast(record: &[u64; LEAF], h: usize) -> Factor {
    Factor { value: splat(f64::from_bits(record[h])), quotient: splat(f64::from_bits(record[LANES + h])) }
}

/// Factor h inside the vectors of a leaf, one a lane.
#[inline]
#[target_feature(enable = "avx2,fma")]
pub(super) fn lane_factor(record: &[u64; LEAF], h: usize) -> Factor {
    let lines = record.as_chunks().0;
    Factor { value: load_double(&lines[1 + h]), quotient: load_double(&lines[LANES + h]) }
}

/// The 4 x 4 matrix of numbers, transposed.
#[inline]
#[target_feature(enable = "avx2,fma")]
pub(super) fn transpose(v: &mut [Vector; LANES]) {
    for i in [0, 2] {
        (v[i], v[i + 1]) = (_mm256_unpacklo_pd(v[i], v[i + 1]), _mm256_unpackhi_pd(v[i], v[i + 1]));
    }
    for i in [0, 1] {
        (v[i], v[i + 2]) =
            (_mm256_permute2f128_pd::<0x20>(v[i], v[i + 2]), _mm256_permute2f128_pd::<0x31>(v[i], v[i + 2]));
    }
}

/// One layer, on pairs of columns of two vectors.
#[inline(always)]
pub(super) fn single<D>(
    data: &mut D,
    count: usize,
    load: impl Fn(&D, usize, usize, usize) -> Vector,
    store: impl Fn(&mut D, usize, usize, usize, Vector),
    butterfly: impl Fn(Vector, Vector) -> (Vector, Vector),
) {
    for i in 0..count {
        for c in 0..PAIR {
            let (x, y) = butterfly(load(data, i, c, 0), load(data, i, c, 1));
            store(data, i, c, 0, x);
            store(data, i, c, 1, y);
        }
    }
}

/// Two layers, DOWN from the wide one or up from the narrow one, on pairs of columns of four vectors: `load` and `store` get the pair, the
/// column and the row, butterflies the pair, the column and which of the two of their layer they are.
///
/// The second layer of a pair is done among the first one of the next: a butterfly stores two vectors, the other loads two.
#[inline(always)]
pub(super) fn staged<D, const DOWN: bool>(
    data: &mut D,
    count: usize,
    load: impl Fn(&D, usize, usize, usize) -> Vector,
    store: impl Fn(&mut D, usize, usize, usize, Vector),
    first: impl Fn(usize, usize, usize, Vector, Vector) -> (Vector, Vector),
    second: impl Fn(usize, usize, usize, Vector, Vector) -> (Vector, Vector),
) {
    const NARROW: [[usize; 2]; 2] = [[0, 1], [2, 3]];
    const WIDE: [[usize; 2]; 2] = [[0, 2], [1, 3]];
    let [firsts, seconds] = if DOWN { [WIDE, NARROW] } else { [NARROW, WIDE] };
    if count == 0 {
        return;
    }
    let begin = |data: &D, v: &mut [[Vector; LANES]; PAIR], i, c, k: usize| {
        let [a, b] = firsts[k];
        (v[c][a], v[c][b]) = first(i, c, k, load(data, i, c, a), load(data, i, c, b));
    };
    let end = |data: &mut D, v: &[[Vector; LANES]; PAIR], i, c, k: usize| {
        let [a, b] = seconds[k];
        let (x, y) = second(i, c, k, v[c][a], v[c][b]);
        store(data, i, c, a, x);
        store(data, i, c, b, y);
    };
    let mut v = [[load(data, 0, 0, 0); LANES]; PAIR];
    for c in 0..PAIR {
        for k in 0..2 {
            begin(data, &mut v, 0, c, k);
        }
    }
    for i in 1..count {
        let mut next = v;
        for c in 0..PAIR {
            for k in 0..2 {
                end(data, &v, i - 1, c, k);
                begin(data, &mut next, i, c, k);
            }
        }
        v = next;
    }
    for c in 0..PAIR {
        for k in 0..2 {
            end(data, &v, count - 1, c, k);
        }
    }
}

/// Two steps on each leaf: the second one of a leaf after the first one of the next.
#[inline(always)]
pub(super) fn chained<T>(
    leaves: &mut [[Line; LANES]],
    first: impl Fn(&[Line; LANES], usize) -> T,
    second: impl Fn(&mut [Line; LANES], usize, T),
) {
    let Some(last) = leaves.len().checked_sub(1) else { return };
    let mut state = first(&leaves[0], 0);
    for i in 0..last {
        let next = first(&leaves[i + 1], i + 1);
        second(&mut leaves[i], i, state);
        state = next;
    }
    second(&mut leaves[last], last, state);
}

/// The vectors of a leaf.
#[inline(always)]
pub(super) fn load_leaf(leaf: &[Line; LANES], load: impl Fn(&Line) -> Vector) -> [Vector; LANES] {
    let mut v = [load(&leaf[0]); LANES];
    for r in 1..LANES {
        v[r] = load(&leaf[r]);
    }
    v
}
