//! The error of each operation's values, on average, from those of its operands.
//!
//! The message of an estimate is here the size that values typically have, not the largest: the error of a product grows with
//! the other factor, and a typical one decides about the average. Sizes are followed through the operations, since those of
//! polynomials lie where they want: T_2(x) is near −1 for all small x.

use ckks::{Estimate, Params, RingKind, Scale};

use crate::program::{Kind, LinearMap, LinearOperator, Operation, Value};

/// What share of its largest value the values of an input, or of a linear map, typically have.
pub(super) const TYPICAL: f64 = 1.0 / 3.0;

/// The estimate of `operation`'s value; of two operands, `x` is the first and `y` the second.
pub(super) fn of(params: &Params, operation: &Operation, (value, x): (&Value, Estimate), y: Estimate) -> Estimate {
    let result = &operation.value;
    let limbs = super::limbs(params, value.level) as usize;
    let estimate = match &operation.kind {
        Kind::LinearMap { map, weight_scale } => linear_map(params, (value, x), map, *weight_scale),
        // Both factors have the same error, which adds up in full.
        Kind::Square => {
            let product = x.mul(x);
            Estimate { deviation: product.deviation * std::f64::consts::SQRT_2, ..product }
        }
        Kind::Mul => x.mul(y),
        Kind::MulConstant { constant, scale } => x.mul_constant(*constant, rounded(*constant, scale.to_f64())),
        Kind::Add => x.add(y),
        Kind::Relinearize => x.key_switch(params, limbs, value.scale),
        Kind::Rescale => rescale(params, value.degree, x, result.scale),
        Kind::RelinearizeRescale => x.key_switch(params, limbs, value.scale).rescale(params, result.scale),
        Kind::Input | Kind::AddConstant(_) | Kind::DropLevel { .. } => x,
    };
    let size = match &operation.kind {
        Kind::LinearMap { .. } => result.magnitude * TYPICAL,
        Kind::AddConstant(constant) => x.message + constant.abs(),
        _ => estimate.message,
    };
    Estimate { message: size.min(result.magnitude), ..estimate }
}

/// Deviation of a constant rounded to a multiple of 1/scale.
fn rounding(scale: f64) -> f64 {
    12f64.sqrt().recip() / scale
}

/// The error of one constant rounded to a multiple of 1/scale: none for a factor that is only a change of scale.
fn rounded(constant: f64, scale: f64) -> f64 {
    let integer = constant * scale;
    if integer.abs() < f64::EPSILON.recip() { (integer - integer.round()).abs() / scale } else { 0.0 }
}

/// A typical row: Σ w_k e_k, and Σ x_k times the error of the encoded w_k.
fn linear_map(params: &Params, (value, x): (&Value, Estimate), map: &LinearMap, weight_scale: Scale) -> Estimate {
    let matrix = &map.map().matrix;
    let size = x.message;
    let (terms, encoding, x) = match map.operator() {
        LinearOperator::Gemm => {
            let terms = matrix.iter_rows().map(<[_]>::len).max().unwrap_or(0);
            (terms, rounding(weight_scale.to_f64()), x)
        }
        LinearOperator::Diagonals(plan) => {
            let products =
                |steps: &Vec<crate::layout::GiantStep>| -> usize { steps.iter().map(|step| step.products.len()).sum() };
            let most = plan.outputs().iter().map(products).max().unwrap_or(0);
            let limbs = super::limbs(params, value.level) as usize;
            let rotated = x.key_switch(params, limbs, value.scale);
            let encoding = Estimate::encoded(params, weight_scale, 1.0).deviation;
            (most << plan.fold().len(), encoding, rotated)
        }
    };
    let weights = size * encoding * (terms as f64).sqrt();
    Estimate { deviation: (map.norm() * x.deviation).hypot(weights), ..x }
}

/// [`Estimate::rescale`], and for a product that is not relinearised also the rounding of its third part, which s² multiplies.
fn rescale(params: &Params, degree: usize, x: Estimate, scale: Scale) -> Estimate {
    let rescaled = x.rescale(params, scale);
    if degree == 1 {
        return rescaled;
    }
    let n = params.ring().n() as f64;
    let (spread, secret_power) = match params.ring().kind() {
        RingKind::Standard => (n / 2.0, n * 2.0 / 3.0),
        RingKind::ConjugateInvariant => (2.0 * n, n * 4.0 / 3.0),
    };
    let third = (spread / 12.0).sqrt() * secret_power / scale.to_f64();
    Estimate { deviation: rescaled.deviation.hypot(third), ..rescaled }
}
