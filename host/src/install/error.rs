//! Why an agent could not be installed, looked at or removed.

use std::path::PathBuf;

use crate::exit::Exit;
use crate::interrupt::Interrupted;
use crate::transport::TransportError;

/// Why an agent could not be installed, looked at or removed.
#[derive(Debug, thiserror::Error)]
pub enum InstallError {
    /// The device cannot be reached, or the connection broke.
    #[error(transparent)]
    Transport(TransportError),
    /// The device is a socket of this machine; there is no way to install anything through it.
    #[error("`{device}` is a socket on this machine, and agents are installed over SSH")]
    NotOverSsh {
        /// Its name in the fleet file.
        device: String,
    },
    /// The agent's program for this processor is nowhere.
    #[error("found no trt-agent for {arch}; looked for: {}", join(tried))]
    BinaryMissing {
        /// The device's processor.
        arch: String,
        /// Where it was looked for.
        tried: Vec<PathBuf>,
    },
    /// A local file cannot be read.
    #[error("cannot read `{}`", path.display())]
    Local {
        /// The file.
        path: PathBuf,
        /// The system's reason.
        source: std::io::Error,
    },
    /// The program is for another processor, or no program at all.
    #[error("the device needs a Linux program for {wants}, but `{}` is {is}", path.display())]
    WrongBinary {
        /// The file.
        path: PathBuf,
        /// What it is.
        is: String,
        /// The device's processor.
        wants: String,
    },
    /// The device's answer to the survey makes no sense.
    #[error("the device does not say its {missing}; it says: {said}")]
    Survey {
        /// What is missing.
        missing: &'static str,
        /// What it said.
        said: String,
    },
    /// The system's service needs root.
    #[error("user `{user}` on the device is not root, and `sudo` {}", if *has_sudo { "asks for a password" } else { "is not there" })]
    NoRoot {
        /// The user on the device.
        user: String,
        /// Whether there is a `sudo` that could be asked.
        has_sudo: bool,
    },
    /// `--ask-sudo`, and nobody at a terminal.
    #[error("there is no terminal to ask for the password of `sudo`")]
    NobodyToAsk,
    /// `sudo` does not accept the password, or the user.
    #[error("`sudo` on the device refuses user `{user}`: {words}")]
    SudoRefused {
        /// The user on the device.
        user: String,
        /// What sudo says.
        words: String,
    },
    /// There is no systemd.
    #[error("the device is not run by systemd")]
    NoSystemd,
    /// The user has no systemd of their own in this session.
    #[error("user `{user}` has no service manager of their own on the device")]
    NoUserSystemd {
        /// The user on the device.
        user: String,
    },
    /// A step failed on the device.
    #[error("cannot {step}: {words}")]
    Step {
        /// What was to be done.
        step: String,
        /// What the device says.
        words: String,
    },
    /// Ctrl-C.
    #[error(transparent)]
    Interrupted(#[from] Interrupted),
}

impl From<TransportError> for InstallError {
    /// Ctrl-C is the same, wherever it arrived.
    fn from(error: TransportError) -> Self {
        match error {
            TransportError::Interrupted => Self::Interrupted(Interrupted),
            other => Self::Transport(other),
        }
    }
}

impl InstallError {
    /// What the user can do about it.
    pub fn hint(&self) -> Option<String> {
        Some(match self {
            Self::Transport(error) => return error.hint(),
            Self::NotOverSsh { .. } => {
                "start it by hand: `trt-agent daemon`; `host` instead of `socket` in the fleet file \
                                        means SSH"
                    .into()
            }
            Self::BinaryMissing { arch, .. } => format!(
                "in a checkout, `scripts/build-agent --arch {arch}` builds it; or name the file with `--binary`"
            ),
            Self::Local { path, .. } => format!("check that `{}` exists and its permissions", path.display()),
            Self::WrongBinary { wants, .. } => {
                format!(
                    "`scripts/build-agent --arch {wants}` builds the right one; or name another file with `--binary`"
                )
            }
            Self::Survey { .. } => {
                "the login on the device must give a POSIX shell without greeting programs that fail; \
                                    `ssh DEVICE sh -c true` shows it"
                    .into()
            }
            Self::NoRoot { has_sudo: true, .. } => {
                "`--ask-sudo` asks you for the password; `--user` and `--no-service` need no root".into()
            }
            Self::NoRoot { has_sudo: false, .. } => "`--user` and `--no-service` need no root".into(),
            Self::NobodyToAsk => "run it in a terminal, or allow `sudo -n` on the device".into(),
            Self::SudoRefused { user, .. } => {
                format!(
                    "check the password, and that `{user}` may use sudo; `--user` and `--no-service` need no root"
                )
            }
            Self::NoSystemd => "`--no-service` starts the agent without a service manager".into(),
            Self::NoUserSystemd { user } => format!(
                "`loginctl enable-linger {user}` on the device starts one at boot; `--no-service` needs none"
            ),
            Self::Step { .. } | Self::Interrupted(_) => return None,
        })
    }

    /// The exit code that fits.
    pub fn exit(&self) -> Exit {
        match self {
            Self::Transport(_) => Exit::Unreachable,
            Self::NotOverSsh { .. }
            | Self::BinaryMissing { .. }
            | Self::Local { .. }
            | Self::WrongBinary { .. } => Exit::Usage,
            _ => Exit::Device,
        }
    }
}

fn join(paths: &[PathBuf]) -> String {
    paths.iter().map(|path| format!("`{}`", path.display())).collect::<Vec<_>>().join(", ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_user_can_mend_has_a_hint() {
        let io = || std::io::ErrorKind::NotFound.into();
        let errors = [
            InstallError::NotOverSsh { device: "here".into() },
            InstallError::BinaryMissing { arch: "aarch64".into(), tried: vec!["a".into(), "b".into()] },
            InstallError::Local { path: "agent.yaml".into(), source: io() },
            InstallError::WrongBinary { path: "a".into(), is: "for x86_64".into(), wants: "aarch64".into() },
            InstallError::Survey { missing: "home folder", said: "motd".into() },
            InstallError::NoRoot { user: "nvidia".into(), has_sudo: true },
            InstallError::NoRoot { user: "nvidia".into(), has_sudo: false },
            InstallError::NobodyToAsk,
            InstallError::SudoRefused { user: "nvidia".into(), words: "no".into() },
            InstallError::NoSystemd,
            InstallError::NoUserSystemd { user: "nvidia".into() },
        ];
        for error in errors {
            assert!(error.hint().is_some_and(|hint| hint.contains('`')), "{error}");
        }
    }
}
