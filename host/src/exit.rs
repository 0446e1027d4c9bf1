//! Exit codes, and how an error is shown.

use std::error::Error;
use std::process::ExitCode;

use trt_evaluate::{EvaluateError, LabelError};

use crate::bundle::BundleError;
use crate::calibrate::CalibrateError;
use crate::device::DeviceError;
use crate::fleet::{FilesError, FleetError};
use crate::install::InstallError;
use crate::interrupt::Interrupted;
use crate::transport::TransportError;

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
    /// The command worked and found problems (`doctor`, `table check`, `fleet validate`, `agent status`).
    Findings = 6,
    /// Ctrl-C.
    Interrupted = 130,
}

impl From<Exit> for ExitCode {
    fn from(exit: Exit) -> Self {
        Self::from(exit as u8)
    }
}

/// Shows the error and returns the exit code that fits.
pub fn report(error: &anyhow::Error) -> ExitCode {
    show(error);
    exit_of(error).into()
}

/// Prints the error, its causes and its hint on stderr.
pub fn show(error: &anyhow::Error) {
    if is_interrupted(error) {
        return eprintln!("interrupted");
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
    if let Some(hint) = hint_of(error) {
        eprintln!("  hint: {hint}");
    }
}

/// What the user can do about an error.
pub fn hint_of(error: &anyhow::Error) -> Option<String> {
    error.chain().find_map(classify).and_then(|(hint, _)| hint)
}

/// The exit code that fits an error.
pub fn exit_of(error: &anyhow::Error) -> Exit {
    if is_interrupted(error) {
        return Exit::Interrupted;
    }
    error.chain().find_map(classify).map_or(Exit::Failure, |(_, exit)| exit)
}

/// Whether Ctrl-C is the reason.
pub fn is_interrupted(error: &anyhow::Error) -> bool {
    error.chain().any(|cause| {
        cause.is::<Interrupted>()
            || matches!(cause.downcast_ref(), Some(DeviceError::Interrupted(_)))
            || matches!(cause.downcast_ref(), Some(TransportError::Interrupted))
            || matches!(cause.downcast_ref(), Some(InstallError::Interrupted(_)))
            || matches!(cause.downcast_ref(), Some(CalibrateError::Interrupted(_)))
    })
}

/// The hint and the exit code of the errors we know.
fn classify(cause: &(dyn Error + 'static)) -> Option<(Option<String>, Exit)> {
    if let Some(error) = cause.downcast_ref::<FleetError>() {
        return Some((error.hint(), Exit::Usage));
    }
    if let Some(error) = cause.downcast_ref::<FilesError>() {
        return Some((error.hint(), Exit::Input));
    }
    if let Some(error) = cause.downcast_ref::<CalibrateError>() {
        return Some((error.hint(), Exit::Input));
    }
    if let Some(error) = cause.downcast_ref::<EvaluateError>() {
        return Some((error.hint(), Exit::Input));
    }
    if let Some(error) = cause.downcast_ref::<LabelError>() {
        return Some((error.hint(), Exit::Input));
    }
    if let Some(error) = cause.downcast_ref::<BundleError>() {
        return Some((error.hint(), Exit::Input));
    }
    if let Some(error) = cause.downcast_ref::<TransportError>() {
        return Some((error.hint(), Exit::Unreachable));
    }
    if let Some(error) = cause.downcast_ref::<DeviceError>() {
        let exit = if error.is_unreachable() { Exit::Unreachable } else { Exit::Device };
        return Some((error.hint(), exit));
    }
    if let Some(error) = cause.downcast_ref::<InstallError>() {
        return Some((error.hint(), error.exit()));
    }
    None
}
