//! Flags as typed.

use std::path::PathBuf;

use clap::{Parser, Subcommand, ValueEnum};

use nn::engine::MOST_LEFT_OUT;
use nn::measure::RingKind;
use nn::plan::{FloodGoal, Goal, Objective};
use nn::session::BatchId;

/// Neural networks on encrypted data. Without a command: scores the MNIST test set, encrypted, with the network in models/.
#[derive(Debug, Parser)]
#[command(name = "slotwise", version)]
pub struct Args {
    #[command(subcommand)]
    pub command: Option<Command>,
}

/// What to do.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Encrypts data, runs a model on it, decrypts, and compares with the model in the clear.
    Run(RunArgs),
    /// Chooses parameters and packing for a model, and says what running it will take.
    Plan(PlanArgs),
    /// Times the primitives of CKKS, each checked before, with its precision; several sets or lists of sizes make a sweep.
    Bench(BenchArgs),
    /// Generates the keys of a plan: secret.key, public.key and evaluation.key.
    Keygen(KeygenArgs),
    /// Encrypts samples, a file for each chunk of them; one chunk is in memory at a time.
    Encrypt(EncryptArgs),
    /// Runs a model on encrypted samples.
    Infer(InferArgs),
    /// Decrypts results; one chunk of them is in memory at a time.
    Decrypt(DecryptArgs),
    /// Says what a file holds and belongs to, and nothing secret.
    Inspect(InspectArgs),
}

/// What a plan has to keep to; flags of `run` and `plan`.
#[derive(Debug, Clone, Default, clap::Args)]
pub struct GoalArgs {
    /// What the plan is chosen for.
    #[arg(long, value_enum, default_value_t)]
    pub objective: ObjectiveArg,
    /// Most memory that keys, weights and ciphertexts may take, in GiB; what is available now if left out.
    #[arg(long, value_name = "GIB", value_parser = positive_number)]
    pub memory: Option<f64>,
    /// Most evaluation keys that the plan may ask for, in MB as they travel; left out, it keeps to 150 MB where that only takes time.
    #[arg(long, value_name = "MB", value_parser = positive_number)]
    pub keys: Option<f64>,
    /// Bits of precision that the results need at least (-log2 of the largest error); left out, 9 bits below the largest result for
    /// typical samples.
    #[arg(long, value_name = "BITS", value_parser = finite_number, allow_negative_numbers = true)]
    pub precision: Option<f64>,
    /// Force the number of samples that are interleaved in a ciphertext, a power of two.
    #[arg(long, value_name = "B", value_parser = positive)]
    pub interleave: Option<usize>,
    /// Results are shown to others than the key's holder: add noise to them that keeps so many bits of statistical security.
    #[arg(long, value_name = "BITS", value_parser = positive_number)]
    pub flood: Option<f64>,
    /// Decryptions under one key that flooding is to withstand.
    #[arg(long, value_name = "TAU", value_parser = positive, default_value_t = 1, requires = "flood")]
    pub flood_queries: usize,
    /// Largest degree of the polynomials that stand for activations; otherwise as high as accuracy needs it, at most 32.
    #[arg(long, value_name = "D", value_parser = positive)]
    pub degree: Option<usize>,
    /// For networks whose results are values and not scores of classes: what they may be off by for these polynomials (root mean square on
    /// the calibration data), instead of 0.3 points of accuracy, or for results that look like values 0.3 % of their variance. Encryption may add as much, unless --precision says otherwise.
    #[arg(long, value_name = "ERROR", value_parser = positive_number)]
    pub tolerance: Option<f64>,
    /// Time this machine's primitives again; they were timed when the first plan was made, and kept.
    #[arg(long)]
    pub remeasure: bool,
}

impl GoalArgs {
    /// The goal for so many samples, if that is known.
    pub fn goal(&self, samples: Option<usize>) -> Goal {
        Goal {
            objective: self.objective.into(),
            samples,
            interleave: self.interleave,
            precision_bits: self.precision,
            memory_bytes: self.memory.map(bytes),
            key_bytes: self.keys.map(|megabytes| (megabytes * 1e6) as u64),
            flood: self.flood.map(|security_bits| FloodGoal { security_bits, queries: self.flood_queries as u64 }),
            tolerance: self.tolerance,
            max_degree: self.degree.unwrap_or(Goal::default().max_degree),
            ..Goal::default()
        }
    }
}

/// Flags of `plan`.
#[derive(Debug, clap::Args)]
#[command(group(clap::ArgGroup::new("ranges").args(["data", "calibration"]).required(true).multiple(true)))]
pub struct PlanArgs {
    /// The model, an ONNX file.
    pub model: PathBuf,
    /// Samples like those to come, from which ranges are taken: IDX (plain or .gz), .npy or .npz, [n, ...].
    #[arg(long, value_name = "FILE")]
    pub data: Option<PathBuf>,
    /// The same, taken before --data where both are given.
    #[arg(long, value_name = "FILE")]
    pub calibration: Option<PathBuf>,
    /// How many samples there will be; left out, ciphertexts are full.
    #[arg(long, value_name = "N", value_parser = positive)]
    pub batch: Option<usize>,
    #[command(flatten)]
    pub goal: GoalArgs,
    /// Write the plan here, for the data owner; it holds no weights.
    #[arg(short, long, value_name = "PLAN")]
    pub output: Option<PathBuf>,
    /// Show what else was considered, with its costs or the reason why not.
    #[arg(long)]
    pub explain: bool,
    /// Threads; as many as there are processors if left out.
    #[arg(long, value_name = "T", value_parser = threads)]
    pub threads: Option<usize>,
    /// Write the plan's figures here, alternatives included.
    #[arg(long, value_name = "FILE")]
    pub json: Option<PathBuf>,
}

/// Flags of `keygen`.
#[derive(Debug, clap::Args)]
pub struct KeygenArgs {
    /// The plan, from the owner of the model.
    #[arg(long, value_name = "FILE")]
    pub plan: PathBuf,
    /// The folder for the keys; made if it is not there.
    #[arg(short, long, value_name = "FOLDER")]
    pub output: PathBuf,
    /// Threads; as many as there are processors if left out.
    #[arg(long, value_name = "T", value_parser = threads)]
    pub threads: Option<usize>,
}

/// Flags of `encrypt`.
#[derive(Debug, clap::Args)]
pub struct EncryptArgs {
    /// The plan.
    #[arg(long, value_name = "FILE")]
    pub plan: PathBuf,
    /// The secret key, or the public key, under which ciphertexts have twice the size.
    #[arg(long, value_name = "FILE")]
    pub key: PathBuf,
    /// The samples: IDX (plain or .gz; bytes are divided by 255), .npy, .npz or text (floats as they are), [n, ...].
    #[arg(long, value_name = "FILE")]
    pub data: PathBuf,
    /// Look at the samples first, in the clear, with the model that the plan was made for: values that its polynomials do not know are named.
    #[arg(long, value_name = "FILE")]
    pub model: Option<PathBuf>,
    /// Leave out samples that are out of the plan's range, as long as they are no more than so many percent: without --model, those with values of
    /// their own that are too large. They are named, and decrypt writes NaN for their results. More are refused; 0 refuses any.
    #[arg(long, value_name = "PERCENT", value_parser = percent, default_value_t = MOST_LEFT_OUT)]
    pub leave_out: f64,
    /// The folder for the encrypted samples; made if it is not there.
    #[arg(short, long, value_name = "FOLDER")]
    pub output: PathBuf,
    /// Threads; as many as there are processors if left out.
    #[arg(long, value_name = "T", value_parser = threads)]
    pub threads: Option<usize>,
}

/// Flags of `infer`.
#[derive(Debug, clap::Args)]
pub struct InferArgs {
    /// The model, the ONNX file that the plan was made for.
    #[arg(long, value_name = "FILE")]
    pub model: PathBuf,
    /// The plan.
    #[arg(long, value_name = "FILE")]
    pub plan: PathBuf,
    /// The evaluation keys of the data owner.
    #[arg(long, value_name = "FILE")]
    pub evaluation_key: PathBuf,
    /// The folder of encrypted samples.
    #[arg(long, value_name = "FOLDER")]
    pub input: PathBuf,
    /// The folder for encrypted results; made if it is not there.
    #[arg(long, value_name = "FOLDER")]
    pub output: PathBuf,
    /// Keep the results that are there, and compute those that are missing.
    #[arg(long)]
    pub resume: bool,
    /// Most memory to take, in GiB.
    #[arg(long, value_name = "GIB", value_parser = positive_number)]
    pub memory: Option<f64>,
    /// Threads; as many as there are processors if left out.
    #[arg(long, value_name = "T", value_parser = threads)]
    pub threads: Option<usize>,
}

/// Flags of `decrypt`.
#[derive(Debug, clap::Args)]
pub struct DecryptArgs {
    /// The plan.
    #[arg(long, value_name = "FILE")]
    pub plan: PathBuf,
    /// The secret key.
    #[arg(long, value_name = "FILE")]
    pub secret_key: PathBuf,
    /// The folder of encrypted results.
    #[arg(long, value_name = "FOLDER")]
    pub input: PathBuf,
    /// The batch whose results these must be: its folder of encrypted samples, or its number as encrypt printed it. Left out, any
    /// that was encrypted with the keys in the secret key's folder.
    #[arg(long, value_name = "BATCH")]
    pub batch: Option<BatchArg>,
    /// Write the results here, one row a sample (.npy or .csv).
    #[arg(short, long, value_name = "FILE")]
    pub output: PathBuf,
    /// Threads; as many as there are processors if left out.
    #[arg(long, value_name = "T", value_parser = threads)]
    pub threads: Option<usize>,
}

/// A batch as named by its user.
#[derive(Debug, Clone)]
pub enum BatchArg {
    /// By its number.
    Id(BatchId),
    /// By a folder that holds samples of it.
    Folder(PathBuf),
}

impl From<&str> for BatchArg {
    fn from(text: &str) -> Self {
        text.parse().map_or_else(|()| Self::Folder(text.into()), Self::Id)
    }
}

/// Flags of `inspect`.
#[derive(Debug, clap::Args)]
pub struct InspectArgs {
    /// A plan, a key, or a chunk of ciphertexts.
    pub file: PathBuf,
}

/// Flags of `run`.
#[derive(Debug, clap::Args)]
pub struct RunArgs {
    /// The model, an ONNX file.
    pub model: PathBuf,
    /// The samples: IDX (plain or .gz; bytes are divided by 255), .npy, .npz or text (floats as they are), [n, ...].
    #[arg(long, value_name = "FILE")]
    pub data: PathBuf,
    /// The class of each sample, one number each: IDX, .npy or text.
    #[arg(long, value_name = "FILE")]
    pub labels: Option<PathBuf>,
    /// Samples like the data, from which ranges are taken, at least two; the data themselves if left out.
    #[arg(long, value_name = "FILE")]
    pub calibration: Option<PathBuf>,
    /// Score this many samples: the first ones, or the set over again if it has fewer.
    #[arg(long, value_name = "N", value_parser = positive)]
    pub samples: Option<usize>,
    /// Leave out samples that are out of the plan's range, as long as they are no more than so many percent: what its polynomials or its modulus
    /// do not know. They are named, their results are NaN, and all figures are those of the others. More are refused; 0 refuses any.
    #[arg(long, value_name = "PERCENT", value_parser = percent, default_value_t = MOST_LEFT_OUT)]
    pub leave_out: f64,
    #[command(flatten)]
    pub goal: GoalArgs,
    /// Threads; as many as there are processors if left out.
    #[arg(long, value_name = "T", value_parser = threads)]
    pub threads: Option<usize>,
    /// Write the report here.
    #[arg(long, value_name = "FILE")]
    pub json: Option<PathBuf>,
    /// Write the decrypted outputs here, one row a sample (.npy or .csv).
    #[arg(long, value_name = "FILE")]
    pub output: Option<PathBuf>,
}

/// Flags of `bench`.
#[derive(Debug, clap::Args)]
pub struct BenchArgs {
    /// Named parameter sets: p13, p14, p15, p16.
    #[arg(long, value_name = "NAME", value_delimiter = ',', default_value = "p14", conflicts_with = "log_n")]
    pub set: Vec<String>,
    /// log2 of the ring degree, 10 to 17.
    #[arg(long, value_name = "N", value_delimiter = ',', value_parser = clap::value_parser!(u32).range(10..=17),
        requires_all = ["limbs", "limb_bits", "special"])]
    pub log_n: Vec<u32>,
    /// Limbs of the chain: one a level.
    #[arg(long, value_name = "L", value_delimiter = ',', value_parser = primes, requires = "log_n")]
    pub limbs: Vec<usize>,
    /// Size of each in bits, at most 50.
    #[arg(long, value_name = "B", requires = "log_n")]
    pub limb_bits: Option<u32>,
    /// Special primes, of 50 bits each.
    #[arg(long, value_name = "K", value_parser = primes, requires = "log_n")]
    pub special: Option<usize>,
    /// Digits of key switching; as few as the special primes allow if left out.
    #[arg(long, value_name = "D", value_parser = positive, requires = "log_n")]
    pub dnum: Option<usize>,
    /// The ring.
    #[arg(long, value_enum, default_value = "standard")]
    pub ring: RingArg,
    /// Threads.
    #[arg(long, value_name = "T", value_delimiter = ',', value_parser = threads, default_value = "1")]
    pub threads: Vec<usize>,
    /// Write the report here.
    #[arg(long, value_name = "FILE")]
    pub json: Option<PathBuf>,
    /// Let in parameters below 128 bits of security.
    #[arg(long)]
    pub insecure: bool,
}

/// The ring of a benchmark.
#[derive(Debug, Clone, Copy, ValueEnum)]
pub enum RingArg {
    /// N/2 complex slots.
    Standard,
    /// N real slots.
    ConjugateInvariant,
}

impl From<RingArg> for RingKind {
    fn from(ring: RingArg) -> Self {
        match ring {
            RingArg::Standard => Self::Standard,
            RingArg::ConjugateInvariant => Self::ConjugateInvariant,
        }
    }
}

/// What a plan is chosen for.
#[derive(Debug, Clone, Copy, Default, ValueEnum)]
pub enum ObjectiveArg {
    /// Most samples a second.
    #[default]
    Throughput,
    /// Least seconds for one chunk of samples.
    Latency,
    /// Least product of both: seconds of a chunk times seconds a sample.
    Balanced,
}

impl From<ObjectiveArg> for Objective {
    fn from(objective: ObjectiveArg) -> Self {
        match objective {
            ObjectiveArg::Throughput => Self::Throughput,
            ObjectiveArg::Latency => Self::Latency,
            ObjectiveArg::Balanced => Self::Balanced,
        }
    }
}

/// Bytes of so many GiB.
pub fn bytes(gib: f64) -> u64 {
    (gib * (1u64 << 30) as f64) as u64
}

fn positive(text: &str) -> Result<usize, String> {
    match text.parse() {
        Ok(0) | Err(_) => Err("it must be a whole number from 1".into()),
        Ok(number) => Ok(number),
    }
}

fn finite_number(text: &str) -> Result<f64, String> {
    text.parse().ok().filter(|number: &f64| number.is_finite()).ok_or_else(|| "it must be a number".into())
}

fn positive_number(text: &str) -> Result<f64, String> {
    match finite_number(text) {
        Ok(number) if number > 0.0 => Ok(number),
        _ => Err("it must be a number above 0".into()),
    }
}

fn percent(text: &str) -> Result<f64, String> {
    match finite_number(text) {
        Ok(number) if (0.0..100.0).contains(&number) => Ok(number),
        _ => Err("it must be a number from 0 to less than 100".into()),
    }
}

fn primes(text: &str) -> Result<usize, String> {
    const MOST: usize = 256;
    match positive(text)? {
        primes if primes > MOST => Err(format!("no secure parameters have more than {MOST} primes")),
        primes => Ok(primes),
    }
}

fn threads(text: &str) -> Result<usize, String> {
    const MOST: usize = 1024;
    match positive(text)? {
        threads if threads > MOST => Err(format!("more than {MOST} threads help nobody")),
        threads => Ok(threads),
    }
}
