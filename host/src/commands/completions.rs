//! `trt-deploy completions SHELL`.

use std::process::ExitCode;

use clap::CommandFactory;
use clap_complete::Shell;

use super::Context;
use crate::cli::Cli;

/// Arguments of `completions`.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// The shell to complete for
    shell: Shell,
}

/// Writes the script to stdout.
pub fn run(args: &Args, _context: &Context) -> anyhow::Result<ExitCode> {
    clap_complete::generate(args.shell, &mut Cli::command(), "trt-deploy", &mut std::io::stdout());
    Ok(ExitCode::SUCCESS)
}
