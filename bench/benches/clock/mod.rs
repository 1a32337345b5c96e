//! Criterion as the clock of the cases.

use std::error::Error;
use std::time::Duration;

use bench::Case;
use ckks::RingKind;
use criterion::Criterion;

/// What a suite returns.
pub type Result<T> = std::result::Result<T, Box<dyn Error>>;

/// Cases that take longer are sampled ten times.
const SLOW: Duration = Duration::from_millis(20);

/// Criterion with short measurements, configured from the command line; and one thread, unless `RAYON_NUM_THREADS` names more.
pub fn criterion() -> Result<Criterion> {
    let threads = if std::env::var_os("RAYON_NUM_THREADS").is_some() { 0 } else { 1 };
    rayon::ThreadPoolBuilder::new().num_threads(threads).build_global()?;
    let criterion = Criterion::default()
        .warm_up_time(Duration::from_millis(150))
        .measurement_time(Duration::from_millis(500))
        .configure_from_args();
    Ok(criterion)
}

/// Times `case` under the id `OP/place`.
pub fn sample(criterion: &mut Criterion, op: &str, place: &str, case: Case<'_>) -> bench::Result<()> {
    let samples = if (case.run)()? > SLOW { 10 } else { 30 };
    let mut outcome = Ok(());
    let mut group = criterion.benchmark_group(op);
    group.sample_size(samples);
    group.bench_function(place, |bencher| {
        bencher.iter_custom(|runs| {
            let times = (0..runs).map(|_| (case.run)());
            times.sum::<bench::Result<Duration>>().unwrap_or_else(|error| {
                outcome = Err(error);
                Duration::MAX
            })
        });
    });
    group.finish();
    outcome
}

/// The name of an operation in `ring`.
pub fn named(op: &str, ring: RingKind) -> String {
    let suffix = if ring == RingKind::ConjugateInvariant { "_ci" } else { "" };
    format!("{op}{suffix}")
}
