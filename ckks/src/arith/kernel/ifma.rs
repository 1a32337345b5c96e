//! AVX-512 IFMA: eight lanes of 52-bit products (`NOTES.md` has the bounds behind every constant).
//!
//! The two instructions everything rests on take the low 52 bits of each operand and add one half of their 104-bit product to a
//! 64-bit accumulator: `madd52lo` the low 52 bits, `madd52hi` the high ones. Bits from 52 up are ignored in operands, so a sum
//! that is right modulo 2^52 can be multiplied as it is; only comparisons need clean words.

mod forward;
mod gemm;
mod inverse;
mod keystream;
mod ntt;
mod short_gemm;
mod sums;

use std::arch::x86_64::*;

use super::super::modulus::{Modulus, ShoupFactor};
use super::{Loops, scalar};

pub(super) use forward::ntt_forward;
pub(super) use gemm::gemm_into;
pub(super) use inverse::ntt_inverse;
pub(super) use keystream::candidates_into;
pub(super) use ntt::shape;
pub(super) use short_gemm::{short_gemm_into, split_into};
pub(super) use sums::{convert_into, dot_into, dot_scalars_into, dot_slices_into, round_quotient};

/// Proof that this CPU has AVX-512 F, BW, DQ, IFMA, VBMI and VNNI: Ice Lake, Zen 4 and later ones.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Token(());

impl Token {
    /// Whether this CPU can run the kernels of this file.
    pub fn is_available() -> bool {
        is_x86_feature_detected!("avx512f")
            && is_x86_feature_detected!("avx512bw")
            && is_x86_feature_detected!("avx512dq")
            && is_x86_feature_detected!("avx512ifma")
            && is_x86_feature_detected!("avx512vbmi")
            && is_x86_feature_detected!("avx512vnni")
    }

    /// The proof, if it holds.
    pub fn new() -> Option<Self> {
        Self::is_available().then_some(Self(()))
    }
}

/// Eight words.
type Vector = __m512i;

type Line = [u64; LANES];

/// Words of a vector.
pub(super) const LANES: usize = 8;

/// Low 52 bits.
const MASK: u64 = (1 << 52) - 1;

#[inline(always)]
fn load(line: &Line) -> Vector {
    // SAFETY: the reference covers the 64 bytes of a vector, whose bits may be any, and the read does not need alignment.
    unsafe { line.as_ptr().cast::<Vector>().read_unaligned() }
}

#[inline(always)]
fn store(line: &mut Line, x: Vector) {
    // SAFETY: the reference covers the 64 bytes of a vector, and the write does not need alignment.
    unsafe { line.as_mut_ptr().cast::<Vector>().write_unaligned(x) }
}

/// The same word in every lane.
#[inline]
#[target_feature(enable = "avx512f,avx512dq,avx512ifma")]
fn splat(x: u64) -> Vector {
    _mm512_set1_epi64(x as i64)
}

/// x − c if that is not negative, else x: for x < 2c, the residue of x modulo c.
#[inline]
#[target_feature(enable = "avx512f,avx512dq,avx512ifma")]
fn reduce_once(x: Vector, c: Vector) -> Vector {
    _mm512_min_epu64(x, _mm512_sub_epi64(x, c))
}

/// A factor with its Shoup quotient in every lane, or one of each a lane.
#[derive(Clone, Copy)]
struct Factor {
    value: Vector,
    quotient: Vector,
}

impl Factor {
    #[inline]
    #[target_feature(enable = "avx512f,avx512dq,avx512ifma")]
    fn zero() -> Self {
        Self { value: _mm512_setzero_si512(), quotient: _mm512_setzero_si512() }
    }

    #[inline]
    #[target_feature(enable = "avx512f,avx512dq,avx512ifma")]
    fn splat(w: ShoupFactor) -> Self {
        Self { value: splat(w.value), quotient: splat(w.quotient) }
    }
}

/// Constants of one prime in every lane.
#[derive(Clone, Copy)]
struct Prime {
    q: Vector,
    two_q: Vector,
    /// −q modulo 2^52: adding its products subtracts those of q.
    minus_q: Vector,
    /// floor(2^52 / q).
    reciprocal: Vector,
    mask: Vector,
}

impl Prime {
    #[inline]
    #[target_feature(enable = "avx512f,avx512dq,avx512ifma")]
    fn new(q: &Modulus) -> Self {
        Self {
            q: splat(q.value()),
            two_q: splat(2 * q.value()),
            minus_q: splat((1 << 52) - q.value()),
            reciprocal: splat(q.reciprocal()),
            mask: splat(MASK),
        }
    }

    /// start + x w − (multiple of q), where the product part is in [0, 2q) modulo 2^52. Any x modulo 2^52.
    #[inline]
    #[target_feature(enable = "avx512f,avx512dq,avx512ifma")]
    fn mul_lazy(&self, start: Vector, x: Vector, w: Factor) -> Vector {
        let quotient = _mm512_madd52hi_epu64(_mm512_setzero_si512(), x, w.quotient);
        let low = _mm512_madd52lo_epu64(start, x, w.value);
        _mm512_madd52lo_epu64(low, quotient, self.minus_q)
    }

    /// start + x − (multiple of q), where the part of x is in [0, 2q) modulo 2^52. `start` holds x already.
    #[inline]
    #[target_feature(enable = "avx512f,avx512dq,avx512ifma")]
    fn reduce_lazy(&self, start: Vector, x: Vector) -> Vector {
        let quotient = _mm512_madd52hi_epu64(_mm512_setzero_si512(), x, self.reciprocal);
        _mm512_madd52lo_epu64(start, quotient, self.minus_q)
    }

    /// From [0, 2q) modulo 2^52 to [0, q).
    #[inline]
    #[target_feature(enable = "avx512f,avx512dq,avx512ifma")]
    fn finish(&self, x: Vector) -> Vector {
        reduce_once(_mm512_and_si512(x, self.mask), self.q)
    }

    /// From [0, 4q) modulo 2^52 to [0, q).
    #[inline]
    #[target_feature(enable = "avx512f,avx512dq,avx512ifma")]
    fn finish_four(&self, x: Vector) -> Vector {
        reduce_once(reduce_once(_mm512_and_si512(x, self.mask), self.two_q), self.q)
    }

    /// x w mod q, reduced.
    #[inline]
    #[target_feature(enable = "avx512f,avx512dq,avx512ifma")]
    fn mul(&self, x: Vector, w: Factor) -> Vector {
        self.finish(self.mul_lazy(_mm512_setzero_si512(), x, w))
    }

    /// a + b mod q, reduced.
    #[inline]
    #[target_feature(enable = "avx512f,avx512dq,avx512ifma")]
    fn add(&self, a: Vector, b: Vector) -> Vector {
        reduce_once(_mm512_add_epi64(a, b), self.q)
    }

    /// a − b mod q, reduced.
    #[inline]
    #[target_feature(enable = "avx512f,avx512dq,avx512ifma")]
    fn sub(&self, a: Vector, b: Vector) -> Vector {
        let difference = _mm512_sub_epi64(a, b);
        _mm512_min_epu64(difference, _mm512_add_epi64(difference, self.q))
    }
}

/// Constants of the product of two residues.
#[derive(Clone, Copy)]
struct Product {
    /// Shifts of the two factors before the upper half is taken.
    shifts: [__m128i; 2],
    quotient: Vector,
}

impl Product {
    #[inline]
    #[target_feature(enable = "avx512f,avx512dq,avx512ifma")]
    fn new(q: &Modulus) -> Self {
        let constants = q.product();
        let shifts = [52 - q.bits(), constants.shift].map(|s| _mm_cvtsi32_si128(s as i32));
        Self { shifts, quotient: splat(constants.quotient) }
    }

    /// start + a b − (multiple of q), where the product part is in [0, 2q) modulo 2^52.
    #[inline]
    #[target_feature(enable = "avx512f,avx512dq,avx512ifma")]
    fn mul_lazy(&self, p: &Prime, start: Vector, a: Vector, b: Vector) -> Vector {
        let zero = _mm512_setzero_si512();
        let upper =
            _mm512_madd52hi_epu64(zero, _mm512_sll_epi64(a, self.shifts[0]), _mm512_sll_epi64(b, self.shifts[1]));
        let quotient = _mm512_madd52hi_epu64(zero, upper, self.quotient);
        _mm512_madd52lo_epu64(_mm512_madd52lo_epu64(start, a, b), quotient, p.minus_q)
    }
}

/// The constants that bring a hi/lo accumulator back to one residue.
#[derive(Clone, Copy)]
struct Accumulated {
    radix: [Factor; 2],
    /// Whether hi, with the carry of lo, can reach 2^52 − 2^52/q.
    deep: bool,
}

impl Accumulated {
    /// For sums of at most `count` products of words up to `x_max` with residues.
    #[inline]
    #[target_feature(enable = "avx512f,avx512dq,avx512ifma")]
    fn new(q: &Modulus, count: usize, x_max: u64) -> Self {
        let hi = (count as u128 * u128::from(x_max) * u128::from(q.value())) >> 52;
        let deep = hi + count as u128 + u128::from(q.reciprocal()) >= 1 << 52;
        Self { radix: q.radix().map(|w| Factor::splat(w)), deep }
    }

    /// hi 2^52 + lo mod q, reduced.
    #[inline]
    #[target_feature(enable = "avx512f,avx512dq,avx512ifma")]
    fn finish(&self, p: &Prime, hi: Vector, lo: Vector) -> Vector {
        let zero = _mm512_setzero_si512();
        let hi = _mm512_add_epi64(hi, _mm512_srli_epi64::<52>(lo));
        let quotient = _mm512_madd52hi_epu64(zero, lo, p.reciprocal);
        if !self.deep {
            // Two floors, each below 2q: one subtraction of their sum.
            let quotient = _mm512_madd52hi_epu64(quotient, hi, self.radix[0].quotient);
            let low = _mm512_madd52lo_epu64(lo, hi, self.radix[0].value);
            return p.finish_four(_mm512_madd52lo_epu64(low, quotient, p.minus_q));
        }
        // The upper bits of hi have weight 2^104: reduce them with lo, and the rest apart.
        let top = _mm512_srli_epi64::<52>(hi);
        let quotient = _mm512_madd52hi_epu64(quotient, top, self.radix[1].quotient);
        let low = _mm512_madd52lo_epu64(lo, top, self.radix[1].value);
        let low = p.finish_four(_mm512_madd52lo_epu64(low, quotient, p.minus_q));
        p.add(low, p.mul(hi, self.radix[0]))
    }
}

/// Constants that centre residues of d, modulo q.
#[derive(Clone, Copy)]
struct Centring {
    half: Vector,
    /// The smallest multiple of q from d on, less d.
    shift: Vector,
}

impl Centring {
    #[inline]
    #[target_feature(enable = "avx512f,avx512dq,avx512ifma")]
    fn new(q: &Modulus, d: u64) -> Self {
        Self { half: splat(d / 2), shift: splat(d.div_ceil(q.value()) * q.value() - d) }
    }

    /// The representative of x < d in (−d/2, d/2] plus a multiple of q: in [0, d + q), below 2^51.
    #[inline]
    #[target_feature(enable = "avx512f,avx512dq,avx512ifma")]
    fn lift(&self, x: Vector) -> Vector {
        _mm512_mask_add_epi64(x, _mm512_cmpgt_epu64_mask(x, self.half), x, self.shift)
    }
}

#[target_feature(enable = "avx512f,avx512dq,avx512ifma")]
pub(super) fn reduce_signed_into(q: &Modulus, out: &mut [u64], x: &[i64]) {
    let (p, lift) = (Prime::new(q), splat(q.lift()));
    let ((out, out_rest), (x, x_rest)) = (out.as_chunks_mut(), x.as_chunks());
    for (out, x) in out.iter_mut().zip(x) {
        let x = _mm512_add_epi64(load(&x.map(i64::cast_unsigned)), lift);
        store(out, p.finish(p.reduce_lazy(x, x)));
    }
    scalar::reduce_signed_into(q, out_rest, x_rest);
}

#[target_feature(enable = "avx512f,avx512dq,avx512ifma")]
pub(super) fn add_assign(q: &Modulus, a: &mut [u64], b: &[u64]) {
    let p = Prime::new(q);
    let ((a, a_rest), (b, b_rest)) = (a.as_chunks_mut(), b.as_chunks());
    for (a, b) in a.iter_mut().zip(b) {
        store(a, p.add(load(a), load(b)));
    }
    scalar::add_assign(q, a_rest, b_rest);
}

#[target_feature(enable = "avx512f,avx512dq,avx512ifma")]
pub(super) fn sub_assign(q: &Modulus, a: &mut [u64], b: &[u64]) {
    let p = Prime::new(q);
    let ((a, a_rest), (b, b_rest)) = (a.as_chunks_mut(), b.as_chunks());
    for (a, b) in a.iter_mut().zip(b) {
        store(a, p.sub(load(a), load(b)));
    }
    scalar::sub_assign(q, a_rest, b_rest);
}

#[target_feature(enable = "avx512f,avx512dq,avx512ifma")]
pub(super) fn neg_assign(q: &Modulus, a: &mut [u64]) {
    let p = Prime::new(q);
    let (a, rest) = a.as_chunks_mut();
    for a in a {
        store(a, p.sub(_mm512_setzero_si512(), load(a)));
    }
    scalar::neg_assign(q, rest);
}

#[target_feature(enable = "avx512f,avx512dq,avx512ifma")]
pub(super) fn mul_into(q: &Modulus, out: &mut [u64], a: &[u64], b: &[u64]) {
    let (p, product) = (Prime::new(q), Product::new(q));
    let ((out, out_rest), (a, a_rest), (b, b_rest)) = (out.as_chunks_mut(), a.as_chunks(), b.as_chunks());
    for ((out, a), b) in out.iter_mut().zip(a).zip(b) {
        store(out, p.finish(product.mul_lazy(&p, _mm512_setzero_si512(), load(a), load(b))));
    }
    scalar::mul_into(q, out_rest, a_rest, b_rest);
}

#[target_feature(enable = "avx512f,avx512dq,avx512ifma")]
pub(super) fn mul_assign(q: &Modulus, a: &mut [u64], b: &[u64]) {
    let (p, product) = (Prime::new(q), Product::new(q));
    let ((a, a_rest), (b, b_rest)) = (a.as_chunks_mut(), b.as_chunks());
    for (a, b) in a.iter_mut().zip(b) {
        store(a, p.finish(product.mul_lazy(&p, _mm512_setzero_si512(), load(a), load(b))));
    }
    scalar::mul_assign(q, a_rest, b_rest);
}

#[target_feature(enable = "avx512f,avx512dq,avx512ifma")]
pub(super) fn mul_add_assign(q: &Modulus, acc: &mut [u64], a: &[u64], b: &[u64]) {
    let (p, product) = (Prime::new(q), Product::new(q));
    let ((acc, acc_rest), (a, a_rest), (b, b_rest)) = (acc.as_chunks_mut(), a.as_chunks(), b.as_chunks());
    for ((acc, a), b) in acc.iter_mut().zip(a).zip(b) {
        // [0, q) + [0, 2q) < 4q.
        store(acc, p.finish_four(product.mul_lazy(&p, load(acc), load(a), load(b))));
    }
    scalar::mul_add_assign(q, acc_rest, a_rest, b_rest);
}

#[target_feature(enable = "avx512f,avx512dq,avx512ifma")]
pub(super) fn square_into(q: &Modulus, [low, middle, high]: [&mut [u64]; 3], a: &[u64], b: &[u64]) {
    mul_into(q, low, a, a);
    mul_into(q, middle, a, b);
    mul_add_assign(q, middle, a, b);
    mul_into(q, high, b, b);
}

#[target_feature(enable = "avx512f,avx512dq,avx512ifma")]
pub(super) fn mul_scalar_assign(q: &Modulus, a: &mut [u64], w: ShoupFactor) {
    let (p, factor) = (Prime::new(q), Factor::splat(w));
    let (a, rest) = a.as_chunks_mut();
    for a in a {
        store(a, p.mul(load(a), factor));
    }
    scalar::mul_scalar_assign(q, rest, w);
}

#[target_feature(enable = "avx512f,avx512dq,avx512ifma")]
pub(super) fn mul_scalar_add_assign(q: &Modulus, a: &mut [u64], b: &[u64], w: ShoupFactor) {
    let (p, factor) = (Prime::new(q), Factor::splat(w));
    let ((a, a_rest), (b, b_rest)) = (a.as_chunks_mut(), b.as_chunks());
    for (a, b) in a.iter_mut().zip(b) {
        store(a, p.finish_four(p.mul_lazy(load(a), load(b), factor)));
    }
    scalar::mul_scalar_add_assign(q, a_rest, b_rest, w);
}

#[target_feature(enable = "avx512f,avx512dq,avx512ifma")]
pub(super) fn sub_mul_scalar_assign(q: &Modulus, a: &mut [u64], b: &[u64], w: ShoupFactor) {
    let (p, factor) = (Prime::new(q), Factor::splat(w));
    let ((a, a_rest), (b, b_rest)) = (a.as_chunks_mut(), b.as_chunks());
    for (a, b) in a.iter_mut().zip(b) {
        let difference = _mm512_add_epi64(_mm512_sub_epi64(load(a), load(b)), p.q);
        store(a, p.mul(difference, factor));
    }
    scalar::sub_mul_scalar_assign(q, a_rest, b_rest, w);
}

#[target_feature(enable = "avx512f,avx512dq,avx512ifma")]
pub(super) fn center_into(q: &Modulus, out: &mut [u64], x: &[u64], d: u64) {
    let (p, centring) = (Prime::new(q), Centring::new(q, d));
    let ((out, out_rest), (x, x_rest)) = (out.as_chunks_mut(), x.as_chunks());
    for (out, x) in out.iter_mut().zip(x) {
        let x = centring.lift(load(x));
        store(out, p.finish(p.reduce_lazy(x, x)));
    }
    scalar::center_into(q, out_rest, x_rest, d);
}

#[target_feature(enable = "avx512f,avx512dq,avx512ifma")]
pub(super) fn permute_into(out: &mut [u64], a: &[u64], table: &[u32]) {
    let ((lines, rest), (tables, table_rest)) = (out.as_chunks_mut::<LANES>(), table.as_chunks::<LANES>());
    let sources = a.as_chunks().0;
    for (line, table) in lines.iter_mut().zip(tables) {
        match permuted(sources, table) {
            Some(words) => store(line, words),
            None => scalar::permute_into(line, a, table),
        }
    }
    scalar::permute_into(rest, a, table_rest);
}

#[target_feature(enable = "avx512f,avx512dq,avx512ifma")]
pub(super) fn permute_add_assign(q: &Modulus, a: &mut [u64], b: &[u64], table: &[u32]) {
    let p = Prime::new(q);
    let ((lines, rest), (tables, table_rest)) = (a.as_chunks_mut::<LANES>(), table.as_chunks::<LANES>());
    let sources = b.as_chunks().0;
    for (line, table) in lines.iter_mut().zip(tables) {
        match permuted(sources, table) {
            Some(words) => store(line, p.add(load(line), words)),
            None => scalar::permute_add_assign(q, line, b, table),
        }
    }
    scalar::permute_add_assign(q, rest, b, table_rest);
}

/// The words at these places if they are one block: an automorphism maps aligned blocks of eight to aligned blocks of eight (`NOTES.md`).
#[inline]
#[target_feature(enable = "avx512f,avx512dq,avx512ifma")]
fn permuted(sources: &[Line], table: &[u32; LANES]) -> Option<Vector> {
    let (block, places) = (table[0] as usize / LANES, _mm512_cvtepu32_epi64(load_half(table)));
    let strays = _mm512_cmpneq_epi64_mask(_mm512_srli_epi64::<3>(places), splat(block as u64));
    let source = sources.get(block).filter(|_| strays == 0)?;
    Some(_mm512_permutexvar_epi64(places, load(source)))
}

#[inline(always)]
fn load_half(line: &[u32; LANES]) -> __m256i {
    // SAFETY: the reference covers the 32 bytes of a vector, whose bits may be any, and the read does not need alignment.
    unsafe { line.as_ptr().cast::<__m256i>().read_unaligned() }
}

#[inline]
#[target_feature(enable = "avx512f,avx512dq,avx512ifma")]
pub(super) fn vectorize<L: Loops>(loops: L) -> L::Output {
    loops.run()
}

/// A product is both its halves; as many chains as hide the latency of four cycles behind two products a cycle.
#[target_feature(enable = "avx512f,avx512dq,avx512ifma")]
pub(super) fn saturate_multiplier(products: u64) -> u64 {
    const CHAINS: usize = 6;
    let factor = splat(0x3_243f_6a88_85a3);
    let (mut hi, mut lo) = ([splat(1); CHAINS], [splat(3); CHAINS]);
    for _ in 0..products.div_ceil((CHAINS * LANES) as u64) {
        for i in 0..CHAINS {
            hi[i] = _mm512_madd52hi_epu64(hi[i], hi[i], factor);
            lo[i] = _mm512_madd52lo_epu64(lo[i], lo[i], factor);
        }
    }
    let sum = hi.into_iter().chain(lo).fold(splat(0), |sum, x| _mm512_add_epi64(sum, x));
    _mm512_reduce_add_epi64(sum) as u64
}
