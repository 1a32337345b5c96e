//! An encoded message.

use crate::ring::{Digits, Ntt, Operand, Poly};

use super::params::Params;
use super::scale::Scale;

/// A message m encoded as round(Δ σ^−1(m)), in NTT form.
#[derive(Debug, Clone)]
pub struct Plaintext {
    pub(super) params: Params,
    pub(super) poly: Poly<Ntt>,
    pub(super) scale: Scale,
}

impl Plaintext {
    /// The parameters.
    pub fn params(&self) -> &Params {
        &self.params
    }

    /// The level: rescales left.
    pub fn level(&self) -> usize {
        self.params.level_of(self.poly.basis().q)
    }

    /// The scale.
    pub fn scale(&self) -> Scale {
        self.scale
    }

    /// The same message in the basis QP. Cost: l inverse and k forward NTTs.
    pub fn extend(&self) -> ExtendedPlaintext {
        let digit = Digits::new(Operand::Poly(&self.poly), self.poly.basis().q);
        ExtendedPlaintext { params: self.params.clone(), poly: digit.into_poly(), scale: self.scale }
    }
}

/// A [`Plaintext`] in the basis QP, for products with an [`super::ExtendedCiphertext`].
#[derive(Debug, Clone)]
pub struct ExtendedPlaintext {
    pub(super) params: Params,
    pub(super) poly: Poly<Ntt>,
    pub(super) scale: Scale,
}

impl ExtendedPlaintext {
    /// The level: rescales left.
    pub fn level(&self) -> usize {
        self.params.level_of(self.poly.basis().q)
    }

    /// The scale.
    pub fn scale(&self) -> Scale {
        self.scale
    }
}
