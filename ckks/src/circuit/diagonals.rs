//! Matrices on slots: y = Σ_d u_d ⊙ rot_d(x) over the generalised diagonals u_d of a matrix (Halevi-Shoup 2014/106), with baby
//! and giant steps, y = Σ_g rot_g(Σ_b rot_−g(u_(g+b)) ⊙ rot_b(x)) (Halevi-Shoup 2018/244).
//!
//! Double hoisting (Bossuat et al. 2020/1203, section 4): baby rotations of an input share its ModUp and stay in the basis QP, as do
//! the diagonals, the inner sums and the giant rotations of these; each output is divided by P once. Baby rotations are shared by all
//! outputs. Which diagonals there are, and in which layout, is the caller's business.
//!
//! A *chained* map makes each baby rotation from the one before and adds up its giant steps by Horner's rule, so that it needs a key for
//! each distance between neighbours instead of one for each rotation (the minimal keys of Kim et al., ARK, 2205.00922).

use std::borrow::Borrow;
use std::collections::{BTreeMap, BTreeSet};

use rayon::prelude::*;

use crate::error::{Error, Result};
use crate::scheme::{
    Ciphertext, EvaluationKeys, Evaluator, ExtendedCiphertext, ExtendedPlaintext, Hoisted, KeyRequest, Params,
};

/// One diagonal: input `input`, rotated left by `baby`, times `diagonal`, the sum rotated left by `giant`, goes to output `output`.
pub struct DiagonalTerm {
    /// Which output it adds to.
    pub output: usize,
    /// Which input it reads.
    pub input: usize,
    /// Rotation of the input, in slots.
    pub baby: i64,
    /// Rotation of the sum of all products with the same giant step, in slots.
    pub giant: i64,
    /// The diagonal, rotated right by `giant`, in the basis QP.
    pub diagonal: ExtendedPlaintext,
}

/// A matrix from one vector of ciphertexts to another, by its non-zero diagonals.
pub struct DiagonalMap {
    inputs: usize,
    chained: bool,
    /// For each output, the products of each giant step.
    outputs: Vec<BTreeMap<i64, Vec<Product>>>,
}

/// A diagonal in the basis QP and what it multiplies.
struct Product {
    input: usize,
    baby: i64,
    diagonal: ExtendedPlaintext,
}

impl DiagonalMap {
    /// The map of the given terms.
    ///
    /// # Errors
    /// [`Error::ShapeMismatch`] for an index out of range or an output without a term.
    pub fn new(inputs: usize, outputs: usize, terms: Vec<DiagonalTerm>) -> Result<Self> {
        let mismatch = |reason: String| Error::ShapeMismatch { operation: "diagonal map", reason };
        let mut map =
            Self { inputs, chained: false, outputs: std::iter::repeat_with(BTreeMap::new).take(outputs).collect() };
        if let Some(DiagonalTerm { output, input, .. }) =
            terms.iter().find(|t| t.output >= outputs || t.input >= inputs)
        {
            return Err(mismatch(format!(
                "a term from input {input} to output {output} of a {outputs} x {inputs} map"
            )));
        }
        for DiagonalTerm { output, input, baby, giant, diagonal } in terms {
            map.outputs[output].entry(giant).or_default().push(Product { input, baby, diagonal });
        }
        match map.outputs.iter().position(BTreeMap::is_empty) {
            Some(empty) => Err(mismatch(format!("output {empty} has no diagonal"))),
            None => Ok(map),
        }
    }

    /// The same map with few keys: of the baby rotations of an input, sorted, each is made by its distance from the one before, the first
    /// and that after 0 from the input; sums of giant steps, sorted, are rotated downwards likewise, the least by itself. Cost: all other
    /// baby rotations take a ModDown and a ModUp as giant ones do.
    #[must_use]
    pub fn chained(self) -> Self {
        Self { chained: true, ..self }
    }

    /// The keys that the map needs for inputs at `level`.
    pub fn key_request(&self, params: &Params, level: usize) -> KeyRequest {
        let giants = self.outputs.iter().map(|giants| giants.keys().copied().collect());
        let steps = |ascending: BTreeSet<i64>| {
            let mut last = 0;
            let step = |rotation| rotation - if self.chained { std::mem::replace(&mut last, rotation) } else { 0 };
            ascending.into_iter().map(step).collect::<Vec<i64>>()
        };
        let rotations = self.babies().into_values().chain(giants).flat_map(steps);
        rotations.fold(KeyRequest::default(), |request, k| request.rotation(params, k, level))
    }

    /// Applies the map. Inputs of degree 1; the level stays, the scale is multiplied by the diagonals'. Cost: one ModUp an input, one inner
    /// product with a key for each distinct baby rotation of an input, a ModDown of c_1, a ModUp and an inner product for each giant
    /// step of an output, one ModDown an output.
    ///
    /// # Errors
    /// [`Error::ShapeMismatch`] for another number of inputs, and those of [`Evaluator::rotate_extended`] and
    /// [`Evaluator::inner_products_extended`].
    pub fn apply(
        &self,
        evaluator: &Evaluator,
        inputs: &[impl Borrow<Ciphertext>],
        keys: &EvaluationKeys,
    ) -> Result<Vec<Ciphertext>> {
        let inputs: Vec<&Ciphertext> = inputs.iter().map(Borrow::borrow).collect();
        if inputs.len() != self.inputs {
            let reason = format!("{} ciphertexts for a map of {} inputs", inputs.len(), self.inputs);
            return Err(Error::ShapeMismatch { operation: "diagonal map", reason });
        }
        let rotated = self.baby_rotations(evaluator, &inputs, keys)?;
        let sums = self.outputs.iter().flat_map(BTreeMap::values).map(|products| terms(products, &rotated));
        let mut sums = evaluator.inner_products_extended(&sums.collect::<Result<Vec<_>>>()?)?.into_iter();
        drop(rotated);
        let by_output = self.outputs.iter().map(|giants| giants.keys().copied().zip(sums.by_ref()).collect());
        let output = |sums: Vec<(i64, ExtendedCiphertext)>| {
            let sum = match self.chained {
                true => horner(evaluator, sums, keys)?,
                false => {
                    let rotated = sums.into_par_iter().map(|(giant, sum)| rotate(evaluator, sum, giant, keys));
                    total(evaluator, rotated.collect::<Result<Vec<_>>>()?)?
                }
            };
            evaluator.mod_down(sum)
        };
        by_output.collect::<Vec<_>>().into_par_iter().map(output).collect()
    }

    /// Of each input that a term reads, its baby rotations.
    fn babies(&self) -> BTreeMap<usize, BTreeSet<i64>> {
        let mut babies: BTreeMap<usize, BTreeSet<i64>> = BTreeMap::new();
        for term in self.outputs.iter().flat_map(BTreeMap::values).flatten() {
            babies.entry(term.input).or_default().insert(term.baby);
        }
        babies
    }

    /// rot_b(x_i) for every (i, b) that a term reads.
    fn baby_rotations(
        &self,
        evaluator: &Evaluator,
        inputs: &[&Ciphertext],
        keys: &EvaluationKeys,
    ) -> Result<BTreeMap<(usize, i64), ExtendedCiphertext>> {
        let of_input = |(i, babies): (usize, BTreeSet<i64>)| {
            if babies.iter().eq([&0]) {
                return Ok(vec![((i, 0), evaluator.extend(inputs[i])?)]);
            }
            let hoisted = evaluator.hoist(inputs[i])?;
            if self.chained {
                return chain(evaluator, &hoisted, babies, keys)
                    .map(|rotated| rotated.into_iter().map(|(b, rotated)| ((i, b), rotated)).collect());
            }
            let rotate = |b: i64| Ok(((i, b), evaluator.rotate_hoisted_extended(&hoisted, b, keys)?));
            babies.into_par_iter().map(rotate).collect::<Result<Vec<_>>>()
        };
        let rotations = self.babies().into_par_iter().map(of_input).collect::<Result<Vec<_>>>()?;
        Ok(rotations.into_iter().flatten().collect())
    }
}

/// a + Σ_k rot_k(a) over `rotations`. Level and scale stay. Of several the decomposition is shared, and so is the ModDown. Cost: as
/// [`Evaluator::rotate`], and for each further rotation an inner product with its key. On the threads of the current rayon pool.
///
/// # Errors
/// Those of [`Evaluator::rotate`].
pub fn add_rotations(
    evaluator: &Evaluator,
    mut a: Ciphertext,
    rotations: &[i64],
    keys: &EvaluationKeys,
) -> Result<Ciphertext> {
    let sum = match rotations {
        [] => return Ok(a),
        &[k] => evaluator.rotate(&a, k, keys)?,
        _ => {
            let hoisted = evaluator.hoist(&a)?;
            let rotated = rotations.par_iter().map(|&k| evaluator.rotate_hoisted_extended(&hoisted, k, keys));
            let rotated = rotated.collect::<Result<Vec<_>>>()?;
            evaluator.mod_down(total(evaluator, rotated)?)?
        }
    };
    evaluator.add_assign(&mut a, &sum)?;
    Ok(a)
}

/// The rotations by `ascending`, each from the one before.
fn chain(
    evaluator: &Evaluator,
    hoisted: &Hoisted<'_>,
    ascending: BTreeSet<i64>,
    keys: &EvaluationKeys,
) -> Result<Vec<(i64, ExtendedCiphertext)>> {
    let mut rotated: Vec<(i64, ExtendedCiphertext)> = Vec::with_capacity(ascending.len());
    for b in ascending {
        let next = match rotated.last() {
            Some((before, last)) if *before != 0 => evaluator.rotate_extended(last, b - before, keys)?,
            _ => evaluator.rotate_hoisted_extended(hoisted, b, keys)?,
        };
        rotated.push((b, next));
    }
    Ok(rotated)
}

/// Σ_g rot_g(sum_g) for ascending g: the last sum is rotated to the one before, added to it, and so on.
fn horner(
    evaluator: &Evaluator,
    mut sums: Vec<(i64, ExtendedCiphertext)>,
    keys: &EvaluationKeys,
) -> Result<ExtendedCiphertext> {
    let (mut giant, mut total) = sums.pop().ok_or_else(no_diagonal)?;
    while let Some((next, sum)) = sums.pop() {
        total = evaluator.rotate_extended(&total, giant - next, keys)?;
        evaluator.add_extended_assign(&mut total, &sum)?;
        giant = next;
    }
    rotate(evaluator, total, giant, keys)
}

fn rotate(
    evaluator: &Evaluator,
    sum: ExtendedCiphertext,
    giant: i64,
    keys: &EvaluationKeys,
) -> Result<ExtendedCiphertext> {
    if giant == 0 { Ok(sum) } else { evaluator.rotate_extended(&sum, giant, keys) }
}

fn total(evaluator: &Evaluator, sums: Vec<ExtendedCiphertext>) -> Result<ExtendedCiphertext> {
    let mut sums = sums.into_iter();
    let first = sums.next().ok_or_else(no_diagonal)?;
    sums.try_fold(first, |mut total, sum| {
        evaluator.add_extended_assign(&mut total, &sum)?;
        Ok(total)
    })
}

fn no_diagonal() -> Error {
    Error::ShapeMismatch { operation: "diagonal map", reason: "no diagonal".into() }
}

/// The products with the rotated inputs that they read.
fn terms<'a>(
    products: &'a [Product],
    rotated: &'a BTreeMap<(usize, i64), ExtendedCiphertext>,
) -> Result<Vec<(&'a ExtendedCiphertext, &'a ExtendedPlaintext)>> {
    let term = |product: &'a Product| match rotated.get(&(product.input, product.baby)) {
        Some(rotated) => Ok((rotated, &product.diagonal)),
        None => Err(Error::ShapeMismatch {
            operation: "diagonal map",
            reason: format!("input {} was not rotated by {}", product.input, product.baby),
        }),
    };
    products.iter().map(term).collect()
}
