//! Every way in which a worker can go wrong, on demand.

use std::io::{self, Write};
use std::time::Duration;

use clap::{Args, ValueEnum};
use rustix::process::{Signal, getpid, kill_process};

/// What the worker is doing.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Stage {
    /// It looks for TensorRT and the GPU.
    Probe,
    /// It is in the middle of a build.
    Build,
    /// It is about to run an engine.
    Run,
}

/// What goes wrong, if anything does.
#[derive(Debug, Clone, Args)]
#[command(next_help_heading = "Misbehaviour")]
pub struct Misbehaviour {
    /// In which job it goes wrong
    #[arg(long, value_enum, default_value = "build")]
    at: Stage,
    /// Take so long in addition
    #[arg(long, value_name = "SECONDS")]
    slow: Option<f64>,
    /// Crash with SIGSEGV
    #[arg(long)]
    crash: bool,
    /// End with SIGKILL, as when memory runs out
    #[arg(long)]
    killed: bool,
    /// Never end
    #[arg(long)]
    hang: bool,
    /// Write something on stdout that is no event
    #[arg(long)]
    garbage: bool,
    /// Outputs of engines that are run are wrong
    #[arg(long)]
    pub wrong_numbers: bool,
    /// Build without looking at the calibration table, as TensorRT does if it rejects one
    #[arg(long)]
    pub ignore_table: bool,
}

impl Misbehaviour {
    /// Goes wrong, if it is the time. Does not return from what ends the process.
    pub fn act(&self, stage: Stage) {
        if self.at != stage {
            return;
        }
        if let Some(seconds) = self.slow {
            std::thread::sleep(Duration::try_from_secs_f64(seconds).unwrap_or_default());
        }
        if self.garbage {
            let _ = io::stdout().lock().write_all(b"SIMULATED: malloc(): corrupted top size\n");
        }
        if self.killed {
            let _ = kill_process(getpid(), Signal::KILL);
        }
        if self.crash {
            eprintln!("SIMULATED: about to crash");
            // The runtime catches the first one, finds no stack overflow, and lets the next one through.
            loop {
                let _ = kill_process(getpid(), Signal::SEGV);
            }
        }
        if self.hang {
            loop {
                std::thread::sleep(Duration::from_secs(60));
            }
        }
    }
}
