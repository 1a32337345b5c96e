//! An encoded message.

use crate::ring::{Ntt, Poly};

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
}
