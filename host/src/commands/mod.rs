//! One file per verb: parse, plan, confirm, act, summarise.

pub mod agent;
pub mod calibrate;
pub mod completions;
pub mod fleet;
pub mod init;
pub mod probe;
pub mod push;
pub mod rollback;
pub mod status;
pub mod table;

use std::path::PathBuf;
use std::process::ExitCode;

use clap::Subcommand;

use crate::cli::Global;
use crate::device::{Access, Agent, DeviceError, reach};
use crate::exit::{self, Exit};
use crate::fleet::{Address, Device, Fleet, FleetError, Selector};
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
    Calibrate(calibrate::Args),
    /// Calibrate what is stale, then build and activate engines on devices
    Push(push::Args),
    /// Show what is active on devices
    Status(status::Args),
    /// Activate an earlier release
    Rollback(rollback::Args),
    /// Show what is known about devices
    Probe(probe::Args),
    /// Install, look at and remove the agent on devices
    Agent(agent::Args),
    /// Show, check and compare calibration tables
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
        Command::Push(args) => push::run(&args, context),
        Command::Status(args) => status::run(&args, context),
        Command::Rollback(args) => rollback::run(&args, context),
        Command::Probe(args) => probe::run(&args, context),
        Command::Agent(args) => agent::run(&args, context),
        Command::Table(args) => table::run(&args, context),
        Command::Completions(args) => completions::run(&args, context),
    }
}

/// Reaches a device and greets its agent.
fn connect(device: &Device, access: Access, context: &Context) -> Result<Agent, DeviceError> {
    let socket = match &device.address {
        Address::Ssh(address) => address.agent_socket.as_deref(),
        Address::Local(_) => None,
    };
    Agent::greet(reach(device, access, context)?, socket, &context.interrupt)
}

/// The devices named, or all of the fleet if none is.
fn select_or_all<'a>(
    fleet: &'a Fleet,
    targets: &[String],
    selectors: &[Selector],
) -> Result<Vec<&'a Device>, FleetError> {
    if targets.is_empty() && selectors.is_empty() {
        return Ok(fleet.devices.values().collect());
    }
    fleet.select(targets, selectors)
}

/// Shows what failed on which device. Ctrl-C ends everything; otherwise the first failure gives the exit code.
fn failed_devices(errors: Vec<(&str, anyhow::Error)>) -> anyhow::Result<ExitCode> {
    let mut code = None;
    for (device, error) in errors {
        let error = error.context(format!("{device} failed"));
        code.get_or_insert(exit::exit_of(&error));
        exit::show(&error);
    }
    Ok(code.map_or(ExitCode::SUCCESS, Exit::into))
}
