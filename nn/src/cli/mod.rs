//! The command line: flags as typed (`args`), then as meant (`run`, `plan`, `bench`, and the commands of two parties in `deploy`).

mod args;
mod bench;
mod deploy;
mod plan;
mod progress;
mod run;

use std::process::ExitCode;

use clap::Parser;

use args::{Args, Command};

/// Exit code of every error, as of clap's own.
const FAILURE: u8 = 2;

/// Parses the command line and does what it says.
pub fn main() -> ExitCode {
    let outcome = match Args::parse().command {
        None => run::main_job(),
        Some(Command::Run(args)) => run::run(&args),
        Some(Command::Plan(args)) => plan::plan(&args),
        Some(Command::Bench(args)) => bench::bench(&args),
        Some(Command::Keygen(args)) => deploy::keygen(&args),
        Some(Command::Encrypt(args)) => deploy::encrypt(&args),
        Some(Command::Infer(args)) => deploy::infer(&args),
        Some(Command::Decrypt(args)) => deploy::decrypt(&args),
        Some(Command::Inspect(args)) => deploy::inspect(&args),
    };
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("slotwise: {}", message(&error));
            ExitCode::from(FAILURE)
        }
    }
}

/// An error and its causes, each where what stands before does not end with it.
fn message(error: &anyhow::Error) -> String {
    let causes = error.chain().skip(1).map(ToString::to_string);
    causes.fold(error.to_string(), |said, cause| if said.ends_with(&cause) { said } else { format!("{said}: {cause}") })
}
