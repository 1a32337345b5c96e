//! The error of each operation's values, on average, to first order.
//!
//! Whatever adds an error is a *source* of its own: the encryption, each rescale and key switch, each linear map. A tensor is followed
//! at a few typical values, and knows their slopes with respect to each source. For a polynomial reads its argument many times, and those
//! errors add up or cancel as its derivative says: that of T_4 is small where T_2 is near −1, as it is for all small x. A linear map sums
//! the errors of many features, which are independent, so that behind it there is one source.

use ckks::{Estimate, Params, Scale};

use crate::program::{Kind, LinearMap, LinearOperator, Operation, Value};

/// Values of an input or of a linear map, relative to the largest.
const TYPICAL: [f64; POINTS] = [-0.5, -0.2, 0.1, 0.4];
const POINTS: usize = 4;

/// Typical values of a tensor, and their errors.
#[derive(Debug, Clone)]
pub(super) struct Noise {
    values: [f64; POINTS],
    sources: Vec<Source>,
}

#[derive(Debug, Clone, Copy)]
struct Source {
    /// The operation that it comes from.
    operation: usize,
    /// Standard deviation there.
    deviation: f64,
    /// Factor from there to each value.
    slopes: [f64; POINTS],
}

impl Noise {
    /// Values of at most `magnitude` of which nothing else is known.
    pub(super) fn new(operation: usize, magnitude: f64, deviation: f64) -> Self {
        let sources = vec![Source { operation, deviation, slopes: [1.0; POINTS] }];
        Self { values: TYPICAL.map(|value| value * magnitude), sources }
    }

    /// Standard deviation of the error.
    pub(super) fn deviation(&self) -> f64 {
        self.sources.iter().map(|source| source.deviation * size(source.slopes)).fold(0.0, f64::hypot)
    }

    /// With another source that all values have alike.
    fn with(mut self, operation: usize, deviation: f64) -> Self {
        self.sources.push(Source { operation, deviation, slopes: [1.0; POINTS] });
        self
    }

    /// These values, whose errors are a times those of x and b times those of y.
    fn joined(values: [f64; POINTS], (a, x): ([f64; POINTS], &Self), (b, y): ([f64; POINTS], &Self)) -> Self {
        let scaled = |source: &Source, by| Source { slopes: zip(source.slopes, by, |s, by| s * by), ..*source };
        let mut sources: Vec<Source> = x.sources.iter().map(|source| scaled(source, a)).collect();
        for source in y.sources.iter().map(|source| scaled(source, b)) {
            match sources.iter_mut().find(|known| known.operation == source.operation) {
                Some(known) => known.slopes = zip(known.slopes, source.slopes, |s, t| s + t),
                None => sources.push(source),
            }
        }
        Self { values, sources }
    }

    fn mul(&self, operation: usize, y: &Self) -> Self {
        let product = Self::joined(zip(self.values, y.values, |x, y| x * y), (y.values, self), (self.values, y));
        // Where errors are as large as values, that of the product is second order.
        product.with(operation, self.deviation() * y.deviation())
    }

    fn add(&self, y: &Self) -> Self {
        Self::joined(zip(self.values, y.values, |x, y| x + y), ([1.0; POINTS], self), ([1.0; POINTS], y))
    }

    /// c x, with c encoded `error` off.
    fn mul_constant(&self, operation: usize, constant: f64, error: f64) -> Self {
        let scaled = |slopes: [f64; POINTS]| slopes.map(|slope| slope * constant);
        let mut sources: Vec<Source> =
            self.sources.iter().map(|source| Source { slopes: scaled(source.slopes), ..*source }).collect();
        sources.push(Source { operation, deviation: error, slopes: self.values });
        Self { values: scaled(self.values), sources }
    }
}

/// Root of the mean square.
fn size(values: [f64; POINTS]) -> f64 {
    (values.iter().map(|value| value * value).sum::<f64>() / POINTS as f64).sqrt()
}

fn zip(x: [f64; POINTS], y: [f64; POINTS], op: impl Fn(f64, f64) -> f64) -> [f64; POINTS] {
    std::array::from_fn(|i| op(x[i], y[i]))
}

/// What `operation`, the `index`-th, makes of its operands; of two, `x` is the first and `y` the second.
pub(super) fn of(
    params: &Params,
    (index, operation): (usize, &Operation),
    (value, x): (&Value, &Noise),
    y: &Noise,
) -> Noise {
    let result = &operation.value;
    match &operation.kind {
        Kind::LinearMap { map, weight_scale } => {
            let switched = x.deviation().hypot(rotation(params, map, value));
            let weights = size(x.values) * encoding(params, map, *weight_scale);
            Noise::new(index, result.magnitude, (map.norm() * switched).hypot(weights))
        }
        Kind::Square => x.mul(index, x),
        Kind::Mul => x.mul(index, y),
        Kind::MulConstant { constant, scale } => x.mul_constant(index, *constant, rounding(*constant, *scale).abs()),
        Kind::Add => x.add(y),
        Kind::AddConstant(constant) => Noise { values: x.values.map(|value| value + constant), ..x.clone() },
        Kind::Relinearize | Kind::Rescale | Kind::RelinearizeRescale => {
            x.clone().with(index, added(params, operation, value))
        }
        Kind::Input | Kind::DropLevel { .. } => x.clone(),
    }
}

/// Standard deviation of the error that an operation other than a linear map adds to what it makes of `value`.
pub(super) fn added(params: &Params, operation: &Operation, value: &Value) -> f64 {
    let scale = operation.value.scale;
    match operation.kind {
        Kind::Relinearize => key_switch(params, value),
        Kind::Rescale => rescale(params, value.degree, scale),
        Kind::RelinearizeRescale => key_switch(params, value).hypot(rescale(params, 1, scale)),
        _ => 0.0,
    }
}

fn key_switch(params: &Params, value: &Value) -> f64 {
    EXACT.key_switch(params, super::limbs(params, value.level) as usize, value.scale).deviation
}

/// Standard deviation of what rotations add to each input of a linear map.
pub(super) fn rotation(params: &Params, map: &LinearMap, value: &Value) -> f64 {
    match map.operator() {
        LinearOperator::Gemm => 0.0,
        // Each rotation of a chain adds its error to those before.
        LinearOperator::Diagonals(plan) => (plan.longest_chain() as f64).sqrt() * key_switch(params, value),
    }
}

/// A value without error.
pub(super) const EXACT: Estimate = Estimate { message: 0.0, deviation: 0.0, bound: 0.0 };

/// The error of one constant rounded to a multiple of 1/scale: none for a factor that is only a change of scale.
pub(super) fn rounding(constant: f64, scale: Scale) -> f64 {
    let integer = constant * scale.to_f64();
    if integer.abs() < f64::EPSILON.recip() { (integer.round() - integer) / scale.to_f64() } else { 0.0 }
}

/// What the errors of a typical row's encoded weights come to for values of 1.
pub(super) fn encoding(params: &Params, map: &LinearMap, weight_scale: Scale) -> f64 {
    let matrix = &map.map().matrix;
    match map.operator() {
        LinearOperator::Gemm => {
            let terms = matrix.nnz() as f64 / matrix.rows().max(1) as f64;
            let scale = weight_scale.to_f64();
            terms.sqrt()
                * map.unit().map_or_else(|| 12f64.sqrt().recip() / scale, |unit| rounding(unit, weight_scale).abs())
        }
        LinearOperator::Diagonals(plan) => {
            let products =
                |steps: &Vec<crate::layout::GiantStep>| -> usize { steps.iter().map(|step| step.products.len()).sum() };
            let most = plan.outputs().iter().map(products).max().unwrap_or(0);
            let terms = (most * plan.fold_terms()) as f64;
            terms.sqrt() * Estimate::encoded(params, weight_scale, 1.0).deviation
        }
    }
}

fn rescale(params: &Params, degree: usize, scale: Scale) -> f64 {
    EXACT.rescale(params, degree, scale).deviation
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn errors_of_one_source_follow_the_derivative() {
        let x = Noise::new(0, 1.0, 1e-6);
        // 4 (x² − 1/2)² has the derivative 16 x (x² − 1/2).
        let square = x.mul(1, &x);
        let shifted = Noise { values: square.values.map(|value| value - 0.5), ..square };
        let quartic = shifted.mul(2, &shifted).mul_constant(3, 4.0, 0.0);
        let slope = size(TYPICAL.map(|x| 16.0 * x * (x * x - 0.5)));
        assert!((quartic.deviation() / (slope * 1e-6) - 1.0).abs() < 1e-3);
        // x − x has no error; two sources add in quadrature.
        let nothing = x.add(&x.mul_constant(4, -1.0, 0.0));
        assert!(nothing.deviation() < 1e-20);
        let two = x.add(&Noise::new(5, 1.0, 1e-6));
        assert!((two.deviation() - 2f64.sqrt() * 1e-6).abs() < 1e-12);
    }
}
