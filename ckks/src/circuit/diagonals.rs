//! Matrices on slots: y = Σ_d u_d ⊙ rot_d(x) over the generalised diagonals u_d of a matrix (Halevi-Shoup 2014/106), with baby
//! and giant steps, y = Σ_g rot_g(Σ_b rot_−g(u_(g+b)) ⊙ rot_b(x)) (Halevi-Shoup 2018/244).
//!
//! Double hoisting (Bossuat et al. 2020/1203, section 4): baby rotations of an input share its ModUp and stay in the basis QP, as do
//! the diagonals, the inner sums, the giant rotations of these and a *fold* of rotate-and-add steps; each output is divided by P once, in
//! the end. Baby rotations are shared by all outputs. Which diagonals there are, and in which layout, is the caller's business.
//!
//! A map with *hubs* has few keys: of all baby rotations b = a + o, 0 <= o < n0 | a, the hubs rot_a(x) are made one from another, and
//! the others out of the decomposition of their hub; giant steps of either side of 0 are added up by Horner's rule. So it needs a key for each offset o and
//! for each distance between neighbours, not for each rotation. With n0 = 1 these are the minimal keys of Kim et al. (ARK, 2205.00922), with
//! n0 beyond all baby rotations there is one hub, the input.

use std::borrow::Borrow;
use std::collections::{BTreeMap, BTreeSet};
use std::num::NonZeroU32;

use rayon::prelude::*;

use crate::error::{Error, Result};
use crate::scheme::{Ciphertext, EvaluationKeys, Evaluator, ExtendedCiphertext, ExtendedPlaintext, KeyRequest, Params};

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

/// Farther rotations are refused, so that no distance between two overflows.
const FARTHEST: u64 = 1 << 32;

/// A matrix from one vector of ciphertexts to another, by its non-zero diagonals.
pub struct DiagonalMap {
    inputs: usize,
    /// n0, where there are hubs.
    offsets: Option<NonZeroU32>,
    /// For each output, the products of each giant step.
    outputs: Vec<BTreeMap<i64, Vec<Product>>>,
    /// The rotations of each rotate-and-add step that ends an output.
    fold: Vec<Vec<i64>>,
}

/// A rotation of an input, and the baby rotations that are made from it.
#[derive(Default)]
struct Hub {
    /// a.
    rotation: i64,
    /// Whether it is a baby rotation itself.
    is_baby: bool,
    /// All other o, ascending.
    offsets: Vec<i64>,
    /// How far the next hub is.
    next: Option<i64>,
}

impl Hub {
    /// By how much it is rotated.
    fn steps(&self) -> impl Iterator<Item = i64> {
        self.offsets.iter().copied().chain(self.next)
    }
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
    /// [`Error::ShapeMismatch`] for an index out of range, an output without a term, or a rotation by more than 2^32 slots.
    pub fn new(inputs: usize, outputs: usize, terms: Vec<DiagonalTerm>) -> Result<Self> {
        let mismatch = |reason: String| Error::ShapeMismatch { operation: "diagonal map", reason };
        let none = std::iter::repeat_with(BTreeMap::new).take(outputs);
        let mut map = Self { inputs, offsets: None, outputs: none.collect(), fold: Vec::new() };
        if let Some(DiagonalTerm { output, input, .. }) =
            terms.iter().find(|t| t.output >= outputs || t.input >= inputs)
        {
            return Err(mismatch(format!(
                "a term from input {input} to output {output} of a {outputs} x {inputs} map"
            )));
        }
        if let Some(far) = terms.iter().flat_map(|t| [t.baby, t.giant]).find(|k| k.unsigned_abs() > FARTHEST) {
            return Err(mismatch(format!("a rotation by {far} slots")));
        }
        for DiagonalTerm { output, input, baby, giant, diagonal } in terms {
            map.outputs[output].entry(giant).or_default().push(Product { input, baby, diagonal });
        }
        match map.outputs.iter().position(BTreeMap::is_empty) {
            Some(empty) => Err(mismatch(format!("output {empty} has no diagonal"))),
            None => Ok(map),
        }
    }

    /// The same map with hubs at multiples of `n0`, the first of which is the input. Cost, besides: a ModDown of c_1 and a ModUp for
    /// each further hub from which others are made, and an inner product for each that is no baby rotation itself.
    #[must_use]
    pub fn with_hubs(self, n0: NonZeroU32) -> Self {
        Self { offsets: Some(n0), ..self }
    }

    /// The same map with each output y replaced by y + Σ_k rot_k(y), over the rotations of each step in turn. Cost of a step: a ModDown of
    /// c_1, its ModUp, and an inner product with a key for each rotation.
    #[must_use]
    pub fn with_fold(self, fold: Vec<Vec<i64>>) -> Self {
        Self { fold, ..self }
    }

    /// The keys that the map needs for inputs at `level`.
    pub fn key_request(&self, params: &Params, level: usize) -> KeyRequest {
        let hubs = self.babies().into_values().flat_map(|babies| self.hubs(babies));
        let babies = hubs.flat_map(|hub| hub.steps().collect::<Vec<_>>());
        let giants = self.outputs.iter().flat_map(|giants| self.chains(giants.keys().map(|&giant| (giant, ()))));
        let giants = giants.flat_map(|chain| {
            let nearer: Vec<i64> = chain.iter().skip(1).map(|&(giant, ())| giant).chain([0]).collect();
            chain.into_iter().zip(nearer).map(|((giant, ()), nearer)| giant - nearer)
        });
        let folds = self.fold.iter().flatten().copied();
        babies.chain(giants).chain(folds).fold(KeyRequest::default(), |request, k| request.rotation(params, k, level))
    }

    /// Applies the map. Inputs of degree 1; the level stays, the scale is multiplied by the diagonals'. Cost: one ModUp an input, one inner
    /// product with a key for each distinct baby rotation of an input, a ModDown of c_1, a ModUp and an inner product for each giant
    /// step of an output, one ModDown an output.
    ///
    /// # Errors
    /// [`Error::ShapeMismatch`] for another number of inputs, and those of [`Evaluator::hoist`], [`Evaluator::rotate_extended`] and
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
        by_output.collect::<Vec<_>>().into_par_iter().map(|sums| self.output(evaluator, sums, keys)).collect()
    }

    /// The fold of Σ_g rot_g(sum_g).
    fn output(
        &self,
        evaluator: &Evaluator,
        sums: Vec<(i64, ExtendedCiphertext)>,
        keys: &EvaluationKeys,
    ) -> Result<Ciphertext> {
        let farthest = |chain| horner(evaluator, chain, keys).map(|(giant, sum)| (sum, vec![giant]));
        let mut terms = self.chains(sums).into_par_iter().map(farthest).collect::<Result<Vec<_>>>()?;
        for step in &self.fold {
            let total = evaluator.sum_rotations_extended(&terms, keys)?;
            terms = vec![(total, [&[0], &**step].concat())];
        }
        evaluator.sum_rotations(&terms, keys)
    }

    /// Of each input that a term reads, its baby rotations.
    fn babies(&self) -> BTreeMap<usize, BTreeSet<i64>> {
        let mut babies: BTreeMap<usize, BTreeSet<i64>> = BTreeMap::new();
        for term in self.outputs.iter().flat_map(BTreeMap::values).flatten() {
            babies.entry(term.input).or_default().insert(term.baby);
        }
        babies
    }

    /// Where the baby rotations of an input come from: the input first.
    fn hubs(&self, babies: BTreeSet<i64>) -> Vec<Hub> {
        // Ascending from the input on, those to the right last.
        let mut hubs = BTreeMap::from([((false, 0), Hub::default())]);
        for b in babies {
            let offset = self.offsets.map_or(b, |n0| b.rem_euclid(n0.get().into()));
            let rotation = b - offset;
            let hub = hubs.entry((rotation < 0, rotation)).or_insert(Hub { rotation, ..Hub::default() });
            match offset {
                0 => hub.is_baby = true,
                _ => hub.offsets.push(offset),
            }
        }
        let mut hubs: Vec<Hub> = hubs.into_values().collect();
        for at in 1..hubs.len() {
            hubs[at - 1].next = Some(hubs[at].rotation - hubs[at - 1].rotation);
        }
        hubs
    }

    /// Giant steps, ascending, as they are added up: where there are hubs, those to the right and those to the left of 0, the
    /// farthest of each first; else each by itself.
    fn chains<T>(&self, giants: impl IntoIterator<Item = (i64, T)>) -> Vec<Vec<(i64, T)>> {
        if self.offsets.is_none() {
            return giants.into_iter().map(|giant| vec![giant]).collect();
        }
        let (right, mut left): (Vec<_>, Vec<_>) = giants.into_iter().partition(|&(giant, _)| giant < 0);
        left.reverse();
        [right, left].into_iter().filter(|chain| !chain.is_empty()).collect()
    }

    /// rot_b(x_i) for every (i, b) that a term reads.
    fn baby_rotations(
        &self,
        evaluator: &Evaluator,
        inputs: &[&Ciphertext],
        keys: &EvaluationKeys,
    ) -> Result<BTreeMap<(usize, i64), ExtendedCiphertext>> {
        let of_input = |(i, babies): (usize, BTreeSet<i64>)| {
            let rotated = rotations(evaluator, inputs[i], &self.hubs(babies), keys)?;
            Ok(rotated.into_iter().map(|(b, rotated)| ((i, b), rotated)).collect::<Vec<_>>())
        };
        let rotations = self.babies().into_par_iter().map(of_input).collect::<Result<Vec<_>>>()?;
        Ok(rotations.into_iter().flatten().collect())
    }
}

/// The baby rotations of an input, hub by hub.
fn rotations(
    evaluator: &Evaluator,
    input: &Ciphertext,
    hubs: &[Hub],
    keys: &EvaluationKeys,
) -> Result<Vec<(i64, ExtendedCiphertext)>> {
    let mut rotated = Vec::new();
    let mut last: Option<ExtendedCiphertext> = None;
    for hub in hubs {
        let steps: Vec<i64> = hub.steps().collect();
        let mut made = match (&*steps, &last) {
            ([], _) => Vec::new(),
            (&[step], Some(last)) => vec![evaluator.rotate_extended(last, step, keys)?],
            (_, last) => {
                let hoisted =
                    last.as_ref().map_or_else(|| evaluator.hoist(input), |last| evaluator.hoist_extended(last))?;
                let rotate = |&step: &i64| evaluator.rotate_hoisted_extended(&hoisted, step, keys);
                steps.par_iter().map(rotate).collect::<Result<Vec<_>>>()?
            }
        };
        let next = hub.next.and_then(|_| made.pop());
        rotated.extend(hub.offsets.iter().map(|offset| hub.rotation + offset).zip(made));
        let last = std::mem::replace(&mut last, next);
        if hub.is_baby {
            rotated.push((hub.rotation, last.map_or_else(|| evaluator.extend(input), Ok)?));
        }
    }
    Ok(rotated)
}

/// Σ_g rot_g(sum_g) of a chain, but for the last rotation: the farthest sum is rotated to the next one, added to it, and so on.
fn horner(
    evaluator: &Evaluator,
    chain: Vec<(i64, ExtendedCiphertext)>,
    keys: &EvaluationKeys,
) -> Result<(i64, ExtendedCiphertext)> {
    let mut chain = chain.into_iter();
    let farthest = chain.next().ok_or_else(no_diagonal)?;
    chain.try_fold(farthest, |(giant, total), (next, sum)| {
        Ok((next, evaluator.sum_rotations_extended(&[(&total, [giant - next]), (&sum, [0])], keys)?))
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
