//! An encoded message.

use crate::ring::{Digits, Factor, Ntt, Operand, Poly};

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
        let factor = Factor::new(digit.into_poly());
        ExtendedPlaintext { params: self.params.clone(), factor, scale: self.scale }
    }
}

/// A [`Plaintext`] in the basis QP, for products with an [`super::ExtendedCiphertext`]. One whose slots repeat many times takes little
/// memory.
#[derive(Debug, Clone)]
pub struct ExtendedPlaintext {
    pub(super) params: Params,
    pub(super) factor: Factor,
    pub(super) scale: Scale,
}

impl ExtendedPlaintext {
    /// The level: rescales left.
    pub fn level(&self) -> usize {
        self.params.level_of(self.factor.basis().q)
    }

    /// The scale.
    pub fn scale(&self) -> Scale {
        self.scale
    }
}

#[cfg(test)]
mod tests {
    use crate::arith::RingKind;
    use crate::scheme::{Encoder, ParamsSpec};

    use super::*;

    #[test]
    fn slots_that_repeat_often_are_kept_once() {
        for ring in [RingKind::Standard, RingKind::ConjugateInvariant] {
            let params = ParamsSpec::new(ring, 9, &[40, 30], &[40]).build_insecure().unwrap();
            let kept = |period: usize| {
                let slots: Vec<f64> = (0..params.slots()).map(|i| (i % period) as f64).collect();
                let plaintext = Encoder::new(&params).encode(&slots, Scale::power_of_two(20), 1).unwrap();
                match plaintext.extend().factor {
                    Factor::Poly(_) => None,
                    Factor::Blocks { log_size, values, .. } => Some((1 << log_size, values.len())),
                }
            };
            let most = params.slots() / Factor::LEAST;
            for period in [2, most] {
                let size = params.slots() / period;
                assert_eq!(kept(period), Some((size, 3 * params.extended_words(size))));
            }
            assert_eq!((kept(2 * most), params.extended_words(Factor::LEAST / 2)), (None, params.ring().n()));
        }
    }
}
