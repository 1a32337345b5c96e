//! Drops what the result does not need.

use super::{push, rebuild};
use crate::error::Result;
use crate::graph::{Graph, NodeId, Op};

/// The graph without nodes that the output does not depend on, and without maps that change nothing.
///
/// # Errors
/// Those of [`Graph::new`], which a graph that was accepted cannot raise.
pub fn prune(graph: &Graph) -> Result<Graph> {
    let mut needed = vec![false; graph.nodes().len()];
    needed[graph.output().0] = true;
    needed[graph.input().0] = true;
    for (id, node) in graph.iter().rev() {
        if needed[id.0] {
            node.inputs.iter().for_each(|input| needed[input.0] = true);
        }
    }
    rebuild(graph, |nodes, id, node| {
        Ok(match &node.op {
            // Never looked up: whoever reads this is dropped too.
            _ if !needed[id.0] => NodeId(0),
            // The result keeps its shape, which a map that only renames features may carry.
            Op::Affine(map) if map.is_identity() && nodes[node.inputs[0].0].shape == node.shape => node.inputs[0],
            Op::Affine(map) if map.is_identity() && id != graph.output() => node.inputs[0],
            _ => push(nodes, node),
        })
    })
}
