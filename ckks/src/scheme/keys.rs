//! Keys. Only [`SecretKey`] is secret; a server holds [`EvaluationKeys`] and nothing else.

use std::collections::BTreeMap;
use std::fmt;

use crate::arith::RingKind;
use crate::error::{Error, Result};
use crate::ring::{Basis, Ntt, Poly, Seed, rotation_element};

use super::ciphertext::packed_bytes;
use super::params::Params;

/// The uniform ternary secret s, in NTT form over all primes. Zeroised on drop.
pub struct SecretKey {
    pub(super) params: Params,
    pub(super) s: Poly<Ntt>,
}

impl SecretKey {
    /// The parameters.
    pub fn params(&self) -> &Params {
        &self.params
    }
}

impl SecretKey {
    /// s · a, for ciphertext limbs.
    pub(super) fn times(&self, mut a: Poly<Ntt>) -> SecretPoly {
        let backend = a.ring().backend();
        a.each_limb(|i, q, limb| backend.mul_assign(q, limb, self.s.limb(i)));
        SecretPoly(a)
    }
}

impl Drop for SecretKey {
    fn drop(&mut self) {
        self.s.zeroize();
    }
}

/// A polynomial that is zeroised on drop.
pub(super) struct SecretPoly(pub(super) Poly<Ntt>);

impl Drop for SecretPoly {
    fn drop(&mut self) {
        self.0.zeroize();
    }
}

impl fmt::Debug for SecretKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("SecretKey")
    }
}

/// (b, a) with b = −a s + e over the whole chain; a is the expansion of a seed.
#[derive(Debug, Clone)]
pub struct PublicKey {
    pub(super) params: Params,
    pub(super) b: Poly<Ntt>,
    pub(super) a: Poly<Ntt>,
}

impl PublicKey {
    /// The parameters.
    pub fn params(&self) -> &Params {
        &self.params
    }

    /// Bytes of b, packed, and of the seed of a.
    pub fn packed_bytes(&self) -> usize {
        packed_bytes(&self.b) + size_of::<Seed>()
    }
}

/// Takes a product with `from` to a ciphertext under `to`: for each digit i, (b_i, a_i) with b_i = −a_i to + e_i + P g_i from
/// over the basis QP, where g_i is 1 modulo the primes of digit i and 0 modulo the others.
///
/// Rows are laid out in the order in which key switching reads them: limb by limb, digit by digit.
pub struct SwitchingKey {
    pub(super) params: Params,
    pub(super) basis: Basis,
    pub(super) digits: usize,
    pub(super) b: Vec<u64>,
    pub(super) a: Vec<u64>,
}

impl SwitchingKey {
    /// The highest level of ciphertexts that it serves.
    pub fn level(&self) -> usize {
        self.params.level_of(self.basis.q)
    }

    /// Bytes of the b_i, packed.
    pub fn packed_bytes(&self) -> usize {
        let ring = self.params.ring();
        let bits: usize = (0..self.basis.limbs()).map(|i| ring.modulus(self.basis, i).bits() as usize).sum();
        self.digits * (bits * ring.n()).div_ceil(8)
    }

    /// Bytes in memory, both halves expanded.
    pub fn expanded_bytes(&self) -> usize {
        (self.a.len() + self.b.len()) * size_of::<u64>()
    }
}

impl fmt::Debug for SwitchingKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SwitchingKey").field("basis", &self.basis).field("digits", &self.digits).finish_non_exhaustive()
    }
}

/// What a server needs to evaluate: a relinearisation key and Galois keys, those that were requested.
#[derive(Debug)]
pub struct EvaluationKeys {
    pub(super) params: Params,
    pub(super) relinearization: Option<SwitchingKey>,
    pub(super) galois: BTreeMap<u64, SwitchingKey>,
}

impl EvaluationKeys {
    /// The parameters.
    pub fn params(&self) -> &Params {
        &self.params
    }

    /// All keys.
    pub fn iter(&self) -> impl Iterator<Item = &SwitchingKey> {
        self.relinearization.iter().chain(self.galois.values())
    }

    /// Bytes of all keys on the wire: the uniform halves are one seed.
    pub fn packed_bytes(&self) -> usize {
        self.iter().map(SwitchingKey::packed_bytes).sum::<usize>() + size_of::<Seed>()
    }

    pub(super) fn relinearization(&self, level: usize) -> Result<&SwitchingKey> {
        serving(self.relinearization.as_ref(), level, || "relinearisation".into())
    }

    pub(super) fn rotation(&self, k: i64, level: usize) -> Result<(u64, &SwitchingKey)> {
        let element = rotation_element(self.params.ring().kind(), self.params.log_n(), k);
        let key = serving(self.galois.get(&element), level, || {
            format!("the rotation by {k} slots (Galois element {element})")
        })?;
        Ok((element, key))
    }

    pub(super) fn conjugation(&self, level: usize) -> Result<(u64, &SwitchingKey)> {
        let element = conjugation_element(&self.params)?;
        Ok((element, serving(self.galois.get(&element), level, || "the conjugation".into())?))
    }
}

fn serving(key: Option<&SwitchingKey>, level: usize, wanted: impl FnOnce() -> String) -> Result<&SwitchingKey> {
    key.filter(|key| key.level() >= level).ok_or_else(|| Error::MissingKey { wanted: wanted(), level })
}

/// X → X^−1, in the ring that has it.
pub(super) fn conjugation_element(params: &Params) -> Result<u64> {
    match params.ring().kind() {
        RingKind::Standard => Ok((2 << params.log_n()) - 1),
        RingKind::ConjugateInvariant => Err(Error::NoComplexSlots { operation: "conjugate" }),
    }
}
