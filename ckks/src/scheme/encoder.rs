//! Encoding: m ↦ round(Δ σ^−1(m)) mod Q, and back (Cheon-Kim-Kim-Song 2016/421; Kim-Song 2018/952 for real slots).

use rustfft::num_complex::Complex64;

use crate::arith::{Modulus, RingKind, ShoupFactor};
use crate::error::{Error, Result};
use crate::ring::{Basis, Coeff, Ntt, Poly};

use super::fft::Embedding;
use super::params::Params;
use super::plaintext::Plaintext;
use super::scale::Scale;

/// Encodes and decodes for one set of parameters.
pub struct Encoder {
    params: Params,
    embedding: Embedding,
}

/// Signed words below this size (in absolute value) become residues in one multiplication.
const WORD_BITS: i32 = 50;

/// Decoding first tries this many bits above the scale.
const HEADROOM_BITS: f64 = 20.0;

impl Encoder {
    /// An encoder; its tables take O(N) time and memory.
    pub fn new(params: &Params) -> Self {
        Self { params: params.clone(), embedding: Embedding::new(params.ring().kind(), params.log_n()) }
    }

    /// Encodes real `values` (further slots are zero) at `scale` and `level`.
    ///
    /// Error: at most 1/2 a coefficient, about √(N/12)/Δ a slot, and 2^−50 of the largest coefficient. Cost: one FFT, one
    /// NTT a limb.
    ///
    /// # Errors
    /// [`Error::TooManyValues`], [`Error::EncodeOverflow`] (also for values that are not finite), [`Error::LevelTooHigh`].
    pub fn encode(&self, values: &[f64], scale: Scale, level: usize) -> Result<Plaintext> {
        self.encode_iter(values.len(), values.iter().map(|&re| Complex64::new(re, 0.0)), scale, level)
    }

    /// Encodes complex `values`; the standard ring only. Otherwise as [`Self::encode`].
    ///
    /// # Errors
    /// As [`Self::encode`], and [`Error::NoComplexSlots`] in the conjugate-invariant ring.
    pub fn encode_complex(&self, values: &[Complex64], scale: Scale, level: usize) -> Result<Plaintext> {
        if self.params.ring().kind() == RingKind::ConjugateInvariant {
            return Err(Error::NoComplexSlots { operation: "encode_complex" });
        }
        self.encode_iter(values.len(), values.iter().copied(), scale, level)
    }

    fn encode_iter(
        &self,
        len: usize,
        values: impl Iterator<Item = Complex64>,
        scale: Scale,
        level: usize,
    ) -> Result<Plaintext> {
        if len > self.params.slots() {
            return Err(Error::TooManyValues { values: len, slots: self.params.slots() });
        }
        let basis = self.params.basis(level)?;
        let coefficients = self.embedding.coefficients(values, scale.to_f64());
        let poly = self.to_residues(coefficients, basis, scale, level)?;
        Ok(Plaintext { params: self.params.clone(), poly: poly.forward(), scale })
    }

    /// Rounds scaled coefficients and reduces them modulo every prime.
    fn to_residues(&self, mut coefficients: Vec<f64>, basis: Basis, scale: Scale, level: usize) -> Result<Poly<Coeff>> {
        // A NaN would vanish in a maximum.
        let finite = scale.is_valid() && coefficients.iter().all(|x| x.is_finite());
        let largest = if finite { coefficients.iter().fold(0.0, |max: f64, x| max.max(x.abs())) } else { f64::NAN };
        if !largest.is_finite() || largest.log2() >= self.params.log_q(level) - 1.0 {
            return Err(Error::EncodeOverflow { largest, log_q: self.params.log_q(level), scale });
        }
        // coefficient = word · 2^shift, with words of at most WORD_BITS bits.
        let shift = (largest.max(1.0).log2() as i32 + 1 - WORD_BITS).max(0);
        if shift > 0 {
            let down = f64::from(-shift).exp2();
            coefficients.iter_mut().for_each(|x| *x *= down);
        }
        let words: Vec<i64> = coefficients.iter().map(|&x| round_to_word(x)).collect();
        let mut poly = Poly::uninit(self.params.ring(), basis);
        let backend = self.params.ring().backend();
        poly.each_limb(|_, q, limb| {
            let offset = residue_offset(q);
            for (out, &word) in limb.iter_mut().zip(&words) {
                *out = (word + offset) as u64;
            }
            backend.mul_scalar_assign(q, limb, q.shoup(q.pow(2 % q.value(), shift as u64)));
        });
        Ok(poly)
    }

    /// The real parts of the slots of `plaintext`.
    ///
    /// # Errors
    /// [`Error::ParamsMismatch`].
    pub fn decode(&self, plaintext: &Plaintext) -> Result<Vec<f64>> {
        Ok(self.decode_complex(plaintext)?.into_iter().map(|z| z.re).collect())
    }

    /// The slots of `plaintext`; real in the conjugate-invariant ring. Cost: an inverse NTT for each limb that the message
    /// fills, and one more to make sure of it.
    ///
    /// # Errors
    /// [`Error::ParamsMismatch`].
    pub fn decode_complex(&self, plaintext: &Plaintext) -> Result<Vec<Complex64>> {
        if plaintext.params != self.params {
            return Err(Error::ParamsMismatch { operation: "decode" });
        }
        let coefficients = self.to_signed(plaintext);
        Ok(self.embedding.slots_of(&coefficients, 1.0 / plaintext.scale.to_f64()))
    }

    /// The coefficients in (−Q/2, Q/2) as doubles. Messages are far below Q: the limbs that hold `HEADROOM_BITS` more than
    /// the scale decide, if the next limb agrees; if it does not, all limbs do.
    fn to_signed(&self, plaintext: &Plaintext) -> Vec<f64> {
        let ring = self.params.ring();
        let limbs = plaintext.poly.basis().q;
        let primes: Vec<Modulus> = ring.q().take(limbs).copied().collect();
        let wanted = plaintext.scale.log2() + HEADROOM_BITS;
        let mut bits = 0.0;
        let enough = 1 + primes
            .iter()
            .take_while(|q| {
                bits += (q.value() as f64).log2();
                bits < wanted
            })
            .count();
        let enough = enough.min(limbs);
        let try_limbs = |count: usize, checked: usize| {
            let mut part: Poly<Ntt> = Poly::uninit(ring, Basis { q: checked, p: 0 });
            let words = part.data().len();
            part.data_mut().copy_from_slice(&plaintext.poly.data()[..words]);
            balanced_mixed_radix(&part.inverse(), &primes[..checked], count)
        };
        let checked = (enough + 1).min(limbs);
        try_limbs(enough, checked).or_else(|| try_limbs(limbs, limbs)).unwrap_or_else(|| vec![0.0; ring.n()])
    }
}

/// The number behind the residues in balanced mixed radix, x = d_0 + q_0 (d_1 + q_1 (d_2 + …)) with |d_r| < q_r / 2 (Garner;
/// Knuth, TAOCP 2, 4.3.2): digits beyond `count` must be zero, otherwise `None`.
fn balanced_mixed_radix(x: &Poly<Coeff>, primes: &[Modulus], count: usize) -> Option<Vec<f64>> {
    let inverses: Vec<Vec<ShoupFactor>> = primes
        .iter()
        .enumerate()
        .map(|(r, q)| primes[..r].iter().map(|earlier| q.shoup(q.inv(q.reduce(earlier.value())))).collect())
        .collect();
    let mut digits = vec![0i64; primes.len()];
    (0..x.ring().n())
        .map(|j| {
            for (r, q) in primes.iter().enumerate() {
                let offset = residue_offset(q);
                let mut residue = x.limb(r)[j];
                for (&digit, &inverse) in digits.iter().zip(&inverses[r]) {
                    residue = q.mul_shoup((residue as i64 - digit + offset) as u64, inverse);
                }
                digits[r] = q.centered(residue);
            }
            if digits[count..].iter().any(|&digit| digit != 0) {
                return None;
            }
            Some(
                digits[..count]
                    .iter()
                    .zip(primes)
                    .rev()
                    .fold(0.0, |sum, (&digit, q)| sum * q.value() as f64 + digit as f64),
            )
        })
        .collect()
}

/// A multiple of q in [2^50, 2^51]: added to a signed word of 50 bits it makes a word that the kernels reduce.
fn residue_offset(q: &Modulus) -> i64 {
    ((1u64 << WORD_BITS).div_ceil(q.value()) * q.value()) as i64
}

/// Nearest integer of |x| < 2^51, by adding 1.5 · 2^52 and reading the mantissa: SSE2 has no rounding instruction.
#[inline]
fn round_to_word(x: f64) -> i64 {
    const MAGIC: f64 = 6_755_399_441_055_744.0;
    (x + MAGIC).to_bits() as i64 - MAGIC.to_bits() as i64
}
