//! Products of a matrix of 16-bit constants with one panel of residues, each cut into four 13-bit pieces.
//!
//! ```text
//! for each tile of up to 6 outputs
//!     for each run of terms
//!         24 accumulators (6 outputs x 4 vectors of 32-bit sums) += weights x pieces, two rows at once
//!         totals of 64 bits += accumulators, neighbouring pieces put together
//!     out := totals, put together and reduced
//! ```
//!
//! Why so: a VNNI instruction does 32 products of 16 bits, those of eight residues with a weight each, while IFMA takes two for eight.
//! Bounds: `NOTES.md`.

#![expect(clippy::needless_range_loop, reason = "sets of vectors advance together, and only plain loops unroll")]

use std::arch::x86_64::*;

use super::super::super::modulus::Modulus;
use super::super::{GEMM_COLUMNS, GEMM_OUTPUTS, PIECE_BITS, Pair};
use super::{Factor, LANES, Line, Prime, Vector, load, splat, store};

/// Vectors of two rows: each has four columns, and of those each of the four pieces in both rows. Of eight columns one vector has the
/// even ones, the next one the odd.
const VECTORS: usize = 2 * GEMM_COLUMNS / LANES;

/// The 64-bit word of four 16-bit fields, the first one lowest, in every lane.
#[inline]
#[target_feature(enable = "avx512f,avx512dq,avx512ifma")]
fn fields(of: [u64; 4]) -> Vector {
    splat(of[0] | of[1] << 16 | of[2] << 32 | of[3] << 48)
}

#[target_feature(enable = "avx512f,avx512bw,avx512dq,avx512ifma,avx512vbmi")]
pub(in super::super) fn split_into(pieces: &mut [u64], rows: &[u64]) {
    const HALF: u64 = 1 << (PIECE_BITS - 1);
    const BITS: u64 = PIECE_BITS as u64;
    let halves = splat(HALF * (1 + (1 << BITS) + (1 << (2 * BITS))));
    // For each piece the two bytes from its first bit on.
    let places = fields([0, 1, 2, 3].map(|d| (BITS * d) | (BITS * d + 8) << 8));
    let (mask, half) = (fields([2 * HALF - 1; 4]), fields([HALF, HALF, HALF, 0]));
    let split = |x: &Line| {
        let fields = _mm512_multishift_epi64_epi8(places, _mm512_add_epi64(load(x), halves));
        _mm512_sub_epi16(_mm512_and_si512(fields, mask), half)
    };
    let zeros = [0; LANES];
    let pieces = pieces.as_chunks_mut().0.as_chunks_mut::<VECTORS>().0;
    for (pieces, rows) in pieces.iter_mut().zip(rows.as_chunks().0.chunks(VECTORS)) {
        let (even, odd) = rows.split_at(VECTORS / 2);
        for h in 0..VECTORS / 2 {
            let (x, y) = (split(&even[h]), split(odd.get(h).unwrap_or(&zeros)));
            store(&mut pieces[2 * h], _mm512_unpacklo_epi16(x, y));
            store(&mut pieces[2 * h + 1], _mm512_unpackhi_epi16(x, y));
        }
    }
}

#[target_feature(enable = "avx512f,avx512dq,avx512ifma,avx512vnni")]
pub(in super::super) fn short_gemm_into(
    q: &Modulus,
    out: &mut [u64],
    weights: &[Pair],
    (terms, run): (&[u32], usize),
    x: &[u64],
) {
    let product = Product::new(q, terms, run, x);
    let tiles = out.chunks_mut(GEMM_OUTPUTS * GEMM_COLUMNS).zip(weights.chunks(GEMM_OUTPUTS * terms.len()));
    for (out, weights) in tiles {
        match out.len() / GEMM_COLUMNS {
            1 => product.tile::<1>(out, weights),
            2 => product.tile::<2>(out, weights),
            3 => product.tile::<3>(out, weights),
            4 => product.tile::<4>(out, weights),
            5 => product.tile::<5>(out, weights),
            _ => product.tile::<GEMM_OUTPUTS>(out, weights),
        }
    }
}

struct Product<'a> {
    p: Prime,
    /// The weight of the upper two pieces, 2^26.
    upper: Factor,
    /// A multiple of q in (2^50, 2^50 + q], which makes totals positive.
    offset: Vector,
    terms: &'a [u32],
    /// Terms of a run.
    length: usize,
    rows: &'a [[Line; VECTORS]],
}

impl<'a> Product<'a> {
    #[inline]
    #[target_feature(enable = "avx512f,avx512dq,avx512ifma,avx512vnni")]
    fn new(q: &Modulus, terms: &'a [u32], run: usize, x: &'a [u64]) -> Self {
        Self {
            p: Prime::new(q),
            upper: Factor::splat(q.shoup(q.reduce(1 << (2 * PIECE_BITS)))),
            offset: splat(q.value() * (q.reciprocal() / 4 + 1)),
            terms,
            length: run,
            rows: x.as_chunks().0.as_chunks().0,
        }
    }

    #[target_feature(enable = "avx512f,avx512dq,avx512ifma,avx512vnni")]
    fn tile<const O: usize>(&self, out: &mut [u64], weights: &[Pair]) {
        let weights = weights.as_chunks::<O>().0;
        let mut totals = [[_mm512_setzero_si512(); VECTORS]; O];
        for (terms, weights) in self.terms.chunks(self.length).zip(weights.chunks(self.length)) {
            let sums = self.run(terms, weights);
            for o in 0..O {
                for v in 0..VECTORS {
                    totals[o][v] = _mm512_add_epi64(totals[o][v], sums[o][v]);
                }
            }
        }
        let lines = out.as_chunks_mut::<LANES>().0;
        for o in 0..O {
            for h in 0..VECTORS / 2 {
                store(&mut lines[o * VECTORS / 2 + h], self.finish(totals[o][2 * h], totals[o][2 * h + 1]));
            }
        }
    }

    /// The sums over a run of terms, of 32 bits for each piece, then those of neighbouring pieces put together in 64 bits.
    #[inline]
    #[target_feature(enable = "avx512f,avx512dq,avx512ifma,avx512vnni")]
    fn run<const O: usize>(&self, terms: &[u32], weights: &[[Pair; O]]) -> [[Vector; VECTORS]; O] {
        let mut sums = [[_mm512_setzero_si512(); VECTORS]; O];
        for (&term, weights) in terms.iter().zip(weights) {
            let row = &self.rows[term as usize];
            for o in 0..O {
                let [even, odd] = weights[o];
                let weight = _mm512_set1_epi32(i32::from(odd) << 16 | i32::from(even.cast_unsigned()));
                for v in 0..VECTORS {
                    sums[o][v] = _mm512_dpwssd_epi32(sums[o][v], load(&row[v]), weight);
                }
            }
        }
        for o in 0..O {
            for v in 0..VECTORS {
                let lower = _mm512_srai_epi64::<32>(_mm512_slli_epi64::<32>(sums[o][v]));
                let higher = _mm512_srai_epi64::<32>(sums[o][v]);
                sums[o][v] = _mm512_add_epi64(lower, _mm512_slli_epi64::<PIECE_BITS>(higher));
            }
        }
        sums
    }

    /// Eight residues from their totals, in even lanes of the lower two pieces, in odd ones of the upper two.
    #[inline]
    #[target_feature(enable = "avx512f,avx512dq,avx512ifma,avx512vnni")]
    fn finish(&self, even: Vector, odd: Vector) -> Vector {
        let lo = _mm512_add_epi64(_mm512_unpacklo_epi64(even, odd), self.offset);
        let hi = _mm512_add_epi64(_mm512_unpackhi_epi64(even, odd), self.offset);
        // Two floors, each below 2q: one subtraction of their sum.
        let quotient = _mm512_madd52hi_epu64(_mm512_setzero_si512(), lo, self.p.reciprocal);
        let quotient = _mm512_madd52hi_epu64(quotient, hi, self.upper.quotient);
        let low = _mm512_madd52lo_epu64(lo, hi, self.upper.value);
        self.p.finish_four(_mm512_madd52lo_epu64(low, quotient, self.p.minus_q))
    }
}
