//! Operations on each ciphertext alone, put off where that spares memory traffic.
//!
//! A product or a scaled ciphertext that only one operation reads is not computed until that one is: a product that is relinearised is never
//! written, and a sum of such is made in one pass over its operands ([`ckks::Evaluator::sum`]).

use std::sync::Arc;

use ckks::{Ciphertext, EvaluationKeys, Evaluator, Result, Scale, SumFactor, SumTerm};

use crate::exec::is_one;
use crate::program::Kind;

/// A value.
#[derive(Clone)]
pub(super) enum Known {
    Whole(Arc<Ciphertext>),
    /// What is still to be computed.
    Sum(Sum),
}

/// Σ terms + constant.
#[derive(Clone)]
pub(super) struct Sum {
    terms: Vec<Term>,
    constant: f64,
    level: usize,
}

/// A multiple of a ciphertext, or of a product of two.
#[derive(Clone)]
struct Term {
    x: Arc<Ciphertext>,
    y: Option<Arc<Ciphertext>>,
    constant: f64,
    scale: Scale,
}

impl Term {
    fn new(x: Arc<Ciphertext>, y: Option<Arc<Ciphertext>>) -> Self {
        Self { x, y, constant: 1.0, scale: Scale::power_of_two(0) }
    }

    fn borrowed(&self) -> SumTerm<'_> {
        let factor = match &self.y {
            None => SumFactor::Whole(&self.x),
            Some(y) => SumFactor::Product(&self.x, y),
        };
        SumTerm { factor, constant: self.constant, scale: self.scale }
    }
}

impl Sum {
    fn product(x: Arc<Ciphertext>, y: Arc<Ciphertext>) -> Self {
        Self { level: x.level(), terms: vec![Term::new(x, Some(y))], constant: 0.0 }
    }

    fn compute(&self, evaluator: &Evaluator) -> Result<Ciphertext> {
        let terms: Vec<SumTerm<'_>> = self.terms.iter().map(Term::borrowed).collect();
        evaluator.sum(&terms, self.constant, self.level)
    }

    fn scaled(mut self, constant: f64, scale: Scale) -> Self {
        for term in &mut self.terms {
            term.constant *= constant;
            term.scale = term.scale.mul(scale);
        }
        self.constant *= constant;
        self
    }

    fn is_unscaled(&self) -> bool {
        self.terms.iter().all(|term| is_one(term.constant, term.scale))
    }

    /// Whether a constant that is taken into the terms is as many products as it is for the sum.
    fn takes(&self, constant: f64, scale: Scale) -> bool {
        is_one(constant, scale) || (self.terms.len() == 1 && self.is_unscaled())
    }

    fn plus(mut self, other: Self) -> Self {
        self.terms.extend(other.terms);
        self.constant += other.constant;
        self
    }

    /// The only term, if it is a product that is at most read at another scale.
    fn only_product(&self) -> Option<(&Term, &Ciphertext)> {
        match self.terms.as_slice() {
            [term] if is_one(term.constant, term.scale) && term.x.level() == self.level => {
                term.y.as_deref().map(|y| (term, y))
            }
            _ => None,
        }
    }
}

impl From<Arc<Ciphertext>> for Sum {
    fn from(x: Arc<Ciphertext>) -> Self {
        Self { level: x.level(), terms: vec![Term::new(x, None)], constant: 0.0 }
    }
}

impl Known {
    /// The value itself.
    ///
    /// # Errors
    /// Those of [`Evaluator::sum`], if it is still to be computed.
    pub(super) fn whole(self, evaluator: &Evaluator) -> Result<Arc<Ciphertext>> {
        match self {
            Self::Whole(x) => Ok(x),
            Self::Sum(sum) => sum.compute(evaluator).map(Arc::new),
        }
    }

    fn sum(self) -> Sum {
        match self {
            Self::Whole(x) => x.into(),
            Self::Sum(sum) => sum,
        }
    }
}

/// An operation; operands that nothing else needs are the only references to their ciphertexts.
///
/// # Errors
/// Those of the operation, and of what was put off.
pub(super) fn apply(
    evaluator: &Evaluator,
    keys: &EvaluationKeys,
    kind: &Kind,
    operands: Vec<Known>,
) -> Result<Option<Known>> {
    let mut operands = operands.into_iter();
    let Some(x) = operands.next() else {
        return Ok(None);
    };
    let made = match (kind, x, operands.next()) {
        (Kind::Mul, x, Some(y)) => Sum::product(x.whole(evaluator)?, y.whole(evaluator)?),
        (Kind::Square, x, _) => {
            let x = x.whole(evaluator)?;
            Sum::product(Arc::clone(&x), x)
        }
        (Kind::Add, Known::Whole(x), Some(Known::Whole(y))) => {
            let mut x = Arc::unwrap_or_clone(x);
            evaluator.add_assign(&mut x, &y)?;
            return Ok(Some(Known::Whole(Arc::new(x))));
        }
        (Kind::Add, x, Some(y)) => x.sum().plus(y.sum()),
        (Kind::MulConstant { constant, scale }, Known::Whole(x), _) if !is_one(*constant, *scale) => {
            Sum::from(x).scaled(*constant, *scale)
        }
        (Kind::MulConstant { constant, scale }, Known::Sum(x), _) if x.takes(*constant, *scale) => {
            x.scaled(*constant, *scale)
        }
        (Kind::AddConstant(constant), Known::Sum(x), _) => Sum { constant: x.constant + constant, ..x },
        (Kind::DropLevel { level }, Known::Sum(x), _) if x.is_unscaled() => Sum { level: *level, ..x },
        (kind, x, _) => return one(evaluator, keys, kind, x).map(|made| Some(Known::Whole(Arc::new(made)))),
    };
    Ok(Some(Known::Sum(made)))
}

/// An operation that is not put off, on one operand.
fn one(evaluator: &Evaluator, keys: &EvaluationKeys, kind: &Kind, x: Known) -> Result<Ciphertext> {
    if let (Kind::Relinearize | Kind::RelinearizeRescale, Known::Sum(sum)) = (kind, &x)
        && let Some((term, y)) = sum.only_product()
    {
        let mut made = match kind {
            Kind::Relinearize => evaluator.mul_relinearize(&term.x, y, keys)?,
            _ => evaluator.mul_relinearize_rescale(&term.x, y, keys)?,
        };
        evaluator.mul_constant_assign(&mut made, term.constant, term.scale)?;
        if sum.constant != 0.0 {
            evaluator.add_constant_assign(&mut made, sum.constant)?;
        }
        return Ok(made);
    }
    let x = x.whole(evaluator)?;
    match kind {
        Kind::Relinearize => return evaluator.relinearize(&x, keys),
        Kind::RelinearizeRescale => return evaluator.relinearize_rescale(&x, keys),
        _ => {}
    }
    let mut x = Arc::unwrap_or_clone(x);
    match kind {
        Kind::Rescale => return evaluator.rescale(x),
        Kind::MulConstant { constant, scale } => evaluator.mul_constant_assign(&mut x, *constant, *scale)?,
        Kind::AddConstant(constant) => evaluator.add_constant_assign(&mut x, *constant)?,
        Kind::DropLevel { level } => evaluator.drop_level_assign(&mut x, *level)?,
        _ => {}
    }
    Ok(x)
}
