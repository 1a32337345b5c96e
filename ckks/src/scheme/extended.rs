//! Ciphertexts in the basis QP: what key switching makes before ModDown.
//!
//! An [`ExtendedCiphertext`] holds P Δ m. Sums, products with plaintexts and further rotations of such need no division by P; one
//! [`Evaluator::mod_down`] at the end does for all of them (double hoisting: Bossuat et al. 2020/1203, section 4).

use std::fmt;

use crate::error::{Error, Result};
use crate::ring::{Basis, Ntt, Poly, Term, divide_round_assign};

use super::ciphertext::Ciphertext;
use super::evaluator::{Evaluator, expect_degree, join};
use super::noise::Estimate;
use super::params::Params;
use super::plaintext::ExtendedPlaintext;
use super::scale::Scale;

/// (c_0, c_1) in the basis QP with c_0 + c_1 s ≈ P Δ m; in NTT form.
#[derive(Clone)]
pub struct ExtendedCiphertext {
    pub(super) params: Params,
    pub(super) parts: [Poly<Ntt>; 2],
    pub(super) scale: Scale,
    pub(super) estimate: Option<Estimate>,
}

impl ExtendedCiphertext {
    /// The parameters.
    pub fn params(&self) -> &Params {
        &self.params
    }

    /// The level: rescales left.
    pub fn level(&self) -> usize {
        self.params.level_of(self.basis().q)
    }

    /// The scale Δ.
    pub fn scale(&self) -> Scale {
        self.scale
    }

    pub(super) fn basis(&self) -> Basis {
        self.parts[0].basis()
    }
}

impl fmt::Debug for ExtendedCiphertext {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ExtendedCiphertext")
            .field("level", &self.level())
            .field("scale", &self.scale)
            .finish_non_exhaustive()
    }
}

/// What is multiplied in a product of the two.
fn polynomials<'a>(a: &'a ExtendedCiphertext, m: &'a ExtendedPlaintext) -> Term<'a> {
    ([&a.parts[0], &a.parts[1]], &m.factor)
}

impl Evaluator {
    /// The ciphertext in the basis QP: P c in the ciphertext primes, zero in the special ones. Exact; no NTT.
    ///
    /// # Errors
    /// [`Error::ParamsMismatch`]; [`Error::WrongDegree`] unless the degree is 1.
    pub fn extend(&self, a: &Ciphertext) -> Result<ExtendedCiphertext> {
        self.check("extend", a, &a.params, a.level())?;
        expect_degree("extend", a, 1, "relinearise it first")?;
        let ring = self.params.ring();
        let (limbs, backend) = (a.limbs(), ring.backend());
        let extend = |part: &Poly<Ntt>| {
            let mut out = Poly::zero(ring, Basis { q: limbs, ..ring.full_basis() });
            out.each_limb(|i, q, limb| {
                if i < limbs {
                    backend.mul_scalar_add_assign(q, limb, part.limb(i), ring.special_product(i));
                }
            });
            out
        };
        let parts = [extend(&a.parts[0]), extend(&a.parts[1])];
        Ok(ExtendedCiphertext { params: self.params.clone(), parts, scale: a.scale, estimate: a.estimate })
    }

    /// a ← a + b. Equal levels and scales. Errors add.
    ///
    /// # Errors
    /// [`Error::ParamsMismatch`], [`Error::LevelMismatch`], [`Error::ScaleMismatch`].
    pub fn add_extended_assign(&self, a: &mut ExtendedCiphertext, b: &ExtendedCiphertext) -> Result<()> {
        self.check_extended("add", a, &b.params, b.level())?;
        if a.scale != b.scale {
            return Err(Error::ScaleMismatch { operation: "add", left: a.scale, right: b.scale });
        }
        a.parts.iter_mut().zip(&b.parts).for_each(|(sum, part)| sum.add_assign(part));
        a.estimate = join(a.estimate, b.estimate, Estimate::add);
        Ok(())
    }

    /// Of each sum, Σ a_i ⊙ m_i over its terms, slot by slot: equal levels; the scales of each term multiply to the same number, that of the
    /// sums. What several sums read is read once. No NTT; on the threads of the current rayon pool.
    ///
    /// # Errors
    /// As [`Self::add_extended_assign`]; [`Error::ShapeMismatch`] for a sum without a term.
    pub fn inner_products_extended(
        &self,
        sums: &[Vec<(&ExtendedCiphertext, &ExtendedPlaintext)>],
    ) -> Result<Vec<ExtendedCiphertext>> {
        const OPERATION: &str = "sum of products with plaintexts";
        let Some(&(a, m)) = sums.iter().flatten().next().filter(|_| sums.iter().all(|terms| !terms.is_empty())) else {
            return Err(Error::ShapeMismatch { operation: OPERATION, reason: "there are no terms".into() });
        };
        let scale = a.scale.mul(m.scale);
        for (b, m) in sums.iter().flatten() {
            self.check_extended(OPERATION, b, &m.params, m.level())?;
            self.check_extended(OPERATION, a, &b.params, b.level())?;
            if b.scale.mul(m.scale) != scale {
                return Err(Error::ScaleMismatch { operation: OPERATION, left: scale, right: b.scale.mul(m.scale) });
            }
        }
        let polynomials = |&(a, m)| polynomials(a, m);
        let sums: Vec<Vec<_>> = sums.iter().map(|terms| terms.iter().map(polynomials).collect()).collect();
        let parts = Poly::inner_products(self.params.ring(), a.basis(), &sums).into_iter();
        // As in a product: the size of a plaintext is not recorded.
        Ok(parts
            .map(|parts| ExtendedCiphertext { params: self.params.clone(), parts, scale, estimate: None })
            .collect())
    }

    /// ModDown: divides by P. Error: a rounding of each part. Cost: 2 k inverse and 2 l forward NTTs.
    ///
    /// # Errors
    /// [`Error::ParamsMismatch`].
    pub fn mod_down(&self, mut a: ExtendedCiphertext) -> Result<Ciphertext> {
        self.check_extended("ModDown", &a, &a.params, a.level())?;
        let limbs = a.basis().q;
        divide_round_assign(&mut a.parts, limbs);
        let ExtendedCiphertext { params, parts, scale, estimate } = a;
        Ok(Ciphertext { params, parts: parts.into_iter().collect(), scale, estimate })
    }

    pub(super) fn check_extended(
        &self,
        operation: &'static str,
        a: &ExtendedCiphertext,
        params: &Params,
        level: usize,
    ) -> Result<()> {
        if a.params != self.params || *params != self.params {
            return Err(Error::ParamsMismatch { operation });
        }
        if a.level() != level {
            return Err(Error::LevelMismatch { operation, left: a.level(), right: level });
        }
        Ok(())
    }
}
