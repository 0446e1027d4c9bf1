//! `trt-agent`: the daemon on the device.
//!
//! It stores models and calibration tables by content, builds engines in a worker process with the TensorRT it finds,
//! and switches `models/<name>/current` when an engine is complete. It listens on a Unix socket only; SSH is the way
//! in (`trt-agent connect`). The words it exchanges are `trt-wire`'s, the decisions are `trt-plan`'s.

mod config;
mod connect;
mod daemon;
mod deploy;
mod doctor;
mod facts;
mod store;
mod supervise;
mod worker;

use std::io::{ErrorKind, Write};
use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::Arc;

use clap::{Parser, Subcommand};
use trt_wire::{Failure, Finding, Health, RuntimeName};

use config::Config;

/// Builds and activates TensorRT engines on this device.
#[derive(Debug, Parser)]
#[command(name = "trt-agent", version)]
struct Cli {
    /// The agent's configuration [default: /etc/trt-agent/config.yaml, else ~/.config/trt-agent/config.yaml]
    #[arg(long, global = true, value_name = "FILE")]
    config: Option<PathBuf>,
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Serve deployments on a Unix socket until SIGTERM
    Daemon,
    /// Join stdin and stdout to the daemon's socket; what `trt-deploy` runs over SSH
    Connect {
        /// The socket, instead of the configuration's
        #[arg(long, value_name = "PATH")]
        socket: Option<PathBuf>,
    },
    /// Print what the agent knows about this device, as JSON
    Facts {
        /// A place to build in out of the configuration's `runtimes`, instead of the default one
        #[arg(long, value_name = "NAME")]
        runtime: Option<RuntimeName>,
    },
    /// Print what is good and bad about this device, and fail if there is a problem
    Doctor,
    /// Do one job given on stdin; the daemon runs this
    #[command(hide = true)]
    Worker,
}

fn main() -> ExitCode {
    let cli = Cli::parse();
    let result = match cli.command {
        Command::Worker => return worker::main(),
        Command::Daemon => Config::load(cli.config.as_deref()).map_err(Into::into).and_then(daemon::run),
        Command::Facts { runtime } => Config::load(cli.config.as_deref())
            .map_err(Into::into)
            .and_then(|config| print_facts(config, runtime.as_ref())),
        Command::Doctor => Config::load(cli.config.as_deref()).map_err(Into::into).and_then(print_findings),
        Command::Connect { socket } => socket
            .map_or_else(|| Config::load(cli.config.as_deref()).map(|config| config.socket), Ok)
            .map_err(Into::into)
            .and_then(|socket| connect::run(&socket).map_err(Into::into)),
    };
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => report(error.as_ref()),
    }
}

fn print_facts(config: Config, runtime: Option<&RuntimeName>) -> Result<(), Box<dyn std::error::Error>> {
    let facts = facts::Gatherer::new(config.into()).gather(runtime)?;
    say(&format!("{}\n", serde_json::to_string_pretty(&facts)?))
}

fn print_findings(config: Config) -> Result<(), Box<dyn std::error::Error>> {
    let gatherer = facts::Gatherer::new(Arc::new(config.clone()));
    let (findings, _) = doctor::examine(&config, &gatherer)?;
    let mut text = String::new();
    for Finding { check, health, message, hint } in &findings {
        let health = match health {
            Health::Good => "good",
            Health::Advice => "advice",
            Health::Problem => "PROBLEM",
        };
        text += &format!("{health:8} {check:16} {message}\n");
        if let Some(hint) = hint {
            text += &format!("{:25} hint: {hint}\n", "");
        }
    }
    say(&text)?;
    match findings.iter().filter(|finding| finding.health == Health::Problem).count() {
        0 => Ok(()),
        1 => Err("there is a problem".into()),
        problems => Err(format!("there are {problems} problems").into()),
    }
}

/// Writes to stdout. A reader that has seen enough, such as `head`, is no failure.
fn say(text: &str) -> Result<(), Box<dyn std::error::Error>> {
    match std::io::stdout().lock().write_all(text.as_bytes()) {
        Err(error) if error.kind() == ErrorKind::BrokenPipe => Ok(()),
        result => Ok(result?),
    }
}

fn report(error: &(dyn std::error::Error + 'static)) -> ExitCode {
    eprintln!("error: {error}");
    let mut cause = error.source();
    while let Some(error) = cause {
        eprintln!("  because: {error}");
        cause = error.source();
    }
    let hint = error
        .downcast_ref::<config::ConfigError>()
        .and_then(config::ConfigError::hint)
        .or_else(|| error.downcast_ref::<daemon::DaemonError>().and_then(daemon::DaemonError::hint))
        .or_else(|| error.downcast_ref::<connect::ConnectError>().and_then(connect::ConnectError::hint))
        .or_else(|| error.downcast_ref::<Failure>().and_then(|failure| failure.hint.clone()));
    if let Some(hint) = hint {
        eprintln!("  hint: {hint}");
    }
    ExitCode::FAILURE
}
