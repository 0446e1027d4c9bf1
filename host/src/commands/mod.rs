//! One file per verb: parse, plan, confirm, act, summarise.

pub mod agent;
pub mod calibrate;
pub mod completions;
pub mod doctor;
pub mod evaluate;
pub mod fleet;
pub mod init;
pub mod probe;
pub mod push;
pub mod report;
pub mod rollback;
pub mod status;
pub mod table;
mod targets;

use std::path::PathBuf;
use std::process::ExitCode;

use clap::Subcommand;
use serde::Serialize;
use trt_wire::Retry;

use crate::cli::Global;
use crate::device::DeviceError;
use crate::exit::{self, Exit};
use crate::fleet::Device;
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
    /// Write a small fleet file to start with
    Init(init::Args),
    /// Check the fleet file
    Fleet(fleet::Args),
    /// Make calibration tables from images
    Calibrate(Box<calibrate::Args>),
    /// Hold INT8 against FP32: figures, what loses most, and what to keep in higher precision
    Evaluate(evaluate::Args),
    /// Write a report of a model's calibration as one HTML file
    Report(report::Args),
    /// Calibrate what is stale, then build and activate engines on devices
    Push(push::Args),
    /// Show what is active on devices; on all if none is named
    Status(status::Args),
    /// Activate an earlier release
    Rollback(rollback::Args),
    /// Show what is known about devices; about all if none is named
    Probe(probe::Args),
    /// Examine devices, and say what to do about what is found; all devices if none is named
    Doctor(doctor::Args),
    /// Install, look at and remove the agent on devices
    Agent(agent::Args),
    /// Show, check, compare and make calibration tables
    Table(table::Args),
    /// Print a shell completion script
    Completions(completions::Args),
}

/// Runs a verb.
pub fn run(command: Command, context: &Context) -> anyhow::Result<ExitCode> {
    match command {
        Command::Init(args) => init::run(&args, context),
        Command::Fleet(args) => fleet::run(&args, context),
        Command::Calibrate(args) => calibrate::run(&args, context),
        Command::Evaluate(args) => evaluate::run(&args, context),
        Command::Report(args) => report::run(&args, context),
        Command::Push(args) => push::run(&args, context),
        Command::Status(args) => status::run(&args, context),
        Command::Rollback(args) => rollback::run(&args, context),
        Command::Probe(args) => probe::run(&args, context),
        Command::Doctor(args) => doctor::run(&args, context),
        Command::Agent(args) => agent::run(&args, context),
        Command::Table(args) => table::run(&args, context),
        Command::Completions(args) => completions::run(&args, context),
    }
}

/// What went wrong on a device, for programs.
#[derive(Debug, Serialize)]
pub struct Problem {
    /// The error and its causes.
    pub message: String,
    /// What mends it.
    pub hint: Option<String>,
    /// Whether trying again can help.
    pub retry: Retry,
}

impl Problem {
    pub fn of(error: &anyhow::Error) -> Self {
        let retry = error.downcast_ref().map_or(Retry::AfterFix, DeviceError::retry);
        Self { message: format!("{error:#}"), hint: exit::hint_of(error), retry }
    }
}

/// Does `act` on one device after the other. What fails is shown at once and keeps no other device from its turn; Ctrl-C
/// does. What `act` has collected by then is complete, so that the verb can still show it.
///
/// The exit code is 130 after Ctrl-C, otherwise that of the worst failure: the highest.
fn on_each<'a>(
    devices: Vec<&'a Device>,
    context: &Context,
    mut act: impl FnMut(&'a Device) -> anyhow::Result<()>,
) -> ExitCode {
    on_each_telling(devices, context, |device| act(device).err().and_then(|error| tell(device, error)))
}

/// As [`on_each`], for an `act` that tells its failures itself and gives the exit code of the worst.
fn on_each_telling<'a>(
    devices: Vec<&'a Device>,
    context: &Context,
    mut act: impl FnMut(&'a Device) -> Option<Exit>,
) -> ExitCode {
    let mut failed = None;
    let mut devices = devices.into_iter();
    while !context.interrupt.is_raised() {
        let Some(device) = devices.next() else { return failed.map_or(ExitCode::SUCCESS, Exit::into) };
        failed = worse(failed, act(device));
    }
    let rest: Vec<&str> = devices.map(|device| device.name.as_str()).collect();
    context.ui.say(match rest[..] {
        [] => "interrupted".to_owned(),
        _ => format!("interrupted; not begun: {}", rest.join(", ")),
    });
    Exit::Interrupted.into()
}

/// Shows what failed on a device, and gives the exit code for it. Ctrl-C is no failure, and is told when all ends.
fn tell(device: &Device, error: anyhow::Error) -> Option<Exit> {
    if exit::is_interrupted(&error) {
        return None;
    }
    let error = error.context(format!("{} failed", device.name));
    exit::show(&error);
    Some(exit::exit_of(&error))
}

/// The worse of two outcomes: the higher exit code.
fn worse(one: Option<Exit>, other: Option<Exit>) -> Option<Exit> {
    one.into_iter().chain(other).max_by_key(|exit| *exit as u8)
}
