//! Rewrites of graphs, each a function from graph to graph that computes the same: fewer levels and fewer weights.
//!
//! A run of affine maps costs one level only if it is one map. So constants are gathered into maps ([`fold_affine`],
//! [`distribute`], [`merge_branches`], [`fold_constants`]), arithmetic on one tensor into polynomials ([`gather_polynomials`]) or functions that a polynomial will stand for ([`gather_functions`]), and what nobody
//! reads is dropped ([`prune`]). [`simplify`] does all of it until nothing changes.

mod approximate;
mod bias;
mod branches;
mod calibrate;
mod constant;
mod distribute;
mod fold;
mod function;
mod judge;
mod outside;
mod polynomial;
mod prune;

pub use approximate::{Approximation, approximate, free_scalings};
pub use branches::merge_branches;
pub use calibrate::{Calibrated, Calibration, calibrate};
pub use constant::fold_constants;
pub(crate) use constant::value;
pub use distribute::distribute;
pub use fold::fold_affine;
pub use function::gather_functions;
pub use judge::{Loss, rms_error};
pub use outside::{Outside, outside};
pub use polynomial::gather_polynomials;
pub use prune::prune;

use crate::error::Result;
use crate::graph::{AffineMap, Graph, Node, NodeId, Op};

/// When two maps are worth merging into one, which saves a level and may cost weights.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct MergeRule {
    /// Merge while the weights of the product are at most this many times those of the factors together.
    pub growth: f64,
    /// Merge too while the weights added are at most this share of all weights of the graph: a level less makes every
    /// other layer cheaper.
    pub share: f64,
}

impl Default for MergeRule {
    /// No growth, or a sixteenth of the graph: a network has about that many levels at most.
    fn default() -> Self {
        MergeRule { growth: 1.0, share: 1.0 / 16.0 }
    }
}

impl MergeRule {
    /// The most weights that may replace `factors` weights in a graph of `total`.
    fn limit(&self, factors: usize, total: usize) -> usize {
        let limit = (self.growth * factors as f64).max(factors as f64 + self.share * total as f64);
        limit as usize
    }
}

/// All passes, until none changes the graph.
///
/// # Errors
/// Those of [`fold_constants`].
pub fn simplify(graph: &Graph, rule: &MergeRule) -> Result<Graph> {
    let mut graph = prune(&gather_polynomials(graph)?)?;
    loop {
        let before = skeleton(&graph);
        graph = prune(&fold_constants(&graph)?)?;
        graph = prune(&fold_affine(&graph, rule)?)?;
        graph = prune(&distribute(&graph, rule)?)?;
        graph = prune(&merge_branches(&graph)?)?;
        graph = prune(&gather_polynomials(&graph)?)?;
        graph = prune(&gather_functions(&graph)?)?;
        if skeleton(&graph) == before {
            return Ok(graph);
        }
    }
}

/// The graph that is lowered: a simplified graph with these polynomials in the place of its activations, and simplified again. It depends
/// on nothing else, so whoever has the model and the polynomials has the same.
///
/// # Errors
/// As [`approximate`].
pub fn he_friendly(simplified: &Graph, rule: &MergeRule, approximations: &[Approximation]) -> Result<Graph> {
    free_scalings(&simplify(&approximate(simplified, approximations)?, rule)?)
}

/// What a graph does, without its weights: two graphs of one `simplify` differ if this does.
fn skeleton(graph: &Graph) -> Vec<(&'static str, Vec<NodeId>)> {
    graph.nodes().iter().map(|node| (node.op.name(), node.inputs.clone())).collect()
}

/// Builds a new graph node by node: `make` appends what a node becomes, its inputs already those of the new graph, and says
/// which node of the new graph stands for it.
fn rebuild(graph: &Graph, mut make: impl FnMut(&mut Vec<Node>, NodeId, Node) -> Result<NodeId>) -> Result<Graph> {
    let mut nodes = Vec::with_capacity(graph.nodes().len());
    let mut new_ids: Vec<NodeId> = Vec::with_capacity(graph.nodes().len());
    for (id, node) in graph.iter() {
        let mut node = node.clone();
        node.inputs.iter_mut().for_each(|input| *input = new_ids[input.0]);
        new_ids.push(make(&mut nodes, id, node)?);
    }
    Graph::new(nodes, new_ids[graph.output().0])?.with_head(graph.head())
}

/// Appends a node.
fn push(nodes: &mut Vec<Node>, node: Node) -> NodeId {
    nodes.push(node);
    NodeId(nodes.len() - 1)
}

/// The map of an affine node.
fn map_of(node: &Node) -> Option<&AffineMap> {
    match &node.op {
        Op::Affine(map) => Some(map),
        _ => None,
    }
}

/// All weights of a graph.
fn weights(graph: &Graph) -> usize {
    graph.nodes().iter().filter_map(map_of).map(|map| map.matrix.nnz()).sum()
}

/// How often each node is read, the result of the graph counting as a reading.
fn readings(graph: &Graph) -> Vec<usize> {
    let mut readings: Vec<usize> = graph.readers().iter().map(Vec::len).collect();
    readings[graph.output().0] += 1;
    readings
}

#[cfg(test)]
mod tests;
