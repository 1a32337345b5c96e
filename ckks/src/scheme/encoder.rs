//! Encoding: m ↦ round(Δ σ^−1(m)) mod Q, and back (Cheon-Kim-Kim-Song 2016/421; Kim-Song 2018/952 for real slots).

use std::sync::{Mutex, PoisonError};

use rayon::prelude::*;
use rustfft::num_complex::Complex64;

use crate::arith::{Loops, Modulus, RingKind, Rows, ShoupFactor};
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
    /// What the digits of each limb are made with.
    digits: Vec<Digit>,
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
        Self {
            embedding: Embedding::new(params.ring().kind(), params.log_n(), params.ring().backend()),
            digits: (0..params.ring().q().len()).map(|i| Digit::new(params, i)).collect(),
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
        self.encode_with(values.len(), move |k| values.get(k).copied().unwrap_or_default().into(), scale, level)
    }

    /// Encodes complex `values`; the standard ring only. Otherwise as [`Self::encode`].
    ///
    /// # Errors
    /// As [`Self::encode`], and [`Error::NoComplexSlots`] in the conjugate-invariant ring.
    pub fn encode_complex(&self, values: &[Complex64], scale: Scale, level: usize) -> Result<Plaintext> {
        if self.params.ring().kind() == RingKind::ConjugateInvariant {
            return Err(Error::NoComplexSlots { operation: "encode_complex" });
        }
        self.encode_with(values.len(), move |k| values.get(k).copied().unwrap_or_default(), scale, level)
    }

    /// Encodes `value(k)` for all slots k; it is zero from `len` on.
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
            self.embedding.transform(transform, value);
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
        let block = |buffers: &mut Vec<u64>, (index, out): (usize, &mut [f64])| {
            self.mixed_radix(&poly, index * BLOCK, buffers, out)
        };
        if ring.is_parallel(limbs) {
            coefficients.par_chunks_mut(BLOCK).enumerate().for_each_init(Vec::new, block);
        } else {
            let mut buffers = Vec::new();
            coefficients.chunks_mut(BLOCK).enumerate().for_each(|chunk| block(&mut buffers, chunk));
        }
    }

    /// Coefficients from number `at` on, from their balanced mixed radix x = d_0 + q_0 (d_1 + q_1 (d_2 + …)), |d_r| < q_r / 2
    /// (Garner; Knuth, TAOCP 2, 4.3.2). With h_r = (q_r − 1) / 2, they are kept as d_r + h_r in [0, q_r), and made as [`Digit`] says from those
    /// that are not zero for all coefficients at the end: of small coefficients, one or two.
    fn mixed_radix(&self, poly: &Poly<Coeff>, at: usize, digits: &mut Vec<u64>, out: &mut [f64]) {
        let (ring, limbs, len, backend) = (poly.ring(), poly.basis().limbs(), out.len(), poly.ring().backend());
        let half = |q: &Modulus| q.value() / 2;
        digits.resize(limbs * len, 0);
        let mut used = 0;
        for (i, (q, Digit { weights, factor })) in ring.q().zip(&self.digits).take(limbs).enumerate() {
            let (earlier, row) = digits.split_at_mut(i * len);
            let (row, residues) = (&mut row[..len], &poly.limb(i)[at..][..len]);
            if used == 1 {
                // As good as always, all coefficients are the first digits.
                backend.center_into(q, row, &poly.limb(0)[at..][..len], ring.modulus(poly.basis(), 0).value());
                if row == residues {
                    row.fill(half(q));
                    continue;
                }
            }
            match i {
                // W_0 is 1, and there is nothing to take off.
                0 => row.copy_from_slice(residues),
                _ => {
                    let sources = Rows { data: earlier, stride: len, count: used };
                    backend.convert_into(q, row, sources, &weights[..used], residues, *factor);
                }
            }
            let halves = ring.q().zip(weights).take(used);
            let offset = halves.fold(half(q), |sum, (of, &weight)| q.sub(sum, q.mul(q.reduce(half(of)), weight)));
            if backend.vectorize(Raise { q, row, offset }) {
                used = i + 1;
            }
        }
        out.fill(0.0);
        let rows: Vec<_> = digits.chunks_exact(len).zip(ring.q()).take(used).collect();
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

/// d_i = (x − Σ_r d_r W_r) / W_i mod q_i, for r < i, W_r = Π_(s<r) q_s and the residue x.
struct Digit {
    /// −W_r / W_i for each r.
    weights: Vec<u64>,
    /// −1 / W_i.
    factor: ShoupFactor,
}

impl Digit {
    fn new(params: &Params, i: usize) -> Self {
        let (q, mut weights) = (params.ring().modulus(params.ring().full_basis(), i), Vec::with_capacity(i));
        let mut product = 1;
        for of in params.ring().q().take(i) {
            weights.push(product);
            product = q.mul(product, q.reduce(of.value()));
        }
        let factor = q.neg(q.inv(product));
        weights.iter_mut().for_each(|weight| *weight = q.mul(*weight, factor));
        Self { weights, factor: q.shoup(factor) }
    }
}

/// word ← word + offset; whether one of them is not (q − 1) / 2 then.
struct Raise<'a> {
    q: &'a Modulus,
    row: &'a mut [u64],
    offset: u64,
}

impl Loops for Raise<'_> {
    type Output = bool;

    #[inline(always)]
    fn run(self) -> bool {
        let (q, half) = (self.q.value().cast_signed(), self.q.value() / 2);
        let mut differences = 0;
        for word in self.row {
            let sum = (*word + self.offset).cast_signed() - q;
            *word = (sum + (q & (sum >> 63))).cast_unsigned();
            differences |= *word ^ half;
        }
        differences != 0
    }
}

/// x ← x q + digit, the digit as [`Encoder::mixed_radix`] keeps it.
struct AddDigits<'a> {
    coefficients: &'a mut [f64],
    q: &'a Modulus,
    digits: &'a [u64],
}

impl Loops for AddDigits<'_> {
    type Output = ();

    #[inline(always)]
    fn run(self) {
        let (q, half) = (self.q.value() as f64, (self.q.value() / 2).cast_signed());
        for (x, &digit) in self.coefficients.iter_mut().zip(self.digits) {
            *x = *x * q + word_to_double(digit.cast_signed() - half);
        }
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
