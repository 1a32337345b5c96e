//! Flags as typed.

use std::path::PathBuf;

use clap::{Parser, Subcommand, ValueEnum};

use nn::plan::Objective;

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
    /// What the plan is chosen for.
    #[arg(long, value_enum, default_value = "throughput")]
    pub objective: ObjectiveArg,
    /// Force the number of samples that are interleaved in a ciphertext, a power of two.
    #[arg(long, value_name = "B", value_parser = positive)]
    pub interleave: Option<usize>,
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
#[derive(Debug, Clone, Copy, ValueEnum)]
pub enum ObjectiveArg {
    /// Most samples a second.
    Throughput,
    /// Least seconds for one.
    Latency,
}

impl From<ObjectiveArg> for Objective {
    fn from(objective: ObjectiveArg) -> Self {
        match objective {
            ObjectiveArg::Throughput => Self::Throughput,
            ObjectiveArg::Latency => Self::Latency,
        }
    }
}

fn positive(text: &str) -> Result<usize, String> {
    match text.parse() {
        Ok(0) | Err(_) => Err("it must be a whole number from 1".into()),
        Ok(number) => Ok(number),
    }
}

fn threads(text: &str) -> Result<usize, String> {
    const MOST: usize = 1024;
    match positive(text)? {
        threads if threads > MOST => Err(format!("more than {MOST} threads help nobody")),
        threads => Ok(threads),
    }
}
