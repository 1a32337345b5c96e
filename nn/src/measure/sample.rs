//! Median and minimum of repeated runs.

use std::time::Duration;

/// A case is run until this much time is measured, within bounds on the number of runs.
const ENOUGH: Duration = Duration::from_millis(200);
const FEWEST: usize = 5;
const MOST: usize = 300;

/// What repeated runs of a case took.
pub(super) struct Sample {
    pub median_ms: f64,
    pub min_ms: f64,
}

impl Sample {
    /// Runs a case once to warm up, then again and again.
    pub fn take(run: &mut dyn FnMut() -> bench::Result<Duration>) -> bench::Result<Self> {
        run()?;
        let mut times = Vec::new();
        let mut total = Duration::ZERO;
        while times.len() < FEWEST || (total < ENOUGH && times.len() < MOST) {
            let time = run()?;
            total += time;
            times.push(time.as_secs_f64() * 1e3);
        }
        times.sort_by(f64::total_cmp);
        let middle = times.len() / 2;
        let median = if times.len() % 2 == 1 { times[middle] } else { f64::midpoint(times[middle - 1], times[middle]) };
        Ok(Self { median_ms: median, min_ms: times[0] })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_median_is_of_the_runs_after_the_first() {
        let mut times = [900, 5, 1, 400, 3, 2].into_iter().map(Duration::from_millis);
        let sample = Sample::take(&mut || Ok(times.next().unwrap())).unwrap();
        assert_eq!((sample.median_ms, sample.min_ms), (3.0, 1.0));
        assert_eq!(times.next(), None);
    }

    #[test]
    fn a_case_that_fails_ends_it() {
        let failed = ckks::Error::NoEntropy { reason: "none".into() };
        assert!(Sample::take(&mut || Err(failed.clone().into())).is_err());
    }
}
