//! The largest error that a result can have, whatever the samples, keys and errors: what noise flooding is measured by.
//!
//! Every operation adds up absolute values: errors of at most `ckks::Estimate::bound`, messages of at most the planned
//! magnitudes (or, in slots that no feature owns, what the operations make of zero), rows of weights by their sum. Nothing
//! is taken to be random, so the bound is many bits above what is ever measured; an average would be no proof (Li, Micciancio,
//! Schultz, Sorrell, 2022/816). Encoding and decoding compute in doubles, which no scale makes more precise: their part is
//! at least 2^−35 of the largest value at N = 2^14.

use std::convert::Infallible;
use std::sync::Arc;

use ckks::{Estimate, Params, RingKind, Scale};

use super::Interpreter;
use super::noise::{self, EXACT};
use crate::exec;
use crate::layout::Gaps;
use crate::program::{Kind, LinearMap, LinearOperator, Operation, Program, Value};

/// The largest error of a slot of the program's result, for inputs encrypted under either key whose tensors keep to the planned
/// magnitudes.
pub fn worst_error(program: &Program) -> f64 {
    let (params, input) = (program.params(), program.input());
    let fresh = Estimate::fresh_public(params, input.scale, input.magnitude).bound;
    let error = fresh + input.magnitude * doubles(params);
    let input = Worst { message: input.magnitude, gap: 0.0, error, value: input.clone() };
    match exec::run(program, &mut Bounds { params }, input) {
        Ok(output) => output.error + (output.message + output.error) * doubles(params),
        Err(never) => match never {},
    }
}

/// Error of encoding or decoding, relative to the largest slot: that of an FFT of 2N points and a twist in doubles, by its
/// 2-norm (Higham, Accuracy and Stability of Numerical Algorithms, theorem 24.2: 7 log2 n roundings of 2^−53), and
/// of coefficients rounded to words of 50 bits.
fn doubles(params: &Params) -> f64 {
    let (log_n, slots) = (f64::from(params.log_n()), params.slots() as f64);
    let transform = 7.0 * (log_n + 3.0) * f64::EPSILON / 2.0 * slots.sqrt();
    transform + reach(params) * (-50f64).exp2()
}

/// Largest slot of coefficients of at most 1.
fn reach(params: &Params) -> f64 {
    let n = params.ring().n() as f64;
    match params.ring().kind() {
        RingKind::Standard => n,
        RingKind::ConjugateInvariant => 2.0 * n,
    }
}

/// Bounds on the slots of a tensor.
struct Worst {
    /// Largest absolute value of a slot, gaps included.
    message: f64,
    /// Largest absolute value of a slot that no feature owns.
    gap: f64,
    /// Largest error of a slot.
    error: f64,
    value: Value,
}

struct Bounds<'a> {
    params: &'a Params,
}

impl Interpreter for Bounds<'_> {
    type Tensor = Worst;
    type Error = Infallible;

    fn evaluate(&mut self, _: usize, operation: &Operation, inputs: Vec<Arc<Worst>>) -> Result<Worst, Infallible> {
        let value = &operation.value;
        let (Some(x), Some(y)) = (inputs.first(), inputs.last()) else {
            return Ok(Worst { message: 0.0, gap: 0.0, error: 0.0, value: value.clone() });
        };
        let product = || x.message * y.error + y.message * x.error + x.error * y.error;
        let (gap, error) = match &operation.kind {
            Kind::LinearMap { map, weight_scale } => (0.0, self.linear_map(x, map, *weight_scale, value)),
            Kind::Square | Kind::Mul => (x.gap * y.gap, product()),
            Kind::MulConstant { constant, scale } => {
                // None for a mere change of scale, but for what doubles round.
                let rounding = noise::rounding(*constant, *scale).abs() + 2.0 * constant.abs() * f64::EPSILON;
                (x.gap * constant.abs(), x.error * constant.abs() + (x.message + x.error) * rounding)
            }
            Kind::AddConstant(constant) => (x.gap + constant.abs(), x.error + 0.5 / value.scale.to_f64()),
            Kind::Add => (x.gap + y.gap, x.error + y.error),
            Kind::Relinearize => (x.gap, x.error + self.key_switch(&x.value)),
            Kind::Rescale => (x.gap, x.error + self.rescale(x.value.degree, value.scale)),
            Kind::RelinearizeRescale => (x.gap, x.error + self.key_switch(&x.value) + self.rescale(1, value.scale)),
            Kind::Input | Kind::DropLevel { .. } => (x.gap, x.error),
        };
        let gap = if value.layout.gaps() == Gaps::Zero { 0.0 } else { gap };
        Ok(Worst { message: value.magnitude.max(gap), gap, error, value: value.clone() })
    }
}

impl Bounds<'_> {
    /// Of a key switch of a ciphertext like `value`.
    fn key_switch(&self, value: &Value) -> f64 {
        let limbs = super::limbs(self.params, value.level) as usize;
        EXACT.key_switch(self.params, limbs, value.scale).bound
    }

    fn rescale(&self, degree: usize, scale: Scale) -> f64 {
        EXACT.rescale(self.params, degree, scale).bound
    }

    fn linear_map(&self, x: &Worst, map: &LinearMap, weight_scale: Scale, result: &Value) -> f64 {
        let matrix = &map.map().matrix;
        let sums = matrix.iter_rows().map(|row| row.iter().map(|&(_, w)| w.abs()).sum());
        let largest_sum = sums.fold(0.0, f64::max);
        let plan = match map.operator() {
            LinearOperator::Gemm => {
                let terms = matrix.iter_rows().map(<[_]>::len).max().unwrap_or(0) as f64;
                let scale = weight_scale.to_f64();
                let rounding = map
                    .unit()
                    .map_or(0.5 / scale, |unit| noise::rounding(unit, weight_scale).abs() + unit * f64::EPSILON);
                let weights = terms * (x.message + x.error) * rounding;
                return largest_sum * x.error + weights + 0.5 / result.scale.to_f64();
            }
            LinearOperator::Diagonals(plan) => plan,
        };
        // Every slot of a diagonal has the encoding error, zeros too; fold steps add slots up, as the matrix says.
        let largest = matrix.values().fold(0.0, |max: f64, w| max.max(w.abs()));
        let encoding = Estimate::encoded(self.params, weight_scale, 1.0).bound + largest * doubles(self.params);
        let rotated = x.error + plan.longest_chain() as f64 * self.key_switch(&x.value);
        let product = Value { scale: x.value.scale.mul(weight_scale), ..x.value.clone() };
        let rotation = self.key_switch(&product);
        let (mut products, mut giants) = (0, 0);
        for steps in plan.outputs() {
            products = products.max(steps.iter().map(|step| step.products.len()).sum());
            giants = giants.max(steps.len());
        }
        let unfolded = products as f64 * encoding * (x.message + rotated) + giants as f64 * rotation;
        let copies = plan.fold_terms() as f64;
        let constant = map.map().bias.iter().fold(0.0, |max: f64, c| max.max(c.abs()));
        let bias = Estimate::encoded(self.params, result.scale, 1.0).bound + constant * doubles(self.params);
        largest_sum * rotated + copies * (unfolded + rotation) + bias
    }
}
