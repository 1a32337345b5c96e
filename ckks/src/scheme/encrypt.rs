//! Encryption under either key, and decryption.

use smallvec::smallvec;
use zeroize::{Zeroize, Zeroizing};

use crate::error::{Error, Result};
use crate::ring::{Entropy, Poly, Seed, fill_gaussian, fill_ternary, stream};

use super::ciphertext::{Ciphertext, SeededCiphertext};
use super::encoder::Encoder;
use super::keys::{PublicKey, SecretKey};
use super::noise::Estimate;
use super::params::Params;
use super::plaintext::Plaintext;

/// Encrypts, drawing fresh randomness for every ciphertext; one encryptor a thread.
pub struct Encryptor<'a, Key> {
    key: &'a Key,
    entropy: Entropy,
    /// Public seed of this encryptor and the number of polynomials taken from it.
    seed: Seed,
    next_object: u64,
    /// Coefficients drawn for the ciphertext under way.
    drawn: Zeroizing<Vec<i8>>,
}

impl<'a, Key> Encryptor<'a, Key> {
    /// An encryptor under a public or a secret key.
    pub fn new(key: &'a Key, mut entropy: Entropy) -> Self {
        let seed = entropy.seed();
        Self { key, entropy, seed, next_object: 0, drawn: Zeroizing::default() }
    }
}

impl Encryptor<'_, PublicKey> {
    /// The noise estimate of a fresh ciphertext whose slots are at most `message` in absolute value.
    pub fn estimate(&self, plaintext: &Plaintext, message: f64) -> Estimate {
        Estimate::fresh_public(&self.key.params, plaintext.scale, message)
    }

    /// (b u + e_0 + m, a u + e_1) with a ternary u. Level and scale are the plaintext's.
    ///
    /// Error: e u + e_0 + e_1 s, a slot deviation of about σ N √(2/3) (standard ring). Cost: three NTTs a limb.
    ///
    /// # Errors
    /// [`Error::ParamsMismatch`].
    pub fn encrypt(&mut self, plaintext: &Plaintext) -> Result<Ciphertext> {
        let params = same_params("encrypt", &self.key.params, plaintext)?;
        let (ring, basis) = (params.ring(), plaintext.poly.basis());
        let n = ring.n();
        self.drawn.resize(3 * n, 0);
        let (u, errors) = self.drawn.split_at_mut(n);
        fill_ternary(self.entropy.secrets(), u);
        fill_gaussian(ring.backend(), self.entropy.secrets(), errors);
        let (e0, e1) = errors.split_at(n);
        let [mut c0, mut c1] = [(); 2].map(|()| Poly::uninit(ring, basis));
        let parts = [&mut c0, &mut c1].map(|part| (part.data_mut(), ring.stride()));
        ring.each_limb_of(basis.q, parts, |i, parts| {
            let [c0, c1] = parts.map(|part| &mut part[..n]);
            let (table, backend) = (ring.table(basis, i), ring.backend());
            let q = table.modulus();
            let mut buffer = ring.pool().take(ring.stride());
            let u_hat = &mut buffer[..n];
            table.forward_small(u, u_hat, &mut |_, _| ());
            table.forward_small(e0, c0, &mut |at, part| {
                let range = at..at + part.len();
                backend.mul_add_assign(q, part, &self.key.b.limb(i)[range.clone()], &u_hat[range.clone()]);
                backend.add_assign(q, part, &plaintext.poly.limb(i)[range]);
            });
            table.forward_small(e1, c1, &mut |at, part| {
                let range = at..at + part.len();
                backend.mul_add_assign(q, part, &self.key.a.limb(i)[range.clone()], &u_hat[range]);
            });
            u_hat.zeroize();
            ring.pool().give(buffer);
        });
        self.drawn.as_mut_slice().zeroize();
        Ok(Ciphertext { params: params.clone(), parts: smallvec![c0, c1], scale: plaintext.scale, estimate: None })
    }
}

impl Encryptor<'_, SecretKey> {
    /// The noise estimate of a fresh ciphertext whose slots are at most `message` in absolute value.
    pub fn estimate(&self, plaintext: &Plaintext, message: f64) -> Estimate {
        Estimate::fresh_secret(&self.key.params, plaintext.scale, message)
    }

    /// (−a s + e + m, a) with a from a seed. Level and scale are the plaintext's.
    ///
    /// Error: e, a slot deviation of about σ √N (standard ring). Cost: one NTT a limb.
    ///
    /// # Errors
    /// [`Error::ParamsMismatch`].
    pub fn encrypt_seeded(&mut self, plaintext: &Plaintext) -> Result<SeededCiphertext> {
        let params = same_params("encrypt", &self.key.params, plaintext)?;
        let (ring, basis) = (params.ring(), plaintext.poly.basis());
        let object = self.next_object;
        self.next_object += 1;
        self.drawn.resize(ring.n(), 0);
        fill_gaussian(ring.backend(), self.entropy.secrets(), &mut self.drawn);
        let mut c0 = Poly::uninit(ring, basis);
        ring.each_limb(basis, c0.data_mut(), |i, table, c0| {
            let (q, backend) = (table.modulus(), ring.backend());
            let mut a = ring.pool().take(ring.stride());
            table.forward_small(&self.drawn, c0, &mut |at, part| {
                let (a, range) = (&mut a[..part.len()], at..at + part.len());
                self.seed.expand_into((backend, q), stream(object, i), at, a);
                // −(−e − m + a s), so that a s, which gives s away, is never in memory by itself.
                backend.sub_assign(q, part, &plaintext.poly.limb(i)[range.clone()]);
                backend.mul_add_assign(q, part, a, &self.key.s.limb(i)[range]);
                backend.neg_assign(q, part);
            });
            ring.pool().give(a);
        });
        self.drawn.as_mut_slice().zeroize();
        Ok(SeededCiphertext {
            params: params.clone(),
            c0,
            seed: self.seed,
            object,
            scale: plaintext.scale,
            estimate: None,
        })
    }

    /// [`Self::encrypt_seeded`], expanded.
    ///
    /// # Errors
    /// [`Error::ParamsMismatch`].
    pub fn encrypt(&mut self, plaintext: &Plaintext) -> Result<Ciphertext> {
        Ok(self.encrypt_seeded(plaintext)?.expand())
    }
}

/// Decrypts with the secret key.
pub struct Decryptor<'a> {
    key: &'a SecretKey,
}

impl<'a> Decryptor<'a> {
    /// A decryptor for ciphertexts under `key`.
    pub fn new(key: &'a SecretKey) -> Self {
        Self { key }
    }

    /// c_0 + c_1 s (+ c_2 s²), at the level and scale of the ciphertext. What it returns leaks the error, hence the secret
    /// key, to whoever sees it and can choose ciphertexts (Li-Micciancio 2020/1533).
    ///
    /// # Errors
    /// [`Error::ParamsMismatch`].
    pub fn decrypt(&self, ciphertext: &Ciphertext) -> Result<Plaintext> {
        if ciphertext.params != self.key.params {
            return Err(Error::ParamsMismatch { operation: "decrypt" });
        }
        let ring = self.key.params.ring();
        let backend = ring.backend();
        let mut poly = Poly::uninit(ring, ciphertext.parts[0].basis());
        // Horner: (c_2 s + c_1) s + c_0.
        poly.each_limb(|i, q, limb| {
            limb.fill(0);
            for (degree, part) in ciphertext.parts.iter().enumerate().rev() {
                backend.add_assign(q, limb, part.limb(i));
                if degree > 0 {
                    backend.mul_assign(q, limb, self.key.s.limb(i));
                }
            }
        });
        Ok(Plaintext { params: self.key.params.clone(), poly, scale: ciphertext.scale })
    }

    /// The error of a ciphertext whose first slots should hold `expected`: what [`Ciphertext::estimate`] predicts.
    ///
    /// # Errors
    /// [`Error::ParamsMismatch`]; [`Error::TooManyValues`] for more values than slots.
    pub fn measure_error(&self, ciphertext: &Ciphertext, encoder: &Encoder, expected: &[f64]) -> Result<MeasuredError> {
        let found = encoder.decode(&self.decrypt(ciphertext)?)?;
        if expected.len() > found.len() {
            return Err(Error::TooManyValues { values: expected.len(), slots: found.len() });
        }
        let errors = found.iter().zip(expected).map(|(a, b)| a - b);
        let (squares, largest) =
            errors.fold((0.0, 0.0f64), |(squares, largest), e| (squares + e * e, largest.max(e.abs())));
        Ok(MeasuredError { deviation: (squares / expected.len().max(1) as f64).sqrt(), largest })
    }
}

/// The error of slots, in units of the message.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct MeasuredError {
    /// Root of the mean square.
    pub deviation: f64,
    /// Largest absolute value.
    pub largest: f64,
}

fn same_params<'p>(operation: &'static str, params: &'p Params, plaintext: &Plaintext) -> Result<&'p Params> {
    if plaintext.params == *params { Ok(params) } else { Err(Error::ParamsMismatch { operation }) }
}
