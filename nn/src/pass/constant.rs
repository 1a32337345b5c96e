//! 0 x + c: a map that reads nothing makes the same for every sample, as does what is made of such tensors alone. Dead activations and x − x leave them.

use std::sync::Arc;

use super::{map_of, push, rebuild};
use crate::error::Result;
use crate::graph::{Activation, AffineMap, Graph, Node, NodeId, Op, SparseMatrix};

/// Makes what only depends on constants one, and sums and products with a constant a map of the other operand. A constant remains only as the
/// result of the graph.
///
/// # Errors
/// [`Error::WeightNotFinite`](crate::Error::WeightNotFinite) for a function that has no value at a constant.
pub fn fold_constants(graph: &Graph) -> Result<Graph> {
    rebuild(graph, |nodes, _, mut node| {
        let made = match (&node.op, &node.inputs[..]) {
            (Op::Affine(map), _) if map.matrix.nnz() == 0 => Some(constant(graph, map.bias.clone())?),
            (Op::Affine(map), &[x]) => match value(nodes, x) {
                Some(x) => Some(constant(graph, map.apply(x)?)?),
                None => None,
            },
            (Op::Activation(activation), &[x]) => match (value(nodes, x), level(activation)) {
                (Some(x), _) => Some(constant(graph, x.iter().map(|&x| activation.eval(x)).collect())?),
                (None, Some(c)) => Some(constant(graph, vec![c; node.len()])?),
                (None, None) => None,
            },
            (Op::Add, &[x, y]) => match either(nodes, x, y) {
                Some((c, other)) => Some((AffineMap::new(SparseMatrix::identity(c.len())?, c.to_vec())?, other)),
                None => None,
            },
            (Op::Mul, &[x, y]) => match either(nodes, x, y) {
                Some((c, other)) => Some((AffineMap::linear(SparseMatrix::diagonal(c)?), other)),
                None => None,
            },
            _ => None,
        };
        if let Some((map, input)) = made {
            node.op = Op::Affine(Arc::new(map));
            node.inputs = vec![input];
        }
        Ok(push(nodes, node))
    })
}

/// A map that reads nothing, of the graph's input.
fn constant(graph: &Graph, values: Vec<f64>) -> Result<(AffineMap, NodeId)> {
    let nothing = SparseMatrix::selection(graph.input_len(), values.iter().map(|_| None))?;
    Ok((AffineMap::new(nothing, values)?, graph.input()))
}

/// The value that a node has for every sample.
pub(crate) fn value(nodes: &[Node], id: NodeId) -> Option<&[f64]> {
    map_of(&nodes[id.0]).filter(|map| map.matrix.nnz() == 0).map(|map| &map.bias[..])
}

/// The constant of two operands, and the other.
fn either(nodes: &[Node], x: NodeId, y: NodeId) -> Option<(&[f64], NodeId)> {
    value(nodes, x).map(|c| (c, y)).or_else(|| value(nodes, y).map(|c| (c, x)))
}

/// What a polynomial is everywhere, if it is.
fn level(activation: &Activation) -> Option<f64> {
    match activation {
        Activation::Polynomial(c) | Activation::Chebyshev(c) if c.iter().skip(1).all(|&c| c == 0.0) => {
            Some(c.first().copied().unwrap_or(0.0))
        }
        _ => None,
    }
}
