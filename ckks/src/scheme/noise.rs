//! Estimates of the error of a ciphertext, average and worst case, in units of the message.
//!
//! Error polynomials are taken to have independent coefficients; the embedding maps coefficient variance v to slot variance
//! N v / 2 (real part, standard ring) or 2 N v (conjugate-invariant ring), and products act slot by slot. The secret has slot power 2N/3
//! or 4N/3. Worst cases follow from |coefficient| bounds: 1/2 for rounding, `MAX_ERROR` for Gaussian samples, 1 for the
//! secret (Costache et al. 2022/162; Kim-Papadimitriou-Polyakov 2020/1118 for the formulas).

use crate::arith::{Modulus, RingKind};
use crate::ring::{MAX_ERROR, SIGMA};

use super::params::Params;
use super::scale::Scale;

/// Bounds on a message and its error, slot by slot.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Estimate {
    /// Largest absolute value of a slot.
    pub message: f64,
    /// Standard deviation of the error of a slot.
    pub deviation: f64,
    /// Largest possible error of a slot.
    pub bound: f64,
}

/// How coefficient errors become slot errors in one ring.
struct Geometry {
    /// Slot variance of coefficients of variance 1.
    spread: f64,
    /// Largest slot of coefficients of at most 1.
    reach: f64,
    /// Mean square of a slot of the secret.
    secret_power: f64,
    /// Mean square of a slot of an error of variance 1, its imaginary part included.
    error_power: f64,
}

impl Geometry {
    fn new(params: &Params) -> Self {
        let n = params.ring().n() as f64;
        match params.ring().kind() {
            RingKind::Standard => Self { spread: n / 2.0, reach: n, secret_power: n * 2.0 / 3.0, error_power: n },
            RingKind::ConjugateInvariant => {
                Self { spread: 2.0 * n, reach: 2.0 * n, secret_power: n * 4.0 / 3.0, error_power: 2.0 * n }
            }
        }
    }

    /// Variance and bound, in scaled slots, of rounding all parts of a ciphertext, the i-th of which s^i multiplies.
    fn rounding(&self, degree: usize) -> (f64, f64) {
        let powers = |of: f64| (0..=degree).map(|i| of.powi(i as i32)).sum::<f64>();
        (self.spread / 12.0 * powers(self.secret_power), self.reach / 2.0 * powers(self.reach))
    }
}

#[expect(clippy::should_implement_trait, reason = "planned quantities, not numbers: no operators")]
impl Estimate {
    fn new(message: f64, variance: f64, bound: f64, scale: Scale) -> Self {
        Self { message, deviation: variance.sqrt() / scale.to_f64(), bound: bound / scale.to_f64() }
    }

    /// A fresh encryption under the secret key.
    pub fn fresh_secret(params: &Params, scale: Scale, message: f64) -> Self {
        let g = Geometry::new(params);
        Self::new(message, g.spread * (SIGMA * SIGMA + 1.0 / 12.0), g.reach * (MAX_ERROR + 0.5), scale)
    }

    /// A fresh encryption under the public key.
    pub fn fresh_public(params: &Params, scale: Scale, message: f64) -> Self {
        let g = Geometry::new(params);
        let variance = g.spread * (SIGMA * SIGMA * (1.0 + 2.0 * g.secret_power) + 1.0 / 12.0);
        Self::new(message, variance, g.reach * (MAX_ERROR * (1.0 + 2.0 * g.reach) + 0.5), scale)
    }

    /// An encoded plaintext.
    pub fn encoded(params: &Params, scale: Scale, message: f64) -> Self {
        let g = Geometry::new(params);
        Self::new(message, g.spread / 12.0, g.reach / 2.0, scale)
    }

    /// Sum or difference.
    #[must_use]
    pub fn add(self, other: Self) -> Self {
        Self {
            message: self.message + other.message,
            deviation: self.deviation.hypot(other.deviation),
            bound: self.bound + other.bound,
        }
    }

    /// Product, of ciphertexts or with an encoded plaintext.
    #[must_use]
    pub fn mul(self, other: Self) -> Self {
        let cross = (self.message * other.deviation).hypot(other.message * self.deviation);
        Self {
            message: self.message * other.message,
            deviation: cross.hypot(self.deviation * other.deviation),
            bound: self.message * other.bound + other.message * self.bound + self.bound * other.bound,
        }
    }

    /// Product with an exactly encoded constant, which is `error` off the real one.
    #[must_use]
    pub fn mul_constant(self, constant: f64, error: f64) -> Self {
        Self {
            message: self.message * constant.abs(),
            deviation: (self.deviation * constant.abs()).hypot(self.message * error),
            bound: self.bound * constant.abs() + (self.message + self.bound) * error,
        }
    }

    /// After a rescale of a ciphertext of this degree to `scale`.
    #[must_use]
    pub fn rescale(self, params: &Params, degree: usize, scale: Scale) -> Self {
        let (variance, bound) = Geometry::new(params).rounding(degree);
        self.add(Self::new(0.0, variance, bound, scale))
    }

    /// After a key switch (relinearisation, rotation) of a ciphertext of `limbs` limbs at `scale`.
    #[must_use]
    pub fn key_switch(self, params: &Params, limbs: usize, scale: Scale) -> Self {
        let g = Geometry::new(params);
        let log2 = |q: &Modulus| (q.value() as f64).log2();
        let log_p: f64 = params.ring().p().map(log2).sum();
        let q: Vec<f64> = params.ring().q().take(limbs).map(log2).collect();
        // Digits relative to P, which alone would overflow a double.
        let digits = q.chunks(params.digit_limbs()).map(|digit| (digit.iter().sum::<f64>() - log_p).exp2());
        let (mut variance, mut bound) = g.rounding(1);
        for digit in digits {
            variance += g.spread * digit * digit / 12.0 * SIGMA * SIGMA * g.error_power;
            bound += g.reach * digit / 2.0 * g.reach * MAX_ERROR;
        }
        self.add(Self::new(0.0, variance, bound, scale))
    }

    /// −log2 of the deviation: bits of absolute precision on average.
    pub fn precision_bits(&self) -> f64 {
        -self.deviation.log2()
    }
}
