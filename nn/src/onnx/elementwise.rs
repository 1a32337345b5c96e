//! Sums, differences, products and quotients of a tensor with a constant or (sums and differences) another tensor, with
//! NumPy's broadcasting: y_r = a x_{s(r)} + c_r.

use tract_onnx::tract_core::ops::binary::TypedBinOp;
use tract_onnx::tract_core::ops::element_wise::ElementWiseOp;
use tract_onnx::tract_core::ops::math;

use super::linear::Linear;
use super::node::{Call, Operand, doubles};
use crate::error::Result;
use crate::graph::SparseMatrix;

/// For each feature of a tensor of shape `to` the feature of a tensor of shape `from` that stands there.
pub(super) fn broadcast(from: &[usize], to: &[usize]) -> Vec<usize> {
    let mut sources = vec![0];
    // Axis by axis from the outermost: what is known of the outer axes is repeated for each place of the next one.
    for (&have, &want) in from.iter().zip(to) {
        let place = |i| if have == 1 { 0 } else { i };
        sources = sources.iter().flat_map(|&outer| (0..want).map(move |i| outer * have + place(i))).collect();
    }
    sources
}

/// Add, Sub, Mul and Div.
pub(super) fn binary(call: &Call) -> Result<Option<Linear>> {
    let Some(op) = call.op().downcast_ref::<TypedBinOp>() else {
        return Ok(None);
    };
    let op = &op.0;
    if op.is::<math::Add>() {
        sum(call, &call.operands, &[1.0, 1.0]).map(Some)
    } else if op.is::<math::Sub>() {
        sum(call, &call.operands, &[1.0, -1.0]).map(Some)
    } else if op.is::<math::SubF>() {
        sum(call, &call.operands, &[-1.0, 1.0]).map(Some)
    } else if op.is::<math::Mul>() {
        scaled(call, |weight| weight)
    } else if op.is::<math::Div>() && call.constant(1).is_some() {
        scaled(call, |weight| 1.0 / weight)
    } else {
        Ok(None)
    }
}

/// Whether the node has a direct construction here and is linear: probing may be asked for it too.
pub(super) fn is_linear(call: &Call) -> bool {
    let neg = call.op().downcast_ref::<ElementWiseOp>().is_some_and(|op| op.0.is::<math::Neg>());
    neg || binary(call).is_ok_and(|linear| linear.is_some())
}

/// s_0 x_0 + s_1 x_1 + …, any of which may be a constant.
pub(super) fn sum(call: &Call, operands: &[Operand], signs: &[f64]) -> Result<Linear> {
    let mut linear = Linear { matrices: vec![], bias: vec![0.0; call.len()] };
    for (operand, &sign) in operands.iter().zip(signs) {
        match operand {
            Operand::Const(tensor) => {
                let values = doubles(tensor).map_err(|error| call.failed(format!("{error:#}")))?;
                let sources = broadcast(tensor.shape(), &call.shape);
                linear.bias.iter_mut().zip(sources).for_each(|(c, source)| *c += sign * values[source]);
            }
            Operand::Data(shape) => {
                let rows = broadcast(shape, &call.shape).into_iter().map(|source| [(source, sign)]);
                linear.matrices.push(SparseMatrix::from_rows(shape.iter().product(), rows)?);
            }
        }
    }
    Ok(linear)
}

/// w ⊙ x for a constant w, which may be either operand.
fn scaled(call: &Call, weight: impl Fn(f64) -> f64) -> Result<Option<Linear>> {
    let Some((data, shape)) = call.only_data() else {
        return Ok(None);
    };
    let Some(constant) = call.constant(1 - data.min(1)) else {
        return Ok(None);
    };
    let weights = doubles(constant).map_err(|error| call.failed(format!("{error:#}")))?;
    let places = broadcast(shape, &call.shape).into_iter().zip(broadcast(constant.shape(), &call.shape));
    let rows = places.map(|(source, place)| [(source, weight(weights[place]))]);
    Ok(Some(Linear::of(SparseMatrix::from_rows(shape.iter().product(), rows)?)))
}
