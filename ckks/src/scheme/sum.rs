//! Sums of scaled ciphertexts and products, Σ c_i x_i + Σ c_j a_j ⊙ b_j + d, limb by limb in one pass: neither a product nor a scaled
//! ciphertext is ever in memory.

use smallvec::SmallVec;

use crate::arith::Modulus;
use crate::error::{Error, Result};
use crate::ring::{Basis, Ntt, Operand, Poly};

use super::ciphertext::{Ciphertext, Parts};
use super::evaluator::{Evaluator, expect_degree, join};
use super::noise::Estimate;
use super::scale::{Scale, Wide};

/// A term of a sum.
#[derive(Debug, Clone, Copy)]
pub struct SumTerm<'a> {
    /// What is multiplied. Its level may be above that of the sum.
    pub factor: SumFactor<'a>,
    /// By what.
    pub constant: f64,
    /// The scale at which the constant is encoded.
    pub scale: Scale,
}

/// What a constant multiplies.
#[derive(Debug, Clone, Copy)]
pub enum SumFactor<'a> {
    /// x.
    Whole(&'a Ciphertext),
    /// a ⊙ b, of degree 2.
    Product(&'a Ciphertext, &'a Ciphertext),
}

/// A term with its constant encoded.
struct Encoded<'a> {
    /// Of each part.
    operands: SmallVec<[Operand<'a>; 3]>,
    constant: Wide,
    scale: Scale,
    estimate: Option<Estimate>,
}

const OPERATION: &str = "sum of multiples";

impl Evaluator {
    /// Σ c_i x_i + `constant` at `level`: each constant is rounded to a multiple of 1/its scale, and the scales of each term multiply to the
    /// same number, that of the sum. The largest degree of the terms. Errors add. No NTT.
    ///
    /// # Errors
    /// [`Error::ParamsMismatch`]; [`Error::ShapeMismatch`] for no terms; [`Error::LevelTooLow`] when `level` is above that of an operand;
    /// [`Error::ScaleMismatch`]; [`Error::WrongDegree`] unless factors of products have degree 1; [`Error::EncodeOverflow`].
    pub fn sum(&self, terms: &[SumTerm<'_>], constant: f64, level: usize) -> Result<Ciphertext> {
        let encoded: Result<SmallVec<[Encoded<'_>; 4]>> = terms.iter().map(|term| self.encoded(term, level)).collect();
        let encoded = encoded?;
        let Some(scale) = encoded.first().map(|term| term.scale) else {
            return Err(Error::ShapeMismatch { operation: OPERATION, reason: "there are no terms".into() });
        };
        if let Some(other) = encoded.iter().find(|term| term.scale != scale) {
            return Err(Error::ScaleMismatch { operation: OPERATION, left: scale, right: other.scale });
        }
        let estimates = encoded.iter().map(|term| term.estimate).reduce(|a, b| join(a, b, Estimate::add)).flatten();
        let limbs = self.params.limbs(level)?;
        let multiplied = encoded.iter().filter(|term| term.constant.to_f64() != 1.0);
        self.params.ring().count_macs(multiplied.map(|term| term.operands.len()).sum(), limbs);
        let parts = match encoded.iter().any(|term| term.operands.len() == 3) {
            true => self.parts::<3>(&encoded, limbs),
            false => self.parts::<2>(&encoded, limbs),
        };
        let mut sum = Ciphertext { params: self.params.clone(), parts, scale, estimate: estimates };
        if constant != 0.0 {
            self.add_constant_assign(&mut sum, constant)?;
        }
        Ok(sum)
    }

    fn encoded<'a>(&self, term: &SumTerm<'a>, level: usize) -> Result<Encoded<'a>> {
        let (operands, scale, estimate) = match term.factor {
            SumFactor::Whole(x) => (x.parts.iter().map(Operand::Poly).collect(), x.scale, x.estimate),
            SumFactor::Product(a, b) => {
                for factor in [a, b] {
                    expect_degree(OPERATION, factor, 1, "relinearise it first")?;
                }
                let tensor = Operand::tensor([&a.parts[0], &a.parts[1]], [&b.parts[0], &b.parts[1]]);
                (tensor.into_iter().collect(), a.scale.mul(b.scale), join(a.estimate, b.estimate, Estimate::mul))
            }
        };
        let (first, second) = match term.factor {
            SumFactor::Whole(x) => (x, x),
            SumFactor::Product(a, b) => (a, b),
        };
        for x in [first, second] {
            self.check(OPERATION, x, &x.params, x.level())?;
            if level > x.level() {
                return Err(Error::LevelTooLow { operation: OPERATION, level: x.level(), wanted: level });
            }
        }
        let constant = term.scale.integer(term.constant, self.params.log_q(level))?;
        let error = (constant.to_f64() / term.scale.to_f64() - term.constant).abs();
        let estimate = estimate.map(|estimate| estimate.mul_constant(term.constant, error));
        Ok(Encoded { operands, constant, scale: scale.mul(term.scale), estimate })
    }

    fn parts<const B: usize>(&self, terms: &[Encoded<'_>], limbs: usize) -> Parts {
        let ring = self.params.ring();
        let basis = Basis { q: limbs, p: 0 };
        let mut parts: [Poly<Ntt>; B] = std::array::from_fn(|_| Poly::uninit(ring, basis));
        let buffers = parts.each_mut().map(|part| (part.data_mut(), ring.stride()));
        ring.each_limb_of(limbs, buffers, |i, out| {
            let mut scratch = ring.pool().take(ring.stride());
            let q = ring.modulus(basis, i);
            for (part, out) in out.into_iter().enumerate() {
                self.limb(terms, (part, i, q), &mut out[..ring.n()], &mut scratch[..ring.n()]);
            }
            ring.pool().give(scratch);
        });
        parts.into_iter().collect()
    }

    /// Limb `i` of a part: of those terms that have it.
    fn limb(
        &self,
        terms: &[Encoded<'_>],
        (part, i, q): (usize, usize, &Modulus),
        out: &mut [u64],
        scratch: &mut [u64],
    ) {
        let backend = self.params.ring().backend();
        let mut terms = terms.iter().filter_map(|term| Some((term.operands.get(part)?, term.constant.residue(q))));
        if let Some((operand, constant)) = terms.next() {
            operand.limb_into(i, out);
            if constant != 1 {
                backend.mul_scalar_assign(q, out, q.shoup(constant));
            }
        }
        for (operand, constant) in terms {
            let x = operand.limb(i, scratch);
            match constant {
                1 => backend.add_assign(q, out, x),
                _ => backend.mul_scalar_add_assign(q, out, x, q.shoup(constant)),
            }
        }
    }
}
