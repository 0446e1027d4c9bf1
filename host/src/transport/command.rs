//! Short commands over any [`Transport`].
use std::io::Read;

use super::{Channel, Exit, RemoteCommand, Transport, TransportError};

/// The most that [`run`] keeps of a command's stdout.
const OUTPUT_LIMIT: usize = 1 << 20;

/// What a command said and how it ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Output {
    /// Everything on stdout, at most 1 MiB.
    pub stdout: Vec<u8>,
    /// The last 64 KiB of stderr.
    pub stderr: String,
    /// How it ended.
    pub exit: Exit,
}

/// Runs a command without input and collects what it says. Any exit status is a success here.
pub fn run(transport: &mut dyn Transport, command: &RemoteCommand) -> Result<Output, TransportError> {
    let peer = transport.describe();
    let Channel { reader, writer, control } = transport.open(command)?;
    drop(writer);
    let mut stdout = Vec::new();
    let limit = OUTPUT_LIMIT as u64 + 1;
    reader.take(limit).read_to_end(&mut stdout).map_err(|e| TransportError::from_io(e, &peer))?;
    if stdout.len() > OUTPUT_LIMIT {
        control.kill();
        return Err(TransportError::OutputTooLong {
            peer,
            command: command.line().to_owned(),
            limit: OUTPUT_LIMIT,
        });
    }
    let exit = control.wait()?;
    Ok(Output { stdout, stderr: control.stderr(), exit })
}
