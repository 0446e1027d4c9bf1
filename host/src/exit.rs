//! Exit codes, and how an error is shown.

use std::error::Error;
use std::process::ExitCode;

use crate::interrupt::Interrupted;

/// What the process says to a script. `--help` documents these numbers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
pub enum Exit {
    /// Something failed that has no number of its own.
    Failure = 1,
    /// The command line or the fleet file is wrong.
    Usage = 2,
    /// A model, a table or the images cannot be used.
    Input = 3,
    /// A device could not be reached, or refused us.
    Unreachable = 4,
    /// The device could not build or activate the engine.
    Device = 5,
    /// The command worked and found problems (`table check`, `fleet validate`).
    Findings = 6,
    /// Ctrl-C.
    Interrupted = 130,
}

impl From<Exit> for ExitCode {
    fn from(exit: Exit) -> Self {
        Self::from(exit as u8)
    }
}

/// Prints the error, its causes and its hint on stderr, and returns the exit code that fits.
pub fn report(error: &anyhow::Error) -> ExitCode {
    if error.chain().any(|cause| cause.is::<Interrupted>()) {
        eprintln!("interrupted");
        return Exit::Interrupted.into();
    }
    let mut lines: Vec<String> = Vec::new();
    for cause in error.chain().map(ToString::to_string) {
        // A message that already quotes its source is not repeated.
        if !lines.iter().any(|line| line.contains(&cause)) {
            lines.push(cause);
        }
    }
    for (depth, line) in lines.iter().enumerate() {
        eprintln!("{} {line}", if depth == 0 { "error:" } else { "  because:" });
    }
    let (hint, exit) = error.chain().find_map(classify).unwrap_or((None, Exit::Failure));
    if let Some(hint) = hint {
        eprintln!("  hint: {hint}");
    }
    exit.into()
}

/// The hint and the exit code of the errors we know.
fn classify(_cause: &(dyn Error + 'static)) -> Option<(Option<String>, Exit)> {
    None
}
