//! Four accuracies, and how far the encrypted run is from the model in the clear.

use serde::Serialize;

use crate::pass::rms_error;

/// Fractions, not percent; null without labels. Agreement, error and precision compare the encrypted run with the HE-friendly
/// model in the clear.
#[derive(Debug, Clone, Copy, Default, PartialEq, Serialize)]
pub struct Accuracy {
    /// Of the model as trained.
    pub original: Option<f64>,
    /// Of the HE-friendly model (activations as polynomials) in the clear.
    pub he_model_clear: Option<f64>,
    /// Of the program, packing included, in the clear.
    pub program_clear: Option<f64>,
    /// Of the encrypted run.
    pub encrypted: Option<f64>,
    /// Fraction of samples whose class in the HE-friendly model is that of the model as trained.
    pub he_model_agreement: f64,
    /// Largest absolute difference of their results.
    pub he_model_max_abs_error: f64,
    /// Root mean square of all differences of their results.
    pub he_model_rms_error: f64,
    /// Fraction of samples whose class is the clear model's.
    pub agreement: f64,
    /// Largest absolute error of a result.
    pub max_abs_error: f64,
    /// −log2 of it.
    pub precision_bits: f64,
}

/// Results of the four runs, [n, results] each.
#[derive(Debug, Clone, Copy)]
pub struct Results<'a> {
    /// Of the model as trained.
    pub original: &'a [f64],
    /// Of the HE-friendly model in the clear.
    pub he_model_clear: &'a [f64],
    /// Of the program in the clear.
    pub program_clear: &'a [f64],
    /// Of the encrypted run.
    pub encrypted: &'a [f64],
}

impl Accuracy {
    /// Compares the four runs with each other and, where there are any, with `labels`.
    pub fn new(results: Results<'_>, columns: usize, labels: Option<&[usize]>) -> Self {
        let fraction = |values: &[f64]| {
            labels.map(|labels| {
                let right =
                    classes(values, columns).zip(labels).filter(|(class, label)| *class == Some(**label)).count();
                right as f64 / labels.len() as f64
            })
        };
        let (he_model_agreement, he_model_max_abs_error) = compare(results.he_model_clear, results.original, columns);
        let (agreement, max_abs_error) = compare(results.encrypted, results.he_model_clear, columns);
        Self {
            original: fraction(results.original),
            he_model_clear: fraction(results.he_model_clear),
            program_clear: fraction(results.program_clear),
            encrypted: fraction(results.encrypted),
            he_model_agreement,
            he_model_max_abs_error,
            he_model_rms_error: rms_error(results.he_model_clear, results.original),
            agreement,
            max_abs_error,
            precision_bits: -max_abs_error.log2(),
        }
    }
}

/// The fraction of samples that have the same class, and the largest absolute difference of results.
fn compare(found: &[f64], expected: &[f64], columns: usize) -> (f64, f64) {
    let pairs = classes(found, columns).zip(classes(expected, columns));
    let same = pairs.filter(|(a, b)| a.is_some() && a == b).count();
    let errors = found.iter().zip(expected).map(|(a, b)| (a - b).abs());
    // A NaN must not vanish in the maximum.
    let largest = errors.fold(0.0, |max: f64, e| if e <= max { max } else { e });
    (same as f64 / (found.len() / columns) as f64, largest)
}

/// The class of each sample: its largest result; with a single result, whether it is positive. None if a result is no number.
fn classes(values: &[f64], columns: usize) -> impl Iterator<Item = Option<usize>> + '_ {
    values.chunks(columns).map(|row| match row {
        _ if row.iter().any(|x| x.is_nan()) => None,
        [score] => Some(usize::from(*score > 0.0)),
        _ => Some(row.iter().enumerate().fold(0, |best, (i, x)| if *x > row[best] { i } else { best })),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fractions_errors_and_bits() {
        let clear = [1.0, 2.0, 5.0, 4.0, 0.0, 1.0];
        let encrypted = [1.0, 2.0, 4.0, 4.25, 0.0, 1.125];
        let results =
            Results { original: &clear, he_model_clear: &clear, program_clear: &clear, encrypted: &encrypted };
        let accuracy = Accuracy::new(results, 2, Some(&[1, 0, 0]));
        assert_eq!((accuracy.original, accuracy.encrypted), (Some(2.0 / 3.0), Some(1.0 / 3.0)));
        assert_eq!((accuracy.agreement, accuracy.max_abs_error, accuracy.precision_bits), (2.0 / 3.0, 1.0, 0.0));
        assert_eq!((accuracy.he_model_agreement, accuracy.he_model_max_abs_error), (1.0, 0.0));
        let results = Results { original: &encrypted, ..results };
        assert_eq!(Accuracy::new(results, 2, None).he_model_rms_error, ((1.0 + 1.0 / 16.0 + 1.0 / 64.0) / 6f64).sqrt());
        assert_eq!(Accuracy::new(results, 2, None).original, None);
        let single = Results { encrypted: &[0.1, -0.1, f64::NAN], he_model_clear: &[0.2, 0.2, 0.2], ..results };
        let accuracy = Accuracy::new(single, 1, None);
        assert!(accuracy.max_abs_error.is_nan() && accuracy.agreement == 1.0 / 3.0);
    }
}
