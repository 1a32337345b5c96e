//! A network as a graph of affine maps, activations and joins over flat feature vectors: what is left of an ONNX model once
//! everything that is linear in the data has become a matrix. Knows neither ONNX nor ciphertexts.
//!
//! A feature is one number of one sample; a tensor of shape [c, h, w] is the vector of its c·h·w features in row-major
//! order, without the batch dimension.

mod activation;
mod head;
mod matrix;
mod run;

use std::sync::Arc;

pub use activation::{Activation, Expression};
pub use head::{Head, HeadAxis};
pub use matrix::{AffineMap, SparseMatrix};
pub use run::{Block, Lanes, Observer, Range};

use crate::error::{Error, Result};

/// Index of a node; a node's inputs always come before it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct NodeId(pub usize);

/// A feed-forward network with one input and one output, in topological order; node 0 is the input.
#[derive(Debug, Clone)]
pub struct Graph {
    nodes: Vec<Node>,
    output: NodeId,
    head: Head,
}

impl Graph {
    /// A graph of the given nodes, each behind those that it reads.
    ///
    /// # Errors
    /// [`Error::EmptyGraph`], [`Error::InputPlace`], [`Error::NotTopological`], [`Error::OutputMissing`],
    /// [`Error::InputCount`], [`Error::Features`] if maps, joins and shapes do not fit each other, and
    /// [`Error::WeightNotFinite`].
    pub fn new(nodes: Vec<Node>, output: NodeId) -> Result<Self> {
        if nodes.is_empty() {
            return Err(Error::EmptyGraph);
        }
        for (index, node) in nodes.iter().enumerate() {
            if matches!(node.op, Op::Input) != (index == 0) {
                return Err(Error::InputPlace { node: node.name.clone(), index });
            }
            node.check(&nodes[..index])?;
        }
        if output.0 >= nodes.len() {
            return Err(Error::OutputMissing { output: output.0, nodes: nodes.len() });
        }
        Ok(Graph { nodes, output, head: Head::Identity })
    }

    /// The same graph with that behind its results.
    ///
    /// # Errors
    /// [`Error::HeadAxis`] if the results do not have the axis that it works along.
    pub fn with_head(self, head: Head) -> Result<Self> {
        let results = self.output_len();
        if head.fits(results) { Ok(Graph { head, ..self }) } else { Err(Error::HeadAxis { head, results }) }
    }

    /// What the key holder does to the results after decryption; no run of the graph includes it.
    pub fn head(&self) -> Head {
        self.head
    }

    /// All nodes, inputs before their readers; a [`NodeId`] is an index into them.
    pub fn nodes(&self) -> &[Node] {
        &self.nodes
    }

    /// The node of that number.
    ///
    /// # Panics
    /// If the id is from a larger graph.
    pub fn node(&self, id: NodeId) -> &Node {
        &self.nodes[id.0]
    }

    /// All nodes with their ids, in topological order.
    pub fn iter(&self) -> impl DoubleEndedIterator<Item = (NodeId, &Node)> + ExactSizeIterator + '_ {
        self.nodes.iter().enumerate().map(|(i, node)| (NodeId(i), node))
    }

    /// The input node, always node 0.
    pub fn input(&self) -> NodeId {
        NodeId(0)
    }

    /// The node whose tensor is the result.
    pub fn output(&self) -> NodeId {
        self.output
    }

    /// Shape of a sample.
    pub fn input_shape(&self) -> &[usize] {
        &self.nodes[0].shape
    }

    /// Features of a sample.
    pub fn input_len(&self) -> usize {
        self.nodes[0].len()
    }

    /// Shape of a result.
    pub fn output_shape(&self) -> &[usize] {
        &self.node(self.output).shape
    }

    /// Features of a result.
    pub fn output_len(&self) -> usize {
        self.node(self.output).len()
    }

    /// For each node the nodes that read it, once for each time they read it.
    pub fn readers(&self) -> Vec<Vec<NodeId>> {
        let mut readers = vec![Vec::new(); self.nodes.len()];
        for (id, node) in self.iter() {
            node.inputs.iter().for_each(|input| readers[input.0].push(id));
        }
        readers
    }
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

#[expect(clippy::len_without_is_empty, reason = "a tensor without features has no meaning here")]
impl Node {
    /// Number of features of its output.
    pub fn len(&self) -> usize {
        self.shape.iter().product()
    }

    /// Whether the node fits those before it.
    fn check(&self, before: &[Node]) -> Result<()> {
        if let Some(input) = self.inputs.iter().find(|input| input.0 >= before.len()) {
            return Err(Error::NotTopological { node: self.name.clone(), reads: input.0 });
        }
        let (expected, found) = (self.op.arity(), self.inputs.len());
        if expected != found {
            return Err(Error::InputCount { node: self.name.clone(), op: self.op.name(), expected, found });
        }
        let features = |what, expected, found| match expected == found {
            true => Ok(()),
            false => Err(Error::Features { node: self.name.clone(), what, expected, found }),
        };
        match &self.op {
            Op::Input => Ok(()),
            Op::Affine(map) => {
                features("the matrix (its columns)", before[self.inputs[0].0].len(), map.matrix.cols())?;
                features("the matrix (its rows)", self.len(), map.matrix.rows())?;
                features("the bias", self.len(), map.bias.len())?;
                self.check_finite("weight", map.matrix.values())?;
                self.check_finite("bias", map.bias.iter().copied())
            }
            Op::Activation(activation) => {
                features("the input", self.len(), before[self.inputs[0].0].len())?;
                match activation {
                    Activation::Polynomial(coefficients) | Activation::Chebyshev(coefficients) => {
                        self.check_finite("coefficient", coefficients.iter().copied())
                    }
                    _ => Ok(()),
                }
            }
            Op::Add | Op::Mul => {
                self.inputs.iter().try_for_each(|input| features("an input", self.len(), before[input.0].len()))
            }
        }
    }

    fn check_finite(&self, what: &'static str, values: impl IntoIterator<Item = f64>) -> Result<()> {
        match values.into_iter().enumerate().find(|(_, v)| !v.is_finite()) {
            None => Ok(()),
            Some((index, value)) => Err(Error::WeightNotFinite { node: self.name.clone(), what, index, value }),
        }
    }
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

impl Op {
    /// How many tensors it reads.
    pub fn arity(&self) -> usize {
        match self {
            Op::Input => 0,
            Op::Affine(_) | Op::Activation(_) => 1,
            Op::Add | Op::Mul => 2,
        }
    }

    /// One word for messages.
    pub fn name(&self) -> &'static str {
        match self {
            Op::Input => "input",
            Op::Affine(_) => "affine",
            Op::Activation(activation) => activation.name(),
            Op::Add => "add",
            Op::Mul => "mul",
        }
    }
}

#[cfg(test)]
mod tests;
