//! Products of a matrix of 16-bit constants with one panel of residues, each cut into three pieces of 16 bits or four of 13.
//!
//! ```text
//! for each tile of up to 6 outputs
//!     for each run of terms
//!         18 or 24 accumulators (6 outputs x 3 or 4 pieces, 16 sums of 32 bits each) += weights x pieces, two rows at once
//!         carries += what the accumulators have beyond a piece, which they lose
//!     out := accumulators and carries, put together and reduced
//! ```
//!
//! Why so: a VNNI instruction does 32 products of 16 bits, of a piece of 16 residues in two rows, while IFMA takes two for eight
//! residues in one. Bounds: `NOTES.md`.

use std::arch::x86_64::*;

use super::super::super::modulus::Modulus;
use super::super::{GEMM_COLUMNS, GEMM_OUTPUTS, Pair, Pieces};
use super::{Factor, LANES, Line, Prime, Vector, load, reduce_once, splat, store};

/// What makes the sums of a single run positive, and the carries of several.
const SUM_OFFSET: u64 = 1 << 31;
const CARRY_OFFSET: u64 = 1 << 24;

/// The 64-bit word of four 16-bit fields, the first one lowest, in every lane.
#[inline]
#[target_feature(enable = "avx512f,avx512dq,avx512ifma")]
fn fields(of: [u64; 4]) -> Vector {
    splat(of[0] | of[1] << 16 | of[2] << 32 | of[3] << 48)
}

#[target_feature(enable = "avx512f,avx512bw,avx512dq,avx512ifma,avx512vbmi")]
pub(in super::super) fn split_into(q: &Modulus, pieces: &mut [u64], rows: &[u64]) {
    match Pieces::of(q) {
        Pieces::Three => split::<3>(q, 16, pieces, rows),
        Pieces::Four => split::<4>(q, 13, pieces, rows),
    }
}

/// Two rows become P vectors: each has one piece of all columns, in pairs of both rows. The columns are in the order in which
/// [`Product::finish`] finds them.
#[target_feature(enable = "avx512f,avx512bw,avx512dq,avx512ifma,avx512vbmi")]
fn split<const P: usize>(q: &Modulus, bits: u64, pieces: &mut [u64], rows: &[u64]) {
    let (q, half) = (splat(q.value()), 1 << (bits - 1));
    let halves = splat(half * (1 + (1 << bits) + (1 << (2 * bits))));
    // For each piece the two bytes from its first bit on.
    let places = fields([0, 1, 2, 3].map(|d| (bits * d) | (bits * d + 8) << 8));
    let (mask, half) = (fields([2 * half - 1; 4]), fields([half, half, half, 0]));
    let split = |x: &Line| {
        let x = reduce_once(_mm512_add_epi64(load(x), halves), q);
        _mm512_sub_epi16(_mm512_and_si512(_mm512_multishift_epi64_epi8(places, x), mask), half)
    };
    let zeros = [[0; LANES]; GEMM_COLUMNS / LANES];
    let rows = rows.as_chunks().0.as_chunks::<{ GEMM_COLUMNS / LANES }>().0;
    for (pieces, rows) in pieces.as_chunks_mut().0.as_chunks_mut::<P>().0.iter_mut().zip(rows.chunks(2)) {
        let (x, y) = (&rows[0], rows.get(1).unwrap_or(&zeros));
        let [[a, b], [c, d]] = [0, 1].map(|h| {
            let (x, y) = (split(&x[h]), split(&y[h]));
            let (even, odd) = (_mm512_unpacklo_epi16(x, y), _mm512_unpackhi_epi16(x, y));
            [_mm512_unpacklo_epi32(even, odd), _mm512_unpackhi_epi32(even, odd)]
        });
        let planes = [
            _mm512_unpacklo_epi64(a, c),
            _mm512_unpackhi_epi64(a, c),
            _mm512_unpacklo_epi64(b, d),
            _mm512_unpackhi_epi64(b, d),
        ];
        for p in 0..P {
            store(&mut pieces[p], planes[p]);
        }
    }
}

#[target_feature(enable = "avx512f,avx512dq,avx512ifma,avx512vnni")]
pub(in super::super) fn short_gemm_into(
    q: &Modulus,
    out: &mut [u64],
    weights: &[Pair],
    (list, run): (&[u32], usize),
    x: &[u64],
) {
    let terms = (list, run);
    match (Pieces::of(q), list.len() <= run) {
        (Pieces::Three, true) => Product::<3, 3>::new(q, 16, terms, x).tiles(out, weights),
        (Pieces::Three, false) => Product::<3, 4>::new(q, 16, terms, x).tiles(out, weights),
        (Pieces::Four, true) => Product::<4, 4>::new(q, 13, terms, x).tiles(out, weights),
        (Pieces::Four, false) => Product::<4, 5>::new(q, 13, terms, x).tiles(out, weights),
    }
}

/// P pieces a residue. What is put together in the end has D digits: the pieces of the sums, and one more of their carries.
struct Product<'a, const P: usize, const D: usize> {
    p: Prime,
    /// Bits of a piece, and all of them.
    bits: __m128i,
    mask: Vector,
    /// The weights of the second digit of a word, of the third, and of the word that begins with the third.
    digits: [Vector; 2],
    upper: Factor,
    /// −(the offsets of all digits) mod q.
    start: Vector,
    terms: &'a [u32],
    /// Terms of a run.
    length: usize,
    rows: &'a [[Line; P]],
}

impl<'a, const P: usize, const D: usize> Product<'a, P, D> {
    /// There is only one run, and nothing carried.
    const ONE_RUN: bool = D == P;

    #[inline]
    #[target_feature(enable = "avx512f,avx512dq,avx512ifma,avx512vnni")]
    fn new(q: &Modulus, bits: u32, (terms, length): (&'a [u32], usize), x: &'a [u64]) -> Self {
        // Carries are those of the piece before.
        let offset = if Self::ONE_RUN { SUM_OFFSET } else { CARRY_OFFSET };
        let offsets: u128 = (D - P..D).map(|d| u128::from(offset) << (bits as usize * d)).sum();
        Self {
            p: Prime::new(q),
            bits: _mm_cvtsi32_si128(bits as i32),
            mask: _mm512_set1_epi32((1 << bits) - 1),
            digits: [splat(1 << bits), splat(1 << (2 * bits))],
            upper: Factor::splat(q.shoup(q.reduce(1 << (2 * bits)))),
            start: splat(q.neg(q.reduce_u128(offsets))),
            terms,
            length,
            rows: x.as_chunks().0.as_chunks().0,
        }
    }

    #[target_feature(enable = "avx512f,avx512dq,avx512ifma,avx512vnni")]
    fn tiles(&self, out: &mut [u64], weights: &[Pair]) {
        let tiles = out.chunks_mut(GEMM_OUTPUTS * GEMM_COLUMNS).zip(weights.chunks(GEMM_OUTPUTS * self.terms.len()));
        for (out, weights) in tiles {
            match out.len() / GEMM_COLUMNS {
                1 => self.tile::<1>(out, weights),
                2 => self.tile::<2>(out, weights),
                3 => self.tile::<3>(out, weights),
                4 => self.tile::<4>(out, weights),
                5 => self.tile::<5>(out, weights),
                _ => self.tile::<GEMM_OUTPUTS>(out, weights),
            }
        }
    }

    #[target_feature(enable = "avx512f,avx512dq,avx512ifma,avx512vnni")]
    fn tile<const O: usize>(&self, out: &mut [u64], weights: &[Pair]) {
        let first = if Self::ONE_RUN { SUM_OFFSET as i32 } else { 0 };
        let mut sums = [[_mm512_set1_epi32(first); P]; O];
        let mut carries = [[_mm512_set1_epi32(CARRY_OFFSET as i32); P]; O];
        let weights = weights.as_chunks::<O>().0;
        for (terms, weights) in self.terms.chunks(self.length).zip(weights.chunks(self.length)) {
            self.run(&mut sums, terms, weights);
            if !Self::ONE_RUN {
                for o in 0..O {
                    for p in 0..P {
                        carries[o][p] = _mm512_add_epi32(carries[o][p], _mm512_sra_epi32(sums[o][p], self.bits));
                        sums[o][p] = _mm512_and_si512(sums[o][p], self.mask);
                    }
                }
            }
        }
        let lines = out.as_chunks_mut().0.as_chunks_mut::<{ GEMM_COLUMNS / LANES }>().0;
        for o in 0..O {
            let digit = |d: usize| match (d < P, d > 0 && !Self::ONE_RUN) {
                (true, true) => _mm512_add_epi32(sums[o][d], carries[o][d - 1]),
                (true, false) => sums[o][d],
                (false, _) => carries[o][d - 1],
            };
            self.finish(std::array::from_fn(digit), &mut lines[o]);
        }
    }

    /// sums += the products of a run.
    #[inline]
    #[target_feature(enable = "avx512f,avx512dq,avx512ifma,avx512vnni")]
    fn run<const O: usize>(&self, sums: &mut [[Vector; P]; O], terms: &[u32], weights: &[[Pair; O]]) {
        let mut local = *sums;
        for (&term, weights) in terms.iter().zip(weights) {
            let row = &self.rows[term as usize];
            for o in 0..O {
                let [even, odd] = weights[o];
                let weight = _mm512_set1_epi32(i32::from(odd) << 16 | i32::from(even.cast_unsigned()));
                for p in 0..P {
                    local[o][p] = _mm512_dpwssd_epi32(local[o][p], load(&row[p]), weight);
                }
            }
        }
        *sums = local;
    }

    /// The residues of all columns from their digits, of 32 bits and not negative.
    #[inline]
    #[target_feature(enable = "avx512f,avx512dq,avx512ifma,avx512vnni")]
    fn finish(&self, digits: [Vector; D], out: &mut [Line; GEMM_COLUMNS / LANES]) {
        let even = self.residues(digits.map(|digit| _mm512_and_si512(digit, splat(u64::from(u32::MAX)))));
        let odd = self.residues(digits.map(|digit| _mm512_srli_epi64::<32>(digit)));
        store(&mut out[0], _mm512_unpacklo_epi64(even, odd));
        store(&mut out[1], _mm512_unpackhi_epi64(even, odd));
    }

    /// Eight residues from their digits: two words, each reduced with a quotient of its own.
    #[inline]
    #[target_feature(enable = "avx512f,avx512dq,avx512ifma,avx512vnni")]
    fn residues(&self, digits: [Vector; D]) -> Vector {
        let lower = _mm512_madd52lo_epu64(digits[0], digits[1], self.digits[0]);
        let mut upper = digits[2];
        for (digit, weight) in digits[3..].iter().zip(self.digits) {
            upper = _mm512_madd52lo_epu64(upper, *digit, weight);
        }
        let quotient = _mm512_madd52hi_epu64(_mm512_setzero_si512(), lower, self.p.reciprocal);
        let quotient = _mm512_madd52hi_epu64(quotient, upper, self.upper.quotient);
        let low = _mm512_madd52lo_epu64(_mm512_add_epi64(self.start, lower), upper, self.upper.value);
        self.p.finish_four(_mm512_madd52lo_epu64(low, quotient, self.p.minus_q))
    }
}
