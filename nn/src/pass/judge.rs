//! What a network loses by approximations: of values, by how much they are off; of classes, a share of the samples, by their labels or without any.
//!
//! Of a classifier, a few hundred samples hardly have one on the brink between two classes, but they show errors, and how far from the brink samples lie. So
//! each sample meets the errors of all others that are decided about as closely, and the loss is the share of such pairs in which
//! the class changes, weighted with what that loses. By a label, it loses the sample, or wins it. Without labels, the old class was
//! right with the probability p₁ that the network gives it (the softmax of its results), and the new one with p₂: what is lost is p₁ − p₂,
//! relative to that of a typical sample, since results need not be logits. Networks are surer of what they were trained on than they should be:
//! samples that they were not trained on show the loss, others too small a one.

/// Samples are decided about as closely as one if they lie within this part of all before or behind it.
const NEIGHBOURS: usize = 16;

/// What a network may lose, or does.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Loss {
    /// Share of the samples that it classifies worse than with its own activations.
    Classes(f64),
    /// Root mean square of the errors of its results.
    Values(f64),
}

impl Loss {
    /// What may be lost where nobody says how much: 0.3 points of accuracy, or as large a share of the variance of values.
    pub const SHARE: f64 = 0.003;
    /// That share of classes.
    pub const DEFAULT: Self = Self::Classes(Self::SHARE);

    /// How much it is, in its unit.
    pub(super) fn value(self) -> f64 {
        match self {
            Self::Classes(value) | Self::Values(value) => value,
        }
    }

    /// So much in the same unit.
    pub(super) fn of(self, value: f64) -> Self {
        match self {
            Self::Classes(_) => Self::Classes(value),
            Self::Values(_) => Self::Values(value),
        }
    }

    /// What is lost where a polynomial means nothing.
    pub(super) fn everything(self) -> f64 {
        match self {
            Self::Classes(_) => 1.0,
            Self::Values(_) => f64::INFINITY,
        }
    }
}

/// A network as it is, on some samples.
pub(super) enum Judge {
    Classes(Classes),
    /// Its results.
    Values(Vec<f64>),
}

impl Judge {
    /// What judges losses of this kind, from results, [n, columns].
    pub fn new(kind: Loss, results: &[f64], columns: usize, labels: Option<&[usize]>) -> Self {
        match kind {
            Loss::Classes(_) => Self::Classes(Classes::new(results, columns, labels)),
            Loss::Values(_) => Self::Values(results.to_vec()),
        }
    }

    /// What a network with these results, of the same samples or the first of them, loses.
    pub fn loss(&self, results: &[f64]) -> f64 {
        if results.iter().any(|result| !result.is_finite()) {
            return f64::INFINITY;
        }
        match self {
            Self::Classes(classes) => classes.loss(results),
            Self::Values(exact) => rms_error(results, exact),
        }
    }
}

/// Root mean square of the differences between values and the first ones of `expected`.
pub fn rms_error(found: &[f64], expected: &[f64]) -> f64 {
    let squares = found.iter().zip(expected).map(|(a, b)| (a - b).powi(2));
    (squares.sum::<f64>() / found.len().max(1) as f64).sqrt()
}

/// A classifier as it is, on some samples.
pub(super) struct Classes {
    columns: usize,
    samples: Vec<Sample>,
}

struct Sample {
    /// The largest result and the next.
    first: usize,
    second: usize,
    /// The first less the second.
    gap: f64,
    /// How likely each class is the right one.
    right: Vec<f64>,
}

impl Classes {
    /// From results, [n, columns]. A single result is decided by its sign.
    fn new(results: &[f64], columns: usize, labels: Option<&[usize]>) -> Self {
        let sample = |(i, row): (usize, Vec<f64>)| {
            let right = match labels {
                Some(labels) => (0..row.len()).map(|class| f64::from(labels.get(i) == Some(&class))).collect(),
                None => softmax(&row),
            };
            let (first, second) = (largest(&row, None), largest(&row, Some(largest(&row, None))));
            Sample { first, second, gap: row[first] - row[second], right }
        };
        let mut samples: Vec<Sample> = scores(results, columns).enumerate().map(sample).collect();
        if labels.is_none() {
            let leads = samples.iter().map(|sample| sample.right[sample.first] - sample.right[sample.second]);
            let typical = (leads.sum::<f64>() / samples.len().max(1) as f64).max(f64::MIN_POSITIVE);
            samples.iter_mut().flat_map(|sample| &mut sample.right).for_each(|right| *right /= typical);
        }
        Self { columns, samples }
    }

    /// The share of samples that a network with these results loses: of the samples themselves, or as expected from all pairs of them,
    /// whichever is larger.
    fn loss(&self, results: &[f64]) -> f64 {
        let (mut direct, mut errors) = (0.0, Vec::new());
        for (sample, row) in self.samples.iter().zip(scores(results, self.columns)) {
            direct += sample.right[sample.first] - sample.right[largest(&row, None)];
            let lost = sample.right[sample.first] - sample.right[sample.second];
            errors.push([sample.gap, row[sample.first] - row[sample.second] - sample.gap, lost]);
        }
        errors.sort_unstable_by(|a, b| a[0].total_cmp(&b[0]));
        let reach = errors.len() / NEIGHBOURS;
        let expected = |(i, &[gap, _, lost]): (usize, &[f64; 3])| {
            let near = &errors[i.saturating_sub(reach)..(i + reach + 1).min(errors.len())];
            let changed = near.iter().filter(|[_, error, _]| gap + error < 0.0).count();
            lost * changed as f64 / near.len() as f64
        };
        let expected: f64 = errors.iter().enumerate().map(expected).sum();
        direct.max(expected) / errors.len().max(1) as f64
    }
}

/// The score of each class, sample by sample: of a single result, zero and the result.
fn scores(results: &[f64], columns: usize) -> impl Iterator<Item = Vec<f64>> + '_ {
    results.chunks(columns).map(move |row| if columns == 1 { vec![0.0, row[0]] } else { row.to_vec() })
}

/// The place of the largest value, but for one; the first of several.
fn largest(row: &[f64], but: Option<usize>) -> usize {
    let places = (0..row.len()).filter(|&i| Some(i) != but);
    places.reduce(|best, i| if row[i] > row[best] { i } else { best }).unwrap_or(0)
}

fn softmax(row: &[f64]) -> Vec<f64> {
    let exp: Vec<f64> = row.iter().map(|x| libm::exp(x - row[largest(row, None)])).collect();
    let sum: f64 = exp.iter().sum();
    exp.iter().map(|x| x / sum).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn errors_count_where_samples_are_on_the_brink() {
        let exact = [3.0, 0.0, 0.0, 5.0, 4.0, 0.0];
        let judge = Judge::new(Loss::DEFAULT, &exact, 2, None);
        assert_eq!(judge.loss(&exact), 0.0);
        assert_eq!(judge.loss(&[3.0, 0.5, 0.0, 4.5, 4.0, 0.0]), 0.0);
        assert!(judge.loss(&[0.0, 3.0, 5.0, 0.0, 0.0, 4.0]) > 0.9);
        assert_eq!(judge.loss(&[f64::NAN; 6]), f64::INFINITY);
        // A single result is decided by its sign.
        let judge = Judge::new(Loss::DEFAULT, &[0.5, -0.5], 1, None);
        assert_eq!(judge.loss(&[0.1, -0.1]), 0.0);
        assert!(judge.loss(&[0.1, 0.1]) > 0.4);
    }

    #[test]
    fn values_are_off_by_their_root_mean_square() {
        let judge = Judge::new(Loss::Values(0.0), &[1.0, 2.0, 3.0, 4.0], 2, None);
        assert_eq!(judge.loss(&[1.0, 2.0, 3.0, 6.0]), 1.0);
        assert_eq!(judge.loss(&[4.0, 6.0]), 12.5f64.sqrt());
        assert_eq!(judge.loss(&[f64::NAN, 2.0]), f64::INFINITY);
    }

    #[test]
    fn samples_meet_the_errors_of_their_neighbours() {
        // Gaps of 0.1, 0.2, …, 6.4, and one error of 2.05 where it changes nothing: at a gap of 2.3. At 1.9 and 2.0 it would.
        let gaps = (1..=64).map(|i| f64::from(i) / 10.0);
        let exact: Vec<f64> = gaps.clone().flat_map(|gap| [gap, 0.0]).collect();
        let found: Vec<f64> = gaps.flat_map(|gap| [if gap == 2.3 { 0.25 } else { gap }, 0.0]).collect();
        let loss = Judge::new(Loss::DEFAULT, &exact, 2, Some(&[0; 64])).loss(&found);
        assert!((loss - 2.0 / 9.0 / 64.0).abs() < 1e-12, "{loss}");
    }

    #[test]
    fn what_is_lost_is_what_was_right() {
        let (exact, found) = ([1.0, 0.0, 0.0], [0.0, 1.0, 0.0]);
        let loss = |label: usize| Judge::new(Loss::DEFAULT, &exact, 3, Some(&[label])).loss(&found);
        assert_eq!((loss(0), loss(1), loss(2)), (1.0, -1.0, 0.0));
        // Without labels a certain class counts more than one on the brink, whatever the scale of the results.
        let close = |scale: f64| {
            let exact: Vec<f64> = [8.0, 0.0, 0.0, 8.0, 0.5, 0.0].iter().map(|x| x * scale).collect();
            let found: Vec<f64> = [8.0, 0.0, 0.0, 8.0, -0.5, 0.0].iter().map(|x| x * scale).collect();
            Judge::new(Loss::DEFAULT, &exact, 2, None).loss(&found)
        };
        assert!(
            (0.01..0.2).contains(&close(1.0)) && (0.01..0.2).contains(&close(1e-3)),
            "{} {}",
            close(1.0),
            close(1e-3)
        );
    }
}
