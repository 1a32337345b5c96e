//! Small networks for tests.

use std::sync::Arc;

use crate::graph::{Activation, AffineMap, Graph, Node, NodeId, Op, SparseMatrix};

pub(crate) fn node(op: Op, inputs: &[usize], features: usize) -> Node {
    Node {
        name: format!("{} of {features}", op.name()),
        op,
        inputs: inputs.iter().map(|&i| NodeId(i)).collect(),
        shape: vec![features],
    }
}

/// A map with entries wherever `dense` or the pseudo-random pattern of `seed` says so.
pub(crate) fn map(rows: usize, cols: usize, density: u64, seed: u64) -> Op {
    let mut state = seed.wrapping_mul(2) | 1;
    let mut next = move || {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        state >> 33
    };
    let mut triplets = Vec::new();
    for r in 0..rows {
        for c in 0..cols {
            if next() % 100 < density {
                triplets.push((r, c, (next() % 1000) as f64 / 1000.0 - 0.5));
            }
        }
    }
    let bias = (0..rows).map(|_| (next() % 1000) as f64 / 1000.0 - 0.5).collect();
    let matrix = SparseMatrix::from_triplets(rows, cols, triplets).unwrap();
    Op::Affine(Arc::new(AffineMap::new(matrix, bias).unwrap()))
}

/// A convolution of `channels` maps over `side` x `side` pixels, kernel `kernel`, without padding.
pub(crate) fn convolution(side: usize, channels: usize, kernel: usize, stride: usize) -> (Op, usize) {
    let out = (side - kernel) / stride + 1;
    let mut triplets = Vec::new();
    for m in 0..channels {
        for (i, j) in (0..out * out).map(|k| (k / out, k % out)) {
            for (a, b) in (0..kernel * kernel).map(|k| (k / kernel, k % kernel)) {
                let weight = ((m * 31 + a * 7 + b * 3) % 11) as f64 / 10.0 - 0.45;
                triplets.push((m * out * out + i * out + j, (i * stride + a) * side + j * stride + b, weight));
            }
        }
    }
    let rows = channels * out * out;
    let matrix = SparseMatrix::from_triplets(rows, side * side, triplets).unwrap();
    (Op::Affine(Arc::new(AffineMap::linear(matrix))), rows)
}

pub(crate) fn samples(count: usize, features: usize) -> Vec<f64> {
    (0..count * features).map(|k| ((k * 37) % 101) as f64 / 101.0 - 0.4).collect()
}

pub(crate) const SQUARE: [f64; 3] = [0.0, 0.0, 1.0];

pub(crate) fn activation(coefficients: &[f64]) -> Op {
    Op::Activation(Activation::Polynomial(coefficients.to_vec()))
}

/// affine, square, affine, square, affine.
pub(crate) fn two_squares(sizes: [usize; 4], densities: [u64; 3], seed: u64) -> Graph {
    let [a, b, c, d] = sizes;
    let nodes = vec![
        node(Op::Input, &[], a),
        node(map(b, a, densities[0], seed), &[0], b),
        node(activation(&SQUARE), &[1], b),
        node(map(c, b, densities[1], seed + 1), &[2], c),
        node(activation(&SQUARE), &[3], c),
        node(map(d, c, densities[2], seed + 2), &[4], d),
    ];
    Graph::new(nodes, NodeId(5)).unwrap()
}
