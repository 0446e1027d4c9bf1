//! What can go wrong between host and agent.

use trt_wire::frame::FrameError;
use trt_wire::message::PROTOCOL;
use trt_wire::{BlobId, Failure, Retry};

use crate::interrupt::Interrupted;
use crate::transport::TransportError;

/// A device did not do what was asked of it.
#[derive(Debug, thiserror::Error)]
pub enum DeviceError {
    /// The device cannot be reached.
    #[error(transparent)]
    Transport(TransportError),
    /// The device is reached, and no agent answers there.
    #[error("{peer}: no agent answers{}", words(stderr))]
    NoAgent {
        /// The device.
        peer: String,
        /// What the device said instead.
        stderr: String,
        /// How the conversation ended.
        source: Box<FrameError>,
    },
    /// Host and agent speak different protocols.
    #[error(
        "{peer}: the agent ({version}) speaks protocol {protocol}, this program ({}) speaks {PROTOCOL}",
        env!("CARGO_PKG_VERSION")
    )]
    Protocol {
        /// The device.
        peer: String,
        /// The agent's version.
        version: String,
        /// Its protocol.
        protocol: u32,
    },
    /// The connection broke in the middle.
    #[error("{peer}: the connection to the agent broke")]
    Broken {
        /// The device.
        peer: String,
        /// Why.
        source: FrameError,
    },
    /// What arrives is no message of the protocol.
    #[error("{peer}: the agent's answer cannot be understood")]
    Damaged {
        /// The device.
        peer: String,
        /// What is wrong with it.
        source: FrameError,
    },
    /// The agent answered something that does not belong here.
    #[error("{peer}: the agent gave an answer that does not fit the question: {got}")]
    Confused {
        /// The device.
        peer: String,
        /// What it answered.
        got: String,
    },
    /// The agent says what went wrong.
    #[error("{peer}: {failure}")]
    Failed {
        /// The device.
        peer: String,
        /// The agent's words.
        failure: Failure,
    },
    /// The device asks for a blob that this push does not have.
    #[error("{peer}: the agent asks for a file that is no part of this push: {blob}")]
    ForeignBlob {
        /// The device.
        peer: String,
        /// What it asks for.
        blob: BlobId,
    },
    /// A file of the model cannot be read while it is sent.
    #[error("cannot read {} to send it", path.display())]
    Source {
        /// The file.
        path: std::path::PathBuf,
        /// The system's reason.
        source: std::io::Error,
    },
    /// Ctrl-C.
    #[error(transparent)]
    Interrupted(#[from] Interrupted),
}

impl From<TransportError> for DeviceError {
    /// Ctrl-C is the same, wherever it arrived.
    fn from(error: TransportError) -> Self {
        match error {
            TransportError::Interrupted => Self::Interrupted(Interrupted),
            other => Self::Transport(other),
        }
    }
}

fn words(stderr: &str) -> String {
    // `trt-agent` prints its error as we do, causes and hint on lines of their own; the hint here is ours.
    let lines = stderr.lines().map(str::trim).filter(|line| !line.is_empty() && !line.starts_with("hint:"));
    let plain = |line: &str| line.trim_start_matches("error: ").trim_start_matches("because: ").to_owned();
    let said: Vec<String> = lines.map(plain).collect();
    if said.is_empty() { String::new() } else { format!("; it says: {}", said.join(": ")) }
}

impl DeviceError {
    /// What the user can do about it.
    pub fn hint(&self) -> Option<String> {
        match self {
            Self::Transport(error) => error.hint(),
            Self::NoAgent { .. } => Some(
                "`trt-deploy agent install DEVICE` installs and starts one over SSH, `trt-agent daemon` starts one by \
                 hand; one that runs is found by `agent-socket` in the fleet file if its socket is elsewhere"
                .into(),
            ),
            Self::Protocol { protocol, .. } if *protocol < PROTOCOL => {
                Some("upgrade the agent: over SSH, `trt-deploy agent install DEVICE` does it".into())
            }
            Self::Protocol { .. } => Some(
                "upgrade trt-deploy on this machine, or install its agent: `trt-deploy agent install DEVICE`"
                    .into(),
            ),
            Self::Broken { .. } => {
                Some("run the same command again; what a push had sent is kept, and it goes on from there".into())
            }
            Self::Damaged { .. } | Self::Confused { .. } | Self::ForeignBlob { .. } => Some(
                "host and agent should be of one version: `trt-deploy agent install DEVICE` installs this one's".into(),
            ),
            Self::Failed { failure, .. } => failure.hint.clone(),
            Self::Source { path, .. } => Some(format!("check the permissions of {}", path.display())),
            Self::Interrupted(_) => None,
        }
    }

    /// The error in a word or two, for a table.
    pub fn in_a_word(&self) -> &'static str {
        use TransportError as T;
        match self {
            Self::Transport(T::AuthRejected { .. } | T::KeyFile { .. }) => "not let in",
            Self::Transport(
                T::HostKeyUnknown { .. }
                | T::HostKeyChanged { .. }
                | T::HostKeyRevoked { .. }
                | T::HostKeyCertificate { .. },
            ) => "host key",
            Self::NoAgent { .. } => "no agent",
            Self::Protocol { .. } => "other version",
            _ if self.is_unreachable() => "unreachable",
            _ => "failed",
        }
    }

    /// Whether trying again can help.
    pub fn retry(&self) -> Retry {
        match self {
            Self::Transport(error) => error.retry(),
            Self::Failed { failure, .. } => failure.retry,
            Self::Broken { .. } => Retry::Now,
            Self::NoAgent { .. } | Self::Protocol { .. } | Self::Source { .. } => Retry::AfterFix,
            Self::Damaged { .. }
            | Self::Confused { .. }
            | Self::ForeignBlob { .. }
            | Self::Interrupted(_) => Retry::Never,
        }
    }

    /// Whether the device itself could not be reached or used at all.
    pub fn is_unreachable(&self) -> bool {
        matches!(
            self,
            Self::Transport(_) | Self::NoAgent { .. } | Self::Protocol { .. } | Self::Broken { .. }
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_user_can_mend_has_a_hint() {
        let peer = || "ssh nvidia@jetson:22".to_owned();
        let errors = [
            DeviceError::NoAgent {
                peer: peer(),
                stderr: String::new(),
                source: Box::new(FrameError::Closed),
            },
            DeviceError::Protocol { peer: peer(), version: "0.0.9".into(), protocol: PROTOCOL - 1 },
            DeviceError::Protocol { peer: peer(), version: "9.0.0".into(), protocol: PROTOCOL + 1 },
            DeviceError::Broken { peer: peer(), source: FrameError::Closed },
            DeviceError::Damaged { peer: peer(), source: FrameError::Kind(b'H') },
            DeviceError::Confused { peer: peer(), got: "facts".into() },
            DeviceError::ForeignBlob { peer: peer(), blob: BlobId::of(b"") },
            DeviceError::Source { path: "m.onnx".into(), source: std::io::ErrorKind::NotFound.into() },
        ];
        for error in errors {
            assert!(error.hint().is_some_and(|hint| !hint.is_empty()), "{error}");
        }
    }
}
