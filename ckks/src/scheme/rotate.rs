//! Rotations and conjugation: an automorphism and a key switch. Those of one ciphertext share its decomposition (hoisting: Halevi-Shoup
//! 2018/244); what leaves a rotation may stay in the basis QP, and be rotated there again (Bossuat et al. 2020/1203, section 4).

use std::borrow::Borrow;

use rayon::prelude::*;

use crate::error::{Error, Result};
use crate::ring::{Digits, Ntt, Operand, Poly, divide_round};

use super::ciphertext::Ciphertext;
use super::evaluator::{Evaluator, expect_degree, join};
use super::extended::ExtendedCiphertext;
use super::key_switch::{Addend, KeySwitch, SwitchSum};
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

    /// Σ_i Σ_k rot_k(a_i) over the rotations of each of these, in the basis QP: equal levels and scales. No rotated ciphertext is written: limb by
    /// limb, they are added up in cache. Cost for each a_i that is rotated: a ModDown of c_1 and its ModUp.
    ///
    /// # Errors
    /// [`Error::ParamsMismatch`], [`Error::LevelMismatch`], [`Error::ScaleMismatch`], [`Error::MissingKey`]; [`Error::ShapeMismatch`] for a
    /// sum without a term.
    pub fn sum_rotations_extended(
        &self,
        terms: &[(impl Borrow<ExtendedCiphertext>, impl AsRef<[i64]>)],
        keys: &EvaluationKeys,
    ) -> Result<ExtendedCiphertext> {
        let (parts, scale, estimate) = self.summed(terms, keys, |sum| sum.extended())?;
        Ok(ExtendedCiphertext { params: self.params.clone(), parts, scale, estimate })
    }

    /// [`Self::sum_rotations_extended`], then [`Self::mod_down`], without writing what is divided.
    ///
    /// # Errors
    /// As [`Self::sum_rotations_extended`].
    pub fn sum_rotations(
        &self,
        terms: &[(impl Borrow<ExtendedCiphertext>, impl AsRef<[i64]>)],
        keys: &EvaluationKeys,
    ) -> Result<Ciphertext> {
        let (parts, scale, estimate) = self.summed(terms, keys, |sum| sum.divide_round(sum.basis.q))?;
        Ok(Ciphertext { params: self.params.clone(), parts: parts.into_iter().collect(), scale, estimate })
    }

    /// The sum of rotations, as `finish` makes it, with its scale and estimate.
    fn summed(
        &self,
        terms: &[(impl Borrow<ExtendedCiphertext>, impl AsRef<[i64]>)],
        keys: &EvaluationKeys,
        finish: impl FnOnce(&SwitchSum<'_>) -> [Poly<Ntt>; 2],
    ) -> Result<([Poly<Ntt>; 2], Scale, Option<Estimate>)> {
        const OPERATION: &str = "sum of rotations";
        let terms = || terms.iter().map(|(a, rotations)| (a.borrow(), rotations.as_ref()));
        let Some((first, _)) = terms().find(|(_, rotations)| !rotations.is_empty()) else {
            return Err(Error::ShapeMismatch { operation: OPERATION, reason: "there are no terms".into() });
        };
        let (ring, basis, scale) = (self.params.ring(), first.basis(), first.scale);
        let (mut rotated, mut others, mut estimates) = (Vec::new(), Vec::new(), Vec::new());
        for (a, rotations) in terms() {
            self.check_extended(OPERATION, first, keys.params(), a.level())?;
            self.check_extended(OPERATION, first, &a.params, a.level())?;
            if a.scale != scale {
                return Err(Error::ScaleMismatch { operation: OPERATION, left: scale, right: a.scale });
            }
            let mut of_a = Vec::new();
            for k in rotations.iter().map(|k| k.rem_euclid(self.params.slots() as i64)) {
                if k == 0 {
                    others.push([&a.parts[0], &a.parts[1]]);
                    estimates.push(a.estimate);
                } else {
                    of_a.push(keys.rotation(k, first.level())?);
                    estimates.push(self.switched(Rotated::Extended(a), basis.q));
                }
            }
            if !of_a.is_empty() {
                rotated.push((a, of_a));
            }
        }
        let divided: Vec<_> = rotated.par_iter().map(|(a, _)| divided(a)).collect();
        let digits = |(c1, (_, keys)): (_, &(_, Vec<_>))| {
            let digits = self.digits(c1);
            if keys.len() > 1 { digits.hoist() } else { digits }
        };
        let digits: Vec<Digits<'_>> = divided.par_iter().zip(&rotated).map(digits).collect();
        let mut switches = Vec::new();
        for ((a, keys), digits) in rotated.iter().zip(&digits) {
            let addends = Rotated::Extended(a).addends();
            let switch = |&(element, key): &(u64, _)| {
                let permutation = Some(ring.permutation(element));
                KeySwitch { digits, key, addends, permutation }
            };
            switches.extend(keys.iter().map(switch));
        }
        let parts = finish(&SwitchSum { ring, basis, switches: &switches, others: &others });
        let estimate = estimates.into_iter().reduce(|a, b| join(a, b, Estimate::add)).flatten();
        Ok((parts, scale, estimate))
    }

    fn digits<'a>(&self, c1: &'a Poly<Ntt>) -> Digits<'a> {
        Digits::new(Operand::Poly(c1), self.params.digit_limbs())
    }

    /// Key-switches c_1 to σ^−1(s) and applies σ: two permutations of l limbs instead of one of all digits.
    fn automorphism(&self, a: Rotated<'_>, digits: &Digits<'_>, (element, key): (u64, &SwitchingKey)) -> Ciphertext {
        let permutation = Some(self.params.ring().permutation(element));
        let limbs = digits.basis().q;
        let parts = KeySwitch { digits, key, addends: a.addends(), permutation }.alone().divide_round(limbs);
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
        let parts = KeySwitch { digits, key, addends: a.addends(), permutation }.alone().extended();
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
    divide_round(&a.parts[1], a.basis().q)
}
