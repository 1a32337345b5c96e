//! What both directions of the transform share: factors, and the transposition of a leaf.
//!
//! Passes have radix 2, 4 or 8, with sixteen vectors in flight; leaves are 64 words, two at a time. A leaf takes three layers between its
//! eight vectors, transposes them as an 8 x 8 matrix, takes the last three layers, again between vectors, with one factor a lane, and
//! transposes back. Bounds of the lazy values: `NOTES.md`.

use std::arch::x86_64::*;

use super::{Factor, LANES, Vector, load, splat};

/// Words of the factors of a leaf.
pub(super) const LEAF: usize = 2 * LANES * LANES;

/// Leaves in flight.
pub(super) const PAIR: usize = 2;

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
pub(super) fn lane_factors(record: &[u64; LEAF]) -> [Factor; LANES] {
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
pub(super) fn transpose(v: &mut [Vector; LANES]) {
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

/// The lanes of a vector and of the one after it that belong to the mirrored one: (w_0, v_7, v_6, …, v_1).
#[inline]
#[target_feature(enable = "avx512f,avx512dq,avx512ifma")]
pub(super) fn mirror(v: Vector, w: Vector) -> Vector {
    _mm512_permutex2var_epi64(v, _mm512_set_epi64(1, 2, 3, 4, 5, 6, 7, 8), w)
}
