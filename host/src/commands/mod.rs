//! One file per verb: parse, plan, confirm, act, summarise.

pub mod completions;

use std::path::PathBuf;
use std::process::ExitCode;

use clap::Subcommand;

use crate::cli::Global;
use crate::interrupt::Interrupt;
use crate::ui::Ui;

/// What every verb gets.
#[derive(Debug)]
pub struct Context {
    /// The fleet file.
    pub config: PathBuf,
    /// The terminal.
    pub ui: Ui,
    /// Ctrl-C.
    pub interrupt: Interrupt,
}

impl Context {
    /// From the global options; installs the signal handlers.
    pub fn new(global: &Global) -> anyhow::Result<Self> {
        Ok(Self {
            config: global.config.clone(),
            ui: Ui::new(global.json, global.verbose, global.no_progress),
            interrupt: Interrupt::from_signals()?,
        })
    }
}

/// The verbs.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Print a shell completion script
    Completions(completions::Args),
}

/// Runs a verb.
pub fn run(command: Command, context: &Context) -> anyhow::Result<ExitCode> {
    match command {
        Command::Completions(args) => completions::run(&args, context),
    }
}
