//! Nodes that are not linear and have a place in a graph: activations that have a name, powers, and the product of two
//! tensors.

use tract_onnx::tract_core::ops::binary::TypedBinOp;
use tract_onnx::tract_core::ops::element_wise::ElementWiseOp;
use tract_onnx::tract_core::ops::{math, nn};

use super::node::{Call, doubles};
use crate::error::Result;
use crate::graph::Activation;

/// Powers beyond this are no activations; their polynomial would only overflow.
const MAX_POWER: f64 = 64.0;

/// What a node that is not linear does.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Pointwise {
    /// A function of its one data operand.
    Activation(Activation),
    /// x ⊙ y of its two operands.
    Product,
}

/// The node's function, if it has a name.
pub(super) fn recognise(call: &Call) -> Result<Option<Pointwise>> {
    if let Some(op) = call.op().downcast_ref::<ElementWiseOp>() {
        return Ok(unary(call, op).map(Pointwise::Activation));
    }
    let Some(op) = call.op().downcast_ref::<TypedBinOp>() else {
        return Ok(None);
    };
    if op.0.is::<math::Mul>() && call.data().count() == 2 {
        return Ok(Some(Pointwise::Product));
    }
    let Some((data, shape)) = call.only_data() else {
        return Ok(None);
    };
    let Some(constant) = uniform(call, 1 - data.min(1))? else {
        return Ok(None);
    };
    // A larger constant may stretch the data; then it is no function of each feature.
    if shape != call.shape {
        return Ok(None);
    }
    let activation = if op.0.is::<math::Max>() && constant == 0.0 {
        Some(Activation::Relu)
    } else if op.0.is::<math::Pow>() && data == 0 {
        power(constant)
    } else {
        None
    };
    Ok(activation.map(Pointwise::Activation))
}

fn unary(call: &Call, op: &ElementWiseOp) -> Option<Activation> {
    let op = &op.0;
    if op.is::<math::Square>() {
        return Some(square());
    }
    if let Some(op) = op.downcast_ref::<math::PowConst>() {
        return power(f64::from(op.exponent));
    }
    if let Some(op) = op.downcast_ref::<nn::gelu_approximate::GeluApproximate>() {
        if op.fast_impl {
            return None;
        }
        tracing::warn!(node = call.name(), "gelu by tanh is taken as the exact gelu, which differs by less than 5e-4");
        return Some(Activation::Gelu);
    }
    match op {
        op if op.is::<nn::Sigmoid>() => Some(Activation::Sigmoid),
        op if op.is::<math::Tanh>() => Some(Activation::Tanh),
        op if op.is::<nn::Silu>() => Some(Activation::Silu),
        op if op.is::<nn::gelu_exact::GeluExact>() => Some(Activation::Gelu),
        _ => None,
    }
}

fn square() -> Activation {
    Activation::Polynomial(vec![0.0, 0.0, 1.0])
}

/// x^k for a whole k.
fn power(exponent: f64) -> Option<Activation> {
    let whole = (1.0..=MAX_POWER).contains(&exponent) && exponent.fract() == 0.0;
    whole.then(|| {
        let mut coefficients = vec![0.0; exponent as usize + 1];
        coefficients[exponent as usize] = 1.0;
        Activation::Polynomial(coefficients)
    })
}

/// The value that a constant operand has everywhere.
fn uniform(call: &Call, input: usize) -> Result<Option<f64>> {
    let Some(constant) = call.constant(input) else {
        return Ok(None);
    };
    let values = doubles(constant).map_err(|error| call.failed(format!("{error:#}")))?;
    Ok(values.first().copied().filter(|first| values.iter().all(|value| value == first)))
}
