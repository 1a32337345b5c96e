//! One node of tract's model with what it reads: constants, and tensors of data.

use tract_onnx::prelude::*;
use tract_onnx::tract_core::internal::{TypedModel, TypedNode, TypedOp};

use super::guard::guard;
use crate::error::{Error, Result};

/// The most features that a tensor may have: far beyond what can be encrypted, and few enough to tell that a damaged file is
/// one before memory is asked for.
pub(super) const MAX_FEATURES: usize = 1 << 22;

/// The most weights that the matrices of a graph may have together, 4 GiB of them.
pub(super) const MAX_WEIGHTS: usize = 1 << 28;

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
    /// In the order of the node's inputs.
    pub operands: Vec<Operand>,
    /// Shape of the output, batch included.
    pub shape: Vec<usize>,
}

impl<'a> Call<'a> {
    pub fn new(node: &'a TypedNode, slot: usize, operands: Vec<Operand>) -> Result<Self> {
        let shape = concrete_shape(node, slot)?;
        Ok(Call { node, slot, operands, shape })
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

    /// Refuses a matrix of more weights than can be.
    pub fn check_weights(&self, weights: usize) -> Result<()> {
        if weights <= MAX_WEIGHTS {
            return Ok(());
        }
        let problem = "the model has more than 2^28 weights by here, counting each use of a kernel; use smaller inputs";
        Err(self.failed(problem.into()))
    }

    /// The error of this node.
    pub fn failed(&self, problem: String) -> Error {
        Error::OnnxNode { node: self.name().to_owned(), operator: self.operator(), problem }
    }
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
        None => failed(format!("its output has shape {known:?}, more than the 2^22 features that a tensor may have")),
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
