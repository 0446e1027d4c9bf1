//! What goes wrong between host and device, with what mends it.
use std::fmt;
use std::io;
use std::path::PathBuf;
use std::time::Duration;

use trt_wire::Retry;

/// An error of libssh2.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{message} (libssh2 error {code})")]
pub struct SshError {
    /// One of libssh2's `LIBSSH2_ERROR_*` constants.
    pub code: i32,
    /// libssh2's words.
    pub message: String,
}

impl From<ssh2::Error> for SshError {
    fn from(error: ssh2::Error) -> Self {
        let (ssh2::ErrorCode::Session(code) | ssh2::ErrorCode::SFTP(code)) = error.code();
        Self { code, message: error.message().to_owned() }
    }
}

/// A host key as a known_hosts file records it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RecordedKey {
    /// The file.
    pub file: PathBuf,
    /// The line in it, from 1.
    pub line: usize,
    /// The key's type, as in "ssh-ed25519".
    pub kind: String,
    /// The fingerprint as OpenSSH shows it.
    pub fingerprint: String,
}

impl fmt::Display for RecordedKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{} records {} {}", self.file.display(), self.line, self.kind, self.fingerprint)
    }
}

/// Why a private key file cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum KeyProblem {
    /// There is no such file.
    #[error("file does not exist")]
    Missing,
    /// The file cannot be read.
    #[error("cannot be read: {0}")]
    Unreadable(#[source] io::Error),
    /// The file is something else.
    #[error("not a usable private key: {0}")]
    Format(String),
    /// It is encrypted, and nobody can be asked, or wants to answer.
    #[error("encrypted, and nobody gave the passphrase")]
    NeedsPassphrase,
    /// None of the passphrases given opens it.
    #[error("wrong passphrase")]
    WrongPassphrase,
}

/// What came of one attempt to prove who the user is.
#[derive(Debug, thiserror::Error)]
pub enum AuthOutcome {
    /// The server does not want it.
    #[error("rejected by the server")]
    Rejected,
    /// The key file could not be used.
    #[error("{0}")]
    Key(KeyProblem),
    /// The SSH agent (the process that holds keys, `SSH_AUTH_SOCK`) cannot be talked to.
    #[error("not reachable: {0}")]
    AgentUnreachable(String),
    /// The SSH agent holds no key.
    #[error("holds no keys")]
    AgentEmpty,
    /// The user was asked and gave nothing, or there is nobody to ask.
    #[error("nobody gave one")]
    NotGiven,
}

/// One attempt to prove who the user is.
#[derive(Debug)]
pub struct Attempt {
    /// What was tried, as in "key file `/home/me/.ssh/id_rsa`".
    pub what: String,
    /// What came of it.
    pub outcome: AuthOutcome,
}

impl fmt::Display for Attempt {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.what, self.outcome)
    }
}

/// Why a device could not be reached, or a program not be run there.
#[derive(Debug, thiserror::Error)]
pub enum TransportError {
    /// The name has no address.
    #[error("cannot resolve host name `{host}`")]
    NameUnresolved { host: String, source: io::Error },
    /// Nothing listens on the port.
    #[error("connection refused by `{host}` on port {port}")]
    Refused { host: String, port: u16, source: io::Error },
    /// The network knows no way there.
    #[error("no route to `{host}` port {port}")]
    NoRoute { host: String, port: u16, source: io::Error },
    /// TCP failed otherwise.
    #[error("cannot connect to `{host}` port {port}")]
    Dial { host: String, port: u16, source: io::Error },
    /// Something took longer than allowed.
    #[error("{peer}: {stage} took longer than {} s", limit.as_secs_f32())]
    TimedOut { peer: String, stage: String, limit: Duration },
    /// The user stopped it.
    #[error("interrupted")]
    Interrupted,
    /// The other side hung up, or does not speak SSH.
    #[error("{peer}: connection closed during the SSH handshake")]
    ClosedInHandshake { peer: String, source: SshError },
    /// Host and server have no cipher, key exchange or key type in common.
    #[error("{peer}: the SSH handshake failed")]
    NoCommonAlgorithm { peer: String, source: SshError },
    /// No known_hosts file names this host.
    #[error("{host}: unknown host key, {kind} {fingerprint}")]
    HostKeyUnknown { host: String, kind: String, fingerprint: String, file: PathBuf },
    /// The host shows another key than the recorded one.
    #[error("{host}: the host key has CHANGED: it is {kind} {fingerprint}, but {recorded}")]
    HostKeyChanged { host: String, kind: String, fingerprint: String, recorded: Box<RecordedKey> },
    /// The key is marked `@revoked`.
    #[error("{host}: the host key {fingerprint} is revoked by {}:{line}", file.display())]
    HostKeyRevoked { host: String, fingerprint: String, file: PathBuf, line: usize },
    /// Only a certificate authority vouches for this host.
    #[error("{host}: {}:{line} trusts a certificate authority, and host certificates are not supported", file.display())]
    HostKeyCertificate { host: String, kind: String, fingerprint: String, file: PathBuf, line: usize },
    /// A known_hosts file cannot be read or written.
    #[error("cannot use known hosts file `{}`", file.display())]
    KnownHosts { file: PathBuf, source: io::Error },
    /// The key file that the user named cannot be used.
    #[error("key file `{}`", file.display())]
    KeyFile { file: PathBuf, source: KeyProblem },
    /// The server accepts none of what was tried.
    #[error(
        "{peer} lets nobody in as `{user}`; tried {}; the server accepts: {}",
        if attempts.is_empty() { "nothing".to_owned() } else { join(attempts, "; ") },
        accepted.join(", ")
    )]
    AuthRejected { peer: String, user: String, attempts: Vec<Attempt>, accepted: Vec<String> },
    /// The connection broke.
    #[error("{peer}: connection lost")]
    Lost { peer: String, source: SshError },
    /// The server refuses to run programs.
    #[error("{peer}: the server refuses to run `{command}`")]
    OpenFailed { peer: String, command: String, source: SshError },
    /// The channel was closed on this side.
    #[error("{peer}: channel closed")]
    ChannelClosed { peer: String },
    /// The program says more than anybody wants to keep.
    #[error("{peer}: `{command}` wrote more than {limit} bytes")]
    OutputTooLong { peer: String, command: String, limit: usize },
    /// The agent's socket on this machine cannot be connected to.
    #[error("cannot connect to socket `{}`", path.display())]
    Socket { path: PathBuf, source: io::Error },
    /// The program cannot be started on this machine.
    #[error("cannot start `{program}`")]
    Spawn { program: String, source: io::Error },
    /// A stream on this machine failed.
    #[error("{peer}: stream failed")]
    Stream { peer: String, source: io::Error },
}

impl TransportError {
    /// What the user can do about it: the command, flag, key or file that mends it.
    pub fn hint(&self) -> Option<String> {
        Some(match self {
            Self::NameUnresolved { .. } => {
                "check `host` in the fleet file; an IP address works too. `~/.ssh/config` is not read: an alias of it \
                 needs its `HostName` as `host` there, and `user`, `port` and `identity` likewise"
                    .into()
            }
            Self::Refused { port, .. } => format!(
                "is the SSH server running? on the device: `sudo systemctl enable --now ssh`; another port than {port} \
                 goes into `port` in the fleet file"
            ),
            Self::NoRoute { .. } | Self::Dial { .. } => {
                "check that the device is on and in this network, and `host` and `port` in the fleet file"
                    .into()
            }
            Self::TimedOut { .. } => "check that the device is on and in this network, then try again".into(),
            Self::ClosedInHandshake { peer, .. } => format!(
                "check that `port` in the fleet file is an SSH server's, and the server's own words: \
                 `journalctl -u ssh` on the device ({peer})"
            ),
            Self::NoCommonAlgorithm { .. } => {
                "compare `sshd -T` on the device (kexalgorithms, ciphers, hostkeyalgorithms) with `ssh -vv`"
                    .into()
            }
            Self::HostKeyUnknown { file, .. } => format!(
                "compare the fingerprint with `ssh-keygen -lf /etc/ssh/ssh_host_ed25519_key.pub` on the device (or the \
                 file of the type shown), then run again with `--accept-new`, which records it in `{}`",
                file.display()
            ),
            Self::HostKeyChanged { host, recorded, .. } => format!(
                "somebody may be listening in. Only if you know that the device was installed afresh: \
                 `ssh-keygen -R '{host}' -f {}`, then run again with `--accept-new`",
                recorded.file.display()
            ),
            Self::HostKeyRevoked { file, line, .. } => {
                format!("give the device a new host key, or remove line {line} of {}", file.display())
            }
            Self::HostKeyCertificate { kind, fingerprint, .. } => format!(
                "record the plain host key ({kind} {fingerprint}): compare it with the device's, then run again with \
                 `--accept-new`"
            ),
            Self::KnownHosts { file, .. } => format!("check the owner and mode of `{}`", file.display()),
            Self::KeyFile { file, source } => match source {
                KeyProblem::Missing => "check `identity` in the fleet file".into(),
                KeyProblem::Unreadable(_) => format!("check the owner and mode of `{}`", file.display()),
                KeyProblem::Format(_) => format!(
                    "`identity` must name the private key in OpenSSH or PEM format; `ssh-keygen -y -f {}` shows \
                     whether it is one",
                    file.display()
                ),
                KeyProblem::NeedsPassphrase | KeyProblem::WrongPassphrase => {
                    format!("load the key into the SSH agent first: `ssh-add {}`", file.display())
                }
            },
            Self::AuthRejected { peer, user, .. } => format!(
                "check `user` and `identity` in the fleet file; `ssh-copy-id` installs your key for `{user}` on the \
                 device ({peer})"
            ),
            Self::Lost { .. } => {
                "check the network and whether the device is still on, then try again".into()
            }
            Self::OpenFailed { .. } => {
                "check `MaxSessions`, `ForceCommand` and the user's login shell in the device's sshd_config"
                    .into()
            }
            Self::Socket { path, .. } => {
                format!(
                    "is the agent running? `trt-agent daemon` starts it by hand; it should listen on {}",
                    path.display()
                )
            }
            Self::Spawn { program, .. } => format!("install `{program}`, or check `PATH`"),
            Self::Interrupted
            | Self::ChannelClosed { .. }
            | Self::OutputTooLong { .. }
            | Self::Stream { .. } => return None,
        })
    }

    /// Whether trying again can help.
    pub fn retry(&self) -> Retry {
        match self {
            Self::TimedOut { .. }
            | Self::Lost { .. }
            | Self::ClosedInHandshake { .. }
            | Self::Stream { .. } => Retry::Now,
            Self::Interrupted | Self::ChannelClosed { .. } | Self::OutputTooLong { .. } => Retry::Never,
            _ => Retry::AfterFix,
        }
    }

    /// Takes the error out of what [`super::Channel`]'s halves return; another I/O error becomes `Stream`.
    pub fn from_io(error: io::Error, peer: &str) -> Self {
        error.downcast::<Self>().unwrap_or_else(|source| Self::Stream { peer: peer.to_owned(), source })
    }
}

impl From<TransportError> for io::Error {
    /// Never of kind `Interrupted`, since `write_all` and `io::copy` would try again for ever.
    fn from(error: TransportError) -> Self {
        let kind = match &error {
            TransportError::TimedOut { .. } => io::ErrorKind::TimedOut,
            TransportError::Lost { .. } => io::ErrorKind::ConnectionReset,
            TransportError::ChannelClosed { .. } => io::ErrorKind::BrokenPipe,
            _ => io::ErrorKind::Other,
        };
        Self::new(kind, error)
    }
}

fn join<T: fmt::Display>(items: &[T], separator: &str) -> String {
    items.iter().map(T::to_string).collect::<Vec<_>>().join(separator)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn io() -> io::Error {
        io::ErrorKind::PermissionDenied.into()
    }

    fn ssh() -> SshError {
        SshError { code: -13, message: "gone".into() }
    }

    #[test]
    fn whatever_a_user_can_cause_has_a_hint_that_names_what_mends_it() {
        use TransportError as E;
        let (peer, host) = (|| "ssh me@nano:22".to_owned(), || "nano".to_owned());
        let (fingerprint, kind, line) = (|| "SHA256:abc".to_owned(), || "ssh-ed25519".to_owned(), 7);
        let (file, command) = (|| PathBuf::from("/home/me/file"), || "trt-agent connect".to_owned());
        let recorded = RecordedKey { file: file(), line, kind: kind(), fingerprint: fingerprint() };
        let key = |source| E::KeyFile { file: file(), source };
        let cases = [
            (E::NameUnresolved { host: host(), source: io() }, "`~/.ssh/config` is not read"),
            (E::Refused { host: host(), port: 22, source: io() }, "`port`"),
            (E::NoRoute { host: host(), port: 22, source: io() }, "`host`"),
            (E::Dial { host: host(), port: 22, source: io() }, "`host`"),
            (
                E::TimedOut { peer: peer(), stage: "connecting".into(), limit: Duration::from_secs(1) },
                "network",
            ),
            (E::ClosedInHandshake { peer: peer(), source: ssh() }, "`port`"),
            (E::NoCommonAlgorithm { peer: peer(), source: ssh() }, "`sshd -T`"),
            (
                E::HostKeyUnknown { host: host(), kind: kind(), fingerprint: fingerprint(), file: file() },
                "--accept-new",
            ),
            (
                E::HostKeyChanged {
                    host: host(),
                    kind: kind(),
                    fingerprint: fingerprint(),
                    recorded: Box::new(recorded),
                },
                "ssh-keygen -R 'nano' -f /home/me/file",
            ),
            (E::HostKeyRevoked { host: host(), fingerprint: fingerprint(), file: file(), line }, "line 7"),
            (
                E::HostKeyCertificate {
                    host: host(),
                    kind: kind(),
                    fingerprint: fingerprint(),
                    file: file(),
                    line,
                },
                "--accept-new",
            ),
            (E::KnownHosts { file: file(), source: io() }, "/home/me/file"),
            (key(KeyProblem::Missing), "`identity`"),
            (key(KeyProblem::Unreadable(io())), "/home/me/file"),
            (key(KeyProblem::Format("no".into())), "`identity`"),
            (key(KeyProblem::NeedsPassphrase), "ssh-add"),
            (key(KeyProblem::WrongPassphrase), "ssh-add"),
            (
                E::AuthRejected {
                    peer: peer(),
                    user: "me".into(),
                    attempts: Vec::new(),
                    accepted: Vec::new(),
                },
                "`user` and `identity`",
            ),
            (E::Lost { peer: peer(), source: ssh() }, "network"),
            (E::OpenFailed { peer: peer(), command: command(), source: ssh() }, "`MaxSessions`"),
            (E::Socket { path: "/run/agent".into(), source: io() }, "listen on /run/agent"),
            (E::Spawn { program: "ssh".into(), source: io() }, "`ssh`"),
        ];
        for (error, mends) in cases {
            let hint = error.hint().unwrap_or_default();
            assert!(hint.contains(mends), "{error}: {hint}");
            assert_ne!(error.retry(), Retry::Never, "{error}");
        }
    }

    #[test]
    fn what_the_user_wanted_is_not_tried_again() {
        let closed = TransportError::ChannelClosed { peer: "nano".into() };
        for error in [closed, TransportError::Interrupted] {
            assert_eq!((error.retry(), error.hint()), (Retry::Never, None));
        }
    }

    #[test]
    fn an_error_survives_its_way_through_io() {
        let there: io::Error = TransportError::Interrupted.into();
        assert_ne!(there.kind(), io::ErrorKind::Interrupted, "write_all would try again for ever");
        assert!(matches!(TransportError::from_io(there, "nano"), TransportError::Interrupted));
        assert!(matches!(TransportError::from_io(io(), "nano"), TransportError::Stream { .. }));
    }
}
