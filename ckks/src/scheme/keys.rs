//! Keys. Only [`SecretKey`] is secret; a server holds [`EvaluationKeys`] and nothing else.

use std::collections::BTreeMap;
use std::fmt;

use rayon::prelude::*;

use crate::arith::RingKind;
use crate::error::{Error, Result};
use crate::ring::{Basis, Buffer, Ntt, Poly, Seed, rotation_element};

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

    /// Bytes on the wire: two bits a coefficient.
    pub fn packed_bytes(&self) -> usize {
        self.params.ring().n().div_ceil(4)
    }

    /// The secret with these ternary coefficients.
    pub(super) fn from_coefficients(params: &Params, coefficients: &[i8]) -> Self {
        let ring = params.ring();
        Self { params: params.clone(), s: Poly::from_small(ring, ring.full_basis(), coefficients) }
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
    pub(super) seed: Seed,
    pub(super) b: Poly<Ntt>,
    pub(super) a: Poly<Ntt>,
}

impl PublicKey {
    /// b with the a that `seed` expands to: its polynomial number 0.
    pub(super) fn new(params: &Params, seed: Seed, b: Poly<Ntt>) -> Self {
        let a = seed.expand(params.ring(), b.basis(), 0);
        Self { params: params.clone(), seed, b, a }
    }

    /// The parameters.
    pub fn params(&self) -> &Params {
        &self.params
    }

    /// Bytes on the wire: b, and the seed of a.
    pub fn packed_bytes(&self) -> usize {
        self.b.packed_bytes() + size_of::<Seed>()
    }
}

/// Takes a product with `from` to a ciphertext under `to`: for each digit i, (b_i, a_i) with b_i = −a_i to + e_i + P g_i from
/// over the basis QP, where g_i is 1 modulo the primes of digit i and 0 modulo the others. The a_i are expanded from a seed.
///
/// Rows are laid out in the order in which key switching reads them: limb by limb, digit by digit, b_i before a_i.
#[derive(PartialEq, Eq)]
pub struct SwitchingKey {
    pub(super) shape: KeyShape,
    pub(super) source: KeySeed,
    /// A stride apart: b_i and a_i modulo prime j are rows 2 (j digits + i) and 2 (j digits + i) + 1.
    pub(super) rows: Buffer,
}

/// Which rows a key has.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct KeyShape {
    pub(super) params: Params,
    pub(super) basis: Basis,
    pub(super) digits: usize,
}

/// Where the a_i of a key come from: a_i modulo prime j of the key's basis is the stream object 2^32 + i 2^16 + j of the seed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct KeySeed {
    pub(super) seed: Seed,
    pub(super) object: u64,
}

impl KeyShape {
    pub(super) fn new(params: &Params, level: usize) -> Result<Self> {
        let basis = Basis { q: params.limbs(level)?, p: params.ring().full_basis().p };
        Ok(Self { params: params.clone(), basis, digits: params.digits(basis.q) })
    }

    fn level(&self) -> usize {
        self.params.level_of(self.basis.q)
    }

    /// Zero for every digit and limb, `halves` times.
    pub(super) fn zero_rows(&self, halves: usize) -> Buffer {
        Buffer::zero(self.words(halves))
    }

    fn words(&self, halves: usize) -> usize {
        halves * self.basis.limbs() * self.digits * self.params.ring().stride()
    }

    /// On the wire: element, limbs, seed, and the b_i.
    pub(super) fn packed_bytes(&self) -> usize {
        let b = self.digits * self.params.ring().packed_bytes(self.basis);
        size_of::<u64>() + size_of::<u16>() + size_of::<Seed>() + b
    }

    /// In memory, both halves expanded.
    pub(super) fn expanded_bytes(&self) -> usize {
        self.words(2) * size_of::<u64>()
    }
}

impl SwitchingKey {
    /// The key of this shape with the a_i of `source`; `fill(i, j, a, b)` writes b_i modulo prime j of the basis, given a_i. On the
    /// threads of the current rayon pool.
    pub(super) fn new(
        shape: KeyShape,
        source: KeySeed,
        fill: impl Fn(usize, usize, &[u64], &mut [u64]) + Sync,
    ) -> Self {
        let ring = shape.params.ring();
        let (n, stride) = (ring.n(), ring.stride());
        let mut rows = shape.zero_rows(2);
        rows.par_chunks_mut(2 * stride).enumerate().for_each(|(row, pair)| {
            let (limb, digit) = (row / shape.digits, row % shape.digits);
            let (b, a) = pair.split_at_mut(stride);
            let stream = source.object << 32 | (digit << 16 | limb) as u64;
            let q = ring.modulus(shape.basis, limb);
            source.seed.expand_into((ring.backend(), q), stream, 0, &mut a[..n]);
            fill(digit, limb, &a[..n], &mut b[..n]);
        });
        Self { shape, source, rows }
    }

    /// The key as it travels.
    pub fn to_seeded(&self) -> SeededSwitchingKey {
        let stride = self.shape.params.ring().stride();
        let mut rows = self.shape.zero_rows(1);
        let pairs = self.rows.chunks(2 * stride);
        rows.chunks_mut(stride).zip(pairs).for_each(|(b, pair)| b.copy_from_slice(&pair[..stride]));
        SeededSwitchingKey { shape: self.shape.clone(), source: self.source, rows }
    }

    /// The highest level of ciphertexts that it serves.
    pub fn level(&self) -> usize {
        self.shape.level()
    }

    /// Bytes on the wire: element, limbs, seed, and the b_i.
    pub fn packed_bytes(&self) -> usize {
        self.shape.packed_bytes()
    }

    /// Bytes in memory, both halves expanded.
    pub fn expanded_bytes(&self) -> usize {
        self.shape.expanded_bytes()
    }
}

impl fmt::Debug for SwitchingKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SwitchingKey").field("shape", &self.shape).finish_non_exhaustive()
    }
}

/// A [`SwitchingKey`] as it travels: the b_i, and the seed of the a_i. Half the size.
#[derive(Clone)]
pub struct SeededSwitchingKey {
    pub(super) shape: KeyShape,
    pub(super) source: KeySeed,
    /// b_i modulo prime j is row j digits + i.
    pub(super) rows: Buffer,
}

impl SeededSwitchingKey {
    /// The whole key. Cost: ⌈b/8⌉ N bytes of ChaCha20 a digit and limb of b bits, on the threads of the current rayon pool.
    pub fn expand(&self) -> SwitchingKey {
        SwitchingKey::new(self.shape.clone(), self.source, |digit, limb, _, b| {
            b.copy_from_slice(self.row(digit, limb));
        })
    }

    /// The highest level of ciphertexts that it serves.
    pub fn level(&self) -> usize {
        self.shape.level()
    }

    /// Bytes on the wire: element, limbs, seed, and the b_i.
    pub fn packed_bytes(&self) -> usize {
        self.shape.packed_bytes()
    }

    /// b_`digit` modulo prime `limb` of the basis.
    pub(super) fn row(&self, digit: usize, limb: usize) -> &[u64] {
        let ring = self.shape.params.ring();
        &self.rows[(limb * self.shape.digits + digit) * ring.stride()..][..ring.n()]
    }
}

impl fmt::Debug for SeededSwitchingKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SeededSwitchingKey").field("shape", &self.shape).finish_non_exhaustive()
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

    /// Bytes of all keys on the wire.
    pub fn packed_bytes(&self) -> usize {
        self.iter().map(SwitchingKey::packed_bytes).sum()
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

#[cfg(test)]
mod tests {
    use crate::ring::Entropy;
    use crate::scheme::{KeyGenerator, KeyRequest, ParamsSpec};

    use super::*;

    #[test]
    fn a_key_expands_from_its_seed_to_what_it_was() {
        for ring in [RingKind::Standard, RingKind::ConjugateInvariant] {
            let params = ParamsSpec::new(ring, 10, &[40, 30, 30], &[40, 40]).build_insecure().unwrap();
            let mut entropy = Entropy::insecure_from_seed(5);
            let mut generator = KeyGenerator::new(&params, &mut entropy);
            let secret = generator.secret_key();
            let request = KeyRequest::default().relinearization(2).rotation(&params, 1, 1);
            let keys = generator.evaluation_keys(&secret, &request).unwrap();
            let bytes = |of: fn(&SwitchingKey) -> usize| keys.iter().map(of).sum::<usize>();
            assert_eq!(request.packed_bytes(&params), Ok(bytes(SwitchingKey::packed_bytes)));
            assert_eq!(request.expanded_bytes(&params), Ok(bytes(SwitchingKey::expanded_bytes)));
            for key in keys.iter() {
                assert_eq!(key.expanded_bytes(), size_of_val(&*key.rows));
                let seeded = key.to_seeded();
                let expanded = seeded.expand();
                assert_eq!((seeded.level(), expanded.level()), (key.level(), key.level()));
                assert_eq!(expanded.rows, key.rows);
                assert_eq!(2 * seeded.rows.len(), key.rows.len());
            }
        }
    }
}
