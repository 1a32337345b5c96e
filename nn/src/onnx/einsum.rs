//! Sums of products over named axes, of which one operand is data: dense layers, batched products, reductions.
//!
//! y[o] = sum over the axes not in o of x[i] · w[j] · …: each combination of axis values adds w[j] · … to the entry
//! (o, i). The sum of a reduction is the case without w.

use tract_onnx::tract_core::internal::{AxesMapping, InOut};
use tract_onnx::tract_core::ops::einsum::EinSum;
use tract_onnx::tract_core::ops::nn::{Reduce, Reducer};

use super::linear::Linear;
use super::node::{Call, Operand, doubles};
use crate::error::Result;
use crate::graph::SparseMatrix;

/// An axis: its length, and how far one step along it moves in the output, the data and each constant.
struct Axis {
    length: usize,
    output: usize,
    data: usize,
    constants: Vec<usize>,
}

/// A product of one data operand with constants.
pub(super) fn einsum(call: &Call) -> Result<Option<Linear>> {
    let Some(op) = call.op().downcast_ref::<EinSum>() else {
        return Ok(None);
    };
    let Some((data, shape)) = call.only_data() else {
        return Ok(None);
    };
    if op.q_params.is_some() {
        return Ok(None);
    }
    let mut constants = Vec::new();
    for operand in &call.operands {
        if let Operand::Const(tensor) = operand {
            constants.push(doubles(tensor).map_err(|error| call.failed(format!("{error:#}")))?);
        }
    }
    let axes = axes(call, &op.axes, data);
    call.check_weights(axes.iter().fold(1, |product: usize, axis| product.saturating_mul(axis.length)))?;
    // Each output with the places where its sum begins; then row by row, which is never held beside the matrix.
    let (outer, inner): (Vec<Axis>, Vec<Axis>) = axes.into_iter().partition(|axis| axis.output > 0);
    let mut starts = vec![None; call.len()];
    walk(&outer, 0, 0, &mut vec![0; constants.len()], &mut |output, input, places| {
        starts[output] = Some((input, places.to_vec()));
    });
    let rows = starts.into_iter().map(|start| {
        let mut row = Vec::new();
        if let Some((input, mut places)) = start {
            walk(&inner, 0, input, &mut places, &mut |_, input, places| {
                let weight: f64 = constants.iter().zip(places).map(|(values, &place)| values[place]).product();
                row.push((input, weight));
            });
        }
        row
    });
    Ok(Some(Linear::of(SparseMatrix::from_rows(shape.iter().product(), rows)?)))
}

/// The sum over some axes.
pub(super) fn reduce_sum(call: &Call) -> Result<Option<Linear>> {
    reduction(call, Reducer::Sum, |_| 1.0)
}

/// The mean over some axes, where it is that of the squares: tract makes one node of x ⊙ x and its mean.
pub(super) fn mean_of_squares(call: &Call) -> Result<Option<Linear>> {
    reduction(call, Reducer::MeanOfSquares, |summands| 1.0 / summands as f64)
}

/// The sum over some axes, each term times a weight by how many they are.
fn reduction(call: &Call, reducer: Reducer, weight: impl Fn(usize) -> f64) -> Result<Option<Linear>> {
    let (Some(op), Some((0, shape))) = (call.op().downcast_ref::<Reduce>(), call.only_data()) else {
        return Ok(None);
    };
    if op.reducer != reducer {
        return Ok(None);
    }
    let weight = weight(op.axes.iter().map(|&axis| shape[axis]).product());
    let (from, to) = (strides(shape), strides(&call.shape));
    let axis = |i: usize| Axis {
        length: shape[i],
        output: if op.axes.contains(&i) { 0 } else { to[i] },
        data: from[i],
        constants: vec![],
    };
    let axes: Vec<Axis> = (0..shape.len()).map(axis).collect();
    let mut rows = vec![Vec::new(); call.len()];
    walk(&axes, 0, 0, &mut vec![], &mut |output, input, _| rows[output].push((input, weight)));
    Ok(Some(Linear::of(SparseMatrix::from_rows(shape.iter().product(), rows)?)))
}

/// The axes of an Einstein sum with their steps; an operand of length 1 along an axis does not move.
fn axes(call: &Call, mapping: &AxesMapping, data: usize) -> Vec<Axis> {
    let shapes: Vec<&[usize]> = call
        .operands
        .iter()
        .map(|operand| match operand {
            Operand::Const(tensor) => tensor.shape(),
            Operand::Data(shape) => shape,
        })
        .collect();
    let step = |shape: &[usize], positions: &[usize]| -> usize {
        let strides = strides(shape);
        positions.iter().filter(|&&p| shape[p] > 1).map(|&p| strides[p]).sum()
    };
    let of_axis = |axis: &tract_onnx::tract_core::internal::Axis| {
        let inputs = || shapes.iter().enumerate().map(|(i, shape)| (*shape, axis.interface(InOut::In(i))));
        let output = (&call.shape[..], axis.interface(InOut::Out(0)));
        let lengths = inputs().chain([output]).flat_map(|(shape, positions)| positions.iter().map(|&p| shape[p]));
        let mut steps: Vec<usize> = inputs().map(|(shape, positions)| step(shape, positions)).collect();
        let data = steps.remove(data);
        Axis { length: lengths.max().unwrap_or(1), output: step(output.0, output.1), data, constants: steps }
    };
    mapping.iter_all_axes().map(of_axis).collect()
}

/// Calls `visit` with the place in the output, the data and the constants for each combination of axis values.
fn walk(
    axes: &[Axis],
    output: usize,
    data: usize,
    places: &mut Vec<usize>,
    visit: &mut impl FnMut(usize, usize, &[usize]),
) {
    let Some((axis, inner)) = axes.split_first() else {
        return visit(output, data, places);
    };
    for i in 0..axis.length {
        walk(inner, output + i * axis.output, data + i * axis.data, places, visit);
        places.iter_mut().zip(&axis.constants).for_each(|(place, step)| *place += step);
    }
    places.iter_mut().zip(&axis.constants).for_each(|(place, step)| *place -= step * axis.length);
}

/// Row-major steps of a shape.
fn strides(shape: &[usize]) -> Vec<usize> {
    let mut strides = vec![1; shape.len()];
    for i in (1..shape.len()).rev() {
        strides[i - 1] = strides[i] * shape[i];
    }
    strides
}
