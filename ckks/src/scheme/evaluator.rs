//! Operations on ciphertexts.
//!
//! Every operation states its effect on level, scale and degree; none repairs a mismatch. Costs are in limb NTTs, with l limbs,
//! k special primes and d digits. Read [`Evaluator::mul`], [`Evaluator::relinearize`] and [`Evaluator::rescale`] first.

use crate::error::{Error, Result};
use crate::ring::{Digits, Ntt, Operand, Poly, divide_round_assign};

use super::ciphertext::Ciphertext;
use super::key_switch::{Addend, KeySwitch};
use super::keys::EvaluationKeys;
use super::noise::Estimate;
use super::params::Params;
use super::plaintext::Plaintext;
use super::scale::Scale;

/// Evaluates on ciphertexts of one set of parameters. Holds no key.
#[derive(Debug, Clone)]
pub struct Evaluator {
    pub(super) params: Params,
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
            self.params.ring().count_macs(if c == 0.0 { 0 } else { a.parts.len() }, a.limbs());
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
        let tensor = self.tensor(a, b)?;
        let (basis, ring) = (a.parts[0].basis(), self.params.ring());
        let mut parts: [Poly<Ntt>; 3] = std::array::from_fn(|_| Poly::uninit(ring, basis));
        let buffers = parts.each_mut().map(|part| (part.data_mut(), ring.stride()));
        ring.each_limb_of(basis.q, buffers, |i, out| {
            for (out, operand) in out.into_iter().zip(&tensor) {
                operand.limb_into(i, &mut out[..ring.n()]);
            }
        });
        let estimate = join(a.estimate, b.estimate, Estimate::mul);
        let parts = parts.into_iter().collect();
        Ok(Ciphertext { params: self.params.clone(), parts, scale: a.scale.mul(b.scale), estimate })
    }

    fn tensor<'a>(&self, a: &'a Ciphertext, b: &'a Ciphertext) -> Result<[Operand<'a>; 3]> {
        self.check("multiply", a, &b.params, b.level())?;
        for factor in [a, b] {
            expect_degree("multiply", factor, 1, "relinearise it first")?;
        }
        Ok(Operand::tensor([&a.parts[0], &a.parts[1]], [&b.parts[0], &b.parts[1]]))
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
        expect_degree("relinearise", a, 2, "only products have something to relinearise")?;
        self.check("relinearise", a, keys.params(), a.level())?;
        let tensor = [0, 1, 2].map(|i| Operand::Poly(&a.parts[i]));
        self.relinearize_to(a.limbs(), (tensor, a.scale, a.estimate), keys)
    }

    /// [`Self::relinearize`] then [`Self::rescale`], with one division instead of two: l − 1 forward NTTs and a rounding less
    /// a part.
    ///
    /// # Errors
    /// Those of both.
    pub fn relinearize_rescale(&self, a: &Ciphertext, keys: &EvaluationKeys) -> Result<Ciphertext> {
        expect_degree("relinearise", a, 2, "only products have something to relinearise")?;
        self.check("relinearise", a, keys.params(), a.level())?;
        let tensor = [0, 1, 2].map(|i| Operand::Poly(&a.parts[i]));
        let out = self.relinearize_to(self.limbs_below(a)?, (tensor, a.scale, a.estimate), keys)?;
        Ok(self.rescaled(out, a.level()))
    }

    /// [`Self::mul`] then [`Self::relinearize`], without writing the three parts of the product.
    ///
    /// # Errors
    /// Those of both.
    pub fn mul_relinearize(&self, a: &Ciphertext, b: &Ciphertext, keys: &EvaluationKeys) -> Result<Ciphertext> {
        self.check("relinearise", a, keys.params(), a.level())?;
        let product = (self.tensor(a, b)?, a.scale.mul(b.scale), join(a.estimate, b.estimate, Estimate::mul));
        self.relinearize_to(a.limbs(), product, keys)
    }

    /// [`Self::mul`] then [`Self::relinearize_rescale`], without writing the three parts of the product.
    ///
    /// # Errors
    /// Those of both.
    pub fn mul_relinearize_rescale(&self, a: &Ciphertext, b: &Ciphertext, keys: &EvaluationKeys) -> Result<Ciphertext> {
        self.check("relinearise", a, keys.params(), a.level())?;
        let product = (self.tensor(a, b)?, a.scale.mul(b.scale), join(a.estimate, b.estimate, Estimate::mul));
        let out = self.relinearize_to(self.limbs_below(a)?, product, keys)?;
        Ok(self.rescaled(out, a.level()))
    }

    /// The first `keep` limbs of a product with its scale and estimate.
    fn relinearize_to(
        &self,
        keep: usize,
        ([c0, c1, c2], scale, estimate): ([Operand<'_>; 3], Scale, Option<Estimate>),
        keys: &EvaluationKeys,
    ) -> Result<Ciphertext> {
        let digits = Digits::new(c2, self.params.digit_limbs());
        let limbs = digits.basis().q;
        let key = keys.relinearization(self.params.level_of(limbs))?;
        let addends = [c0, c1].map(Addend::Multiple);
        let parts = KeySwitch { digits: &digits, key, addends, permutation: None }.alone().divide_round(keep);
        let estimate = estimate.map(|estimate| estimate.key_switch(&self.params, limbs, scale));
        Ok(Ciphertext { params: self.params.clone(), parts: parts.into_iter().collect(), scale, estimate })
    }

    /// Divides by the primes of the top step: one level less, the scale divided by the same primes. Error: a rounding of each
    /// part, about N/6 in a scaled slot (standard ring). Cost: l NTTs a part.
    ///
    /// # Errors
    /// [`Error::LevelExhausted`] at level 0.
    pub fn rescale(&self, mut a: Ciphertext) -> Result<Ciphertext> {
        self.check("rescale", &a, &a.params, a.level())?;
        let (level, keep) = (a.level(), self.limbs_below(&a)?);
        divide_round_assign(&mut a.parts, keep);
        Ok(self.rescaled(a, level))
    }

    /// Limbs of `a` after a rescale.
    fn limbs_below(&self, a: &Ciphertext) -> Result<usize> {
        let below = a.level().checked_sub(1).ok_or(Error::LevelExhausted { operation: "rescale" })?;
        self.params.limbs(below)
    }

    /// The scale and the estimate of what was divided by the primes of the step at `level`.
    fn rescaled(&self, mut a: Ciphertext, level: usize) -> Ciphertext {
        self.params.ring().count_rescale();
        a.scale = self.params.rescaled(a.scale, level);
        a.estimate = a.estimate.map(|e| e.rescale(&self.params, a.degree(), a.scale));
        a
    }

    /// Forgets limbs down to `level`; the scale stays. Exact.
    ///
    /// # Errors
    /// [`Error::LevelTooLow`] when `level` is above the ciphertext's.
    pub fn drop_level_assign(&self, a: &mut Ciphertext, level: usize) -> Result<()> {
        self.check("drop level", a, &a.params, a.level())?;
        if level > a.level() {
            return Err(Error::LevelTooLow { operation: "drop level", level: a.level(), wanted: level });
        }
        let limbs = self.params.limbs(level)?;
        a.parts.iter_mut().for_each(|part| part.truncate(limbs));
        Ok(())
    }

    pub(super) fn check(&self, operation: &'static str, a: &Ciphertext, params: &Params, level: usize) -> Result<()> {
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

pub(super) fn expect_degree(
    operation: &'static str,
    a: &Ciphertext,
    degree: usize,
    advice: &'static str,
) -> Result<()> {
    if a.degree() == degree { Ok(()) } else { Err(Error::WrongDegree { operation, degree: a.degree(), advice }) }
}

pub(super) fn join(
    a: Option<Estimate>,
    b: Option<Estimate>,
    with: impl Fn(Estimate, Estimate) -> Estimate,
) -> Option<Estimate> {
    a.zip(b).map(|(a, b)| with(a, b))
}
