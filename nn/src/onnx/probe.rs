//! The matrix of a linear node found by letting tract run it.
//!
//! f(0) is the bias; column i is f(e_i) − f(0). For operators that only place features, one run on the numbers 1, 2, 3, …
//! tells for each output which feature it is. A random vector then tells whether the node is linear at all.

use std::sync::atomic::{AtomicUsize, Ordering};

use rayon::prelude::*;

use super::linear::Linear;
use super::node::{Call, MAX_FEATURES};
use crate::error::Result;
use crate::graph::SparseMatrix;

/// How far single precision may be from double precision, relative to the sum of the absolute values of a row's terms.
const TOLERANCE: f64 = 1e-5;

/// The matrices of a node that copies features to places, or constants where no feature comes.
pub(super) fn places(call: &Call) -> Result<Linear> {
    let lengths: Vec<usize> = call.data().map(|(_, shape)| shape.iter().product()).collect();
    let total: usize = lengths.iter().sum();
    // Integers are exact in single precision up to there, and beyond.
    if total > MAX_FEATURES {
        return Err(call.failed(format!("it reads {total} features, more than the 2^20 that a node may read")));
    }
    let bias = call.run(&zeros(&lengths))?;
    let mut next = 0;
    let numbers: Vec<Vec<f32>> = lengths
        .iter()
        .map(|&length| {
            next += length;
            (next - length + 1..=next).map(|number| number as f32).collect()
        })
        .collect();
    let numbered = call.run(&numbers)?;
    let mut first = 0;
    let mut matrices = Vec::new();
    for &length in &lengths {
        let range = first..first + length;
        let source = |(y, c): (&f32, &f32)| {
            // Where a constant stands, both runs have it.
            let feature = (y.to_bits() != c.to_bits()).then_some(*y as usize)?.checked_sub(1)?;
            range.contains(&feature).then(|| feature - range.start)
        };
        matrices.push(SparseMatrix::selection(length, numbered.iter().zip(&bias).map(source))?);
        first += length;
    }
    Ok(Linear { matrices, bias: bias.into_iter().map(f64::from).collect() })
}

/// The matrices of any linear node.
pub(super) fn unit_vectors(call: &Call) -> Result<Linear> {
    let lengths: Vec<usize> = call.data().map(|(_, shape)| shape.iter().product()).collect();
    call.take_probed(lengths.iter().sum::<usize>().saturating_mul(call.len()))?;
    let bias = call.run(&zeros(&lengths))?;
    let mut matrices = Vec::new();
    let found = AtomicUsize::new(0);
    for (operand, &length) in lengths.iter().enumerate() {
        let column = |feature| {
            let column = column(call, &lengths, operand, feature, &bias)?;
            // Columns and what sorts them into rows take four times the memory of a matrix.
            call.check_weights(4 * (found.fetch_add(column.len(), Ordering::Relaxed) + column.len()))?;
            Ok(column)
        };
        let columns: Result<Vec<Vec<(usize, usize, f64)>>> = (0..length).into_par_iter().map(column).collect();
        matrices.push(SparseMatrix::from_triplets(call.len(), length, columns?.into_iter().flatten())?);
    }
    Ok(Linear { matrices, bias: bias.into_iter().map(f64::from).collect() })
}

/// f(e_i) − f(0), as triplets.
fn column(
    call: &Call,
    lengths: &[usize],
    operand: usize,
    feature: usize,
    bias: &[f32],
) -> Result<Vec<(usize, usize, f64)>> {
    let mut inputs = zeros(lengths);
    inputs[operand][feature] = 1.0;
    let outputs = call.run(&inputs)?;
    let entries = outputs.iter().zip(bias).enumerate();
    Ok(entries
        .filter(|(_, (y, c))| y != c)
        .map(|(row, (y, c))| (row, feature, f64::from(*y) - f64::from(*c)))
        .collect())
}

/// Holds the matrices against tract on a random vector.
pub(super) fn check(call: &Call, linear: &Linear) -> Result<()> {
    let lengths = call.data().map(|(_, shape)| shape.iter().product::<usize>());
    let vectors: Vec<Vec<f32>> = lengths.map(random).collect();
    let found = call.run(&vectors)?;
    let mut expected = linear.bias.clone();
    let mut scale: Vec<f64> = linear.bias.iter().map(|c| c.abs()).collect();
    for (matrix, x) in linear.matrices.iter().zip(&vectors) {
        for (row, col, weight) in matrix.iter() {
            let term = weight * f64::from(x[col]);
            expected[row] += term;
            scale[row] += term.abs();
        }
    }
    // Where weights cancel each other, what is left has the error of the largest.
    let largest = scale.iter().fold(0.0, |largest, &scale| scale.max(largest));
    let rows = found.iter().zip(&expected).zip(&scale).enumerate();
    for (row, ((&found, &expected), &scale)) in rows {
        let tolerance = TOLERANCE * scale + f64::from(f32::EPSILON) * largest + f64::from(f32::MIN_POSITIVE);
        // Weights that are not finite are reported by the graph, with their place.
        if expected.is_finite() && (f64::from(found) - expected).abs() > tolerance {
            return Err(call.failed(format!(
                "output {row} is {found} where its matrix gives {expected}: it is not linear in the data"
            )));
        }
    }
    if found.len() == expected.len() {
        return Ok(());
    }
    Err(call.failed(format!("it made {} features where {} were announced", found.len(), expected.len())))
}

/// Values in [-1, 1) without structure, always the same.
pub(super) fn random(count: usize) -> Vec<f32> {
    let mut state = count as u64;
    let next = || {
        // Knuth's MMIX generator; its upper bits are good enough to tell one vector from another.
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (state >> 40) as f32 / (1u64 << 23) as f32 - 1.0
    };
    std::iter::repeat_with(next).take(count).collect()
}

fn zeros(lengths: &[usize]) -> Vec<Vec<f32>> {
    lengths.iter().map(|&length| vec![0.0; length]).collect()
}
