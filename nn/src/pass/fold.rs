//! N (M x + c) + d = (N M) x + (N c + d): an affine map after another becomes one.

use std::sync::Arc;

use super::{MergeRule, map_of, push, readings, rebuild, weights};
use crate::error::Result;
use crate::graph::{Graph, Op};

/// Merges each affine map into the one that reads it, where the rule allows: batch norm into a convolution, pooling into a
/// dense layer, permutations and scalings into whatever comes next. A map that others read too is merged only if no row of
/// it has more than one entry, so that the readers do not grow.
///
/// # Errors
/// Those of [`Graph::new`], which a graph that was accepted cannot raise.
pub fn fold_affine(graph: &Graph, rule: &MergeRule) -> Result<Graph> {
    let total = weights(graph);
    let readings = readings(graph);
    // Readings of the new graph's nodes, as far as folding asks for them.
    let mut new_readings: Vec<usize> = Vec::with_capacity(graph.nodes().len());
    rebuild(graph, |nodes, id, mut node| {
        if let Some(next) = map_of(&node) {
            let before = node.inputs[0];
            let read_once = new_readings[before.0] == 1;
            if let Some(first) = map_of(&nodes[before.0]).filter(|map| read_once || map.matrix.is_monomial()) {
                let limit = rule.limit(first.matrix.nnz() + next.matrix.nnz(), total);
                if next.matrix.product_nnz(&first.matrix, limit)?.is_some() {
                    node.op = Op::Affine(Arc::new(first.then(next)?));
                    node.inputs = nodes[before.0].inputs.clone();
                    // Its own input is now read by both; one of the two dies if nobody else reads the first.
                    new_readings[node.inputs[0].0] += usize::from(!read_once);
                }
            }
        }
        new_readings.push(readings[id.0]);
        Ok(push(nodes, node))
    })
}
