//! Products of a matrix of 16-bit constants with one panel of residues, each cut into three pieces of 16 bits or four of 13.
//!
//! ```text
//! for each tile of up to 6 outputs
//!     for each of the 3 or 4 pieces, for each run of terms
//!         12 accumulators (6 outputs x 2 vectors, 8 sums of 32 bits each) += weights x pieces, two rows at once
//!         carries += what the accumulators have beyond a piece, which they lose
//!     out := accumulators and carries, put together and reduced
//! ```
//!
//! Why so: an instruction does 16 products of 16 bits, of a piece of eight residues in two rows, while a product of residues as
//! doubles takes six for four. There are 16 registers: one piece at a time leaves room for two vectors of it and a weight, and 8 loads
//! serve 24 instructions. So pieces lie plane by plane, the pairs of rows of each in one stream. Bounds: `NOTES.md`.

use std::arch::x86_64::*;

use super::super::super::modulus::Modulus;
use super::super::{GEMM_COLUMNS, GEMM_OUTPUTS, Pair, Pieces};
use super::{Factor, LANES, Line, Prime, Vector, add_if_negative, load_bits, splat, store_bits};

/// Vectors of a row of residues in a panel, and of a piece of two rows.
const VECTORS: usize = GEMM_COLUMNS / LANES;
const HALVES: usize = VECTORS / 2;

/// One piece of two rows of a panel.
type Row = [Line; HALVES];

/// Planes that a buffer of pieces has room for.
const PLANES: usize = 4;

/// Rows of each plane of a buffer of so many words.
fn plane(words: usize) -> usize {
    words / (LANES * HALVES * PLANES)
}

/// The 64-bit word of four 16-bit fields, the first one lowest, in every lane.
#[inline]
#[target_feature(enable = "avx2,fma")]
fn fields(of: [i64; 4]) -> __m256i {
    _mm256_set1_epi64x(of[0] | of[1] << 16 | of[2] << 32 | of[3] << 48)
}

#[target_feature(enable = "avx2,fma")]
pub(in super::super) fn split_into(q: &Modulus, pieces: &mut [u64], rows: &[u64]) {
    match Pieces::of(q) {
        Pieces::Three => split::<3>(q, 16, pieces, rows),
        Pieces::Four => split::<4>(q, 13, pieces, rows),
    }
}

/// Two rows become one row of each of P planes, in pairs of both. The columns are in the order in which [`Product::finish`] finds them.
#[target_feature(enable = "avx2,fma")]
fn split<const P: usize>(q: &Modulus, bits: u64, pieces: &mut [u64], rows: &[u64]) {
    let (cut, plane) = (Cut::<P>::new(q, bits), plane(pieces.len()));
    let pieces: &mut [Row] = pieces.as_chunks_mut().0.as_chunks_mut().0;
    let zeros = [[0; LANES]; VECTORS];
    for (i, rows) in rows.as_chunks().0.as_chunks::<VECTORS>().0.chunks(2).enumerate() {
        let (x, y) = (&rows[0], rows.get(1).unwrap_or(&zeros));
        for (half, (x, y)) in x.as_chunks::<2>().0.iter().zip(y.as_chunks::<2>().0).enumerate() {
            let ([a, b], [c, d]) = (cut.pairs(&x[0], &y[0]), cut.pairs(&x[1], &y[1]));
            let planes = [
                _mm256_unpacklo_epi64(a, c),
                _mm256_unpackhi_epi64(a, c),
                _mm256_unpacklo_epi64(b, d),
                _mm256_unpackhi_epi64(b, d),
            ];
            for p in 0..P {
                store_bits(&mut pieces[p * plane + i][half], planes[p]);
            }
        }
    }
}

/// What cuts residues into P pieces.
struct Cut<const P: usize> {
    q: __m256i,
    /// What all balanced pieces lack to be positive, less q.
    shift: __m256i,
    mask: __m256i,
    half: __m256i,
}

impl<const P: usize> Cut<P> {
    #[inline]
    #[target_feature(enable = "avx2,fma")]
    fn new(q: &Modulus, bits: u64) -> Self {
        let half = 1 << (bits - 1);
        let halves = half * (1 + (1 << bits) + (1 << (2 * bits)));
        Self {
            q: _mm256_set1_epi64x(q.value().cast_signed()),
            shift: _mm256_set1_epi64x(halves - q.value().cast_signed()),
            mask: fields([2 * half - 1; 4]),
            half: fields([half, half, half, 0]),
        }
    }

    /// The pieces of four residues, each in a field of 16 bits.
    #[inline]
    #[target_feature(enable = "avx2,fma")]
    fn pieces(&self, x: &Line) -> __m256i {
        let mut x = add_if_negative(_mm256_add_epi64(load_bits(x), self.shift), self.q);
        if P == 4 {
            // Bit 13 d becomes bit 16 d.
            let low = _mm256_blend_epi16::<0x22>(x, _mm256_slli_epi64::<3>(x));
            let high = _mm256_blend_epi16::<0x88>(_mm256_slli_epi64::<6>(x), _mm256_slli_epi64::<9>(x));
            x = _mm256_and_si256(_mm256_blend_epi16::<0xcc>(low, high), self.mask);
        }
        _mm256_sub_epi16(x, self.half)
    }

    /// The pieces of four residues of two rows: the first two of each of both, then the others.
    #[inline]
    #[target_feature(enable = "avx2,fma")]
    fn pairs(&self, x: &Line, y: &Line) -> [__m256i; 2] {
        let (x, y) = (self.pieces(x), self.pieces(y));
        let (even, odd) = (_mm256_unpacklo_epi16(x, y), _mm256_unpackhi_epi16(x, y));
        [_mm256_unpacklo_epi32(even, odd), _mm256_unpackhi_epi32(even, odd)]
    }
}

#[target_feature(enable = "avx2,fma")]
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
    mask: __m256i,
    /// The weights of the second digit of a word, of the third, and of the word that begins with the third.
    digits: [Vector; 2],
    upper: Factor,
    terms: &'a [u32],
    /// Where consecutive terms begin, if they all are.
    first: Option<usize>,
    /// Terms of a run.
    length: usize,
    planes: [&'a [Row]; P],
}

/// The sums of the outputs of a tile.
type Sums<const O: usize> = [[__m256i; HALVES]; O];

impl<'a, const P: usize, const D: usize> Product<'a, P, D> {
    /// There is only one run, and nothing carried.
    const ONE_RUN: bool = D == P;

    #[inline]
    #[target_feature(enable = "avx2,fma")]
    fn new(q: &Modulus, bits: u32, (terms, length): (&'a [u32], usize), x: &'a [u64]) -> Self {
        let (rows, plane) = (x.as_chunks().0.as_chunks().0, plane(x.len()));
        let last = terms.iter().fold(0, |last, &term| term.max(last));
        assert!((last as usize) < plane, "pair {last} of {plane}");
        Self {
            p: Prime::new(q),
            bits: _mm_cvtsi32_si128(bits.cast_signed()),
            mask: _mm256_set1_epi32((1 << bits) - 1),
            digits: [1u64 << bits, 1 << (2 * bits)].map(|weight| splat(weight as f64)),
            upper: Prime::factor(q, q.reduce(1 << (2 * bits))),
            first: terms.windows(2).all(|t| t[1] == t[0] + 1).then(|| terms[0] as usize),
            terms,
            length,
            planes: std::array::from_fn(|p| &rows[p * plane..][..plane]),
        }
    }

    #[target_feature(enable = "avx2,fma")]
    fn tiles(&self, mut out: &mut [u64], mut weights: &[Pair]) {
        while !out.is_empty() {
            let outputs = (out.len() / GEMM_COLUMNS).min(GEMM_OUTPUTS);
            let (tile, others) = out.split_at_mut(outputs * GEMM_COLUMNS);
            let (of_tile, of_others) = weights.split_at(outputs * self.terms.len());
            match outputs {
                1 => self.tile::<1>(tile, of_tile),
                2 => self.tile::<2>(tile, of_tile),
                3 => self.tile::<3>(tile, of_tile),
                4 => self.tile::<4>(tile, of_tile),
                5 => self.tile::<5>(tile, of_tile),
                _ => self.tile::<GEMM_OUTPUTS>(tile, of_tile),
            }
            (out, weights) = (others, of_others);
        }
    }

    #[target_feature(enable = "avx2,fma")]
    fn tile<const O: usize>(&self, out: &mut [u64], weights: &[Pair]) {
        let weights = weights.as_chunks::<O>().0;
        let digits = self.digits(weights);
        let lines = out.as_chunks_mut().0.as_chunks_mut::<VECTORS>().0;
        for o in 0..O {
            for half in 0..HALVES {
                let [low, high] = self.finish(digits.each_ref().map(|digit| digit[o][half]));
                self.p.store_signed(&mut lines[o][2 * half], low);
                self.p.store_signed(&mut lines[o][2 * half + 1], high);
            }
        }
    }

    /// The digits of all outputs: sums and, of several runs, what the piece before has carried.
    #[inline]
    #[target_feature(enable = "avx2,fma")]
    fn digits<const O: usize>(&self, weights: &[[Pair; O]]) -> [Sums<O>; D] {
        let zeros = [[_mm256_setzero_si256(); HALVES]; O];
        let mut digits = [zeros; D];
        for p in 0..P {
            let (mut sums, mut carries) = (zeros, zeros);
            for (i, weights) in weights.chunks(self.length).enumerate() {
                sums = self.run(sums, p, i * self.length, weights);
                if !Self::ONE_RUN {
                    for (sum, carry) in sums.as_flattened_mut().iter_mut().zip(carries.as_flattened_mut()) {
                        *carry = _mm256_add_epi32(*carry, _mm256_sra_epi32(*sum, self.bits));
                        *sum = _mm256_and_si256(*sum, self.mask);
                    }
                }
            }
            if Self::ONE_RUN {
                digits[p] = sums;
                continue;
            }
            for (digit, sum) in digits[p].as_flattened_mut().iter_mut().zip(sums.as_flattened()) {
                *digit = _mm256_add_epi32(*digit, *sum);
            }
            digits[p + 1] = carries;
        }
        digits
    }

    /// Sums and the products of the run of terms from `start` on, for piece p.
    #[inline]
    #[target_feature(enable = "avx2,fma")]
    fn run<const O: usize>(&self, sums: Sums<O>, p: usize, start: usize, weights: &[[Pair; O]]) -> Sums<O> {
        let plane = self.planes[p];
        match self.first {
            Some(first) => run(sums, plane[first + start..].iter(), weights),
            None => run(sums, self.terms[start..].iter().map(|&term| at(plane, term)), weights),
        }
    }

    /// The residues of eight columns, centred, from their digits.
    #[inline]
    #[target_feature(enable = "avx2,fma")]
    fn finish(&self, digits: [__m256i; D]) -> [Vector; 2] {
        let (mut low, mut high) = ([splat(0.0); D], [splat(0.0); D]);
        for d in 0..D {
            low[d] = _mm256_cvtepi32_pd(_mm256_castsi256_si128(digits[d]));
            high[d] = _mm256_cvtepi32_pd(_mm256_extracti128_si256::<1>(digits[d]));
        }
        let (low, high) = (self.residues(low), self.residues(high));
        [_mm256_permute2f128_pd::<0x20>(low, high), _mm256_permute2f128_pd::<0x31>(low, high)]
    }

    /// Four residues from their digits: two words, the upper one times its weight.
    #[inline]
    #[target_feature(enable = "avx2,fma")]
    fn residues(&self, digits: [Vector; D]) -> Vector {
        let lower = _mm256_fmadd_pd(digits[1], self.digits[0], digits[0]);
        let mut upper = digits[2];
        for (digit, weight) in digits[3..].iter().zip(self.digits) {
            upper = _mm256_fmadd_pd(*digit, weight, upper);
        }
        self.p.centre(_mm256_add_pd(lower, self.p.mul(upper, self.upper)))
    }
}

/// A row of a plane that [`Product::new`] has found all terms in.
#[inline(always)]
fn at(plane: &[Row], term: u32) -> &Row {
    // SAFETY: `Product::new` has compared the largest term with the number of rows of each plane.
    unsafe { plane.get_unchecked(term as usize) }
}

/// Sums and the products of some rows of one piece.
#[inline]
#[target_feature(enable = "avx2,fma")]
fn run<'a, const O: usize>(mut sums: Sums<O>, rows: impl Iterator<Item = &'a Row>, weights: &[[Pair; O]]) -> Sums<O> {
    for (row, weights) in rows.zip(weights) {
        let x = row.each_ref().map(load_bits);
        for o in 0..O {
            let [even, odd] = weights[o];
            let weight = _mm256_set1_epi32(i32::from(odd) << 16 | i32::from(even.cast_unsigned()));
            for half in 0..HALVES {
                sums[o][half] = _mm256_add_epi32(sums[o][half], _mm256_madd_epi16(x[half], weight));
            }
        }
    }
    sums
}
