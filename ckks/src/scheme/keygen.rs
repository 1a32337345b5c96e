//! Key generation.

use std::collections::BTreeMap;

use rayon::prelude::*;
use zeroize::Zeroizing;

use crate::error::{Error, Result};
use crate::ring::{Basis, Entropy, Ntt, Poly, Ring, fill_gaussian, fill_ternary, rotation_element};

use super::keys::{
    EvaluationKeys, KeySeed, KeyShape, PublicKey, SecretKey, SecretPoly, SwitchingKey, conjugation_element,
};
use super::params::Params;

/// Which evaluation keys a computation needs, each with the highest level at which it does: keys for lower levels are smaller.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct KeyRequest {
    /// Level of the relinearisation key, if there is to be one.
    pub relinearization: Option<usize>,
    /// Levels by Galois element.
    pub galois: BTreeMap<u64, usize>,
}

impl KeyRequest {
    /// Adds the relinearisation key.
    #[must_use]
    pub fn relinearization(mut self, level: usize) -> Self {
        self.relinearization = self.relinearization.max(Some(level));
        self
    }

    /// Adds the rotation by `k` slots to the left (negative: to the right).
    #[must_use]
    pub fn rotation(mut self, params: &Params, k: i64, level: usize) -> Self {
        let element = rotation_element(params.ring().kind(), params.log_n(), k);
        if element != 1 {
            let entry = self.galois.entry(element).or_default();
            *entry = level.max(*entry);
        }
        self
    }

    /// Adds the complex conjugation.
    ///
    /// # Errors
    /// [`crate::Error::NoComplexSlots`] in the conjugate-invariant ring.
    pub fn conjugation(mut self, params: &Params, level: usize) -> Result<Self> {
        let entry = self.galois.entry(conjugation_element(params)?).or_default();
        *entry = level.max(*entry);
        Ok(self)
    }

    /// Bytes of these keys on the wire.
    ///
    /// # Errors
    /// [`Error::LevelTooHigh`].
    pub fn packed_bytes(&self, params: &Params) -> Result<usize> {
        self.shapes(params).map(|shape| Ok(shape?.packed_bytes())).sum()
    }

    /// Bytes of these keys in memory, both halves expanded.
    ///
    /// # Errors
    /// [`Error::LevelTooHigh`].
    pub fn expanded_bytes(&self, params: &Params) -> Result<usize> {
        self.shapes(params).map(|shape| Ok(shape?.expanded_bytes())).sum()
    }

    fn shapes(&self, params: &Params) -> impl Iterator<Item = Result<KeyShape>> {
        self.galois.values().chain(&self.relinearization).map(|&level| KeyShape::new(params, level))
    }

    /// Whether `params` have all that it names.
    ///
    /// # Errors
    /// [`Error::InvalidGaloisElement`], [`Error::LevelTooHigh`].
    pub fn check(&self, params: &Params) -> Result<()> {
        let order = root_order(params);
        // Odd below 2N, or 1 modulo 4 below 4N: any other number would make a key that gives the secret away.
        let step = (params.ring().kind().root_factor() as u64).max(2);
        if let Some(&element) = self.galois.keys().find(|&&g| g >= order || g % step != 1) {
            return Err(Error::InvalidGaloisElement { element, order });
        }
        self.galois.values().chain(&self.relinearization).try_for_each(|&level| params.limbs(level).map(drop))
    }
}

/// Generates keys for one set of parameters.
pub struct KeyGenerator<'a> {
    params: Params,
    entropy: &'a mut Entropy,
}

impl<'a> KeyGenerator<'a> {
    /// A generator that draws from `entropy`.
    pub fn new(params: &Params, entropy: &'a mut Entropy) -> Self {
        Self { params: params.clone(), entropy }
    }

    /// A fresh uniform ternary secret.
    pub fn secret_key(&mut self) -> SecretKey {
        let ring = self.params.ring();
        let mut coefficients = Zeroizing::new(vec![0; ring.n()]);
        fill_ternary(self.entropy.secrets(), &mut coefficients);
        SecretKey::from_coefficients(&self.params, &coefficients)
    }

    /// The public key of `secret`: an encryption of zero over the whole chain.
    ///
    /// # Errors
    /// [`Error::ParamsMismatch`] for a secret of other parameters.
    pub fn public_key(&mut self, secret: &SecretKey) -> Result<PublicKey> {
        self.check(secret)?;
        let ring = self.params.ring();
        let basis = Basis { q: ring.full_basis().q, p: 0 };
        let seed = self.entropy.seed();
        let a = seed.expand(ring, basis, 0);
        // −(e + a s): an error is symmetric.
        let mut b = Poly::from_small(ring, basis, &error_coefficients(ring, self.entropy));
        b.each_limb(|i, q, limb| {
            ring.backend().mul_add_assign(q, limb, a.limb(i), secret.s.limb(i));
            ring.backend().neg_assign(q, limb);
        });
        Ok(PublicKey { params: self.params.clone(), seed, b, a })
    }

    /// The evaluation keys of `secret` that `request` names, on the threads of the current rayon pool. All uniform halves
    /// come from one seed.
    ///
    /// # Errors
    /// [`Error::LevelTooHigh`] for a level that the chain does not have, [`Error::InvalidGaloisElement`] for a request that did not
    /// come from [`KeyRequest::rotation`] or [`KeyRequest::conjugation`], [`Error::ParamsMismatch`] for a secret of other parameters.
    pub fn evaluation_keys(&mut self, secret: &SecretKey, request: &KeyRequest) -> Result<EvaluationKeys> {
        self.check(secret)?;
        let params = self.params.clone();
        request.check(&params)?;
        let order = root_order(&params);
        let seed = self.entropy.seed();
        let relinearization = match request.relinearization {
            Some(level) => {
                let square = SecretPoly(Poly::product(&secret.s, &secret.s));
                let to = SecretPoly(secret.s.clone());
                Some(self.switching_key(&square.0, to, level, KeySeed { seed, object: 0 })?)
            }
            None => None,
        };
        let jobs: Vec<_> =
            request.galois.iter().map(|(&element, &level)| (element, level, self.entropy.fork())).collect();
        let galois = jobs.into_par_iter().map(|(element, level, mut entropy)| {
            // The result is permuted by σ_g after key switching, so the key leads to σ_g^−1(s).
            let to = SecretPoly(secret.s.automorphism(inverse_mod_power_of_two(element, order)));
            let mut generator = KeyGenerator { params: params.clone(), entropy: &mut entropy };
            Ok((element, generator.switching_key(&secret.s, to, level, KeySeed { seed, object: element })?))
        });
        let galois = galois.collect::<Result<_>>()?;
        Ok(EvaluationKeys { params, relinearization, galois })
    }

    fn check(&self, secret: &SecretKey) -> Result<()> {
        match secret.params == self.params {
            true => Ok(()),
            false => Err(Error::ParamsMismatch { operation: "generate keys" }),
        }
    }

    /// The key that takes products with `from` to ciphertexts under `to`.
    fn switching_key(
        &mut self,
        from: &Poly<Ntt>,
        mut to: SecretPoly,
        level: usize,
        source: KeySeed,
    ) -> Result<SwitchingKey> {
        let params = self.params.clone();
        let ring = params.ring();
        let shape = KeyShape::new(&params, level)?;
        let basis = shape.basis;
        let errors: Vec<_> = (0..shape.digits).map(|_| error_coefficients(ring, self.entropy)).collect();
        to.0.neg_assign();
        Ok(SwitchingKey::new(shape, source, |digit, limb, a, b| {
            let (table, index, backend) = (ring.table(basis, limb), ring.table_index(basis, limb), ring.backend());
            let q = table.modulus();
            table.forward_small(&errors[digit], b, &mut |_, _| ());
            backend.mul_add_assign(q, b, a, to.0.limb(index));
            if params.digit(digit, basis.q).contains(&limb) {
                backend.mul_scalar_add_assign(q, b, from.limb(index), ring.special_product(index));
            }
        }))
    }
}

/// The coefficients of a fresh Gaussian error.
fn error_coefficients(ring: &Ring, entropy: &mut Entropy) -> Zeroizing<Vec<i8>> {
    let mut coefficients = Zeroizing::new(vec![0; ring.n()]);
    fill_gaussian(ring.backend(), entropy.secrets(), &mut coefficients);
    coefficients
}

/// Order of the roots of unity that the ring is evaluated at.
fn root_order(params: &Params) -> u64 {
    (params.ring().kind().root_factor() as u64) << params.log_n()
}

/// x^−1 modulo a power of two, for odd x: Newton's iteration doubles the correct bits.
fn inverse_mod_power_of_two(x: u64, modulus: u64) -> u64 {
    let inverse = (0..6).fold(x, |y, _| y.wrapping_mul(2u64.wrapping_sub(x.wrapping_mul(y))));
    inverse & (modulus - 1)
}
