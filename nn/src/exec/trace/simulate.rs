//! The errors of a program's results on given samples, without a ciphertext: samples go through the operations in the clear, each value with
//! an error, to which each operation adds one drawn as large as its estimate says.
//!
//! What averages over typical values cannot tell shows here: a sample far out, where polynomials are steep; constants that are rounded for all features
//! alike; weights that are rounded for all samples alike.

use std::convert::Infallible;
use std::sync::Arc;

use ckks::{Estimate, Params, Scale};
use rand::SeedableRng;
use rand_chacha::ChaCha8Rng;
use rand_distr::{Distribution, StandardNormal};
use rayon::prelude::*;

use super::noise::{self, rounding};
use crate::exec::{self, Interpreter};
use crate::program::{Kind, LinearMap, LinearOperator, Operation, Program, Value};

/// Errors of results, as they vary from sample to sample.
#[derive(Debug, Clone, PartialEq)]
pub struct Errors {
    /// Root of the mean square over the results of each sample.
    deviations: Vec<f64>,
}

impl Errors {
    /// Of the results of `program` on [n, features] samples.
    pub fn simulate(program: &Program, samples: &[f64]) -> Self {
        let (params, input) = (program.params(), program.input());
        let (features, count) = (input.layout.features(), samples.len() / input.layout.features().max(1));
        let fresh = Estimate::fresh_secret(params, input.scale, input.magnitude).deviation;
        let row = |feature: usize| {
            let exact = samples.chunks(features).map(|sample| sample[feature]).collect();
            Row { exact, error: vec![0.0; count] }.with_noise((0, feature), fresh)
        };
        let rows = (0..features).into_par_iter().map(row).collect();
        let output = match exec::run(program, &mut Simulation { params }, Simulated { rows, value: input.clone() }) {
            Ok(output) => output,
            Err(never) => match never {},
        };
        let square = |sample: usize| output.rows.iter().map(|row| row.error[sample].powi(2)).sum::<f64>();
        let results = output.rows.len().max(1) as f64;
        Self { deviations: (0..count).map(|sample| (square(sample) / results).sqrt()).collect() }
    }

    /// −log2 of what the largest error of `results` results, on samples like these and with so much noise on each, exceeds in one of two
    /// runs. The errors of a sample's results are Gaussian.
    pub fn precision_bits(&self, results: usize, flooding: f64) -> f64 {
        let each = results.max(1) as f64 / self.deviations.len().max(1) as f64;
        // The logarithm of how likely all results are within an error.
        let all_within = |error: f64| {
            let tail = |deviation: &f64| libm::erfc(error / (std::f64::consts::SQRT_2 * deviation.hypot(flooding)));
            let within = |deviation| libm::log1p(-tail(deviation));
            each * self.deviations.iter().map(within).sum::<f64>()
        };
        let (mut low, mut high) = BITS;
        while high - low > BITS_STEP {
            let bits = f64::midpoint(low, high);
            if all_within((-bits).exp2()) < -std::f64::consts::LN_2 { high = bits } else { low = bits }
        }
        f64::midpoint(low, high)
    }
}

/// Precision is sought among these bits, to so many.
const BITS: (f64, f64) = (-1000.0, 1000.0);
const BITS_STEP: f64 = 1e-3;

/// The values of a feature in all samples.
#[derive(Debug, Clone)]
struct Row {
    exact: Vec<f64>,
    error: Vec<f64>,
}

impl Row {
    /// With errors of an operation, by number and feature.
    fn with_noise(mut self, (operation, feature): (usize, usize), deviation: f64) -> Self {
        if deviation > 0.0 {
            let mut random = ChaCha8Rng::seed_from_u64(operation as u64);
            random.set_stream(feature as u64);
            let draws = StandardNormal.sample_iter(random);
            self.error.iter_mut().zip(draws).for_each(|(error, draw): (_, f64)| *error += deviation * draw);
        }
        self
    }

    fn zip(&self, other: &Self, op: impl Fn((f64, f64), (f64, f64)) -> (f64, f64)) -> Self {
        let pairs = |row: &Self| row.exact.iter().copied().zip(row.error.iter().copied()).collect::<Vec<_>>();
        let (exact, error) = pairs(self).into_iter().zip(pairs(other)).map(|(x, y)| op(x, y)).unzip();
        Self { exact, error }
    }

    fn mul(&self, other: &Self) -> Self {
        self.zip(other, |(x, e), (y, d)| (x * y, x * d + y * e + e * d))
    }

    fn add(&self, other: &Self) -> Self {
        self.zip(other, |(x, e), (y, d)| (x + y, e + d))
    }

    /// c x + b, with c encoded `off` too large.
    fn affine(&self, c: f64, off: f64, b: f64) -> Self {
        self.zip(self, |(x, e), _| (c * x + b, (c + off) * e + off * x))
    }
}

/// A tensor, feature by feature.
struct Simulated {
    rows: Vec<Row>,
    value: Value,
}

struct Simulation<'a> {
    params: &'a Params,
}

impl Interpreter for Simulation<'_> {
    type Tensor = Simulated;
    type Error = Infallible;

    fn evaluate(
        &mut self,
        index: usize,
        operation: &Operation,
        inputs: Vec<Arc<Simulated>>,
    ) -> Result<Simulated, Infallible> {
        let value = operation.value.clone();
        let (Some(x), Some(y)) = (inputs.first(), inputs.last()) else {
            return Ok(Simulated { rows: Vec::new(), value });
        };
        let deviation = noise::added(self.params, operation, &x.value);
        let row = |feature: usize| {
            let (x, y) = (&x.rows[feature], &y.rows[feature]);
            let made = match &operation.kind {
                Kind::Square | Kind::Mul => x.mul(y),
                Kind::Add => x.add(y),
                Kind::MulConstant { constant, scale } => x.affine(*constant, rounding(*constant, *scale), 0.0),
                Kind::AddConstant(constant) => x.affine(1.0, 0.0, *constant),
                _ => x.clone(),
            };
            made.with_noise((index, feature), deviation)
        };
        let rows = match &operation.kind {
            Kind::LinearMap { map, weight_scale } => self.linear_map(index, (map, *weight_scale), x),
            _ => (0..x.rows.len()).into_par_iter().map(row).collect(),
        };
        Ok(Simulated { rows, value })
    }
}

impl Simulation<'_> {
    fn linear_map(&self, index: usize, (map, scale): (&LinearMap, Scale), x: &Simulated) -> Vec<Row> {
        let affine = map.map();
        let count = x.rows.first().map_or(0, |row| row.exact.len());
        let is_gemm = matches!(map.operator(), LinearOperator::Gemm);
        // Errors of rotations and encoded diagonals.
        let switched = noise::rotation(self.params, map, &x.value);
        let square = |sample: usize| x.rows.iter().map(|row| row.exact[sample].powi(2)).sum::<f64>();
        let size = |sample| (square(sample) / x.rows.len().max(1) as f64).sqrt();
        let sizes: Vec<f64> = (0..count).map(size).collect();
        let encoding = if is_gemm { 0.0 } else { noise::encoding(self.params, map, scale) };
        let row = |feature: usize| {
            let mut made = Row { exact: vec![affine.bias[feature]; count], error: vec![0.0; count] };
            let mut norm = 0.0f64;
            for &(column, weight) in affine.matrix.row(feature) {
                let Row { exact, error } = &x.rows[column as usize];
                let off = if is_gemm { rounding(weight, scale) } else { 0.0 };
                norm = norm.hypot(weight);
                for i in 0..count {
                    made.exact[i] += weight * exact[i];
                    made.error[i] += (weight + off) * error[i] + off * exact[i];
                }
            }
            let mut drawn = Row { exact: Vec::new(), error: vec![0.0; count] }.with_noise((index, feature), 1.0);
            for ((error, draw), size) in made.error.iter_mut().zip(drawn.error.drain(..)).zip(&sizes) {
                *error += draw * (norm * switched).hypot(size * encoding);
            }
            made
        };
        (0..affine.matrix.rows()).into_par_iter().map(row).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_largest_of_many_results_lies_in_the_tail() {
        let errors = |deviations: &[f64]| Errors { deviations: deviations.to_vec() };
        let even = errors(&[1.0; 4]);
        // In one of two runs the largest of a thousand Gaussians exceeds 3.39 deviations, and a single one 0.67.
        for (results, deviations) in [(1000, 3.39), (1, 0.674)] {
            assert!((even.precision_bits(results, 0.0) + f64::log2(deviations)).abs() < 0.01);
        }
        assert!((even.precision_bits(1000, 3f64.sqrt()) + f64::log2(2.0 * 3.39)).abs() < 0.01);
        // A sample in four is ten times as far off: 250 Gaussians of these.
        let far = errors(&[1.0, 1.0, 1.0, 10.0]);
        assert!((far.precision_bits(1000, 0.0) + f64::log2(10.0 * 2.99)).abs() < 0.01);
    }
}
