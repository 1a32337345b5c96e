//! One odd prime q < 2^50 with its reduction constants, and scalar arithmetic modulo it.

use crate::error::{Error, Result};

use super::primes::is_prime;

/// Largest number of bits of a modulus.
pub const MAX_MODULUS_BITS: u32 = 50;

/// Shoup quotients are scaled by 2^52, the width of an IFMA product half.
pub(crate) const SHOUP_SHIFT: u32 = 52;

/// An odd prime q < 2^50 and the constants derived from it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Modulus {
    value: u64,
    bits: u32,
    /// floor(2^128 / q) as (low, high): the Barrett constant of double words.
    ratio: (u64, u64),
    /// floor(2^52 / q): the Barrett constant of 52-bit words.
    reciprocal: u64,
    product: ProductConstants,
    /// 2^52 mod q and 2^104 mod q: the weights of the upper words of an accumulator.
    radix: [ShoupFactor; 2],
}

/// Constants of the 52-bit Barrett reduction of a product of two residues (derivation in `kernel/NOTES.md`).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) struct ProductConstants {
    /// How far the second factor is shifted; the first is shifted by 52 − bits.
    pub(crate) shift: u32,
    /// floor(2^(104 − S) / q) < 2^52, S the sum of both shifts.
    pub(crate) quotient: u64,
}

/// A constant factor w in [0, q) with its Shoup quotient floor(w 2^52 / q) (Harvey, arXiv 1205.2926).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub struct ShoupFactor {
    /// The factor w, reduced.
    pub value: u64,
    /// floor(w 2^52 / q).
    pub quotient: u64,
}

impl Modulus {
    /// Checks that `value` is an odd prime below 2^50 and derives its constants.
    ///
    /// # Errors
    /// [`Error::InvalidModulus`] otherwise.
    pub fn new(value: u64) -> Result<Self> {
        if value < 3 || value >> MAX_MODULUS_BITS != 0 || !is_prime(value) {
            return Err(Error::InvalidModulus { value });
        }
        let bits = u64::BITS - value.leading_zeros();
        let wide = u128::from(value);
        // An odd q does not divide 2^128, so the floor of (2^128 − 1) / q is that of 2^128 / q.
        let ratio = u128::MAX / wide;
        let shift = if bits == 50 && value >= 3 << 48 { 1 } else { 2 };
        let quotient = ((1u128 << (52 + bits - shift)) / wide) as u64;
        let shoup = |w: u128| ShoupFactor { value: w as u64, quotient: ((w << SHOUP_SHIFT) / wide) as u64 };
        Ok(Self {
            value,
            bits,
            ratio: (ratio as u64, (ratio >> 64) as u64),
            reciprocal: (1 << 52) / value,
            product: ProductConstants { shift, quotient },
            radix: [shoup((1 << 52) % wide), shoup((1 << 104) % wide)],
        })
    }

    /// The prime itself.
    #[inline]
    pub fn value(&self) -> u64 {
        self.value
    }

    /// Number of bits of the prime.
    #[inline]
    pub fn bits(&self) -> u32 {
        self.bits
    }

    /// floor(2^52 / q), for the kernels.
    #[inline]
    pub(crate) fn reciprocal(&self) -> u64 {
        self.reciprocal
    }

    /// Constants of the reduction of a product, for the kernels.
    #[inline]
    pub(crate) fn product(&self) -> ProductConstants {
        self.product
    }

    /// 2^52 and 2^104 modulo q, for the kernels.
    #[inline]
    pub(crate) fn radix(&self) -> [ShoupFactor; 2] {
        self.radix
    }

    /// a + b mod q, for reduced operands.
    #[inline]
    pub fn add(&self, a: u64, b: u64) -> u64 {
        let sum = a + b;
        sum.min(sum.wrapping_sub(self.value))
    }

    /// a − b mod q, for reduced operands.
    #[inline]
    pub fn sub(&self, a: u64, b: u64) -> u64 {
        let difference = a.wrapping_sub(b);
        difference.min(difference.wrapping_add(self.value))
    }

    /// −a mod q, for a reduced operand.
    #[inline]
    pub fn neg(&self, a: u64) -> u64 {
        self.sub(0, a)
    }

    /// a b mod q, for reduced operands.
    #[inline]
    pub fn mul(&self, a: u64, b: u64) -> u64 {
        self.reduce_u128(u128::from(a) * u128::from(b))
    }

    /// a^e mod q, for a reduced base.
    pub fn pow(&self, mut base: u64, mut exponent: u64) -> u64 {
        let mut result = 1;
        while exponent > 0 {
            if exponent & 1 == 1 {
                result = self.mul(result, base);
            }
            base = self.mul(base, base);
            exponent >>= 1;
        }
        result
    }

    /// a^−1 mod q, for a reduced a ≠ 0 (Fermat).
    pub fn inv(&self, a: u64) -> u64 {
        debug_assert!(a != 0 && a < self.value);
        self.pow(a, self.value - 2)
    }

    /// x mod q for any word.
    #[inline]
    pub fn reduce(&self, x: u64) -> u64 {
        x % self.value
    }

    /// x mod q for any double word (Barrett with a two-word constant).
    #[inline]
    pub fn reduce_u128(&self, x: u128) -> u64 {
        let wide = |a: u64, b: u64| u128::from(a) * u128::from(b);
        let (x0, x1) = (x as u64, (x >> 64) as u64);
        let (r0, r1) = self.ratio;
        // floor(x ratio / 2^128), modulo 2^64: at most 1 below floor(x / q), since ratio > 2^128 / q − 1 and x < 2^128.
        let middle = wide(x0, r1) + (wide(x0, r0) >> 64);
        let upper = wide(x1, r0) + u128::from(middle as u64);
        let quotient = x1.wrapping_mul(r1).wrapping_add((middle >> 64) as u64).wrapping_add((upper >> 64) as u64);
        let remainder = x0.wrapping_sub(quotient.wrapping_mul(self.value));
        remainder.min(remainder.wrapping_sub(self.value))
    }

    /// The multiple of q in (2^50, 2^50 + q]: makes a signed integer of 50 bits positive.
    #[inline]
    pub(crate) fn lift(&self) -> u64 {
        ((self.reciprocal >> 2) + 1) * self.value
    }

    /// The residue of a signed integer, |x| <= 2^50, without a branch or a division.
    #[inline]
    pub fn from_i64(&self, x: i64) -> u64 {
        self.mul_shoup(self.lift().wrapping_add_signed(x), ShoupFactor { value: 1, quotient: self.reciprocal })
    }

    /// The residue of a signed double word; slow, for set-up and wide constants.
    pub fn from_i128(&self, x: i128) -> u64 {
        x.rem_euclid(i128::from(self.value)) as u64
    }

    /// The representative of a reduced residue in (−q/2, q/2).
    #[inline]
    pub fn centered(&self, a: u64) -> i64 {
        if a > self.value / 2 { a as i64 - self.value as i64 } else { a as i64 }
    }

    /// The Shoup form of a reduced constant factor.
    #[inline]
    pub fn shoup(&self, value: u64) -> ShoupFactor {
        debug_assert!(value < self.value);
        // floor(w ratio 2^52 / 2^128) is at most 1 below the quotient, as in `reduce_u128`.
        let (r0, r1) = self.ratio;
        let scaled = u128::from(value) * u128::from(r1) + ((u128::from(value) * u128::from(r0)) >> 64);
        let quotient = (scaled >> (64 - SHOUP_SHIFT)) as u64;
        let remainder = (value << SHOUP_SHIFT).wrapping_sub(quotient.wrapping_mul(self.value));
        ShoupFactor { value, quotient: quotient + u64::from(remainder >= self.value) }
    }

    /// x w mod q in [0, 2q), for any x < 2^52.
    #[inline]
    pub(crate) fn mul_shoup_lazy(&self, x: u64, w: ShoupFactor) -> u64 {
        let quotient = ((u128::from(x) * u128::from(w.quotient)) >> SHOUP_SHIFT) as u64;
        x.wrapping_mul(w.value).wrapping_sub(quotient.wrapping_mul(self.value))
    }

    /// x w mod q, reduced, for any x < 2^52.
    #[inline]
    pub fn mul_shoup(&self, x: u64, w: ShoupFactor) -> u64 {
        let lazy = self.mul_shoup_lazy(x, w);
        lazy.min(lazy.wrapping_sub(self.value))
    }
}
