//! AVX2 with FP64 FMA: four lanes of products of integers held as doubles (`NOTES.md` has the bounds).
//!
//! Residues are converted to doubles, which hold integers up to 2^53 exactly. A product x w is the unevaluated sum h + l of its rounding
//! and its rounding error, which one FMA computes exactly; with b the integer next to x w / q, h − b q is exact, too, and
//! (h − b q) + l is x w modulo q, centred (Dekker's product by FMA; van der Hoeven, Lecerf, Quintin: Modular SIMD arithmetic in
//! Mathemagix, arXiv 1407.3383, section 3).

mod fold;
mod keystream;
mod ntt;
mod short_gemm;
mod stages;
mod sums;

use std::arch::x86_64::*;

use super::super::modulus::{Modulus, ShoupFactor};
use super::{GEMM_COLUMNS, GEMM_OUTPUTS, Loops, Panels, scalar};

pub(super) use keystream::candidates_into;
pub(super) use ntt::{ntt_forward, ntt_inverse, shape};
pub(super) use short_gemm::{short_gemm_into, split_into};
pub(super) use sums::{convert_into, dot_into, dot_scalars_into, dot_slices_into, round_quotient};

/// Proof that this CPU has AVX2 and FMA.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Token(());

impl Token {
    /// Whether this CPU can run the kernels of this file.
    pub fn is_available() -> bool {
        is_x86_feature_detected!("avx2") && is_x86_feature_detected!("fma")
    }

    /// The proof, if it holds.
    pub fn new() -> Option<Self> {
        Self::is_available().then_some(Self(()))
    }
}

/// Four integers, as doubles.
type Vector = __m256d;

type Line = [u64; LANES];

/// Words of a vector.
pub(super) const LANES: usize = 4;

/// 2^52: the bits of 2^52 + x are those of 2^52 with x in the mantissa, for 0 <= x < 2^52.
const TWO_52: f64 = (1u64 << 52) as f64;

/// 3 · 2^51: adding it rounds |z| <= 2^51 to an integer, subtracting it leaves that integer.
const ROUNDER: f64 = 3.0 * (1u64 << 51) as f64;

/// Sums of this many centred products and one centred value stay below 4q.
const TERMS: usize = 4;

#[inline(always)]
fn load_bits(line: &Line) -> __m256i {
    // SAFETY: the reference covers the 32 bytes of a vector, whose bits may be any, and the read does not need alignment.
    unsafe { line.as_ptr().cast::<__m256i>().read_unaligned() }
}

#[inline(always)]
fn store_bits(line: &mut Line, x: __m256i) {
    // SAFETY: the reference covers the 32 bytes of a vector, and the write does not need alignment.
    unsafe { line.as_mut_ptr().cast::<__m256i>().write_unaligned(x) }
}

/// Words below 2^52, as doubles.
#[inline]
#[target_feature(enable = "avx2,fma")]
fn load(line: &Line) -> Vector {
    let two_52 = splat(TWO_52);
    _mm256_sub_pd(_mm256_or_pd(_mm256_castsi256_pd(load_bits(line)), two_52), two_52)
}

/// Integers in [0, 2^52), as words.
#[inline]
#[target_feature(enable = "avx2,fma")]
fn store(line: &mut Line, x: Vector) {
    let two_52 = splat(TWO_52);
    store_bits(line, _mm256_castpd_si256(_mm256_xor_pd(_mm256_add_pd(x, two_52), two_52)));
}

/// The same number in every lane.
#[inline]
#[target_feature(enable = "avx2,fma")]
fn splat(x: f64) -> Vector {
    _mm256_set1_pd(x)
}

/// A constant factor w in (−q/2, q/2) with w / q.
#[derive(Clone, Copy)]
struct Factor {
    value: Vector,
    quotient: Vector,
}

/// w and w / q of [`Factor`], for tables.
pub(super) fn factor(q: &Modulus, w: u64) -> [f64; 2] {
    let value = q.centered(w) as f64;
    [value, value / q.value() as f64]
}

/// Constants of one prime in every lane.
#[derive(Clone, Copy)]
struct Prime {
    q: Vector,
    /// 1 / q.
    inverse: Vector,
    rounder: Vector,
    /// The bits of `rounder`, less q.
    rounder_less_q: __m256i,
}

impl Prime {
    #[inline]
    #[target_feature(enable = "avx2,fma")]
    fn new(q: &Modulus) -> Self {
        let value = q.value() as f64;
        Self {
            q: splat(value),
            inverse: splat(value.recip()),
            rounder: splat(ROUNDER),
            rounder_less_q: _mm256_set1_epi64x((ROUNDER.to_bits() - q.value()) as i64),
        }
    }

    #[inline]
    #[target_feature(enable = "avx2,fma")]
    fn factor(q: &Modulus, w: u64) -> Factor {
        let [value, quotient] = factor(q, w);
        Factor { value: splat(value), quotient: splat(quotient) }
    }

    /// The integer next to x y, for |x y| <= 2^51.
    #[inline]
    #[target_feature(enable = "avx2,fma")]
    fn round_product(&self, x: Vector, y: Vector) -> Vector {
        _mm256_sub_pd(_mm256_fmadd_pd(x, y, self.rounder), self.rounder)
    }

    /// x w − (multiple of q), at most 3q/4 away from 0, for |x| <= 2^52.
    #[inline]
    #[target_feature(enable = "avx2,fma")]
    fn mul(&self, x: Vector, w: Factor) -> Vector {
        let high = _mm256_mul_pd(x, w.value);
        let low = _mm256_fmsub_pd(x, w.value, high);
        let quotient = self.round_product(x, w.quotient);
        _mm256_add_pd(_mm256_fnmadd_pd(quotient, self.q, high), low)
    }

    /// a b − (multiple of q), at most 3q/4 away from 0, for a in [0, 2^50) and b in [0, q).
    #[inline]
    #[target_feature(enable = "avx2,fma")]
    fn product(&self, a: Vector, b: Vector) -> Vector {
        let high = _mm256_mul_pd(a, b);
        let low = _mm256_fmsub_pd(a, b, high);
        let quotient = self.round_product(high, self.inverse);
        _mm256_add_pd(_mm256_fnmadd_pd(quotient, self.q, high), low)
    }

    /// x − (multiple of q), at most q/2 away from 0 (by rounding, a little more), for |x| <= 8q or 2^50.
    #[inline]
    #[target_feature(enable = "avx2,fma")]
    fn centre(&self, x: Vector) -> Vector {
        _mm256_fnmadd_pd(self.round_product(x, self.inverse), self.q, x)
    }

    /// From (−q, q) to [0, q), as words.
    #[inline]
    #[target_feature(enable = "avx2,fma")]
    fn store_signed(&self, line: &mut Line, x: Vector) {
        // x in the mantissa of 3 · 2^51, as it is and plus q.
        let x = _mm256_castpd_si256(_mm256_add_pd(x, self.rounder));
        let difference = _mm256_castsi256_pd(_mm256_sub_epi64(x, _mm256_castpd_si256(self.rounder)));
        let sum = _mm256_castsi256_pd(_mm256_sub_epi64(x, self.rounder_less_q));
        store_bits(line, _mm256_castpd_si256(_mm256_blendv_pd(difference, sum, difference)));
    }
}

#[target_feature(enable = "avx2,fma")]
pub(super) fn reduce_signed_into(q: &Modulus, out: &mut [u64], x: &[i64]) {
    let p = Prime::new(q);
    let rounder = _mm256_castpd_si256(p.rounder);
    let ((out, out_rest), (x, x_rest)) = (out.as_chunks_mut(), x.as_chunks());
    for (out, x) in out.iter_mut().zip(x) {
        // x in the mantissa of 3 · 2^51.
        let x = _mm256_add_epi64(load_bits(&x.map(i64::cast_unsigned)), rounder);
        p.store_signed(out, p.centre(_mm256_sub_pd(_mm256_castsi256_pd(x), p.rounder)));
    }
    scalar::reduce_signed_into(q, out_rest, x_rest);
}

#[target_feature(enable = "avx2,fma")]
pub(super) fn add_assign(q: &Modulus, a: &mut [u64], b: &[u64]) {
    let value = _mm256_set1_epi64x(q.value() as i64);
    let ((a, a_rest), (b, b_rest)) = (a.as_chunks_mut(), b.as_chunks());
    for (a, b) in a.iter_mut().zip(b) {
        let difference = _mm256_sub_epi64(_mm256_add_epi64(load_bits(a), load_bits(b)), value);
        store_bits(a, add_if_negative(difference, value));
    }
    scalar::add_assign(q, a_rest, b_rest);
}

#[target_feature(enable = "avx2,fma")]
pub(super) fn sub_assign(q: &Modulus, a: &mut [u64], b: &[u64]) {
    let value = _mm256_set1_epi64x(q.value() as i64);
    let ((a, a_rest), (b, b_rest)) = (a.as_chunks_mut(), b.as_chunks());
    for (a, b) in a.iter_mut().zip(b) {
        store_bits(a, add_if_negative(_mm256_sub_epi64(load_bits(a), load_bits(b)), value));
    }
    scalar::sub_assign(q, a_rest, b_rest);
}

#[target_feature(enable = "avx2,fma")]
pub(super) fn neg_assign(q: &Modulus, a: &mut [u64]) {
    let value = _mm256_set1_epi64x(q.value() as i64);
    let (a, rest) = a.as_chunks_mut();
    for a in a {
        store_bits(a, add_if_negative(_mm256_sub_epi64(_mm256_setzero_si256(), load_bits(a)), value));
    }
    scalar::neg_assign(q, rest);
}

/// x + c where x < 0, else x.
#[inline]
#[target_feature(enable = "avx2,fma")]
fn add_if_negative(x: __m256i, c: __m256i) -> __m256i {
    let negative = _mm256_cmpgt_epi64(_mm256_setzero_si256(), x);
    _mm256_add_epi64(x, _mm256_and_si256(negative, c))
}

#[target_feature(enable = "avx2,fma")]
pub(super) fn mul_into(q: &Modulus, out: &mut [u64], a: &[u64], b: &[u64]) {
    let p = Prime::new(q);
    let ((out, out_rest), (a, a_rest), (b, b_rest)) = (out.as_chunks_mut(), a.as_chunks(), b.as_chunks());
    for ((out, a), b) in out.iter_mut().zip(a).zip(b) {
        p.store_signed(out, p.product(load(a), load(b)));
    }
    scalar::mul_into(q, out_rest, a_rest, b_rest);
}

#[target_feature(enable = "avx2,fma")]
pub(super) fn mul_assign(q: &Modulus, a: &mut [u64], b: &[u64]) {
    let p = Prime::new(q);
    let ((a, a_rest), (b, b_rest)) = (a.as_chunks_mut(), b.as_chunks());
    for (a, b) in a.iter_mut().zip(b) {
        p.store_signed(a, p.product(load(a), load(b)));
    }
    scalar::mul_assign(q, a_rest, b_rest);
}

#[target_feature(enable = "avx2,fma")]
pub(super) fn mul_add_assign(q: &Modulus, acc: &mut [u64], a: &[u64], b: &[u64]) {
    let p = Prime::new(q);
    let ((acc, acc_rest), (a, a_rest), (b, b_rest)) = (acc.as_chunks_mut(), a.as_chunks(), b.as_chunks());
    for ((acc, a), b) in acc.iter_mut().zip(a).zip(b) {
        p.store_signed(acc, p.centre(_mm256_add_pd(load(acc), p.product(load(a), load(b)))));
    }
    scalar::mul_add_assign(q, acc_rest, a_rest, b_rest);
}

#[target_feature(enable = "avx2,fma")]
pub(super) fn square_into(q: &Modulus, [low, middle, high]: [&mut [u64]; 3], a: &[u64], b: &[u64]) {
    let p = Prime::new(q);
    let ((low, low_rest), (middle, middle_rest)) = (low.as_chunks_mut(), middle.as_chunks_mut());
    let ((high, high_rest), (a, a_rest), (b, b_rest)) = (high.as_chunks_mut(), a.as_chunks(), b.as_chunks());
    for (((low, middle), high), (a, b)) in low.iter_mut().zip(middle).zip(high).zip(a.iter().zip(b)) {
        let (a, b) = (load(a), load(b));
        let product = p.product(a, b);
        p.store_signed(low, p.product(a, a));
        p.store_signed(middle, p.centre(_mm256_add_pd(product, product)));
        p.store_signed(high, p.product(b, b));
    }
    scalar::square_into(q, [low_rest, middle_rest, high_rest], a_rest, b_rest);
}

#[target_feature(enable = "avx2,fma")]
pub(super) fn mul_scalar_assign(q: &Modulus, a: &mut [u64], w: ShoupFactor) {
    let (p, factor) = (Prime::new(q), Prime::factor(q, w.value));
    let (a, rest) = a.as_chunks_mut();
    for a in a {
        p.store_signed(a, p.mul(load(a), factor));
    }
    scalar::mul_scalar_assign(q, rest, w);
}

#[target_feature(enable = "avx2,fma")]
pub(super) fn mul_scalar_add_assign(q: &Modulus, a: &mut [u64], b: &[u64], w: ShoupFactor) {
    let (p, factor) = (Prime::new(q), Prime::factor(q, w.value));
    let ((a, a_rest), (b, b_rest)) = (a.as_chunks_mut(), b.as_chunks());
    for (a, b) in a.iter_mut().zip(b) {
        p.store_signed(a, p.centre(_mm256_add_pd(load(a), p.mul(load(b), factor))));
    }
    scalar::mul_scalar_add_assign(q, a_rest, b_rest, w);
}

#[target_feature(enable = "avx2,fma")]
pub(super) fn sub_mul_scalar_assign(q: &Modulus, a: &mut [u64], b: &[u64], w: ShoupFactor) {
    let (p, factor) = (Prime::new(q), Prime::factor(q, w.value));
    let ((a, a_rest), (b, b_rest)) = (a.as_chunks_mut(), b.as_chunks());
    for (a, b) in a.iter_mut().zip(b) {
        p.store_signed(a, p.mul(_mm256_sub_pd(load(a), load(b)), factor));
    }
    scalar::sub_mul_scalar_assign(q, a_rest, b_rest, w);
}

#[target_feature(enable = "avx2,fma")]
pub(super) fn gemm_into(q: &Modulus, out: &mut [u64], weights: &[u64], terms: &[u32], x: Panels<'_>) {
    let width = x.count() * GEMM_COLUMNS;
    let p = Prime::new(q);
    let tiles = out.chunks_mut(GEMM_OUTPUTS * width).zip(weights.chunks(GEMM_OUTPUTS * terms.len()));
    for (out, weights) in tiles {
        match out.len() / width {
            1 => gemm_tile::<1>(&p, out, weights, terms, x),
            2 => gemm_tile::<2>(&p, out, weights, terms, x),
            3 => gemm_tile::<3>(&p, out, weights, terms, x),
            4 => gemm_tile::<4>(&p, out, weights, terms, x),
            5 => gemm_tile::<5>(&p, out, weights, terms, x),
            _ => gemm_tile::<GEMM_OUTPUTS>(&p, out, weights, terms, x),
        }
    }
}

/// The outputs of a tile, vector by vector of each panel.
#[target_feature(enable = "avx2,fma")]
fn gemm_tile<const O: usize>(p: &Prime, out: &mut [u64], weights: &[u64], terms: &[u32], x: Panels<'_>) {
    let (weights, width) = (weights.as_chunks::<O>().0, x.count() * GEMM_COLUMNS);
    for (i, (panel, v)) in
        (0..width / LANES).map(|i| (i * LANES / GEMM_COLUMNS, i % (GEMM_COLUMNS / LANES))).enumerate()
    {
        let mut sums = [_mm256_setzero_pd(); O];
        for (terms, weights) in terms.chunks(TERMS).zip(weights.chunks(TERMS)) {
            for (&term, weights) in terms.iter().zip(weights) {
                let word = (panel * x.rows + term as usize) * GEMM_COLUMNS;
                let column = load(&x.data[word..][..GEMM_COLUMNS].as_chunks().0[v]);
                for (sum, &weight) in sums.iter_mut().zip(weights) {
                    *sum = _mm256_add_pd(*sum, p.product(column, splat(weight as f64)));
                }
            }
            sums.iter_mut().for_each(|sum| *sum = p.centre(*sum));
        }
        for (out, sum) in out.chunks_mut(width).zip(sums) {
            p.store_signed(&mut out.as_chunks_mut().0[i], sum);
        }
    }
}

/// Constants that centre residues of d.
#[derive(Clone, Copy)]
struct Centring {
    half: Vector,
    d: Vector,
}

impl Centring {
    #[inline]
    #[target_feature(enable = "avx2,fma")]
    fn new(d: u64) -> Self {
        Self { half: splat((d / 2) as f64), d: splat(d as f64) }
    }

    /// The representative of x < d in (−d/2, d/2].
    #[inline]
    #[target_feature(enable = "avx2,fma")]
    fn load(&self, x: &Line) -> Vector {
        let x = load(x);
        let upper = _mm256_cmp_pd::<_CMP_GT_OQ>(x, self.half);
        _mm256_sub_pd(x, _mm256_and_pd(upper, self.d))
    }
}

#[target_feature(enable = "avx2,fma")]
pub(super) fn center_into(q: &Modulus, out: &mut [u64], x: &[u64], d: u64) {
    let (p, centring) = (Prime::new(q), Centring::new(d));
    let ((out, out_rest), (x, x_rest)) = (out.as_chunks_mut(), x.as_chunks());
    for (out, x) in out.iter_mut().zip(x) {
        p.store_signed(out, p.centre(centring.load(x)));
    }
    scalar::center_into(q, out_rest, x_rest, d);
}

#[target_feature(enable = "avx2,fma")]
pub(super) fn permute_into(out: &mut [u64], a: &[u64], table: &[u32]) {
    let ((lines, rest), (tables, table_rest)) = (out.as_chunks_mut::<LANES>(), table.as_chunks::<LANES>());
    let sources = a.as_chunks().0;
    for (line, table) in lines.iter_mut().zip(tables) {
        match permuted(sources, table) {
            Some(words) => store_bits(line, words),
            None => scalar::permute_into(line, a, table),
        }
    }
    scalar::permute_into(rest, a, table_rest);
}

#[target_feature(enable = "avx2,fma")]
pub(super) fn permute_add_assign(q: &Modulus, a: &mut [u64], b: &[u64], table: &[u32]) {
    let value = _mm256_set1_epi64x(q.value() as i64);
    let ((lines, rest), (tables, table_rest)) = (a.as_chunks_mut::<LANES>(), table.as_chunks::<LANES>());
    let sources = b.as_chunks().0;
    for (line, table) in lines.iter_mut().zip(tables) {
        match permuted(sources, table) {
            Some(words) => {
                let difference = _mm256_sub_epi64(_mm256_add_epi64(load_bits(line), words), value);
                store_bits(line, add_if_negative(difference, value));
            }
            None => scalar::permute_add_assign(q, line, b, table),
        }
    }
    scalar::permute_add_assign(q, rest, b, table_rest);
}

/// The words at these places if they are one block: an automorphism maps aligned blocks of four to aligned blocks of four (`NOTES.md`).
#[inline]
#[target_feature(enable = "avx2,fma")]
fn permuted(sources: &[Line], table: &[u32; LANES]) -> Option<__m256i> {
    let (block, places) = (table[0] as usize / LANES, _mm256_cvtepu32_epi64(load_half(table)));
    let strays = _mm256_xor_si256(_mm256_srli_epi64::<2>(places), _mm256_set1_epi64x(block as i64));
    let source = sources.get(block).filter(|_| _mm256_testz_si256(strays, strays) == 1)?;
    // The halves of word p are 2p and 2p + 1, of which three bits count.
    let lower = _mm256_add_epi64(places, places);
    let halves = _mm256_or_si256(lower, _mm256_slli_epi64::<32>(lower));
    let halves = _mm256_or_si256(halves, _mm256_set1_epi64x(1 << 32));
    Some(_mm256_permutevar8x32_epi32(load_bits(source), halves))
}

#[inline(always)]
fn load_half(line: &[u32; LANES]) -> __m128i {
    // SAFETY: the reference covers the 16 bytes of a vector, whose bits may be any, and the read does not need alignment.
    unsafe { line.as_ptr().cast::<__m128i>().read_unaligned() }
}

#[inline]
#[target_feature(enable = "avx2,fma")]
pub(super) fn vectorize<L: Loops>(loops: L) -> L::Output {
    loops.run()
}

/// A product is both its halves.
#[target_feature(enable = "avx2,fma")]
pub(super) fn saturate_multiplier(products: u64) -> u64 {
    const CHAINS: usize = 6;
    let (factor, addend) = (splat(0.75), splat(1.0));
    let (mut hi, mut lo) = ([splat(1.0); CHAINS], [splat(3.0); CHAINS]);
    for _ in 0..products.div_ceil((CHAINS * LANES) as u64) {
        for i in 0..CHAINS {
            hi[i] = _mm256_fmadd_pd(hi[i], factor, addend);
            lo[i] = _mm256_fmadd_pd(lo[i], factor, addend);
        }
    }
    let sum = hi.into_iter().chain(lo).fold(splat(0.0), |sum, x| _mm256_add_pd(sum, x));
    _mm256_cvtsd_f64(sum).to_bits()
}
