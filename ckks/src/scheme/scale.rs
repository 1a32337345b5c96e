//! The scale Δ of a plaintext or ciphertext, as an unevaluated sum of two doubles.
//!
//! Scales are planned before anything runs and compared to 2^−80, so that rounding cannot hide a wrong plan and is never
//! mistaken for one. The operations are the error-free transformations of Dekker 1971 and Knuth (TAOCP 2, 4.2.2), good to about 2^−100.

use std::fmt;

use crate::arith::Modulus;
use crate::error::{Error, Result};

/// A positive scale, hi + lo with |lo| ≤ ulp(hi)/2.
#[derive(Clone, Copy)]
pub struct Scale {
    hi: f64,
    lo: f64,
}

/// An encoded constant: mantissa · 2^shift.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Wide {
    mantissa: i128,
    shift: u32,
}

impl Wide {
    /// The constant modulo q.
    pub(crate) fn residue(self, q: &Modulus) -> u64 {
        q.mul(q.from_i128(self.mantissa), q.pow(2, u64::from(self.shift)))
    }

    /// The constant, if it fits.
    pub(crate) fn to_i64(self) -> Option<i64> {
        i64::try_from(self.mantissa).ok().filter(|_| self.shift == 0)
    }

    /// The nearest double.
    pub(crate) fn to_f64(self) -> f64 {
        self.mantissa as f64 * f64::from(self.shift).exp2()
    }
}

/// Two scales that differ by less than this, relatively, are equal.
const TOLERANCE: f64 = 1.0 / (1u128 << 80) as f64;

#[expect(clippy::should_implement_trait, reason = "planned quantities, not numbers: no operators")]
impl Scale {
    /// 2^`bits`.
    pub fn power_of_two(bits: i32) -> Self {
        Self { hi: f64::from(bits).exp2(), lo: 0.0 }
    }

    /// The scale `value`.
    ///
    /// # Errors
    /// [`Error::InvalidScale`] unless it is positive and finite.
    pub fn new(value: f64) -> Result<Self> {
        if value.is_finite() && value > 0.0 {
            Ok(Self { hi: value, lo: 0.0 })
        } else {
            Err(Error::InvalidScale { value })
        }
    }

    /// The scale as two doubles, the larger one first.
    pub fn parts(self) -> (f64, f64) {
        (self.hi, self.lo)
    }

    /// The scale of [`Self::parts`].
    ///
    /// # Errors
    /// [`Error::InvalidScale`] unless the first is positive, finite, and the double nearest to their sum.
    pub fn from_parts(hi: f64, lo: f64) -> Result<Self> {
        match Self::new(hi) {
            Ok(_) if hi + lo == hi => Ok(Self { hi, lo }),
            _ => Err(Error::InvalidScale { value: hi + lo }),
        }
    }

    /// The product of two scales: of a multiplication.
    #[must_use]
    pub fn mul(self, other: Self) -> Self {
        let hi = self.hi * other.hi;
        let lo = self.hi.mul_add(other.hi, -hi) + (self.hi * other.lo + self.lo * other.hi);
        Self::normalized(hi, lo)
    }

    /// The quotient of two scales: what a constant must have to take one to the other.
    #[must_use]
    pub fn div(self, other: Self) -> Self {
        let first = self.hi / other.hi;
        let rest = self.minus_multiple(other, first);
        let second = rest.hi / other.hi;
        let rest = rest.minus_multiple(other, second);
        let quotient = Self::normalized(first, second);
        Self::normalized(quotient.hi, quotient.lo + rest.hi / other.hi)
    }

    /// The scale after dividing by a prime: of a rescale.
    #[must_use]
    pub fn div_prime(self, prime: u64) -> Self {
        self.div(Self { hi: prime as f64, lo: 0.0 })
    }

    /// The scale after multiplying by a prime.
    #[must_use]
    pub fn mul_prime(self, prime: u64) -> Self {
        self.mul(Self { hi: prime as f64, lo: 0.0 })
    }

    /// Whether it is positive and finite: products may leave the range of doubles.
    pub(crate) fn is_valid(self) -> bool {
        self.hi.is_finite() && self.hi > 0.0
    }

    /// The nearest double.
    pub fn to_f64(self) -> f64 {
        self.hi
    }

    /// Binary logarithm.
    pub fn log2(self) -> f64 {
        self.hi.log2()
    }

    /// x Δ to the nearest integer, where it fits a modulus of `log_q` bits; beyond 2^126 to the nearest multiple of a power of two,
    /// with the 106 bits that a scale has.
    ///
    /// # Errors
    /// [`Error::EncodeOverflow`].
    pub(crate) fn integer(self, x: f64, log_q: f64) -> Result<Wide> {
        let largest = (x * self.hi).abs();
        if !(self.is_valid() && largest.is_finite() && largest.log2() < log_q - 1.0) {
            return Err(Error::EncodeOverflow { largest, log_q, scale: self });
        }
        let shift = if largest < 126f64.exp2() { 0 } else { largest.log2() as i32 - 110 };
        let unit = f64::from(-shift).exp2();
        let mantissa = Self { hi: self.hi * unit, lo: self.lo * unit }.round_product(x);
        Ok(Wide { mantissa, shift: shift.unsigned_abs() })
    }

    /// x Δ to the nearest integer, where |x Δ| < 2^126.
    fn round_product(self, x: f64) -> i128 {
        let hi = self.hi * x;
        let lo = self.hi.mul_add(x, -hi) + self.lo * x;
        let whole = hi.round();
        whole as i128 + ((hi - whole) + lo).round() as i128
    }

    fn minus_multiple(self, other: Self, factor: f64) -> Self {
        let product = other.mul(Self { hi: factor, lo: 0.0 });
        Self::normalized(self.hi - product.hi, self.lo - product.lo)
    }

    /// Renormalises a sum of which `a` is the larger part (Fast2Sum).
    fn normalized(a: f64, b: f64) -> Self {
        let hi = a + b;
        Self { hi, lo: b - (hi - a) }
    }
}

impl PartialEq for Scale {
    fn eq(&self, other: &Self) -> bool {
        ((self.hi - other.hi) + (self.lo - other.lo)).abs() <= TOLERANCE * self.hi.abs()
    }
}

impl fmt::Debug for Scale {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "2^{:.6}", self.log2())
    }
}

impl fmt::Display for Scale {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(self, f)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_long_chain_of_products_and_quotients_returns_to_its_start() {
        let primes = [1_125_899_906_826_241_u64, 1_125_899_906_629_633, 35_184_371_138_561, 562_949_952_700_417];
        let start = Scale::new(1.1e12).unwrap();
        let end = primes.iter().fold(start, |scale, &p| scale.mul(scale).div_prime(p).div(scale).mul_prime(p));
        assert_eq!(start, end);
        assert_eq!(start.mul(end).div(end), start);
    }

    #[test]
    fn scales_that_differ_by_an_ulp_of_a_double_are_different() {
        let a = Scale::power_of_two(40);
        let b = Scale::new(a.to_f64() * (1.0 + f64::EPSILON)).unwrap();
        assert_ne!(a, b);
    }

    #[test]
    fn no_scale_is_zero_negative_or_infinite() {
        for value in [0.0, -1.0, f64::INFINITY, f64::NAN] {
            assert!(matches!(Scale::new(value), Err(Error::InvalidScale { .. })));
        }
    }

    #[test]
    fn products_round_to_the_nearest_integer_beyond_a_doubles_mantissa() {
        let scale = Scale::power_of_two(80);
        assert_eq!(scale.round_product(-1.5), -(3i128 << 79));
        assert_eq!(Scale::power_of_two(3).round_product(0.3), 2);
    }

    #[test]
    fn constants_beyond_128_bits_have_their_residues() {
        let q = Modulus::new(1_125_899_906_826_241).unwrap();
        for bits in [0u32, 60, 125, 126, 200, 300] {
            let wide = Scale::power_of_two(bits as i32).integer(-3.0, 310.0).unwrap();
            assert_eq!(wide.residue(&q), q.neg(q.mul(3, q.pow(2, u64::from(bits)))), "{bits}");
            assert_eq!(wide.to_f64(), -3.0 * f64::from(bits).exp2());
        }
        assert!(matches!(Scale::power_of_two(309).integer(1.0, 310.0), Err(Error::EncodeOverflow { .. })));
    }
}
