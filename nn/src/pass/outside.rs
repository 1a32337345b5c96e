//! Arguments of activations that lie outside of the ranges of their polynomials, sample by sample: there |p − f| grows with the power of p's degree,
//! until p means nothing.

use std::collections::BTreeMap;

use super::approximate::{Approximation, in_place, polynomial};
use crate::approx::Fit;
use crate::error::Result;
use crate::graph::{Activation, Block, Graph, NodeId, Observer, Op};

/// Parts of a range in which the largest value of a function is looked for.
const PARTS: usize = 512;

/// What one sample has outside of the range of one polynomial.
#[derive(Debug, Clone, PartialEq)]
pub struct Outside {
    /// Place among the approximations.
    pub approximation: usize,
    /// The sample.
    pub sample: usize,
    /// How many arguments.
    pub values: usize,
    /// The one farthest out.
    pub argument: f64,
    /// |p − f| there.
    pub error: f64,
    /// Whether the polynomial means nothing there: it is off by more than all values that it stands for.
    pub is_useless: bool,
}

impl Outside {
    /// Counts what another sample has outside of the same range.
    pub fn join(&mut self, other: &Self, range: [f64; 2]) {
        let values = self.values + other.values;
        if beyond(range, other.argument) > beyond(range, self.argument) {
            *self = other.clone();
        }
        self.values = values;
    }
}

/// How far a value lies outside of a range; negative inside.
pub(super) fn beyond([low, high]: [f64; 2], value: f64) -> f64 {
    (low - value).max(value - high)
}

/// A polynomial beside its function.
pub(super) struct Polynomial<'a> {
    function: &'a Activation,
    polynomial: Activation,
    /// Largest |f| on the range.
    size: f64,
}

impl<'a> Polynomial<'a> {
    pub fn new(function: &'a Activation, fit: &Fit) -> Self {
        let [low, high] = fit.range;
        let grid = (0..=PARTS).map(|i| low + (high - low) * i as f64 / PARTS as f64);
        let size = grid.map(|x| function.eval(x).abs()).fold(0.0, f64::max);
        Self { function, polynomial: polynomial(fit), size }
    }

    /// |p − f| at an argument.
    pub fn error(&self, argument: f64) -> f64 {
        (self.polynomial.eval(argument) - self.function.eval(argument)).abs()
    }

    /// Whether an error is above all values that the polynomial stands for.
    pub fn is_useless(&self, error: f64) -> bool {
        error > self.size || error.is_nan()
    }
}

/// What `samples` have outside the ranges of `approximations`, which belong to `graph`: an entry for each sample and polynomial that have anything, in
/// the order of samples, then of approximations.
///
/// # Errors
/// [`Error::SampleLength`](crate::error::Error::SampleLength).
pub fn outside(graph: &Graph, approximations: &[Approximation], samples: &[f64]) -> Result<Vec<Outside>> {
    type Seen = BTreeMap<(usize, usize), (usize, f64)>;
    let reads = |found: &Approximation| graph.nodes()[found.node].inputs.first().copied();
    let observer = Observer {
        start: Seen::new,
        observe: |seen: &mut Seen, id: NodeId, block: Block<'_>| {
            for (place, found) in approximations.iter().enumerate().filter(|(_, found)| reads(found) == Some(id)) {
                let beyond = |value: f64| beyond(found.fit.range, value);
                for (sample, value) in block.values().filter(|&(_, value)| beyond(value) > 0.0) {
                    let (values, farthest) = seen.entry((sample, place)).or_insert((0, value));
                    *values += 1;
                    if beyond(value) > beyond(*farthest) {
                        *farthest = value;
                    }
                }
            }
        },
        merge: |mut a: Seen, mut b: Seen| {
            a.append(&mut b);
            a
        },
    };
    let (_, seen) = in_place(graph, approximations)?.run_observed(samples, &observer)?;
    let identity = Activation::Polynomial(vec![0.0, 1.0]);
    let function = |found: &Approximation| match &graph.nodes()[found.node].op {
        Op::Activation(activation) => activation,
        _ => &identity,
    };
    let polynomials: Vec<Polynomial<'_>> =
        approximations.iter().map(|found| Polynomial::new(function(found), &found.fit)).collect();
    let entry = |((sample, approximation), (values, argument)): ((usize, usize), (usize, f64))| {
        let polynomial: &Polynomial<'_> = &polynomials[approximation];
        let error = polynomial.error(argument);
        Outside { approximation, sample, values, argument, error, is_useless: polynomial.is_useless(error) }
    };
    Ok(seen.into_iter().map(entry).collect())
}
