//! Encoding: m ↦ round(Δ σ^−1(m)) mod Q, and back (Cheon-Kim-Kim-Song 2016/421; Kim-Song 2018/952 for real slots).

use std::sync::{Mutex, PoisonError};

use rayon::prelude::*;
use rustfft::num_complex::Complex64;

use crate::arith::{Loops, Modulus, RingKind, ShoupFactor};
use crate::error::{Error, Result};
use crate::ring::{Coeff, Ntt, Poly};

use super::fft::{Embedding, Workspace, word_to_double};
use super::params::Params;
use super::plaintext::Plaintext;
use super::scale::Scale;

/// Encodes and decodes for one set of parameters.
pub struct Encoder {
    params: Params,
    embedding: Embedding,
    /// q_r^−1 modulo q_i, r < i: row i, column r.
    inverses: Vec<Vec<ShoupFactor>>,
    /// Buffers for the calls to come.
    idle: Mutex<Vec<Buffers>>,
}

/// What a call needs besides its result.
#[derive(Default)]
struct Buffers {
    transform: Workspace,
    words: Vec<i64>,
    coefficients: Vec<f64>,
}

/// Signed words of at most this size (in absolute value) become residues at once.
const WORD_BITS: i32 = 50;

/// Coefficients that are put together at a time, their residues in cache.
const BLOCK: usize = 512;

impl Encoder {
    /// An encoder; its tables take O(N) time and memory.
    pub fn new(params: &Params) -> Self {
        let primes: Vec<&Modulus> = params.ring().q().collect();
        let inverse = |q: &Modulus, of: &Modulus| q.shoup(q.inv(q.reduce(of.value())));
        let row = |(i, q): (usize, &&Modulus)| primes[..i].iter().map(|of| inverse(q, of)).collect();
        Self {
            embedding: Embedding::new(params.ring().kind(), params.log_n(), params.ring().backend()),
            inverses: primes.iter().enumerate().map(row).collect(),
            idle: Mutex::default(),
            params: params.clone(),
        }
    }

    /// Encodes real `values` (further slots are zero) at `scale` and `level`.
    ///
    /// Error: at most 1/2 a coefficient, about √(N/12)/Δ a slot, and 2^−50 of the largest coefficient. Cost: one FFT of N/2
    /// points, one NTT a limb.
    ///
    /// # Errors
    /// [`Error::TooManyValues`], [`Error::EncodeOverflow`] (also for values that are not finite), [`Error::LevelTooHigh`].
    pub fn encode(&self, values: &[f64], scale: Scale, level: usize) -> Result<Plaintext> {
        self.encode_with(values.len(), |k| values[k].into(), scale, level)
    }

    /// Encodes complex `values`; the standard ring only. Otherwise as [`Self::encode`].
    ///
    /// # Errors
    /// As [`Self::encode`], and [`Error::NoComplexSlots`] in the conjugate-invariant ring.
    pub fn encode_complex(&self, values: &[Complex64], scale: Scale, level: usize) -> Result<Plaintext> {
        if self.params.ring().kind() == RingKind::ConjugateInvariant {
            return Err(Error::NoComplexSlots { operation: "encode_complex" });
        }
        self.encode_with(values.len(), |k| values[k], scale, level)
    }

    /// Encodes `value(k)` for k < `len`.
    fn encode_with(
        &self,
        len: usize,
        value: impl Fn(usize) -> Complex64,
        scale: Scale,
        level: usize,
    ) -> Result<Plaintext> {
        let (slots, basis) = (self.params.slots(), self.params.basis(level)?);
        if len > slots {
            return Err(Error::TooManyValues { values: len, slots });
        }
        self.params.ring().count_encoding();
        self.with_buffers(|Buffers { transform, words, .. }| {
            self.embedding.transform(transform, |k| if k < len { value(k) } else { Complex64::ZERO });
            words.resize(self.params.ring().n(), 0);
            let largest = self.embedding.words(transform, scale.to_f64(), words);
            let log_q = self.params.log_q(level);
            if !(scale.is_valid() && largest.is_finite()) || largest.log2() >= log_q - 1.0 {
                let largest = if scale.is_valid() { largest } else { f64::NAN };
                return Err(Error::EncodeOverflow { largest, log_q, scale });
            }
            // coefficient = word · 2^shift.
            let shift = (largest.max(1.0).log2() as i32 + 1 - WORD_BITS).max(0);
            if shift > 0 {
                self.embedding.words(transform, scale.to_f64() * f64::from(-shift).exp2(), words);
            }
            let mut poly = Poly::uninit(self.params.ring(), basis);
            self.params.ring().each_limb(basis, poly.data_mut(), |_, table, limb| {
                let (q, backend) = (table.modulus(), table.backend());
                backend.reduce_signed_into(q, limb, words);
                if shift > 0 {
                    backend.mul_scalar_assign(q, limb, q.shoup(q.pow(2, shift as u64)));
                }
                table.forward(limb);
            });
            Ok(Plaintext { params: self.params.clone(), poly, scale })
        })
    }

    /// The real parts of the slots of `plaintext`. Otherwise as [`Self::decode_complex`].
    ///
    /// # Errors
    /// [`Error::ParamsMismatch`].
    pub fn decode(&self, plaintext: &Plaintext) -> Result<Vec<f64>> {
        self.decode_with(plaintext, |z| z.re)
    }

    /// The slots of `plaintext`; real in the conjugate-invariant ring. All limbs count: coefficients are exact in (−Q/2, Q/2)
    /// before they become doubles. Cost: an inverse NTT a limb, one FFT of N/2 points.
    ///
    /// # Errors
    /// [`Error::ParamsMismatch`].
    pub fn decode_complex(&self, plaintext: &Plaintext) -> Result<Vec<Complex64>> {
        self.decode_with(plaintext, |z| z)
    }

    fn decode_with<T>(&self, plaintext: &Plaintext, value: impl Fn(Complex64) -> T) -> Result<Vec<T>> {
        if plaintext.params != self.params {
            return Err(Error::ParamsMismatch { operation: "decode" });
        }
        Ok(self.with_buffers(|Buffers { transform, coefficients, .. }| {
            self.to_doubles(&plaintext.poly, coefficients);
            self.embedding.slots_of(transform, coefficients, 1.0 / plaintext.scale.to_f64(), value)
        }))
    }

    /// The coefficients in (−Q/2, Q/2), each to a few units in the last place.
    fn to_doubles(&self, poly: &Poly<Ntt>, coefficients: &mut Vec<f64>) {
        let (ring, limbs) = (self.params.ring(), poly.basis().limbs());
        let poly = poly.inverse();
        coefficients.resize(ring.n(), 0.0);
        let block = |buffers: &mut Digits, (index, out): (usize, &mut [f64])| {
            self.mixed_radix(&poly, index * BLOCK, buffers, out)
        };
        if ring.is_parallel(limbs) {
            coefficients.par_chunks_mut(BLOCK).enumerate().for_each_init(Digits::default, block);
        } else {
            let mut buffers = Digits::default();
            coefficients.chunks_mut(BLOCK).enumerate().for_each(|chunk| block(&mut buffers, chunk));
        }
    }

    /// Coefficients from number `at` on, from their balanced mixed radix x = d_0 + q_0 (d_1 + q_1 (d_2 + …)), |d_r| < q_r / 2
    /// (Garner; Knuth, TAOCP 2, 4.3.2). Once every residue is zero, so are all digits to come.
    fn mixed_radix(&self, poly: &Poly<Coeff>, at: usize, buffers: &mut Digits, out: &mut [f64]) {
        let (ring, limbs, len, backend) = (poly.ring(), poly.basis().limbs(), out.len(), poly.ring().backend());
        let Digits { residues, reduced, digits } = buffers;
        residues.clear();
        (0..limbs).for_each(|i| residues.extend_from_slice(&poly.limb(i)[at..][..len]));
        reduced.resize(len, 0);
        digits.clear();
        for (r, q) in ring.q().take(limbs).enumerate() {
            let (row, rest) = residues[r * len..].split_at_mut(len);
            if row.iter().chain(rest.iter()).all(|&residue| residue == 0) {
                break;
            }
            backend.vectorize(Centre { q, residues: row, digits });
            for ((row, inverses), q) in
                rest.chunks_exact_mut(len).zip(&self.inverses[r + 1..]).zip(ring.q().skip(r + 1))
            {
                backend.reduce_signed_into(q, reduced, &digits[r * len..]);
                backend.sub_mul_scalar_assign(q, row, reduced, inverses[r]);
            }
        }
        out.fill(0.0);
        let rows: Vec<_> = digits.chunks_exact(len).zip(ring.q()).collect();
        for (digits, q) in rows.into_iter().rev() {
            backend.vectorize(AddDigits { coefficients: out, q, digits });
        }
    }

    /// Calls `op` with buffers that earlier calls have left.
    fn with_buffers<T>(&self, op: impl FnOnce(&mut Buffers) -> T) -> T {
        let idle = || self.idle.lock().unwrap_or_else(PoisonError::into_inner);
        let mut buffers = idle().pop().unwrap_or_default();
        let result = op(&mut buffers);
        idle().push(buffers);
        result
    }
}

/// Buffers of [`Encoder::mixed_radix`].
#[derive(Default)]
struct Digits {
    residues: Vec<u64>,
    /// One digit modulo another prime.
    reduced: Vec<u64>,
    digits: Vec<i64>,
}

/// The next digit of each coefficient.
struct Centre<'a> {
    q: &'a Modulus,
    residues: &'a [u64],
    digits: &'a mut Vec<i64>,
}

impl Loops for Centre<'_> {
    type Output = ();

    #[inline(always)]
    fn run(self) {
        self.digits.extend(self.residues.iter().map(|&residue| self.q.centered(residue)));
    }
}

/// x ← x q + digit.
struct AddDigits<'a> {
    coefficients: &'a mut [f64],
    q: &'a Modulus,
    digits: &'a [i64],
}

impl Loops for AddDigits<'_> {
    type Output = ();

    #[inline(always)]
    fn run(self) {
        let q = self.q.value() as f64;
        self.coefficients.iter_mut().zip(self.digits).for_each(|(x, &digit)| *x = *x * q + word_to_double(digit));
    }
}

#[cfg(test)]
mod tests {
    use num_bigint::BigInt;

    use super::*;
    use crate::scheme::params::ParamsSpec;

    /// Coefficients of every size: of few digits only, around the first prime, anywhere below Q/2, and the extremes.
    fn coefficients(n: usize, first: &BigInt, product: &BigInt) -> Vec<BigInt> {
        let (half, half_first): (BigInt, BigInt) = ((product - 1) / 2, first / 2);
        let of = |j: usize| {
            let small = BigInt::from((j as i64 * 7_919) % 1_000 - 500);
            match j % 4 {
                _ if j >= BLOCK => small,
                0 => (product * j as u64 / BLOCK as u64 * &small) % &half,
                1 => &half_first + small,
                2 => -&half_first - small,
                _ => (&half - j as u64 / 8) * (if j % 8 < 4 { 1 } else { -1 }),
            }
        };
        (0..n).map(of).collect()
    }

    #[test]
    fn coefficients_are_put_together_from_all_limbs() {
        for ring in [RingKind::Standard, RingKind::ConjugateInvariant] {
            let chain = vec![vec![50], vec![30, 40], vec![45]];
            let spec = ParamsSpec { ring, log_n: 10, chain, special: vec![50, 50], dnum: 2 };
            let params = spec.build_insecure().unwrap();
            let basis = params.basis(2).unwrap();
            let q: Vec<BigInt> = params.ring().q().map(|q| q.value().into()).collect();
            let exact = coefficients(params.ring().n(), &q[0], &q.iter().product());
            let mut poly: Poly<Ntt> = Poly::uninit(params.ring(), basis);
            params.ring().each_limb(basis, poly.data_mut(), |i, table, limb| {
                for (word, x) in limb.iter_mut().zip(&exact) {
                    *word = u64::try_from((x % &q[i] + &q[i]) % &q[i]).unwrap();
                }
                table.forward(limb);
            });
            let mut found = vec![f64::NAN; 3];
            Encoder::new(&params).to_doubles(&poly, &mut found);
            for (j, (found, exact)) in found.iter().zip(&exact).enumerate() {
                let expected: f64 = exact.to_string().parse().unwrap();
                assert!((found - expected).abs() <= expected.abs() * f64::EPSILON * 4.0, "{j}: {found} {expected}");
            }
        }
    }
}
