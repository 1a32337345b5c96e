//! Rotations and conjugation: an automorphism and a key switch. Those of one ciphertext share its decomposition (hoisting: Halevi-Shoup
//! 2018/244); what leaves a rotation may stay in the basis QP, and be rotated there again (Bossuat et al. 2020/1203, section 4).

#[cfg(doc)]
use crate::error::Error;
use crate::error::Result;
use crate::ring::{Digits, Ntt, Operand, Poly, divide_round_assign};

use super::ciphertext::Ciphertext;
use super::evaluator::{Evaluator, expect_degree};
use super::extended::ExtendedCiphertext;
use super::key_switch::{Addend, KeySwitch};
use super::keys::{EvaluationKeys, SwitchingKey};
use super::noise::Estimate;
use super::scale::Scale;

/// A ciphertext whose c_1 is decomposed: rotations of it share that work.
pub struct Hoisted<'a> {
    operand: Rotated<'a>,
    digits: Digits<'static>,
}

/// What is rotated.
#[derive(Clone, Copy)]
enum Rotated<'a> {
    Ciphertext(&'a Ciphertext),
    Extended(&'a ExtendedCiphertext),
}

impl<'a> Rotated<'a> {
    fn level(self) -> usize {
        match self {
            Self::Ciphertext(a) => a.level(),
            Self::Extended(a) => a.level(),
        }
    }

    fn scale(self) -> Scale {
        match self {
            Self::Ciphertext(a) => a.scale,
            Self::Extended(a) => a.scale,
        }
    }

    /// What of c_0 is added to the sums of a key switch.
    fn addends(self) -> [Addend<'a>; 2] {
        let addend = match self {
            Self::Ciphertext(a) => Addend::Multiple(Operand::Poly(&a.parts[0])),
            Self::Extended(a) => Addend::Extended(&a.parts[0]),
        };
        [addend, Addend::Nothing]
    }
}

impl Evaluator {
    /// Rotation to the left: slot i receives slot i + k. Level and scale stay. Cost as [`Self::relinearize`].
    ///
    /// # Errors
    /// [`Error::WrongDegree`] unless the degree is 1; [`Error::MissingKey`], which names the rotation.
    pub fn rotate(&self, a: &Ciphertext, k: i64, keys: &EvaluationKeys) -> Result<Ciphertext> {
        self.check("rotate", a, keys.params(), a.level())?;
        expect_degree("rotate", a, 1, "relinearise it first")?;
        match k.rem_euclid(self.params.slots() as i64) {
            0 => Ok(a.clone()),
            k => Ok(self.automorphism(Rotated::Ciphertext(a), &self.digits(&a.parts[1]), keys.rotation(k, a.level())?)),
        }
    }

    /// The complex conjugate of every slot; the standard ring only. Otherwise as [`Self::rotate`].
    ///
    /// # Errors
    /// As [`Self::rotate`], and [`Error::NoComplexSlots`].
    pub fn conjugate(&self, a: &Ciphertext, keys: &EvaluationKeys) -> Result<Ciphertext> {
        self.check("conjugate", a, keys.params(), a.level())?;
        expect_degree("conjugate", a, 1, "relinearise it first")?;
        Ok(self.automorphism(Rotated::Ciphertext(a), &self.digits(&a.parts[1]), keys.conjugation(a.level())?))
    }

    /// Decomposes c_1 once for any number of rotations.
    ///
    /// # Errors
    /// [`Error::ParamsMismatch`]; [`Error::WrongDegree`] unless the degree is 1.
    pub fn hoist<'a>(&self, a: &'a Ciphertext) -> Result<Hoisted<'a>> {
        self.check("rotate", a, &a.params, a.level())?;
        expect_degree("rotate", a, 1, "relinearise it first")?;
        Ok(Hoisted { operand: Rotated::Ciphertext(a), digits: self.digits(&a.parts[1]).hoist() })
    }

    /// The same for a ciphertext in the basis QP. Cost: a ModDown of c_1, k inverse and l forward NTTs, besides.
    ///
    /// # Errors
    /// [`Error::ParamsMismatch`].
    pub fn hoist_extended<'a>(&self, a: &'a ExtendedCiphertext) -> Result<Hoisted<'a>> {
        self.check_extended("rotate", a, &a.params, a.level())?;
        Ok(Hoisted { operand: Rotated::Extended(a), digits: self.digits(&divided(a)).hoist() })
    }

    /// [`Self::rotate`] of a hoisted ciphertext. Cost: 2 (l + k) NTTs.
    ///
    /// # Errors
    /// [`Error::ParamsMismatch`], [`Error::MissingKey`].
    pub fn rotate_hoisted(&self, a: &Hoisted<'_>, k: i64, keys: &EvaluationKeys) -> Result<Ciphertext> {
        self.check_rotated(a.operand, keys)?;
        match (k.rem_euclid(self.params.slots() as i64), a.operand) {
            (0, Rotated::Ciphertext(a)) => Ok(a.clone()),
            (0, Rotated::Extended(a)) => self.mod_down(a.clone()),
            (k, operand) => Ok(self.automorphism(operand, &a.digits, keys.rotation(k, operand.level())?)),
        }
    }

    /// [`Self::rotate_hoisted`] without its ModDown. Cost: no NTT.
    ///
    /// # Errors
    /// [`Error::ParamsMismatch`], [`Error::MissingKey`].
    pub fn rotate_hoisted_extended(
        &self,
        a: &Hoisted<'_>,
        k: i64,
        keys: &EvaluationKeys,
    ) -> Result<ExtendedCiphertext> {
        self.check_rotated(a.operand, keys)?;
        match (k.rem_euclid(self.params.slots() as i64), a.operand) {
            (0, Rotated::Ciphertext(a)) => self.extend(a),
            (0, Rotated::Extended(a)) => Ok(a.clone()),
            (k, operand) => Ok(self.automorphism_extended(operand, &a.digits, keys.rotation(k, operand.level())?)),
        }
    }

    /// Rotation to the left of a ciphertext in the basis QP, which it does not leave. Cost: a ModDown of c_1, k inverse and l forward
    /// NTTs, and its ModUp.
    ///
    /// # Errors
    /// [`Error::ParamsMismatch`], [`Error::MissingKey`].
    pub fn rotate_extended(&self, a: &ExtendedCiphertext, k: i64, keys: &EvaluationKeys) -> Result<ExtendedCiphertext> {
        self.check_rotated(Rotated::Extended(a), keys)?;
        match k.rem_euclid(self.params.slots() as i64) {
            0 => Ok(a.clone()),
            k => {
                let key = keys.rotation(k, a.level())?;
                Ok(self.automorphism_extended(Rotated::Extended(a), &self.digits(&divided(a)), key))
            }
        }
    }

    fn digits<'a>(&self, c1: &'a Poly<Ntt>) -> Digits<'a> {
        Digits::new(Operand::Poly(c1), self.params.digit_limbs())
    }

    /// Key-switches c_1 to σ^−1(s) and applies σ: two permutations of l limbs instead of one of all digits.
    fn automorphism(&self, a: Rotated<'_>, digits: &Digits<'_>, (element, key): (u64, &SwitchingKey)) -> Ciphertext {
        let permutation = Some(self.params.ring().permutation(element));
        let limbs = digits.basis().q;
        let parts = KeySwitch { digits, key, addends: a.addends(), permutation }.divide_round(limbs);
        let (params, estimate) = (self.params.clone(), self.switched(a, limbs));
        Ciphertext { params, parts: parts.into_iter().collect(), scale: a.scale(), estimate }
    }

    /// [`Self::automorphism`] without the ModDown.
    fn automorphism_extended(
        &self,
        a: Rotated<'_>,
        digits: &Digits<'_>,
        (element, key): (u64, &SwitchingKey),
    ) -> ExtendedCiphertext {
        let permutation = Some(self.params.ring().permutation(element));
        let parts = KeySwitch { digits, key, addends: a.addends(), permutation }.extended();
        let (params, estimate) = (self.params.clone(), self.switched(a, digits.basis().q));
        ExtendedCiphertext { params, parts, scale: a.scale(), estimate }
    }

    /// The estimate after a key switch.
    fn switched(&self, a: Rotated<'_>, limbs: usize) -> Option<Estimate> {
        let estimate = match a {
            Rotated::Ciphertext(a) => a.estimate,
            Rotated::Extended(a) => a.estimate,
        };
        estimate.map(|estimate| estimate.key_switch(&self.params, limbs, a.scale()))
    }

    fn check_rotated(&self, a: Rotated<'_>, keys: &EvaluationKeys) -> Result<()> {
        match a {
            Rotated::Ciphertext(a) => self.check("rotate", a, keys.params(), a.level()),
            Rotated::Extended(a) => self.check_extended("rotate", a, keys.params(), a.level()),
        }
    }
}

/// c_1, divided by P.
fn divided(a: &ExtendedCiphertext) -> Poly<Ntt> {
    let mut c1 = a.parts[1].clone();
    divide_round_assign(std::slice::from_mut(&mut c1), a.basis().q);
    c1
}
