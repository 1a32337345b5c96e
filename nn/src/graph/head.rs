//! The last step of many classifiers: softmax, the largest result, a sigmoid. No polynomial comes near it, and whoever
//! decrypts the results can take it in the clear: so it is no operation of a graph but stands behind it.

use serde::{Deserialize, Serialize};

/// What the key holder does to the results of a sample after decryption. None of it changes the order of results.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Head {
    /// Nothing.
    #[default]
    Identity,
    /// 1 / (1 + e^−x) of each result.
    Sigmoid,
    /// e^x_i / Σ e^x_j along an axis.
    Softmax(HeadAxis),
    /// x_i − log Σ e^x_j along an axis.
    LogSoftmax(HeadAxis),
    /// The index of the largest along an axis, the first of several.
    ArgMax(HeadAxis),
}

/// An axis of the results of a sample, which are [outer, length, inner] in row-major order.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct HeadAxis {
    /// Results along the axis.
    pub length: usize,
    /// Distance from one to the next.
    pub inner: usize,
}

impl Head {
    /// The axis that it works along, if it does not take each result alone.
    fn axis(&self) -> Option<HeadAxis> {
        match *self {
            Head::Identity | Head::Sigmoid => None,
            Head::Softmax(axis) | Head::LogSoftmax(axis) | Head::ArgMax(axis) => Some(axis),
        }
    }

    /// Whether samples of so many results have that axis.
    pub fn fits(&self, results: usize) -> bool {
        let step = |axis: HeadAxis| axis.length.checked_mul(axis.inner).filter(|&step| step > 0);
        self.axis().is_none_or(|axis| step(axis).is_some_and(|step| results.is_multiple_of(step)))
    }

    /// How many values become of that many results.
    pub fn len(&self, results: usize) -> usize {
        match self {
            Head::ArgMax(axis) => results / axis.length,
            _ => results,
        }
    }

    /// The values of all samples, from [n, results] in row-major order.
    pub fn apply(&self, results: &[f64]) -> Vec<f64> {
        match *self {
            Head::Identity => results.to_vec(),
            Head::Sigmoid => results.iter().map(|x| 1.0 / (1.0 + (-x).exp())).collect(),
            Head::Softmax(axis) => along(axis, results, |x| {
                let logarithm = log_sum_exp(&x);
                x.iter().map(|x| (x - logarithm).exp()).collect()
            }),
            Head::LogSoftmax(axis) => along(axis, results, |x| {
                let logarithm = log_sum_exp(&x);
                x.iter().map(|x| x - logarithm).collect()
            }),
            Head::ArgMax(axis) => along(axis, results, |x| {
                vec![(1..x.len()).fold(0, |best, i| if x[i] > x[best] { i } else { best }) as f64]
            }),
        }
    }
}

/// log Σ e^x_i, which does not overflow.
fn log_sum_exp(x: &[f64]) -> f64 {
    let largest = x.iter().copied().fold(f64::NEG_INFINITY, f64::max);
    largest + x.iter().map(|x| (x - largest).exp()).sum::<f64>().ln()
}

/// What `make` makes of each line along the axis, in its place.
fn along(axis: HeadAxis, results: &[f64], make: impl Fn(Vec<f64>) -> Vec<f64>) -> Vec<f64> {
    let HeadAxis { length, inner } = axis;
    let mut values = Vec::with_capacity(results.len());
    for block in results.chunks_exact(length * inner) {
        let lines: Vec<Vec<f64>> =
            (0..inner).map(|first| make(block.iter().skip(first).step_by(inner).copied().collect())).collect();
        for place in 0..lines[0].len() {
            values.extend(lines.iter().map(|line| line[place]));
        }
    }
    values
}

#[cfg(test)]
mod tests {
    use super::*;

    const AXIS: HeadAxis = HeadAxis { length: 3, inner: 2 };

    #[test]
    fn softmax_along_a_middle_axis() {
        // Two samples of [3, 2].
        let results = [0.0, 1.0, 0.0, 2.0, 0.0, 3.0, 800.0, -1.0, 800.0, -1.0, 800.0, -1.0];
        let values = Head::Softmax(AXIS).apply(&results);
        let total = 1f64.exp() + 2f64.exp() + 3f64.exp();
        let expected = [1.0 / 3.0, 1f64.exp() / total, 1.0 / 3.0, 2f64.exp() / total, 1.0 / 3.0, 3f64.exp() / total];
        assert!(values[..6].iter().zip(expected).all(|(a, b)| (a - b).abs() < 1e-12), "{values:?}");
        assert!(values[6..].iter().all(|a| (a - 1.0 / 3.0).abs() < 1e-12), "{values:?}");
        let logarithms = Head::LogSoftmax(AXIS).apply(&results);
        assert!(logarithms.iter().zip(&values).all(|(l, v)| (l.exp() - v).abs() < 1e-12), "{logarithms:?}");
    }

    #[test]
    fn the_first_of_the_largest() {
        assert_eq!(Head::ArgMax(AXIS).apply(&[1.0, 9.0, 4.0, 2.0, 4.0, 9.0]), [1.0, 0.0]);
        assert_eq!((Head::ArgMax(AXIS).len(12), Head::Softmax(AXIS).len(12)), (4, 12));
    }

    #[test]
    fn a_sigmoid_far_out() {
        assert_eq!(Head::Sigmoid.apply(&[0.0, 800.0, -800.0]), [0.5, 1.0, 0.0]);
    }

    #[test]
    fn an_axis_must_divide_the_results() {
        assert!(Head::Softmax(AXIS).fits(12) && Head::Identity.fits(7));
        assert!(!Head::Softmax(AXIS).fits(9));
        assert!(!Head::ArgMax(HeadAxis { length: 0, inner: 1 }).fits(4));
        assert!(!Head::ArgMax(HeadAxis { length: usize::MAX, inner: 2 }).fits(4));
    }
}
