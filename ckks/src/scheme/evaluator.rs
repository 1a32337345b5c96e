//! Operations on ciphertexts.
//!
//! Every operation states its effect on level, scale and degree; none repairs a mismatch. Costs are in limb NTTs, with l limbs,
//! k special primes and d digits. Read [`Evaluator::mul`], [`Evaluator::relinearize`] and [`Evaluator::rescale`] first.

use crate::error::{Error, Result};
use crate::ring::Digits;

use super::ciphertext::Ciphertext;
use super::key_switch::Extended;
use super::keys::{EvaluationKeys, SwitchingKey};
use super::noise::Estimate;
use super::params::Params;
use super::plaintext::Plaintext;
use super::scale::Scale;

/// Evaluates on ciphertexts of one set of parameters. Holds no key.
#[derive(Debug, Clone)]
pub struct Evaluator {
    params: Params,
}

/// A ciphertext whose c_1 is decomposed: rotations of it share that work (Halevi-Shoup 2018/244).
pub struct Hoisted<'a> {
    ciphertext: &'a Ciphertext,
    digits: Digits,
}

impl Evaluator {
    /// An evaluator for ciphertexts of `params`.
    pub fn new(params: &Params) -> Self {
        Self { params: params.clone() }
    }

    /// The parameters.
    pub fn params(&self) -> &Params {
        &self.params
    }

    /// a ← a + b. Equal levels and scales; the larger degree. Errors add.
    ///
    /// # Errors
    /// [`Error::ParamsMismatch`], [`Error::LevelMismatch`], [`Error::ScaleMismatch`].
    pub fn add_assign(&self, a: &mut Ciphertext, b: &Ciphertext) -> Result<()> {
        self.check_sum("add", a, &b.params, b.level(), b.scale)?;
        for (i, part) in b.parts.iter().enumerate() {
            match a.parts.get_mut(i) {
                Some(sum) => sum.add_assign(part),
                None => a.parts.push(part.clone()),
            }
        }
        a.estimate = join(a.estimate, b.estimate, Estimate::add);
        Ok(())
    }

    /// a ← a − b; as [`Self::add_assign`].
    ///
    /// # Errors
    /// As [`Self::add_assign`].
    pub fn sub_assign(&self, a: &mut Ciphertext, b: &Ciphertext) -> Result<()> {
        self.check_sum("subtract", a, &b.params, b.level(), b.scale)?;
        for (i, part) in b.parts.iter().enumerate() {
            match a.parts.get_mut(i) {
                Some(difference) => difference.sub_assign(part),
                None => {
                    let mut negated = part.clone();
                    negated.neg_assign();
                    a.parts.push(negated);
                }
            }
        }
        a.estimate = join(a.estimate, b.estimate, Estimate::add);
        Ok(())
    }

    /// a ← −a.
    pub fn negate_assign(&self, a: &mut Ciphertext) {
        a.parts.iter_mut().for_each(|part| part.neg_assign());
    }

    /// a ← a + m. Equal levels and scales.
    ///
    /// # Errors
    /// As [`Self::add_assign`].
    pub fn add_plain_assign(&self, a: &mut Ciphertext, m: &Plaintext) -> Result<()> {
        self.check_sum("add a plaintext", a, &m.params, m.level(), m.scale)?;
        a.parts[0].add_assign(&m.poly);
        // As in a product: the size of a plaintext is not recorded.
        a.estimate = None;
        Ok(())
    }

    /// a ← a − m. Equal levels and scales.
    ///
    /// # Errors
    /// As [`Self::add_assign`].
    pub fn sub_plain_assign(&self, a: &mut Ciphertext, m: &Plaintext) -> Result<()> {
        self.check_sum("subtract a plaintext", a, &m.params, m.level(), m.scale)?;
        a.parts[0].sub_assign(&m.poly);
        // As in a product: the size of a plaintext is not recorded.
        a.estimate = None;
        Ok(())
    }

    /// a ← a + c in every slot; the constant is encoded at the ciphertext's scale, to 1/(2Δ).
    ///
    /// # Errors
    /// [`Error::EncodeOverflow`] when |c| Δ does not fit the modulus.
    pub fn add_constant_assign(&self, a: &mut Ciphertext, c: f64) -> Result<()> {
        self.check("add a constant", a, &a.params, a.level())?;
        let integer = a.scale.integer(c, self.params.log_q(a.level()))?;
        a.parts[0].add_constant_assign(|q| integer.residue(q));
        let error = (integer.to_f64() / a.scale.to_f64() - c).abs();
        let constant = Estimate { message: c.abs(), deviation: error, bound: error };
        a.estimate = a.estimate.map(|estimate| estimate.add(constant));
        Ok(())
    }

    /// a ← a c in every slot, with c rounded to a multiple of 1/`scale`: the scales multiply, the level stays. No NTT.
    ///
    /// # Errors
    /// [`Error::EncodeOverflow`] when |c| · `scale` does not fit the modulus.
    pub fn mul_constant_assign(&self, a: &mut Ciphertext, c: f64, scale: Scale) -> Result<()> {
        self.check("multiply by a constant", a, &a.params, a.level())?;
        let integer = scale.integer(c, self.params.log_q(a.level()))?;
        if integer.to_f64() != 1.0 {
            a.parts.iter_mut().for_each(|part| part.mul_constant_assign(|q| integer.residue(q)));
        }
        a.scale = a.scale.mul(scale);
        let error = (integer.to_f64() / scale.to_f64() - c).abs();
        a.estimate = a.estimate.map(|estimate| estimate.mul_constant(c, error));
        Ok(())
    }

    /// a ← a ⊙ m, slot by slot: the scales multiply, the level stays. No NTT.
    ///
    /// # Errors
    /// [`Error::ParamsMismatch`], [`Error::LevelMismatch`].
    pub fn mul_plain_assign(&self, a: &mut Ciphertext, m: &Plaintext) -> Result<()> {
        self.check("multiply by a plaintext", a, &m.params, m.level())?;
        a.parts.iter_mut().for_each(|part| part.mul_assign(&m.poly));
        a.scale = a.scale.mul(m.scale);
        // The size of a plaintext is not recorded: an estimate ends here unless it is started anew.
        a.estimate = None;
        Ok(())
    }

    /// sum ← sum + a ⊙ m, slot by slot. Equal levels; the scale of the sum is the product of the other two. No NTT.
    ///
    /// # Errors
    /// As [`Self::add_assign`]; [`Error::WrongDegree`] when the sum's degree is below that of a.
    pub fn mul_plain_add_assign(&self, sum: &mut Ciphertext, a: &Ciphertext, m: &Plaintext) -> Result<()> {
        const OPERATION: &str = "add a product with a plaintext";
        self.check(OPERATION, a, &m.params, m.level())?;
        self.check_sum(OPERATION, sum, &a.params, a.level(), a.scale.mul(m.scale))?;
        if sum.degree() < a.degree() {
            return Err(Error::WrongDegree {
                operation: OPERATION,
                degree: sum.degree(),
                advice: "start the sum from a product of the same degree",
            });
        }
        for (sum, part) in sum.parts.iter_mut().zip(&a.parts) {
            sum.mul_add_assign(part, &m.poly);
        }
        sum.estimate = None;
        Ok(())
    }

    /// a ⊙ b, slot by slot, of degree 2: (a_0 b_0, a_0 b_1 + a_1 b_0, a_1 b_1). Equal levels; the scales multiply; the level
    /// stays. No NTT.
    ///
    /// # Errors
    /// [`Error::ParamsMismatch`], [`Error::LevelMismatch`]; [`Error::WrongDegree`] unless both have degree 1.
    pub fn mul(&self, a: &Ciphertext, b: &Ciphertext) -> Result<Ciphertext> {
        self.check("multiply", a, &b.params, b.level())?;
        for factor in [a, b] {
            expect_degree("multiply", factor, 1, "relinearise it first")?;
        }
        let product = crate::ring::Poly::product;
        let mut middle = product(&a.parts[0], &b.parts[1]);
        middle.mul_add_assign(&a.parts[1], &b.parts[0]);
        let parts = vec![product(&a.parts[0], &b.parts[0]), middle, product(&a.parts[1], &b.parts[1])];
        let estimate = join(a.estimate, b.estimate, Estimate::mul);
        Ok(Ciphertext { params: self.params.clone(), parts, scale: a.scale.mul(b.scale), estimate })
    }

    /// a ⊙ a; as [`Self::mul`].
    ///
    /// # Errors
    /// As [`Self::mul`].
    pub fn square(&self, a: &Ciphertext) -> Result<Ciphertext> {
        self.mul(a, a)
    }

    /// Degree 2 to degree 1, level and scale as they were. Cost: l inverse and d (l + k) − l forward NTTs for ModUp, 2 (l + k) for
    /// ModDown.
    ///
    /// # Errors
    /// [`Error::WrongDegree`] unless the degree is 2; [`Error::MissingKey`].
    pub fn relinearize(&self, a: &Ciphertext, keys: &EvaluationKeys) -> Result<Ciphertext> {
        let limbs = a.limbs();
        self.relinearize_to(a, keys, limbs)
    }

    /// [`Self::relinearize`] then [`Self::rescale`], with one division instead of two: l − 1 forward NTTs and a rounding less
    /// a part.
    ///
    /// # Errors
    /// Those of both.
    pub fn relinearize_rescale(&self, a: &Ciphertext, keys: &EvaluationKeys) -> Result<Ciphertext> {
        let level = a.level();
        let below = level.checked_sub(1).ok_or(Error::LevelExhausted { operation: "rescale", level, wanted: 0 })?;
        let mut out = self.relinearize_to(a, keys, self.params.limbs(below)?)?;
        out.scale = self.params.rescaled(a.scale, level);
        out.estimate = out.estimate.map(|estimate| estimate.rescale(&self.params, out.scale));
        Ok(out)
    }

    fn relinearize_to(&self, a: &Ciphertext, keys: &EvaluationKeys, limbs: usize) -> Result<Ciphertext> {
        expect_degree("relinearise", a, 2, "only products have something to relinearise")?;
        self.check("relinearise", a, keys.params(), a.level())?;
        let key = keys.relinearization(a.level())?;
        let digits = Digits::new(&a.parts[2], self.params.digit_limbs());
        let mut sum = Extended::inner_product(&digits, key);
        sum.add_multiple_of_p(&a.parts[0], &a.parts[1]);
        let (c0, c1) = sum.divide_round(limbs);
        let estimate = a.estimate.map(|estimate| estimate.key_switch(&self.params, a.limbs(), a.scale));
        Ok(Ciphertext { params: self.params.clone(), parts: vec![c0, c1], scale: a.scale, estimate })
    }

    /// Divides by the primes of the top step: one level less, the scale divided by the same primes. Error: a rounding of each
    /// part, about N/6 in a scaled slot (standard ring). Cost: l NTTs a part.
    ///
    /// # Errors
    /// [`Error::LevelExhausted`] at level 0.
    pub fn rescale(&self, mut a: Ciphertext) -> Result<Ciphertext> {
        self.check("rescale", &a, &a.params, a.level())?;
        let level = a.level();
        let below = level.checked_sub(1).ok_or(Error::LevelExhausted { operation: "rescale", level, wanted: 0 })?;
        let keep = self.params.limbs(below)?;
        a.scale = self.params.rescaled(a.scale, level);
        a.parts = a.parts.into_iter().map(|part| part.divide_round(keep)).collect();
        // The estimate knows the rounding of two parts.
        a.estimate = a.estimate.filter(|_| a.degree() == 1).map(|e| e.rescale(&self.params, a.scale));
        Ok(a)
    }

    /// Forgets limbs down to `level`; the scale stays. Exact.
    ///
    /// # Errors
    /// [`Error::LevelExhausted`] when `level` is above the ciphertext's.
    pub fn drop_level_assign(&self, a: &mut Ciphertext, level: usize) -> Result<()> {
        self.check("drop level", a, &a.params, a.level())?;
        if level > a.level() {
            return Err(Error::LevelExhausted { operation: "drop level", level: a.level(), wanted: level });
        }
        let limbs = self.params.limbs(level)?;
        a.parts.iter_mut().for_each(|part| part.truncate(limbs));
        Ok(())
    }

    /// Rotation to the left: slot i receives slot i + k. Level and scale stay. Cost as [`Self::relinearize`].
    ///
    /// # Errors
    /// [`Error::WrongDegree`] unless the degree is 1; [`Error::MissingKey`], which names the rotation.
    pub fn rotate(&self, a: &Ciphertext, k: i64, keys: &EvaluationKeys) -> Result<Ciphertext> {
        match k.rem_euclid(self.params.slots() as i64) {
            0 => Ok(a.clone()),
            k => self.rotate_hoisted(&self.hoist(a)?, k, keys),
        }
    }

    /// The complex conjugate of every slot; the standard ring only. Otherwise as [`Self::rotate`].
    ///
    /// # Errors
    /// As [`Self::rotate`], and [`Error::NoComplexSlots`].
    pub fn conjugate(&self, a: &Ciphertext, keys: &EvaluationKeys) -> Result<Ciphertext> {
        self.check("conjugate", a, keys.params(), a.level())?;
        let (element, key) = keys.conjugation(a.level())?;
        Ok(self.automorphism(&self.hoist(a)?, element, key))
    }

    /// Decomposes c_1 once for any number of [`Self::rotate_hoisted`].
    ///
    /// # Errors
    /// [`Error::ParamsMismatch`]; [`Error::WrongDegree`] unless the degree is 1.
    pub fn hoist<'a>(&self, a: &'a Ciphertext) -> Result<Hoisted<'a>> {
        self.check("rotate", a, &a.params, a.level())?;
        expect_degree("rotate", a, 1, "relinearise it first")?;
        Ok(Hoisted { ciphertext: a, digits: Digits::new(&a.parts[1], self.params.digit_limbs()) })
    }

    /// [`Self::rotate`] of a hoisted ciphertext. Cost: 2 (l + k) NTTs.
    ///
    /// # Errors
    /// [`Error::ParamsMismatch`], [`Error::MissingKey`].
    pub fn rotate_hoisted(&self, a: &Hoisted<'_>, k: i64, keys: &EvaluationKeys) -> Result<Ciphertext> {
        if k.rem_euclid(self.params.slots() as i64) == 0 {
            return Ok(a.ciphertext.clone());
        }
        self.check("rotate", a.ciphertext, keys.params(), a.ciphertext.level())?;
        let (element, key) = keys.rotation(k, a.ciphertext.level())?;
        Ok(self.automorphism(a, element, key))
    }

    /// Key-switches c_1 to σ^−1(s) and applies σ: two permutations of l limbs instead of one of all digits.
    fn automorphism(&self, a: &Hoisted<'_>, element: u64, key: &SwitchingKey) -> Ciphertext {
        let ciphertext = a.ciphertext;
        let (mut c0, c1) = Extended::inner_product(&a.digits, key).divide_round(a.digits.basis().q);
        c0.add_assign(&ciphertext.parts[0]);
        let parts = vec![c0.automorphism(element), c1.automorphism(element)];
        let estimate = ciphertext.estimate.map(|e| e.key_switch(&self.params, ciphertext.limbs(), ciphertext.scale));
        Ciphertext { params: self.params.clone(), parts, scale: ciphertext.scale, estimate }
    }

    fn check(&self, operation: &'static str, a: &Ciphertext, params: &Params, level: usize) -> Result<()> {
        if a.params != self.params || *params != self.params {
            return Err(Error::ParamsMismatch { operation });
        }
        if a.level() != level {
            return Err(Error::LevelMismatch { operation, left: a.level(), right: level });
        }
        Ok(())
    }

    fn check_sum(
        &self,
        operation: &'static str,
        a: &Ciphertext,
        params: &Params,
        level: usize,
        scale: Scale,
    ) -> Result<()> {
        self.check(operation, a, params, level)?;
        if a.scale == scale { Ok(()) } else { Err(Error::ScaleMismatch { operation, left: a.scale, right: scale }) }
    }
}

fn expect_degree(operation: &'static str, a: &Ciphertext, degree: usize, advice: &'static str) -> Result<()> {
    if a.degree() == degree { Ok(()) } else { Err(Error::WrongDegree { operation, degree: a.degree(), advice }) }
}

fn join(a: Option<Estimate>, b: Option<Estimate>, with: impl Fn(Estimate, Estimate) -> Estimate) -> Option<Estimate> {
    a.zip(b).map(|(a, b)| with(a, b))
}
