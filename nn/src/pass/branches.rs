//! (P x + c) + (Q x + d) = (P + Q) x + (c + d): a sum of maps of one tensor is one map.

use std::sync::Arc;

use super::{map_of, push, readings, rebuild};
use crate::error::Result;
use crate::graph::{AffineMap, Graph, Node, NodeId, Op, SparseMatrix};

/// Merges sums whose terms are affine maps of one node, or that node itself. A map that others read too is left alone.
///
/// # Errors
/// Those of [`Graph::new`], which a graph that was accepted cannot raise.
pub fn merge_branches(graph: &Graph) -> Result<Graph> {
    let readings = readings(graph);
    let mut new_readings: Vec<usize> = Vec::with_capacity(graph.nodes().len());
    rebuild(graph, |nodes, id, mut node| {
        if let (Op::Add, &[left, right]) = (&node.op, &node.inputs[..])
            && let Some((input, map)) = merged(nodes, &new_readings, left, right)?
        {
            node.op = Op::Affine(Arc::new(map));
            node.inputs = vec![input];
        }
        new_readings.push(readings[id.0]);
        Ok(push(nodes, node))
    })
}

/// The node that both terms read, and the map of their sum.
fn merged(nodes: &[Node], readings: &[usize], left: NodeId, right: NodeId) -> Result<Option<(NodeId, AffineMap)>> {
    let map = |id: NodeId| map_of(&nodes[id.0]).filter(|_| readings[id.0] == 1);
    // The terms as a map of `node`.
    let of = |term: NodeId, node: NodeId| -> Result<Option<AffineMap>> {
        Ok(match map(term) {
            _ if term == node => Some(AffineMap::linear(SparseMatrix::identity(nodes[node.0].len())?)),
            Some(map) if nodes[term.0].inputs[0] == node => Some(map.clone()),
            _ => None,
        })
    };
    let read_by = |id: NodeId| map(id).map(|_| nodes[id.0].inputs[0]);
    for node in [Some(left), Some(right), read_by(left)].into_iter().flatten() {
        if let (Some(p), Some(q)) = (of(left, node)?, of(right, node)?) {
            let entries = p.matrix.iter().chain(q.matrix.iter());
            let matrix = SparseMatrix::from_triplets(p.output_len(), p.input_len(), entries)?;
            let bias = p.bias.iter().zip(&q.bias).map(|(c, d)| c + d).collect();
            return Ok(Some((node, AffineMap::new(matrix, bias)?)));
        }
    }
    Ok(None)
}
