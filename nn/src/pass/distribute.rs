//! N (P x + Q y) + d = (N P) x + (N Q) y + d: an affine map goes before a sum whose terms are affine maps, so that a level
//! is saved where branches are joined (a concatenation is such a sum).

use std::sync::Arc;

use super::{MergeRule, map_of, push, readings, rebuild, weights};
use crate::error::Result;
use crate::graph::{AffineMap, Graph, Node, NodeId, Op, SparseMatrix};

/// Moves affine maps before the sums that they read, where the rule allows.
///
/// # Errors
/// Those of [`Graph::new`], which a graph that was accepted cannot raise.
pub fn distribute(graph: &Graph, rule: &MergeRule) -> Result<Graph> {
    let total = weights(graph);
    let readings = readings(graph);
    // Nothing but appending is done, so what a node of the old graph became is read as often as that node was.
    let mut new_readings: Vec<usize> = Vec::with_capacity(graph.nodes().len());
    rebuild(graph, |nodes, id, node| {
        let sum = node.inputs.first().copied();
        let sum = sum.filter(|&sum| matches!(nodes[sum.0].op, Op::Add) && new_readings[sum.0] == 1);
        let new = match (map_of(&node), sum) {
            (Some(map), Some(sum)) => moved(nodes, &new_readings, (map, sum), |factors| rule.limit(factors, total))?,
            _ => None,
        };
        let node = match new {
            Some(terms) => {
                let mut inputs = Vec::new();
                for (input, map) in terms {
                    let op = Op::Affine(Arc::new(map));
                    inputs.push(push(nodes, Node { op, inputs: vec![input], ..node.clone() }));
                    new_readings.push(1);
                }
                Node { op: Op::Add, inputs, ..node }
            }
            None => node,
        };
        new_readings.push(readings[id.0]);
        Ok(push(nodes, node))
    })
}

/// The two terms that make the sum after the map, if they are worth it: what each reads, and its map.
fn moved(
    nodes: &[Node],
    readings: &[usize],
    (next, sum): (&AffineMap, NodeId),
    limit: impl Fn(usize) -> usize,
) -> Result<Option<Vec<(NodeId, AffineMap)>>> {
    let inputs = &nodes[sum.0].inputs;
    // A term that others read too stays, and would be computed twice.
    let term = |input: &NodeId| map_of(&nodes[input.0]).filter(|_| readings[input.0] == 1);
    if inputs.iter().all(|input| term(input).is_none()) {
        return Ok(None);
    }
    let factors = next.matrix.nnz() + inputs.iter().filter_map(term).map(|map| map.matrix.nnz()).sum::<usize>();
    let mut left = limit(factors);
    let mut terms = Vec::new();
    for (i, input) in inputs.iter().enumerate() {
        let (input, first) = match term(input) {
            Some(map) => (nodes[input.0].inputs[0], map.clone()),
            None => (*input, AffineMap::linear(SparseMatrix::identity(next.input_len())?)),
        };
        let Some(nnz) = next.matrix.product_nnz(&first.matrix, left)? else {
            return Ok(None);
        };
        left -= nnz;
        let mut map = first.then(next)?;
        // The constant of the map belongs into one of the terms only.
        if i > 0 {
            map.bias.iter_mut().zip(&next.bias).for_each(|(c, d)| *c -= d);
        }
        terms.push((input, map));
    }
    Ok(Some(terms))
}
