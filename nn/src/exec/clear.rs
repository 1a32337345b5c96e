//! Programs on slots of f64, without cryptography: packing, diagonals and rotations exactly as on ciphertexts.
//!
//! rotate(k) is to the left and cyclic: slot i receives slot i + k. Levels, scales and degrees have no effect.

use std::sync::Arc;

use rayon::prelude::*;

use super::Interpreter;
use crate::layout::{DiagonalEntries, DiagonalPlan};
use crate::program::{Kind, LinearMap, LinearOperator, Operation, Program, ProgramError};

/// A tensor in the clear: one vector of slots for each ciphertext.
pub type Slots = Vec<Vec<f64>>;

/// Runs the program on samples: reads [n, features] values, n at most the interleave, and makes [n, results], both in
/// row-major order. Runs in rayon's current pool.
///
/// # Errors
/// [`ProgramError::Layout`] if the values are no whole number of samples, or of too many.
pub fn run(program: &Program, samples: &[f64]) -> Result<Vec<f64>, ProgramError> {
    let input = &program.input().layout;
    let slots = super::run(program, &mut Clear, input.pack(samples)?)?;
    let count = samples.len() / input.features();
    Ok(program.output().layout.unpack(&slots, count)?)
}

/// The interpreter.
#[derive(Debug, Clone, Copy)]
pub struct Clear;

impl Interpreter for Clear {
    type Tensor = Slots;
    type Error = ProgramError;

    fn evaluate(&mut self, _: usize, operation: &Operation, inputs: Vec<Arc<Slots>>) -> Result<Slots, ProgramError> {
        Ok(match (&operation.kind, inputs.as_slice()) {
            (Kind::LinearMap { map, .. }, [x]) => apply(map, x),
            (Kind::Square, [x]) => zip(x, x, |x, y| x * y),
            (Kind::Mul, [x, y]) => zip(x, y, |x, y| x * y),
            (Kind::Add, [x, y]) => zip(x, y, |x, y| x + y),
            (Kind::MulConstant { constant, .. }, [x]) => zip(x, x, |x, _| constant * x),
            (Kind::AddConstant(constant), [x]) => zip(x, x, |x, _| x + constant),
            (_, [x, ..]) => x.to_vec(),
            (_, []) => Vec::new(),
        })
    }
}

fn zip(x: &Slots, y: &Slots, op: impl Fn(f64, f64) -> f64 + Sync) -> Slots {
    let slots = |(x, y): (&Vec<f64>, &Vec<f64>)| x.iter().zip(y).map(|(&x, &y)| op(x, y)).collect();
    x.par_iter().zip(y).map(slots).collect()
}

/// y = M x + c on slots.
pub fn apply(linear: &LinearMap, x: &Slots) -> Slots {
    let mut y = match linear.operator() {
        LinearOperator::Gemm => gemm(linear, x),
        LinearOperator::Diagonals(plan) => diagonals(plan, linear, x),
    };
    for (o, y) in y.iter_mut().enumerate() {
        accumulate(y, &linear.output().spread(&linear.map().bias, o), |c| c);
    }
    y
}

/// y_r = Σ_c M(r, c) x_c, each x_c a ciphertext's slots.
fn gemm(linear: &LinearMap, x: &Slots) -> Slots {
    let (input, output) = (linear.input(), linear.output());
    let row = |o: usize| {
        let mut y = vec![0.0; output.slots()];
        if let Some(feature) = output.owner(o, 0) {
            for &(c, weight) in linear.map().matrix.row(feature) {
                let (i, _) = input.position(c as usize);
                accumulate(&mut y, &x[i], |x| weight * x);
            }
        }
        y
    };
    (0..output.ciphertexts()).into_par_iter().map(row).collect()
}

/// The sum over giant steps, baby steps and inputs of [`DiagonalPlan`], and its fold.
fn diagonals(plan: &DiagonalPlan, linear: &LinearMap, x: &Slots) -> Slots {
    let (input, output) = (linear.input(), linear.output());
    let entries = DiagonalEntries::new(plan, &linear.map().matrix, input, output);
    let result = |(o, steps): (usize, &Vec<_>)| {
        let mut y = vec![0.0; output.slots()];
        for step in steps {
            let step: &crate::layout::GiantStep = step;
            let mut inner = vec![0.0; output.slots()];
            for &product in &step.products {
                let rotated = rotate(&x[product.input], output.slots_of(product.rotation as i64));
                let diagonal = entries.slots(o, step.rotation, product);
                let terms = rotated.iter().zip(&diagonal);
                inner.iter_mut().zip(terms).for_each(|(y, (x, m))| *y += x * m);
            }
            accumulate(&mut y, &rotate(&inner, output.slots_of(step.rotation)), |x| x);
        }
        for step in plan.fold() {
            let z = y.clone();
            step.iter().for_each(|&k| accumulate(&mut y, &rotate(&z, output.slots_of(k as i64)), |x| x));
        }
        y
    };
    plan.outputs().par_iter().enumerate().map(result).collect()
}

fn accumulate(sum: &mut [f64], x: &[f64], op: impl Fn(f64) -> f64) {
    sum.iter_mut().zip(x).for_each(|(sum, &x)| *sum += op(x));
}

/// Slot i receives slot i + k.
fn rotate(x: &[f64], k: usize) -> Vec<f64> {
    let (front, back) = x.split_at(k);
    [back, front].concat()
}
