//! Operators of tract's model that look before they compute.
//!
//! tract computes whatever depends on constants alone while it infers shapes, however large that is: a file of one kilobyte can
//! ask for terabytes. So each operator is wrapped: the rules tell the shape of its outputs, the shape is held against what is
//! left of an [`Allowance`], and only then tract computes. Each node is computed once, and all that follows in tract finds its
//! value there.

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use tract_hir::internal::*;
use tract_hir::tract_core::ops::konst::Const;

/// The most numbers that a tensor of data may have, its batch included.
pub(super) const MAX_NUMBERS: usize = 1 << 22;

/// The most axes that a tensor may have.
const MAX_RANK: usize = 32;

/// Bytes that may be read and written to compute constants of any model; to them come [`PER_WEIGHT`] for each byte of its weights.
const ANY_MODEL: usize = 64 << 20;
const PER_WEIGHT: usize = 16;

/// Multiplications of a matrix product that cost as much as a byte.
const PER_BYTE: usize = 8;

/// Operators that may be computed ahead: their work is in proportion to what they read and make, or bounded here by other means.
const COMPUTED: &str = "Abs Add And Cast CastLike Ceil Clip Concat ConstantOfShape Cos CumSum DequantizeLinear Div Equal Erf Exp Expand \
    EyeLike Flatten Floor Gather GatherElements GatherND Gemm Greater GreaterOrEqual Identity Less LessOrEqual Log \
    MatMul Max Mean Min Mod Mul Neg Not OneHot Or Pad Pow QuantizeLinear Range Reciprocal ReduceL1 ReduceL2 \
    ReduceMax ReduceMean ReduceMin ReduceProd ReduceSum ReduceSumSquare Relu Reshape Round Rsqrt Scatter \
    ScatterElements ScatterND Shape Sigmoid Sign Sin Size Slice Softmax Split Sqrt Squeeze Sub Sum Tanh Tile \
    Transpose Trilu Unsqueeze Where Xor";

/// Wraps all operators of a model that was just read; `operators` has the ONNX operator of each node by its name.
pub(super) fn bound(model: &mut InferenceModel, operators: &HashMap<&str, &str>) {
    let weights = model.nodes().iter().filter_map(|node| node.op_as::<Const>()).map(|constant| bytes(constant.val()));
    let total = weights.fold(ANY_MODEL, |sum, weights| sum.saturating_add(weights.saturating_mul(PER_WEIGHT)));
    let allowance = Arc::new(Allowance { left: AtomicUsize::new(total), total });
    for node in model.nodes_mut() {
        let operator = operators.get(&node.name[..]).copied();
        let computed = COMPUTED.split(' ').find(|known| Some(*known) == operator);
        let inner = std::mem::replace(&mut node.op, Box::new(tract_hir::ops::source::Source::new()));
        node.op = Box::new(Bounded { inner, computed, allowance: allowance.clone() });
    }
}

/// Refuses a tensor of data that is larger than one may be.
pub(super) fn check(node: &str, fact: &TypedFact) -> TractResult<()> {
    let shape = fact.shape.as_concrete().unwrap_or_default();
    let numbers = shape.iter().fold(1, |product: usize, &length| product.saturating_mul(length));
    if fact.konst.is_none() && (numbers > MAX_NUMBERS || shape.len() > MAX_RANK) {
        bail!(
            "'{node}' makes a tensor of shape {shape:?}, and one of 2^22 numbers and 32 axes is the largest there may be"
        );
    }
    Ok(())
}

/// Bytes that may still be read and written.
#[derive(Debug)]
struct Allowance {
    left: AtomicUsize,
    total: usize,
}

impl Allowance {
    fn spend(&self, cost: usize) -> TractResult<()> {
        let spent = self.left.fetch_update(Ordering::Relaxed, Ordering::Relaxed, |left| left.checked_sub(cost));
        match spent {
            Ok(_) => Ok(()),
            Err(left) => bail!(
                "computing it ahead from constants takes {cost} bytes, and of the {} that this file may take {left} are left: \
                 export the model with constants folded",
                self.total
            ),
        }
    }
}

/// An operator that asks before it computes.
#[derive(Clone)]
struct Bounded {
    inner: Box<dyn InferenceOp>,
    /// Its name in [`COMPUTED`].
    computed: Option<&'static str>,
    allowance: Arc<Allowance>,
}

impl Bounded {
    /// The outputs of a node all of whose inputs are known, if they can be computed.
    fn compute(
        &self,
        inputs: TVec<Arc<Tensor>>,
        outputs: &[InferenceFact],
    ) -> TractResult<Option<TVec<InferenceFact>>> {
        let Some(operator) = self.computed else {
            bail!(
                "it depends on constants alone, and {} is not computed ahead: export the model with constants folded",
                self.name()
            );
        };
        let mut cost: usize = inputs.iter().map(|tensor| bytes(tensor)).sum();
        for output in outputs {
            let Some(numbers) = numbers(output)? else {
                bail!(
                    "the shape of what it makes is not known before it is computed: export the model with constants folded"
                );
            };
            let kind = output.datum_type.concretize().unwrap_or(DatumType::TDim);
            cost = cost.saturating_add(numbers.saturating_mul(kind.size_of()));
            if let "MatMul" | "Gemm" = operator {
                let inner = inputs[0].shape().iter().max().copied().unwrap_or(1);
                cost = cost.saturating_add(numbers.saturating_mul(inner) / PER_BYTE);
            }
        }
        self.allowance.spend(cost)?;
        let inputs = inputs.into_iter().map(|tensor| tensor.into_tvalue()).collect();
        let values = self.inner.eval_out_of_plan(inputs).context("computing it ahead")?;
        values.map(|values| values.into_iter().map(|value| value.into_arc_tensor().try_into()).collect()).transpose()
    }
}

/// Refuses sizes beyond 2^31 where the shape of what is made depends on them: tract's rules read them as numbers of 32 bits, and
/// what it computes does not.
fn check_sizes(operator: &str, inputs: &[InferenceFact]) -> TractResult<()> {
    let sizes = match operator {
        "ConstantOfShape" | "Range" => inputs,
        "Expand" | "OneHot" | "Pad" | "Tile" => inputs.get(1..).unwrap_or_default(),
        _ => return Ok(()),
    };
    let sizes = sizes.iter().filter_map(|input| input.value.concretize());
    for tensor in sizes.filter(|tensor| tensor.datum_type().is_integer()) {
        let values = tensor.cast_to::<i64>()?;
        let mut values = values.try_as_plain_ram()?.as_slice::<i64>()?.iter();
        if let Some(size) = values.find(|&&size| i32::try_from(size).is_err()) {
            bail!("it reads the size {size}, beyond 2^31: export the model with constants folded");
        }
    }
    Ok(())
}

fn bytes(tensor: &Tensor) -> usize {
    tensor.volume() * tensor.datum_type().size_of()
}

/// How many numbers a tensor of that description has, if its shape is known.
fn numbers(fact: &InferenceFact) -> TractResult<Option<usize>> {
    let Some(shape) = fact.shape.as_concrete_finite()? else { return Ok(None) };
    if shape.len() > MAX_RANK {
        bail!("it makes a tensor of {} axes, and {MAX_RANK} are the most", shape.len());
    }
    Ok(Some(shape.iter().fold(1, |product: usize, &length| product.saturating_mul(length))))
}

impl InferenceOp for Bounded {
    fn infer(
        &mut self,
        inputs: TVec<&InferenceFact>,
        outputs: TVec<&InferenceFact>,
        observed: TVec<&InferenceFact>,
    ) -> TractResult<(TVec<InferenceFact>, TVec<InferenceFact>, TVec<InferenceFact>)> {
        let (inputs, outputs, observed) = self.inner.infer_facts(inputs, outputs, observed)?;
        check_sizes(self.computed.unwrap_or_default(), &inputs)?;
        let values: Option<TVec<_>> = inputs.iter().map(|input| input.value.concretize()).collect();
        let known = outputs.iter().all(|output| output.value.is_concrete());
        if let Some(values) = values.filter(|values| !values.is_empty() && !known) {
            let computed = self.compute(values, &outputs)?;
            return Ok((inputs, computed.unwrap_or(outputs), observed));
        }
        for output in outputs.iter().filter(|output| !output.value.is_concrete()) {
            // Of an empty tensor tract makes a constant, whatever it was made of.
            if numbers(output)?.is_some_and(|numbers| numbers == 0 || numbers > MAX_NUMBERS) {
                bail!("it makes a tensor of shape {:?}, and one of data has 1 to 2^22 numbers", output.shape);
            }
        }
        Ok((inputs, outputs, observed))
    }

    fn infer_facts(
        &mut self,
        inputs: TVec<&InferenceFact>,
        outputs: TVec<&InferenceFact>,
        observed: TVec<&InferenceFact>,
    ) -> TractResult<(TVec<InferenceFact>, TVec<InferenceFact>, TVec<InferenceFact>)> {
        self.inner.infer_facts(inputs, outputs, observed)
    }

    fn observe_outlets(&self, model: &InferenceModel, node: &InferenceNode) -> TractResult<Vec<OutletId>> {
        self.inner.observe_outlets(model, node)
    }

    fn incorporate(&self, model: &InferenceModel, node: &InferenceNode) -> TractResult<Option<InferenceModelPatch>> {
        self.inner.incorporate(model, node)
    }

    fn nboutputs(&self) -> TractResult<usize> {
        self.inner.nboutputs()
    }

    fn as_op(&self) -> &dyn Op {
        self.inner.as_op()
    }

    fn as_op_mut(&mut self) -> &mut dyn Op {
        self.inner.as_op_mut()
    }

    fn to_typed(
        &self,
        source: &InferenceModel,
        node: &InferenceNode,
        target: &mut TypedModel,
        mapping: &HashMap<OutletId, OutletId>,
    ) -> TractResult<TVec<OutletId>> {
        self.inner.to_typed(source, node, target, mapping)
    }
}

impl Op for Bounded {
    fn name(&self) -> StaticName {
        self.inner.name()
    }

    not_a_typed_op!();
}

impl EvalOp for Bounded {
    fn eval(&self, context: &EvalContext, inputs: TVec<TValue>) -> TractResult<TVec<TValue>> {
        self.inner.eval(context, inputs)
    }

    fn eval_out_of_plan(&self, inputs: TVec<TValue>) -> TractResult<Option<TVec<TValue>>> {
        self.inner.eval_out_of_plan(inputs)
    }

    fn state(&self, context: &EvalContext) -> TractResult<Option<Box<dyn OpState>>> {
        self.inner.state(context)
    }
}

impl fmt::Debug for Bounded {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.inner.fmt(f)
    }
}

/// tract asks for it where it compares models; no operator is taken for another.
impl PartialEq for Bounded {
    fn eq(&self, _: &Self) -> bool {
        false
    }
}

impl Eq for Bounded {}
