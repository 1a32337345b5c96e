//! `slotwise`: neural networks on encrypted data, from the command line.

mod cli;

fn main() -> std::process::ExitCode {
    cli::main()
}
