//! Nodes that are not linear and have a place in a graph: functions of one feature, the product of two tensors, and the choice between two.
//!
//! tract spells many activations out (softplus as ln(1 + e^x), ELU as a choice by a comparison); each step is a function of its
//! own here, and [`gather_functions`](crate::pass::gather_functions) puts them together again.

use std::sync::Arc;

use tract_onnx::tract_core::ops::binary::TypedBinOp;
use tract_onnx::tract_core::ops::element_wise::ElementWiseOp;
use tract_onnx::tract_core::ops::{logic, math, nn};

use super::node::{Call, doubles};
use crate::error::Result;
use crate::graph::{Activation, Expression};

/// Powers beyond this are no activations; their polynomial would only overflow.
const MAX_POWER: f64 = 64.0;

/// What a node that is not linear does.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Pointwise {
    /// A function of its one data operand.
    Activation(Activation),
    /// x ⊙ y of its two operands.
    Product,
    /// The second operand where the first, which is data, is true, else the third.
    Choice,
}

/// The node's function, if it has a name.
pub(super) fn recognise(call: &Call) -> Result<Option<Pointwise>> {
    if let Some(op) = call.op().downcast_ref::<ElementWiseOp>() {
        return Ok(unary(op).map(Pointwise::Activation));
    }
    if call.op().is::<logic::Iff>() {
        return Ok(call.constant(0).is_none().then_some(Pointwise::Choice));
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
    let op = &op.0;
    let activation = if op.is::<math::Max>() && constant == 0.0 {
        Some(Activation::Relu)
    } else if op.is::<math::Max>() {
        Some(Activation::Clip(constant, f64::INFINITY))
    } else if op.is::<math::Min>() {
        Some(Activation::Clip(f64::NEG_INFINITY, constant))
    } else if op.is::<math::Pow>() && data == 0 {
        power(constant)
    } else if op.is::<logic::CompGT>() || op.is::<logic::CompGTE>() {
        Some(step(constant, data == 0))
    } else if op.is::<logic::CompLT>() || op.is::<logic::CompLTE>() {
        Some(step(constant, data == 1))
    } else {
        None
    };
    Ok(activation.map(Pointwise::Activation))
}

/// Whether a node compares numbers: its truth values are the only data that are no floats.
pub(super) fn is_comparison(call: &Call) -> bool {
    call.op().downcast_ref::<TypedBinOp>().is_some_and(|op| {
        let op = &op.0;
        op.is::<logic::CompGT>() || op.is::<logic::CompGTE>() || op.is::<logic::CompLT>() || op.is::<logic::CompLTE>()
    })
}

/// 1 above `place` and 0 below it, or the other way round.
fn step(place: f64, rises: bool) -> Activation {
    let line = Activation::Polynomial(if rises { vec![-place, 1.0] } else { vec![place, -1.0] });
    let inner = Expression::Apply(line, Box::new(Expression::X));
    Activation::Composite(Arc::new(Expression::Apply(Activation::Step, Box::new(inner))))
}

fn unary(op: &ElementWiseOp) -> Option<Activation> {
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
        return Some(Activation::GeluTanh);
    }
    if let Some(op) = op.downcast_ref::<nn::LeakyRelu>() {
        return Some(Activation::LeakyRelu(f64::from(op.alpha)));
    }
    match op {
        op if op.is::<nn::Sigmoid>() => Some(Activation::Sigmoid),
        op if op.is::<math::Tanh>() => Some(Activation::Tanh),
        op if op.is::<nn::Silu>() => Some(Activation::Silu),
        op if op.is::<nn::gelu_exact::GeluExact>() => Some(Activation::Gelu),
        op if op.is::<nn::HardSwish>() => Some(Activation::HardSwish),
        op if op.is::<math::Abs>() => Some(Activation::Abs),
        op if op.is::<math::Exp>() => Some(Activation::Exp),
        op if op.is::<math::Ln>() => Some(Activation::Ln),
        op if op.is::<math::Erf>() => Some(Activation::Erf),
        _ => None,
    }
}

pub(super) fn square() -> Activation {
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
