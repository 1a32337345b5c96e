//! The planned scale of a value as a double-double, so that products and rescales over a whole chain stay exact to 2^-100.

use std::fmt;

/// Two scales are the same if they agree to this fraction.
const TOLERANCE: f64 = 1.0 / (1u128 << 80) as f64;

/// A positive number hi + lo with |lo| at most half a unit in the last place of hi (Dekker 1971).
#[derive(Clone, Copy)]
pub struct Scale {
    hi: f64,
    lo: f64,
}

impl Scale {
    /// 2^`bits`.
    pub fn from_log2(bits: f64) -> Self {
        Self {
            hi: bits.exp2(),
            lo: 0.0,
        }
    }

    /// The product.
    #[must_use]
    pub fn mul(self, other: Self) -> Self {
        let hi = self.hi * other.hi;
        let error = self.hi.mul_add(other.hi, -hi);
        Self::sum(hi, error + (self.hi * other.lo + self.lo * other.hi))
    }

    /// The quotient.
    #[must_use]
    pub fn div(self, other: Self) -> Self {
        let q1 = self.hi / other.hi;
        let r = self.minus_product(q1, other);
        let q2 = r.hi / other.hi;
        let q3 = r.minus_product(q2, other).hi / other.hi;
        let quotient = Self::sum(q1, q2);
        Self::sum(quotient.hi, quotient.lo + q3)
    }

    /// The quotient by a prime below 2^53: the scale after a rescale.
    #[must_use]
    pub fn div_prime(self, prime: u64) -> Self {
        self.div(Self {
            hi: prime as f64,
            lo: 0.0,
        })
    }

    /// log2, to double precision.
    pub fn log2(self) -> f64 {
        self.hi.log2()
    }

    /// The nearest double.
    pub fn to_f64(self) -> f64 {
        self.hi
    }

    /// self − q · other, exact enough for one step of long division.
    fn minus_product(self, q: f64, other: Self) -> Self {
        let product = other.mul(Self { hi: q, lo: 0.0 });
        let hi = self.hi - product.hi;
        let back = hi - self.hi;
        let error = (self.hi - (hi - back)) - (product.hi + back);
        Self::sum(hi, error + (self.lo - product.lo))
    }

    /// The double-double a + b, for |a| >= |b|.
    fn sum(a: f64, b: f64) -> Self {
        let hi = a + b;
        Self {
            hi,
            lo: b - (hi - a),
        }
    }
}

impl PartialEq for Scale {
    fn eq(&self, other: &Self) -> bool {
        let difference = (self.hi - other.hi) + (self.lo - other.lo);
        difference.abs() <= TOLERANCE * self.hi.abs()
    }
}

impl fmt::Debug for Scale {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "2^{}", self.log2())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn long_products_and_quotients_return_to_where_they_began() {
        let primes = [
            1_125_899_904_679_937,
            1_125_899_903_827_969,
            1_099_510_054_913,
        ];
        let start = Scale::from_log2(40.3);
        let mut scale = start;
        for _ in 0..20 {
            for prime in primes {
                scale = scale.mul(Scale::from_log2(50.1)).div_prime(prime);
            }
        }
        for _ in 0..20 {
            for prime in primes {
                let factor = Scale::from_log2(0.0)
                    .div_prime(prime)
                    .mul(Scale::from_log2(50.1));
                scale = scale.div(factor);
            }
        }
        assert_eq!(scale, start);
    }

    #[test]
    fn scales_a_double_apart_differ() {
        let scale = Scale::from_log2(30.0);
        let next = Scale {
            hi: scale.hi,
            lo: scale.hi * 2f64.powi(-79),
        };
        assert_ne!(scale, next);
        let same = Scale {
            hi: scale.hi,
            lo: scale.hi * 2f64.powi(-81),
        };
        assert_eq!(scale, same);
    }
}
