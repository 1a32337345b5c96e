//! How many multiplications a network does one after another, for the error that says it is too many.
//!
//! When ciphertexts can be refreshed, the search will lower a network that is too deep with a `Refresh` before each tensor whose
//! level would not suffice ([`crate::program`]): here is where it is found that they are needed.

use ckks::max_log_qp;

use super::PlanError;
use super::search::LOG_N;
use crate::graph::{Activation, Graph, Node, Op};

/// Bits of the modulus that a product and a matrix take at least: those of the smallest scales tried.
const PRODUCT_BITS: u32 = super::scales::WATERLINE_BITS[0] as u32;
const MATRIX_BITS: u32 = super::scales::WEIGHT_BITS[0] as u32;

/// The error of a network that does not fit into the longest chain.
pub(super) fn too_deep(graph: &Graph, refusal: String) -> PlanError {
    let layers = graph.nodes().iter().map(|node| (node.name.clone(), depth(node))).filter(|(_, depth)| *depth > 0);
    let bound = max_log_qp(*LOG_N.end()).unwrap_or(0.0);
    // One special prime and the base are no levels.
    let levels = ((bound - 100.0) / f64::from(PRODUCT_BITS)) as usize;
    let needed = longest(graph, depth);
    PlanError::TooDeep { needed, levels, log_n: *LOG_N.end(), layers: layers.collect(), refusal }
}

/// Multiplications of a node, one after another.
fn depth(node: &Node) -> usize {
    match &node.op {
        Op::Affine(_) | Op::Mul => 1,
        Op::Activation(activation) => degree(activation).max(1).next_power_of_two().ilog2() as usize,
        Op::Input | Op::Add => 0,
    }
}

fn degree(activation: &Activation) -> usize {
    activation.chebyshev().map_or(0, |coefficients| coefficients.iter().rposition(|&c| c != 0.0).unwrap_or(0))
}

/// Bits that no chain can do without, whatever the scales.
pub(super) fn least_bits(graph: &Graph) -> u32 {
    longest(graph, |node| match node.op {
        Op::Affine(_) => MATRIX_BITS as usize,
        _ => depth(node) * PRODUCT_BITS as usize,
    }) as u32
}

/// The largest sum over the nodes of a way from the input to the output.
fn longest(graph: &Graph, length: impl Fn(&Node) -> usize) -> usize {
    let mut longest: Vec<usize> = Vec::with_capacity(graph.nodes().len());
    for node in graph.nodes() {
        let before = node.inputs.iter().map(|input| longest[input.0]).max().unwrap_or(0);
        longest.push(before + length(node));
    }
    longest[graph.output().0]
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::lower::networks::two_squares;

    #[test]
    fn layers_count_their_multiplications() {
        let graph = two_squares([6, 8, 4, 2], [100; 3], 1);
        assert_eq!(least_bits(&graph), 3 * 8 + 2 * 20);
        match too_deep(&graph, "none".into()) {
            PlanError::TooDeep { needed: 5, layers, .. } => {
                assert_eq!(layers.iter().map(|(_, depth)| *depth).collect::<Vec<_>>(), [1; 5]);
            }
            other => panic!("{other:?}"),
        }
    }
}
