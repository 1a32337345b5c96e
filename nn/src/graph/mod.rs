//! A network as a graph of affine maps, activations and joins over flat feature vectors: what is left of an ONNX model once
//! everything that is linear in the data has become a matrix. Knows neither ONNX nor ciphertexts.
//!
//! A feature is one number of one sample; a tensor of shape [c, h, w] is the vector of its c·h·w features in row-major
//! order, without the batch dimension.

mod matrix;

use std::sync::Arc;

pub use matrix::{AffineMap, SparseMatrix};

/// Index of a node; a node's inputs always come before it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct NodeId(pub usize);

/// A feed-forward network with one input and one output, in topological order; node 0 is the input.
#[derive(Debug, Clone)]
pub struct Graph {
    nodes: Vec<Node>,
    output: NodeId,
}

/// One operation and the tensor that it makes.
#[derive(Debug, Clone)]
pub struct Node {
    /// The name of the ONNX node it stems from, for messages.
    pub name: String,
    /// What it does.
    pub op: Op,
    /// What it reads.
    pub inputs: Vec<NodeId>,
    /// Shape of its output without the batch dimension.
    pub shape: Vec<usize>,
}

/// The operations of a graph.
#[derive(Debug, Clone)]
pub enum Op {
    /// The sample.
    Input,
    /// y = M x + c of one input.
    Affine(Arc<AffineMap>),
    /// A function of each feature.
    Activation(Activation),
    /// x + y, feature by feature.
    Add,
    /// x ⊙ y, feature by feature.
    Mul,
}

/// A function of one feature. All but polynomials must be approximated before lowering.
#[derive(Debug, Clone, PartialEq)]
pub enum Activation {
    /// c_0 + c_1 x + c_2 x² + …
    Polynomial(Vec<f64>),
    /// max(0, x)
    Relu,
    /// 1 / (1 + e^−x)
    Sigmoid,
    /// tanh x
    Tanh,
    /// x / (1 + e^−x)
    Silu,
    /// x Φ(x)
    Gelu,
}
