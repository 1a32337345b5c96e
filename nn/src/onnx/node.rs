//! One node of tract's model with what it reads: constants, and tensors of data.

use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};

use tract_onnx::prelude::*;
use tract_onnx::tract_core::internal::{TypedModel, TypedNode, TypedOp};

use super::guard::guard;
use crate::error::{Error, Result};

/// The most features that a tensor may have: those of the first layer of a ResNet on images of 224 x 224.
pub(super) const MAX_FEATURES: usize = 1 << 20;

/// The most features of all tensors of a graph together.
const MAX_ALL_FEATURES: usize = 1 << 23;

/// The most weights that the matrices of a graph may have together, 4 GiB of them. A fuzzer's inputs, which soon ask for as much
/// as they may, have to leave it time and memory for the next.
const MAX_WEIGHTS: usize = if cfg!(fuzzing) { 1 << 24 } else { 1 << 28 };

/// The most entries of matrices that are found by unit vectors: beyond, it would take minutes.
const MAX_PROBED: usize = 32 * MAX_WEIGHTS;

/// What the graph of a model may still take.
#[derive(Debug)]
pub(super) struct Left {
    features: AtomicUsize,
    weights: AtomicUsize,
    probed: AtomicUsize,
}

impl Left {
    pub fn all() -> Self {
        Left { features: MAX_ALL_FEATURES.into(), weights: MAX_WEIGHTS.into(), probed: MAX_PROBED.into() }
    }
}

/// What a node reads.
#[derive(Debug, Clone)]
pub(super) enum Operand {
    /// Known now.
    Const(Arc<Tensor>),
    /// A tensor of that shape, computed from the sample.
    Data(Vec<usize>),
}

/// One output of one node whose inputs are sorted into constants and data.
#[derive(Debug)]
pub(super) struct Call<'a> {
    node: &'a TypedNode,
    slot: usize,
    left: &'a Left,
    /// In the order of the node's inputs.
    pub operands: Vec<Operand>,
    /// Shape of the output, batch included.
    pub shape: Vec<usize>,
}

impl<'a> Call<'a> {
    pub fn new(node: &'a TypedNode, slot: usize, operands: Vec<Operand>, left: &'a Left) -> Result<Self> {
        let shape = concrete_shape(node, slot)?;
        Ok(Call { node, slot, left, operands, shape })
    }

    pub fn name(&self) -> &'a str {
        &self.node.name
    }

    pub fn operator(&self) -> String {
        self.node.op.name().into_owned()
    }

    pub fn op(&self) -> &'a dyn TypedOp {
        &*self.node.op
    }

    /// Number of features made.
    pub fn len(&self) -> usize {
        self.shape.iter().product()
    }

    /// Whether the output is single precision, as all data must be.
    pub fn is_f32(&self) -> bool {
        self.kind() == f32::datum_type()
    }

    /// The operands computed from the sample, each with its place among the inputs and its shape.
    pub fn data(&self) -> impl Iterator<Item = (usize, &[usize])> {
        self.operands.iter().enumerate().filter_map(|(i, operand)| match operand {
            Operand::Data(shape) => Some((i, &shape[..])),
            Operand::Const(_) => None,
        })
    }

    /// The one operand that is data, if there is one only.
    pub fn only_data(&self) -> Option<(usize, &[usize])> {
        let mut data = self.data();
        data.next().filter(|_| data.next().is_none())
    }

    /// The constant at a place among the inputs.
    pub fn constant(&self, input: usize) -> Option<&Tensor> {
        match self.operands.get(input)? {
            Operand::Const(tensor) => Some(tensor),
            Operand::Data(_) => None,
        }
    }

    /// Lets tract run the node on the given values of its data operands, in their order.
    pub fn run(&self, data: &[Vec<f32>]) -> Result<Vec<f32>> {
        let failed = |error: TractError| self.failed(format!("{error:#}"));
        let mut values = data.iter();
        let inputs: TractResult<TVec<TValue>> = self
            .operands
            .iter()
            .map(|operand| match operand {
                Operand::Const(tensor) => Ok(tensor.clone().into_tvalue()),
                Operand::Data(shape) => {
                    let values = values.next().map_or(&[][..], |v| &v[..]);
                    Ok(Tensor::from_shape(shape, values)?.into_tvalue())
                }
            })
            .collect();
        let inputs = inputs.map_err(failed)?;
        let outputs = guard(|| self.node.op.eval_out_of_plan(inputs)).map_err(|panic| self.failed(panic))?;
        let outputs = outputs.map_err(failed)?;
        let outputs = outputs.ok_or_else(|| self.failed("it keeps state from one sample to the next".into()))?;
        let output = outputs.get(self.slot).ok_or_else(|| self.failed("it has no such output".into()))?;
        floats(output).map_err(failed)
    }

    /// The type of the output.
    pub fn kind(&self) -> DatumType {
        self.node.outputs[self.slot].fact.datum_type
    }

    /// Refuses a matrix of more weights than the graph may still have.
    pub fn check_weights(&self, weights: usize) -> Result<()> {
        if weights <= self.left.weights.load(Relaxed) {
            return Ok(());
        }
        Err(self.failed(format!(
            "the model has more than the {MAX_WEIGHTS} weights that it may have by here, counting each use of a kernel; use smaller inputs"
        )))
    }

    /// Takes so many weights.
    pub fn take_weights(&self, weights: usize) -> Result<()> {
        self.check_weights(weights)?;
        self.left.weights.fetch_sub(weights, Relaxed);
        Ok(())
    }

    /// Takes the features of this output.
    pub fn take_features(&self) -> Result<()> {
        take(&self.left.features, self.len()).map_err(|()| {
            self.failed(format!("the tensors of the model have more than {MAX_ALL_FEATURES} features together by here; use smaller inputs"))
        })
    }

    /// Takes so many entries of matrices that are found by unit vectors.
    pub fn take_probed(&self, entries: usize) -> Result<()> {
        take(&self.left.probed, entries).map_err(|()| {
            self.failed(format!(
                "{entries} entries of its matrix would have to be found by running it on each unit vector, and {MAX_PROBED} are \
                 the most of a model; use a smaller input"
            ))
        })
    }

    /// The error of this node.
    pub fn failed(&self, problem: String) -> Error {
        Error::OnnxNode { node: self.name().to_owned(), operator: self.operator(), problem }
    }
}

fn take(left: &AtomicUsize, count: usize) -> Result<(), ()> {
    left.fetch_update(Relaxed, Relaxed, |left| left.checked_sub(count)).map(drop).map_err(drop)
}

/// Runs a node of constants.
pub(super) fn fold(node: &TypedNode, inputs: Vec<Arc<Tensor>>) -> Result<Vec<Arc<Tensor>>> {
    let failed = |problem| Error::OnnxNode { node: node.name.clone(), operator: node.op.name().into_owned(), problem };
    let inputs = inputs.into_iter().map(|tensor| tensor.into_tvalue()).collect();
    let outputs = guard(|| node.op.eval_out_of_plan(inputs)).map_err(failed)?;
    let outputs = outputs.map_err(|error| failed(format!("{error:#}")))?;
    let outputs = outputs.ok_or_else(|| failed("it cannot be computed ahead".into()))?;
    Ok(outputs.into_iter().map(|value| value.into_arc_tensor()).collect())
}

/// The values of a tensor of floats, in row-major order.
pub(super) fn floats(tensor: &Tensor) -> TractResult<Vec<f32>> {
    Ok(tensor.cast_to::<f32>()?.try_as_plain_ram()?.as_slice::<f32>()?.to_vec())
}

/// The values of a constant in double precision, in row-major order.
pub(super) fn doubles(tensor: &Tensor) -> TractResult<Vec<f64>> {
    Ok(tensor.cast_to::<f64>()?.try_as_plain_ram()?.as_slice::<f64>()?.to_vec())
}

/// The shape of an output, all of whose dimensions must be known.
fn concrete_shape(node: &TypedNode, slot: usize) -> Result<Vec<usize>> {
    let shape = &node.outputs[slot].fact.shape;
    let failed =
        |problem| Err(Error::OnnxNode { node: node.name.clone(), operator: node.op.name().into_owned(), problem });
    let Some(known) = shape.as_concrete() else {
        return failed(format!("its output has the unknown shape {shape:?}; export the model with fixed shapes"));
    };
    match features(known) {
        Some(_) => Ok(known.to_vec()),
        None => failed(format!("its output has shape {known:?}, more than the 2^20 features that a tensor may have")),
    }
}

/// The number of features of a shape, if it can be.
pub(super) fn features(shape: &[usize]) -> Option<usize> {
    let product = shape.iter().try_fold(1usize, |product, &length| product.checked_mul(length));
    product.filter(|&features| features <= MAX_FEATURES)
}

/// Nodes in the order in which they can be computed.
pub(super) fn order(model: &TypedModel) -> TractResult<Vec<usize>> {
    model.eval_order()
}
