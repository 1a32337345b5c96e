//! Matrices on slots: y = Σ_d u_d ⊙ rot_d(x) over the generalised diagonals u_d of a matrix (Halevi-Shoup 2014/106), with baby
//! and giant steps, y = Σ_g rot_g(Σ_b rot_−g(u_(g+b)) ⊙ rot_b(x)) (Halevi-Shoup 2018/244).
//!
//! Baby rotations of an input are hoisted and shared by all outputs; a giant rotation is shared by all inputs. Which diagonals
//! there are, and in which layout, is the caller's business.

use std::collections::BTreeMap;

use rayon::prelude::*;

use crate::error::{Error, Result};
use crate::scheme::{Ciphertext, EvaluationKeys, Evaluator, Plaintext};

/// One diagonal: input `input`, rotated left by `baby`, times `plaintext`, the sum rotated left by `giant`, goes to output `output`.
pub struct DiagonalTerm {
    /// Which output it adds to.
    pub output: usize,
    /// Which input it reads.
    pub input: usize,
    /// Rotation of the input, in slots.
    pub baby: i64,
    /// Rotation of the sum of all products with the same giant step, in slots.
    pub giant: i64,
    /// The diagonal, rotated right by `giant`.
    pub plaintext: Plaintext,
}

/// A matrix from one vector of ciphertexts to another, by its non-zero diagonals.
pub struct DiagonalMap {
    inputs: usize,
    /// For each output, the products of each giant step.
    outputs: Vec<BTreeMap<i64, Vec<DiagonalTerm>>>,
}

impl DiagonalMap {
    /// The map of the given terms.
    ///
    /// # Errors
    /// [`Error::ShapeMismatch`] for an index out of range or an output without a term.
    pub fn new(inputs: usize, outputs: usize, terms: Vec<DiagonalTerm>) -> Result<Self> {
        let mismatch = |reason: String| Error::ShapeMismatch { operation: "diagonal map", reason };
        let mut map = Self { inputs, outputs: std::iter::repeat_with(BTreeMap::new).take(outputs).collect() };
        for term in terms {
            let sums = map.outputs.get_mut(term.output).filter(|_| term.input < inputs);
            let shape =
                format!("a term from input {} to output {} of a {outputs} x {inputs} map", term.input, term.output);
            sums.ok_or_else(|| mismatch(shape))?.entry(term.giant).or_insert_with(Vec::new).push(term);
        }
        match map.outputs.iter().position(BTreeMap::is_empty) {
            Some(empty) => Err(mismatch(format!("output {empty} has no diagonal"))),
            None => Ok(map),
        }
    }

    /// Applies the map. Inputs of degree 1; the level stays, the scale is multiplied by the diagonals'. Cost: one ModUp an input,
    /// one inner product and ModDown for each distinct baby rotation of an input, one whole rotation for each giant step of an output.
    ///
    /// # Errors
    /// [`Error::ShapeMismatch`] for another number of inputs, and those of [`Evaluator::rotate`], [`Evaluator::mul_plain_assign`] and
    /// [`Evaluator::add_assign`].
    pub fn apply(
        &self,
        evaluator: &Evaluator,
        inputs: &[Ciphertext],
        keys: &EvaluationKeys,
    ) -> Result<Vec<Ciphertext>> {
        if inputs.len() != self.inputs {
            let reason = format!("{} ciphertexts for a map of {} inputs", inputs.len(), self.inputs);
            return Err(Error::ShapeMismatch { operation: "diagonal map", reason });
        }
        let rotated = self.baby_rotations(evaluator, inputs, keys)?;
        let output = |giants: &BTreeMap<i64, Vec<DiagonalTerm>>| {
            let sums = giants.par_iter().map(|(&giant, terms)| {
                let sum = inner_sum(evaluator, terms, &rotated)?;
                if giant == 0 { Ok(sum) } else { evaluator.rotate(&sum, giant, keys) }
            });
            let mut sums = sums.collect::<Result<Vec<_>>>()?.into_iter();
            let empty = Error::ShapeMismatch { operation: "diagonal map", reason: "no diagonal".into() };
            let first = sums.next().ok_or(empty)?;
            sums.try_fold(first, |mut total, sum| {
                evaluator.add_assign(&mut total, &sum)?;
                Ok(total)
            })
        };
        self.outputs.par_iter().map(output).collect()
    }

    /// rot_b(x_i) for every (i, b) that a term reads.
    fn baby_rotations(
        &self,
        evaluator: &Evaluator,
        inputs: &[Ciphertext],
        keys: &EvaluationKeys,
    ) -> Result<BTreeMap<(usize, i64), Ciphertext>> {
        let mut wanted: BTreeMap<usize, Vec<i64>> = BTreeMap::new();
        for term in self.outputs.iter().flat_map(BTreeMap::values).flatten() {
            wanted.entry(term.input).or_default().push(term.baby);
        }
        let of_input = |(i, mut babies): (usize, Vec<i64>)| {
            babies.sort_unstable();
            babies.dedup();
            if babies == [0] {
                return Ok(vec![((i, 0), inputs[i].clone())]);
            }
            let hoisted = evaluator.hoist(&inputs[i])?;
            let rotate = |b: i64| Ok(((i, b), evaluator.rotate_hoisted(&hoisted, b, keys)?));
            babies.into_par_iter().map(rotate).collect::<Result<Vec<_>>>()
        };
        let rotations = wanted.into_par_iter().map(of_input).collect::<Result<Vec<_>>>()?;
        Ok(rotations.into_iter().flatten().collect())
    }
}

/// Σ diagonal ⊙ rotated input.
fn inner_sum(
    evaluator: &Evaluator,
    terms: &[DiagonalTerm],
    rotated: &BTreeMap<(usize, i64), Ciphertext>,
) -> Result<Ciphertext> {
    let operand = |term: &DiagonalTerm| {
        rotated.get(&(term.input, term.baby)).ok_or_else(|| Error::ShapeMismatch {
            operation: "diagonal map",
            reason: format!("input {} was not rotated by {}", term.input, term.baby),
        })
    };
    let (first, rest) = terms
        .split_first()
        .ok_or_else(|| Error::ShapeMismatch { operation: "diagonal map", reason: "no diagonal".into() })?;
    let mut sum = operand(first)?.clone();
    evaluator.mul_plain_assign(&mut sum, &first.plaintext)?;
    for term in rest {
        evaluator.mul_plain_add_assign(&mut sum, operand(term)?, &term.plaintext)?;
    }
    Ok(sum)
}
