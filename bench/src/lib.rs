//! What the criterion suites share: one timer, one setting for each parameter set, and the check that comes before the clock.
//!
//! ```text
//! cargo bench -p bench                            all suites, single-threaded
//! cargo bench -p bench --bench scheme -- rotate   the ids that contain `rotate`
//! cargo bench -p bench -- --test                  checks only
//! SLOTWISE_BACKEND=scalar cargo bench -p bench    another backend (suite `arith` runs all there are)
//! RAYON_NUM_THREADS=2 cargo bench -p bench        threads inside an operation
//! ```
//!
//! Ids are `op/log_n/limbs/backend`; an op of the conjugate-invariant ring ends in `_ci`. Sets are the presets p13 to p16 at
//! their top level, the last one in the standard ring only. A case that computes a wrong value, or one with more or less error
//! than its estimate, stops the run before anything of it is timed.

use std::error::Error;
use std::hint::black_box;
use std::time::{Duration, Instant};

use ckks::{
    Ciphertext, Decryptor, Encoder, Encryptor, Entropy, Estimate, Evaluator, KeyGenerator, PRESETS, Params, Plaintext,
    Preset, RingKind, Scale, SecretKey,
};
use criterion::{BatchSize, Criterion};

/// What a suite returns.
pub type Result<T> = std::result::Result<T, Box<dyn Error + Send + Sync>>;

/// Cases that take longer are sampled ten times.
const SLOW: Duration = Duration::from_millis(20);

/// Criterion with short measurements, configured from the command line; and one thread, unless `RAYON_NUM_THREADS` names more.
///
/// # Errors
/// When the thread pool exists already.
pub fn criterion() -> Result<Criterion> {
    let threads = if std::env::var_os("RAYON_NUM_THREADS").is_some() { 0 } else { 1 };
    rayon::ThreadPoolBuilder::new().num_threads(threads).build_global()?;
    let criterion = Criterion::default()
        .warm_up_time(Duration::from_millis(150))
        .measurement_time(Duration::from_millis(500))
        .configure_from_args();
    Ok(criterion)
}

/// Times `run` on fresh inputs, which are made outside the clock. The result is dropped inside it: a program does that, too, and the
/// buffer is there for the next run.
pub fn time<I, T>(criterion: &mut Criterion, id: &str, mut input: impl FnMut() -> I, mut run: impl FnMut(I) -> T) {
    let first = input();
    let start = Instant::now();
    black_box(run(first));
    let samples = if start.elapsed() > SLOW { 10 } else { 30 };
    let mut group = criterion.benchmark_group(id.split('/').next().unwrap_or(id));
    group.sample_size(samples);
    let rest = id.split_once('/').map_or(id, |(_, rest)| rest);
    group.bench_function(rest, |bencher| {
        bencher.iter_batched(&mut input, |x| drop(black_box(run(x))), BatchSize::PerIteration)
    });
    group.finish();
}

/// The sets that are timed: p13 to p16, each with the ring.
pub fn sets() -> impl Iterator<Item = (Preset, RingKind)> {
    let rings = |preset: Preset| {
        let both = [RingKind::Standard, RingKind::ConjugateInvariant];
        both.into_iter()
            .filter(move |&ring| preset.name != "p16" || ring == RingKind::Standard)
            .map(move |ring| (preset, ring))
    };
    PRESETS.into_iter().filter(|preset| ["p13", "p14", "p15", "p16"].contains(&preset.name)).flat_map(rings)
}

/// The id of an operation.
pub fn id(op: &str, ring: RingKind, log_n: u32, limbs: usize, backend: &str) -> String {
    let suffix = if ring == RingKind::ConjugateInvariant { "_ci" } else { "" };
    format!("{op}{suffix}/{log_n}/{limbs}/{backend}")
}

/// One parameter set with a key and two encrypted vectors.
pub struct Setting {
    /// The parameters.
    pub params: Params,
    /// Randomness for what a suite adds.
    pub entropy: Entropy,
    /// The key.
    pub secret: SecretKey,
    /// Its encoder.
    pub encoder: Encoder,
    /// Its evaluator.
    pub evaluator: Evaluator,
    /// The scale of all operands: the size of a step of the chain.
    pub scale: Scale,
    /// Values in (−1, 1).
    pub x: Vec<f64>,
    /// Other values in (−1, 1).
    pub y: Vec<f64>,
    /// `y`, encoded.
    pub y_plain: Plaintext,
    /// `x`, encrypted.
    pub x_encrypted: Ciphertext,
    /// `y`, encrypted.
    pub y_encrypted: Ciphertext,
}

impl Setting {
    /// The setting of a preset, at its top level.
    ///
    /// # Errors
    /// None that a preset should give.
    pub fn new(preset: &Preset, ring: RingKind) -> Result<Self> {
        let params = preset.spec(ring).build()?;
        let mut entropy = Entropy::from_os()?;
        let secret = KeyGenerator::new(&params, &mut entropy).secret_key();
        let encoder = Encoder::new(&params);
        let scale = Scale::power_of_two(preset.step_bits.cast_signed());
        let vector = |a: usize| (0..params.slots()).map(|i| ((i * a) % 1009) as f64 / 504.5 - 1.0).collect::<Vec<_>>();
        let (x, y) = (vector(7919), vector(104_729));
        let mut encryptor = Encryptor::new(&secret, entropy.fork());
        let mut encrypt = |values: &[f64]| -> Result<(Plaintext, Ciphertext)> {
            let plaintext = encoder.encode(values, scale, params.max_level())?;
            let ciphertext = encryptor.encrypt(&plaintext)?.with_estimate(encryptor.estimate(&plaintext, 1.0));
            Ok((plaintext, ciphertext))
        };
        let (_, x_encrypted) = encrypt(&x)?;
        let (y_plain, y_encrypted) = encrypt(&y)?;
        let evaluator = Evaluator::new(&params);
        Ok(Self { params, entropy, secret, encoder, evaluator, scale, x, y, y_plain, x_encrypted, y_encrypted })
    }

    /// The id of an operation on all limbs.
    pub fn id(&self, op: &str) -> String {
        let ring = self.params.ring();
        id(op, ring.kind(), ring.log_n(), self.x_encrypted.limbs(), ring.backend().name())
    }

    /// Decrypts and compares with `expected`, under the ciphertext's own estimate.
    ///
    /// # Errors
    /// Those of decryption.
    ///
    /// # Panics
    /// When the values, or the size of their errors, are not as they should be.
    pub fn check(&self, op: &str, ciphertext: &Ciphertext, expected: impl Fn(usize) -> f64) -> Result<()> {
        let estimate = ciphertext.estimate().ok_or("a case without an estimate")?;
        let values = self.encoder.decode(&Decryptor::new(&self.secret).decrypt(ciphertext)?)?;
        self.check_values(op, &values, expected, estimate);
        Ok(())
    }

    /// Compares values with `expected`.
    ///
    /// # Panics
    /// When the values, or the size of their errors, are not as they should be.
    pub fn check_values(&self, op: &str, values: &[f64], expected: impl Fn(usize) -> f64, estimate: Estimate) {
        let squares = values.iter().enumerate().map(|(i, value)| (value - expected(i)).powi(2));
        let deviation = (squares.sum::<f64>() / values.len() as f64).sqrt();
        let id = self.id(op);
        assert!(deviation < 2.0 * estimate.deviation, "{id}: error {deviation:e}, expected {:e}", estimate.deviation);
        assert!(deviation > estimate.deviation / 12.0, "{id}: error {deviation:e}, expected {:e}", estimate.deviation);
    }
}
