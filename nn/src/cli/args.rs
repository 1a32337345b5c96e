//! Flags as typed.

use std::path::PathBuf;

use clap::{Parser, Subcommand, ValueEnum};

use nn::plan::{Goal, Objective};

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
}

/// What a plan has to keep to; flags of `run` and `plan`.
#[derive(Debug, Clone, Default, clap::Args)]
pub struct GoalArgs {
    /// What the plan is chosen for.
    #[arg(long, value_enum, default_value_t)]
    pub objective: ObjectiveArg,
    /// Most memory that the server may take, in GiB.
    #[arg(long, value_name = "GIB", value_parser = positive_number)]
    pub memory: Option<f64>,
    /// Bits of precision that the results need at least (-log2 of the largest error); left out, 9 bits below the largest result.
    #[arg(long, value_name = "BITS", value_parser = finite_number, allow_negative_numbers = true)]
    pub precision: Option<f64>,
    /// Force the number of samples that are interleaved in a ciphertext, a power of two.
    #[arg(long, value_name = "B", value_parser = positive)]
    pub interleave: Option<usize>,
}

impl GoalArgs {
    /// The goal for so many samples, if that is known.
    pub fn goal(&self, samples: Option<usize>) -> Goal {
        const GIB: f64 = (1u64 << 30) as f64;
        Goal {
            objective: self.objective.into(),
            samples,
            interleave: self.interleave,
            precision_bits: self.precision,
            memory_bytes: self.memory.map(|gib| (gib * GIB) as u64),
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

/// Flags of `run`.
#[derive(Debug, clap::Args)]
pub struct RunArgs {
    /// The model, an ONNX file.
    pub model: PathBuf,
    /// The samples: IDX (plain or .gz; bytes are divided by 255), .npy, .npz or text (floats as they are), [n, ...].
    #[arg(long, value_name = "FILE")]
    pub data: PathBuf,
    /// The class of each sample: IDX, .npy or text, [n].
    #[arg(long, value_name = "FILE")]
    pub labels: Option<PathBuf>,
    /// Samples like the data, from which ranges are taken; the data themselves if left out.
    #[arg(long, value_name = "FILE")]
    pub calibration: Option<PathBuf>,
    /// Score this many samples: the first ones, or the set over again if it has fewer.
    #[arg(long, value_name = "N", value_parser = positive)]
    pub samples: Option<usize>,
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

fn threads(text: &str) -> Result<usize, String> {
    const MOST: usize = 1024;
    match positive(text)? {
        threads if threads > MOST => Err(format!("more than {MOST} threads help nobody")),
        threads => Ok(threads),
    }
}
