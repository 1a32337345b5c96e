//! What both directions of the transform share: factors, and the transposition of a leaf.
//!
//! Passes have radix 2, 4 or 8, with sixteen vectors in flight; leaves are 64 words, two at a time. A leaf takes three layers between its
//! eight vectors, transposes them as an 8 x 8 matrix, takes the last three layers, again between vectors, with one factor a lane, and
//! transposes back. Bounds of the lazy values: `NOTES.md`.

use std::arch::x86_64::*;

use super::super::{Shape, prefetch};
use super::{Factor, LANES, Line, Prime, Vector, load, splat};

/// From so many words on, leaves have the quotients of their lanes' factors alone: with the values, the table would be twice as long as
/// the limb, and in a key switch, whose key flushes the cache, it comes from far away. The values cost a multiplication each
/// ([`Prime::lane_factor`]).
const LARGE: usize = 1 << 14;

pub(in super::super) fn shape(n: usize) -> Shape {
    Shape { lanes: LANES, widest: [8, 8], lane_fields: if n < LARGE { 0..2 } else { 1..2 } }
}

/// Lines of the factors of a leaf.
pub(super) const fn leaf_lines(fields: usize) -> usize {
    2 + fields * (LANES - 1)
}

/// Leaves in flight.
pub(super) const PAIR: usize = 2;

/// How many lines ahead of their use factors are asked for: 8 KiB. Memory and the third-level cache are slow to begin with each page, which
/// hardware does not see coming.
const AHEAD: usize = 128;

/// Asks for the factors that come [`AHEAD`] lines after those of the leaves `records`, which begin at line `at` of the table, where the
/// table is one that a second-level cache does not keep.
#[inline(always)]
pub(super) fn read_ahead<const FIELDS: usize>(table: &[Line], at: usize, records: usize) {
    if FIELDS == 1 {
        let ahead = table.get(at + AHEAD..at + AHEAD + records).unwrap_or_default();
        ahead.iter().for_each(|line| prefetch(line));
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

/// Where the factors inside the vectors of a leaf are, numbered likewise, one a lane.
#[inline(always)]
pub(super) fn lane_lines<const FIELDS: usize>(record: &[Line]) -> [[&Line; FIELDS]; LANES] {
    std::array::from_fn(|h| std::array::from_fn(|field| &record[1 + field * (LANES - 1) + h]))
}

impl Prime {
    /// The factors in these lines: values and quotients, or quotients w' alone, whose values are floor(w' q / 2^52) + 1 (`NOTES.md`).
    #[inline]
    #[target_feature(enable = "avx512f,avx512dq,avx512ifma")]
    pub(super) fn lane_factor<const FIELDS: usize>(&self, lines: [&Line; FIELDS]) -> Factor {
        let [first, quotient] = [load(lines[0]), load(lines[FIELDS - 1])];
        let value = if FIELDS == 1 { _mm512_madd52hi_epu64(splat(1), quotient, self.q) } else { first };
        Factor { value, quotient }
    }
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
