//! f(x) becomes p(t) with t = (x − middle) / radius: a polynomial in place of an activation, behind a scaling that folds into the map before it.

use std::sync::Arc;

use serde::{Deserialize, Serialize};

use super::bias::correct_biases;
use super::{map_of, push, rebuild};
use crate::approx::Fit;
use crate::error::{Error, Result};
use crate::graph::{Activation, AffineMap, Expression, Graph, Node, Op, SparseMatrix};

/// The polynomial that stands for an activation.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Approximation {
    /// Number of the activation in the simplified graph.
    pub node: usize,
    /// Its name in the model.
    pub name: String,
    /// What it computes there, in a word.
    pub function: String,
    /// The polynomial.
    pub fit: Fit,
    /// The mean of function − polynomial on the calibration data, one a feature: what biases behind it make up for.
    pub mean_errors: Vec<f64>,
}

/// Puts the polynomials of `approximations` in the place of activations, and corrects the biases behind them; activations of other nodes stay.
///
/// # Errors
/// [`Error::Approximation`] for a node that is no activation, or a range, coefficients or mean errors that are none.
pub fn approximate(graph: &Graph, approximations: &[Approximation]) -> Result<Graph> {
    for found in approximations {
        check(graph, found)?;
    }
    rebuild(&correct_biases(graph, approximations)?, |nodes, id, node| {
        let Some(found) = approximations.iter().find(|found| found.node == id.0) else {
            return Ok(push(nodes, node));
        };
        let [low, high] = found.fit.range;
        let (middle, radius) = ((low + high) / 2.0, (high - low) / 2.0);
        let scaling = SparseMatrix::diagonal(&vec![radius.recip(); node.len()])?;
        let map = AffineMap::new(scaling, vec![-middle / radius; node.len()])?;
        let scaled = push(nodes, Node { op: Op::Affine(Arc::new(map)), ..node.clone() });
        let polynomial = Op::Activation(Activation::Chebyshev(found.fit.coefficients.clone()));
        Ok(push(nodes, Node { op: polynomial, inputs: vec![scaled], ..node }))
    })
}

/// p((x − middle) / radius) as one function.
pub(super) fn polynomial(fit: &Fit) -> Activation {
    let [low, high] = fit.range;
    let line = vec![-(low + high) / (high - low), 2.0 / (high - low)];
    let scaled = Expression::Apply(Activation::Polynomial(line), Box::new(Expression::X));
    let chebyshev = Activation::Chebyshev(fit.coefficients.clone());
    Activation::Composite(Arc::new(Expression::Apply(chebyshev, Box::new(scaled))))
}

/// The graph with polynomials for activations, biases that are right for them, and no other change, so that numbers of nodes stay.
pub(super) fn in_place(graph: &Graph, approximations: &[Approximation]) -> Result<Graph> {
    let mut nodes = correct_biases(graph, approximations)?.nodes().to_vec();
    for found in approximations {
        nodes[found.node].op = Op::Activation(polynomial(&found.fit));
    }
    Graph::new(nodes, graph.output())
}

fn check(graph: &Graph, found: &Approximation) -> Result<()> {
    let wrong = |problem: &str| Err(Error::Approximation { node: found.name.clone(), problem: problem.into() });
    let [low, high] = found.fit.range;
    let node = graph.nodes().get(found.node);
    match node.map(|node| &node.op) {
        Some(Op::Activation(_)) if !(low < high && low.is_finite() && high.is_finite()) => {
            wrong("its range is empty or not finite")
        }
        Some(Op::Activation(_)) if found.fit.coefficients.is_empty() => wrong("it has no coefficients"),
        Some(Op::Activation(_)) if node.is_some_and(|node| node.len() != found.mean_errors.len()) => {
            wrong("its mean errors are not those of its features")
        }
        Some(Op::Activation(_)) => Ok(()),
        _ => wrong("the model has no activation at its number"),
    }
}

/// Scalings and shifts that are the same for every feature, a x + b, as polynomials: ciphertexts are just read at another scale.
///
/// # Errors
/// Those of [`Graph::new`], which a graph that was accepted cannot raise.
pub fn free_scalings(graph: &Graph) -> Result<Graph> {
    rebuild(graph, |nodes, _, mut node| {
        if let Some(line) = map_of(&node).and_then(super::polynomial::uniform) {
            node.op = Op::Activation(Activation::Polynomial(line));
        }
        Ok(push(nodes, node))
    })
}
