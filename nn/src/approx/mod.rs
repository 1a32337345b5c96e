//! Functions of one variable as polynomials: p(x) = Σ c_k T_k(t), t = (2 x − low − high) / (high − low), close to f on [low, high].
//!
//! [`fit`] takes the least squares over a mixture of two measures: where the data were (a histogram), and the measure dx / √(1 − t²)
//! of the whole range, under which plain Chebyshev series are the best (Trefethen 2013, chapters 3 and 4). The first makes small degrees accurate where it
//! matters; the second keeps the polynomial close to the function where few samples come. Activations have a symmetry on a range around zero: ReLU,
//! SiLU and GELU are a line plus an even function, tanh and the sigmoid a constant plus an odd one. A [`Shape`] says which powers
//! such a function needs, and which degrees are worth trying: those that a further product reaches.

use serde::{Deserialize, Serialize};

/// Weight of the measure of the whole range, where a sample has 1: little, as a network forgives errors where hardly a sample comes.
const WHOLE: f64 = 0.01;
/// As long as the largest error on the range is above this share of the function's largest value, the whole range gets twice the weight: other
/// samples may come to its ends, and a little beyond.
const LARGEST: f64 = 0.7;
/// Points of that measure, and of the grid that measures errors.
const POINTS: usize = 2048;
/// A function counts as symmetric if it is so within this share of its largest value.
const SYMMETRIC: f64 = 1e-9;
/// Beyond this ratio of its two ends a range is not made symmetric.
const LOPSIDED: f64 = 8.0;

/// A polynomial in place of a function, with what it was fitted to and how well.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Fit {
    /// Where it holds: its ends are −1 and 1 of the Chebyshev polynomials.
    pub range: [f64; 2],
    /// c_0, c_1, …
    pub coefficients: Vec<f64>,
    /// Largest |p − f| on the range.
    pub max_error: f64,
    /// Root of the mean square of p − f over the data.
    pub rms_error: f64,
}

impl Fit {
    /// Degree of the polynomial.
    pub fn degree(&self) -> usize {
        self.coefficients.len().saturating_sub(1)
    }
}

/// What is known of a function's symmetry around the middle of its range.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Shape {
    /// A line plus an even function.
    EvenAndLine,
    /// A constant plus an odd function.
    OddAndConstant,
    /// Nothing.
    General,
}

impl Shape {
    /// The range to fit `function` on if its arguments were in `data`, and the shape that it has there: [−R, R] if that has one and is not much larger.
    pub fn of(function: &dyn Fn(f64) -> f64, data: [f64; 2]) -> (Self, [f64; 2]) {
        let (near, far) = (data[0].abs().min(data[1].abs()), data[0].abs().max(data[1].abs()));
        let straddles = data[0] < 0.0 && data[1] > 0.0 && far <= LOPSIDED * near;
        let points = (1..=64).map(|i| far * f64::from(i) / 64.0);
        let values: Vec<[f64; 3]> = points.map(|x| [x, function(x), function(-x)]).collect();
        let largest = values.iter().flatten().fold(0.0f64, |largest, v| largest.max(v.abs()));
        let holds =
            |residual: &dyn Fn(&[f64; 3]) -> f64| values.iter().all(|v| residual(v).abs() <= SYMMETRIC * largest);
        let slope = (function(far) - function(-far)) / (2.0 * far);
        match straddles {
            true if holds(&|[x, plus, minus]| plus - minus - 2.0 * slope * x) => (Self::EvenAndLine, [-far, far]),
            true if holds(&|[_, plus, minus]| plus + minus - 2.0 * function(0.0)) => {
                (Self::OddAndConstant, [-far, far])
            }
            _ => (Self::General, data),
        }
    }

    /// Degrees worth trying: the largest for each depth, and what lies between where it takes fewer products.
    pub fn degrees(self) -> &'static [usize] {
        match self {
            Self::EvenAndLine => &[2, 4, 8, 16, 32, 64],
            Self::OddAndConstant => &[1, 3, 5, 7, 15, 31, 63],
            Self::General => &[2, 4, 8, 16, 32, 64],
        }
    }

    fn powers(self, degree: usize) -> Vec<usize> {
        let needed = |k: &usize| match self {
            Self::EvenAndLine => *k <= 1 || k.is_multiple_of(2),
            Self::OddAndConstant => *k == 0 || !k.is_multiple_of(2),
            Self::General => true,
        };
        (0..=degree).filter(needed).collect()
    }
}

/// The polynomial of a degree and shape that is closest to `function` on `range`, for arguments distributed as `histogram` (counts in
/// equal parts of the range; it may be empty) in so many samples.
pub fn fit(
    function: &dyn Fn(f64) -> f64,
    range: [f64; 2],
    powers: (Shape, usize),
    (histogram, samples): (&[f64], usize),
) -> Fit {
    let [low, high] = range;
    let grid = (0..=POINTS).map(|i| low + (high - low) * i as f64 / POINTS as f64);
    let largest = grid.map(|x| function(x).abs()).fold(0.0, f64::max);
    let mut whole = WHOLE / (WHOLE + samples as f64);
    loop {
        let fit = weighted(function, range, powers, &points(histogram, whole));
        if fit.max_error <= LARGEST * largest || whole > 0.5 {
            return fit;
        }
        whole *= 2.0;
    }
}

/// The least squares over points of [−1, 1], each with its weight; those of the data are behind the first [`POINTS`], if there are any.
fn weighted(
    function: &dyn Fn(f64) -> f64,
    range: [f64; 2],
    (shape, degree): (Shape, usize),
    points: &[[f64; 2]],
) -> Fit {
    let (middle, radius) = ((range[0] + range[1]) / 2.0, (range[1] - range[0]) / 2.0);
    let powers = shape.powers(degree);
    let mut normal = Normal::new(powers.len());
    for &[t, weight] in points {
        let basis = chebyshev(t, degree);
        let row: Vec<f64> = powers.iter().map(|&k| basis[k]).collect();
        normal.add(&row, function(middle + radius * t), weight);
    }
    let mut coefficients = vec![0.0; degree + 1];
    powers.iter().zip(normal.solve()).for_each(|(&k, c)| coefficients[k] = c);
    let error = |t: f64| {
        let value: f64 = chebyshev(t, degree).iter().zip(&coefficients).map(|(t, c)| t * c).sum();
        (value - function(middle + radius * t)).abs()
    };
    let grid = (0..=POINTS).map(|i| 2.0 * i as f64 / POINTS as f64 - 1.0);
    let max_error = grid.map(error).fold(0.0, f64::max);
    let data = if points.len() > POINTS { &points[POINTS..] } else { points };
    let (sum, weights) =
        data.iter().fold((0.0, 0.0), |(s, w), &[t, weight]| (s + weight * error(t).powi(2), w + weight));
    Fit { range, coefficients, max_error, rms_error: (sum / weights).sqrt() }
}

/// Points of the measure, with their weights: Chebyshev's nodes, which have this share if there are others, then the middles of the histogram's parts.
fn points(histogram: &[f64], whole: f64) -> Vec<[f64; 2]> {
    let total: f64 = histogram.iter().sum();
    let whole = if total > 0.0 { whole } else { 1.0 };
    let angle = |i: usize| std::f64::consts::PI * (i as f64 + 0.5) / POINTS as f64;
    let nodes = (0..POINTS).map(|i| [libm::cos(angle(i)), whole / POINTS as f64]);
    let middle = |i: usize| (2.0 * i as f64 + 1.0) / histogram.len() as f64 - 1.0;
    let data = histogram.iter().enumerate().map(|(i, count)| [middle(i), (1.0 - whole) * count / total.max(1.0)]);
    nodes.chain(data).collect()
}

/// T_0(t), …, T_degree(t).
fn chebyshev(t: f64, degree: usize) -> Vec<f64> {
    let mut values = vec![1.0, t];
    for k in 2..=degree {
        values.push(2.0 * t * values[k - 1] - values[k - 2]);
    }
    values.truncate(degree + 1);
    values
}

/// The normal equations of a least-squares problem. In the Chebyshev basis, with part of the weight on the whole range, they are well conditioned.
struct Normal {
    /// A square matrix in rows, symmetric; its lower half is used.
    matrix: Vec<Vec<f64>>,
    right: Vec<f64>,
}

impl Normal {
    fn new(size: usize) -> Self {
        Self { matrix: vec![vec![0.0; size]; size], right: vec![0.0; size] }
    }

    fn add(&mut self, row: &[f64], value: f64, weight: f64) {
        for (i, a) in row.iter().enumerate() {
            self.right[i] += weight * a * value;
            self.matrix[i].iter_mut().zip(row).take(i + 1).for_each(|(m, b)| *m += weight * a * b);
        }
    }

    /// By Cholesky's decomposition L Lᵀ.
    fn solve(mut self) -> Vec<f64> {
        let n = self.right.len();
        for i in 0..n {
            for j in 0..=i {
                let dot: f64 = (0..j).map(|k| self.matrix[i][k] * self.matrix[j][k]).sum();
                let rest = self.matrix[i][j] - dot;
                self.matrix[i][j] = if i == j { rest.sqrt() } else { rest / self.matrix[j][j] };
            }
            let dot: f64 = (0..i).map(|k| self.matrix[i][k] * self.right[k]).sum();
            self.right[i] = (self.right[i] - dot) / self.matrix[i][i];
        }
        for i in (0..n).rev() {
            let dot: f64 = (i + 1..n).map(|k| self.matrix[k][i] * self.right[k]).sum();
            self.right[i] = (self.right[i] - dot) / self.matrix[i][i];
        }
        self.right
    }
}

#[cfg(test)]
mod tests;
