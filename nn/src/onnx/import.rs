//! From tract's model to a graph: every value is a constant, or the tensor of a graph's node under some shape.

use std::collections::{BTreeMap, HashMap};

use tract_onnx::prelude::*;
use tract_onnx::tract_core::internal::{TypedModel, TypedNode};
use tract_onnx::tract_core::ops::konst::Const;
use tract_onnx::tract_core::ops::source::TypedSource;

use super::linear::{self, Linear};
use super::node::{self, Call, Left, Operand};
use super::pointwise::{self, Pointwise};
use super::proto::Checked;
use super::{Source, advice, einsum, elementwise};
use crate::error::{Error, Result, UnsupportedNode};
use crate::graph::{AffineMap, Graph, Node, NodeId, Op, SparseMatrix};

/// The graph of a model whose batch dimension is 1.
pub(super) fn import(file: &Source, proto: &Checked, model: &TypedModel) -> Result<Graph> {
    let left = Left::all();
    let mut importer = Importer { proto, nodes: vec![], values: HashMap::new(), left: &left, unsupported: vec![] };
    let order = node::order(model).map_err(|error| Error::Onnx {
        path: file.path.clone(),
        doing: "sorting its nodes",
        message: format!("{error:#}"),
    })?;
    for id in order {
        importer.node(&model.nodes()[id])?;
    }
    if !importer.unsupported.is_empty() {
        return Err(Error::Unsupported { path: file.path.clone(), nodes: importer.unsupported });
    }
    let output = model.outputs.first().and_then(|outlet| importer.values.remove(outlet));
    match output {
        Some(Value::Data(data)) => importer.finish(&data),
        _ => Err(Error::OnnxInterface {
            path: file.path.clone(),
            problem: "its output does not depend on its input".into(),
        }),
    }
}

#[derive(Debug, Clone)]
enum Value {
    Const(Arc<Tensor>),
    Data(Data),
}

/// The tensor of a graph's node, read as having this shape.
#[derive(Debug, Clone)]
struct Data {
    node: NodeId,
    shape: Vec<usize>,
}

struct Importer<'a> {
    proto: &'a Checked,
    nodes: Vec<Node>,
    values: HashMap<OutletId, Value>,
    left: &'a Left,
    unsupported: Vec<UnsupportedNode>,
}

impl Importer<'_> {
    fn node(&mut self, node: &TypedNode) -> Result<()> {
        if node.op_is::<TypedSource>() {
            let shape = Call::new(node, 0, vec![], self.left)?.shape;
            let data = Data { node: self.push(&node.name, Op::Input, vec![], &shape), shape };
            self.values.insert(OutletId::new(node.id, 0), Value::Data(data));
            return Ok(());
        }
        let folded: Option<Vec<_>> = node.outputs.iter().map(|output| output.fact.konst.clone()).collect();
        if let Some(constants) = folded {
            self.constants(node, constants);
            return Ok(());
        }
        if let Some(constant) = node.op_as::<Const>() {
            self.constants(node, vec![constant.val().clone()]);
            return Ok(());
        }
        let inputs: Vec<Value> = node.inputs.iter().filter_map(|outlet| self.values.get(outlet).cloned()).collect();
        let constants: Option<Vec<_>> = inputs
            .iter()
            .map(|value| match value {
                Value::Const(tensor) => Some(tensor.clone()),
                Value::Data(_) => None,
            })
            .collect();
        match constants {
            Some(constants) => self.constants(node, node::fold(node, constants)?),
            None => self.outputs(node, &inputs)?,
        }
        Ok(())
    }

    fn constants(&mut self, node: &TypedNode, tensors: Vec<Arc<Tensor>>) {
        for (slot, tensor) in tensors.into_iter().enumerate() {
            self.values.insert(OutletId::new(node.id, slot), Value::Const(tensor));
        }
    }

    /// Each output of a node that reads data.
    fn outputs(&mut self, node: &TypedNode, inputs: &[Value]) -> Result<()> {
        let operands: Vec<Operand> = inputs
            .iter()
            .map(|value| match value {
                Value::Const(tensor) => Operand::Const(tensor.clone()),
                Value::Data(data) => Operand::Data(data.shape.clone()),
            })
            .collect();
        let data: Vec<&Data> = inputs
            .iter()
            .filter_map(|value| match value {
                Value::Data(data) => Some(data),
                Value::Const(_) => None,
            })
            .collect();
        for slot in 0..node.outputs.len() {
            let call = Call::new(node, slot, operands.clone(), self.left)?;
            call.take_features()?;
            let id = match self.output(&call, &data)? {
                Some(id) => id,
                None => self.unsupported(&call),
            };
            let value = Value::Data(Data { node: id, shape: call.shape });
            self.values.insert(OutletId::new(node.id, slot), value);
        }
        Ok(())
    }

    /// The node of the graph that makes this output, or nothing if there is none that could.
    fn output(&mut self, call: &Call, data: &[&Data]) -> Result<Option<NodeId>> {
        if !call.is_f32() && !pointwise::is_comparison(call) {
            return Ok(None);
        }
        match pointwise::recognise(call)? {
            Some(Pointwise::Activation(activation)) => {
                let name = self.origin(call).0;
                Ok(Some(self.push(&name, Op::Activation(activation), vec![data[0].node], &call.shape)))
            }
            Some(Pointwise::Product) => self.product(call, data).map(Some),
            Some(Pointwise::Choice) => self.choice(call, data).map(Some),
            None => match (linear::linear(call)?, einsum::mean_of_squares(call)?) {
                (Some(linear), _) => self.linear(call, data, linear).map(Some),
                (None, Some(mean)) => self.of_squares(call, data[0], mean).map(Some),
                (None, None) => Ok(None),
            },
        }
    }

    /// x ⊙ y, both brought to the shape of the result.
    fn product(&mut self, call: &Call, data: &[&Data]) -> Result<NodeId> {
        let mut inputs = Vec::new();
        for operand in data {
            let sources = elementwise::broadcast(&operand.shape, &call.shape);
            let features = operand.shape.iter().product();
            let matrix = SparseMatrix::selection(features, sources.into_iter().map(Some))?;
            inputs.push(self.affine(call, operand.node, AffineMap::linear(matrix))?);
        }
        Ok(self.push(call.name(), Op::Mul, inputs, &call.shape))
    }

    /// s ⊙ x + (1 − s) ⊙ y with s one or zero, as y + s ⊙ (x − y). Constants may stand for x and y.
    fn choice(&mut self, call: &Call, data: &[&Data]) -> Result<NodeId> {
        let (condition, branches) = (data[0], &call.operands[1..]);
        let chosen = elementwise::sum(call, branches, &[1.0, -1.0])?;
        let chosen = if data.len() == 1 {
            let spread = elementwise::broadcast(&condition.shape, &call.shape).into_iter().zip(chosen.bias);
            let features = condition.shape.iter().product();
            let matrix = SparseMatrix::from_rows(features, spread.map(|(source, weight)| [(source, weight)]))?;
            self.affine(call, condition.node, AffineMap::linear(matrix))?
        } else {
            let difference = self.linear(call, &data[1..], chosen)?;
            let difference = Data { node: difference, shape: call.shape.clone() };
            self.product(call, &[condition, &difference])?
        };
        let chosen = Data { node: chosen, shape: call.shape.clone() };
        let mut otherwise = elementwise::sum(call, &branches[1..], &[1.0])?;
        otherwise.matrices.insert(0, SparseMatrix::identity(call.len())?);
        let last = matches!(branches[1], Operand::Data(_)).then(|| data[data.len() - 1]);
        let summands: Vec<&Data> = std::iter::once(&chosen).chain(last).collect();
        self.linear(call, &summands, otherwise)
    }

    /// M (x ⊙ x) + c.
    fn of_squares(&mut self, call: &Call, data: &Data, linear: Linear) -> Result<NodeId> {
        let square = Op::Activation(pointwise::square());
        let node = self.push(call.name(), square, vec![data.node], &data.shape);
        self.linear(call, &[&Data { node, shape: data.shape.clone() }], linear)
    }

    /// The sum of M_i x_i over the nodes that are read, plus c.
    fn linear(&mut self, call: &Call, data: &[&Data], linear: Linear) -> Result<NodeId> {
        let mut by_node: BTreeMap<NodeId, SparseMatrix> = BTreeMap::new();
        for (operand, matrix) in data.iter().zip(linear.matrices) {
            let sum = match by_node.remove(&operand.node) {
                Some(other) => {
                    SparseMatrix::from_triplets(matrix.rows(), matrix.cols(), other.iter().chain(matrix.iter()))?
                }
                None => matrix,
            };
            by_node.insert(operand.node, sum);
        }
        let mut bias = Some(linear.bias).filter(|bias| bias.iter().any(|&c| c != 0.0));
        // The bias joins a map that is needed anyhow, if there is one.
        let needed = by_node.values().position(|matrix| !matrix.is_identity()).unwrap_or(0);
        let mut sum: Option<NodeId> = None;
        for (i, (node, matrix)) in by_node.into_iter().enumerate() {
            let bias = if i == needed { bias.take() } else { None };
            let map = match bias {
                Some(bias) => AffineMap::new(matrix, bias)?,
                None => AffineMap::linear(matrix),
            };
            let term = self.affine(call, node, map)?;
            sum = Some(match sum {
                Some(sum) => self.push(call.name(), Op::Add, vec![sum, term], &call.shape),
                None => term,
            });
        }
        sum.ok_or_else(|| call.failed("it reads no data".into()))
    }

    /// An affine map of a node, which is the node itself if the map changes nothing.
    fn affine(&mut self, call: &Call, input: NodeId, map: AffineMap) -> Result<NodeId> {
        if map.is_identity() {
            return Ok(input);
        }
        call.take_weights(map.matrix.nnz())?;
        Ok(self.push(call.name(), Op::Affine(Arc::new(map)), vec![input], &call.shape))
    }

    /// Notes a node that cannot be translated, and stands an input in its place so that the rest is looked at too.
    fn unsupported(&mut self, call: &Call) -> NodeId {
        let (node, operator) = self.origin(call);
        let advice = advice::advice(&operator, call).to_owned();
        if self.unsupported.iter().all(|known| known.node != node) {
            self.unsupported.push(UnsupportedNode { node, operator, advice });
        }
        self.push(call.name(), Op::Input, vec![], &call.shape)
    }

    /// The name and operator that the file has for a node: tract may make several of one, and the user knows the one.
    fn origin(&self, call: &Call) -> (String, String) {
        self.proto.origin(call.name()).unwrap_or_else(|| (call.name().to_owned(), call.operator()))
    }

    /// Adds a node; the leading batch dimension of 1 is not part of its shape.
    fn push(&mut self, name: &str, op: Op, inputs: Vec<NodeId>, shape: &[usize]) -> NodeId {
        let shape = shape.strip_prefix(&[1]).unwrap_or(shape).to_vec();
        self.nodes.push(Node { name: name.to_owned(), op, inputs, shape });
        NodeId(self.nodes.len() - 1)
    }

    fn finish(mut self, output: &Data) -> Result<Graph> {
        let node = &mut self.nodes[output.node.0];
        if !matches!(node.op, Op::Input) {
            let shape = &output.shape[..];
            node.shape = shape.strip_prefix(&[1]).unwrap_or(shape).to_vec();
        }
        Graph::new(self.nodes, output.node)
    }
}
