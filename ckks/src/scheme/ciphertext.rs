//! Encrypted messages.

use std::fmt;

use smallvec::{SmallVec, smallvec};

use crate::ring::{Ntt, Poly, Seed, stream};

use super::noise::Estimate;
use super::params::Params;
use super::scale::Scale;

/// Two or three polynomials, in place: their own buffers come from the pool of the ring, so that operations do not allocate.
pub(crate) type Parts = SmallVec<[Poly<Ntt>; 3]>;

/// (c_0, c_1) with c_0 + c_1 s ≈ Δ m, or (c_0, c_1, c_2) with c_0 + c_1 s + c_2 s² ≈ Δ m; in NTT form.
#[derive(Clone)]
pub struct Ciphertext {
    pub(crate) params: Params,
    pub(crate) parts: Parts,
    pub(crate) scale: Scale,
    pub(crate) estimate: Option<Estimate>,
}

impl Ciphertext {
    /// The parameters.
    pub fn params(&self) -> &Params {
        &self.params
    }

    /// The level: rescales left.
    pub fn level(&self) -> usize {
        self.params.level_of(self.limbs())
    }

    /// Limbs of each part.
    pub fn limbs(&self) -> usize {
        self.parts[0].basis().q
    }

    /// 1, or 2 for a product that was not yet relinearised.
    pub fn degree(&self) -> usize {
        self.parts.len() - 1
    }

    /// The scale Δ.
    pub fn scale(&self) -> Scale {
        self.scale
    }

    /// The polynomials c_0, c_1 (and c_2).
    pub fn parts(&self) -> &[Poly<Ntt>] {
        &self.parts
    }

    /// The noise estimate, if one was asked for.
    pub fn estimate(&self) -> Option<Estimate> {
        self.estimate
    }

    /// Starts a noise estimate: every operation carries it on.
    #[must_use]
    pub fn with_estimate(mut self, estimate: Estimate) -> Self {
        self.estimate = Some(estimate);
        self
    }

    /// Bytes on the wire.
    pub fn packed_bytes(&self) -> usize {
        HEAD + size_of::<u8>() + self.parts.len() * self.parts[0].packed_bytes()
    }
}

/// Bytes of the limbs and the scale of a ciphertext on the wire.
const HEAD: usize = size_of::<u16>() + 2 * size_of::<f64>();

impl fmt::Debug for Ciphertext {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Ciphertext")
            .field("level", &self.level())
            .field("degree", &self.degree())
            .field("scale", &self.scale)
            .finish_non_exhaustive()
    }
}

/// A ciphertext under the secret key whose c_1 is the expansion of a public seed: half the size.
#[derive(Clone)]
pub struct SeededCiphertext {
    pub(crate) params: Params,
    pub(crate) c0: Poly<Ntt>,
    pub(super) seed: Seed,
    /// Which polynomial of the seed c_1 is.
    pub(super) object: u64,
    pub(super) scale: Scale,
    pub(super) estimate: Option<Estimate>,
}

impl SeededCiphertext {
    /// The level: rescales left.
    pub fn level(&self) -> usize {
        self.params.level_of(self.c0.basis().q)
    }

    /// The scale Δ.
    pub fn scale(&self) -> Scale {
        self.scale
    }

    /// The whole ciphertext. Cost: ⌈b/8⌉ N bytes of ChaCha20 a limb of b bits, and a copy of c_0.
    pub fn expand(&self) -> Ciphertext {
        self.clone().into_expanded()
    }

    /// [`Self::expand`] without a copy of c_0.
    pub fn into_expanded(self) -> Ciphertext {
        let c1 = self.seed.expand(self.params.ring(), self.c0.basis(), self.object);
        let parts = smallvec![self.c0, c1];
        Ciphertext { params: self.params, parts, scale: self.scale, estimate: self.estimate }
    }

    /// The words from `first` on of limb `i` of c_1.
    pub(crate) fn expand_into(&self, i: usize, first: usize, out: &mut [u64]) {
        let ring = self.params.ring();
        let q = ring.modulus(self.c0.basis(), i);
        self.seed.expand_into((ring.backend(), q), stream(self.object, i), first, out);
    }

    /// Bytes on the wire.
    pub fn packed_bytes(&self) -> usize {
        HEAD + size_of::<Seed>() + size_of::<u64>() + self.c0.packed_bytes()
    }
}

impl fmt::Debug for SeededCiphertext {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SeededCiphertext")
            .field("scale", &self.scale)
            .field("object", &self.object)
            .finish_non_exhaustive()
    }
}
