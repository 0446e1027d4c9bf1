//! Ways to a device: programs run there, their streams joined to this process.
//!
//! What it is: the seam [`Transport`], with SSH ([`SshTransport`]) and a Unix socket ([`LocalSocket`]) behind it, and the few things the host does with them: the agent's protocol stream
//! ([`Transport::open`]), a short command ([`run`]) and a file ([`upload`]).
//! What it is not: it knows nothing of frames, agents or engines, and it never prints; secrets are asked for
//! through [`Prompt`]. Of this crate it knows only [`Interrupt`].
mod command;
mod error;
mod guard;
mod local;
mod shell;
mod ssh;
mod tail;

use std::io::{Read, Write};
use std::sync::Arc;

use crate::interrupt::Interrupt;

pub use command::run;
pub use error::{Attempt, AuthOutcome, KeyProblem, RecordedKey, SshError, TransportError};
pub use local::LocalSocket;
#[cfg(test)]
pub use local::ProcessTransport;
pub use shell::{RemoteCommand, quote};
pub use ssh::{Prompt, Secret, SshOptions, SshTransport};

/// A way to one device on which programs can be run.
pub trait Transport: Send {
    /// Runs a program on the device and joins its stdin and stdout to a duplex stream.
    ///
    /// Success means that the device accepted the request; a program that does not exist shows as the end of the
    /// stream and [`Exit::Code`] 127. Several channels may be open at once; all end when the transport is dropped.
    fn open(&mut self, command: &RemoteCommand) -> Result<Channel, TransportError>;

    /// The device in words, as in "ssh nvidia@10.0.0.7:22" or "socket /run/trt-agent.sock".
    fn describe(&self) -> String;
}

/// The three handles of one running program; each can go to a thread of its own.
///
/// Errors of the halves are [`std::io::Error`]s around a [`TransportError`] ([`TransportError::from_io`] takes it
/// out again). They never have the kind `Interrupted`, which the standard library would retry. Dropping all three
/// handles closes the channel.
pub struct Channel {
    /// The program's stdout. Once it is dropped nobody listens: what still comes is lost.
    pub reader: Box<dyn Read + Send>,
    /// The program's stdin. Dropping it ends the program's input; `flush` returns when all has left this process.
    pub writer: Box<dyn Write + Send>,
    /// The program itself.
    pub control: Arc<dyn Control>,
}

/// The program at the other end of a [`Channel`].
pub trait Control: Send + Sync {
    /// Closes the channel at once, from any thread: both halves fail with [`TransportError::ChannelClosed`].
    fn kill(&self);

    /// Waits until the program has ended; its output must be read meanwhile, or the reader dropped.
    ///
    /// A socket has no program: [`Exit::Closed`] at once.
    fn wait(&self) -> Result<Exit, TransportError>;

    /// What the program wrote to stderr so far: the last 64 KiB.
    fn stderr(&self) -> String;
}

/// How a program ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Exit {
    /// It returned this status.
    Code(i32),
    /// It died of this signal: its name without the `SIG`, or its number.
    Signal(String),
    /// The stream ended; there is no status, since it was a socket.
    Closed,
}

impl std::fmt::Display for Exit {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Code(code) => write!(f, "exit status {code}"),
            Self::Signal(signal) => write!(f, "signal {signal}"),
            Self::Closed => f.write_str("end of stream"),
        }
    }
}
