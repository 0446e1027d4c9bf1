//! SSH by libssh2: connect, know the host, prove the user, then hand the session to its pump thread.
mod auth;
mod dial;
mod driver;
mod host_key;
mod key_file;
mod known_hosts;
mod link;
mod pump;
mod stream;
#[cfg(test)]
mod tests;

use std::path::PathBuf;
use std::sync::Arc;
use std::sync::mpsc::{self, Sender};
use std::thread::JoinHandle;
use std::time::Duration;

use ssh2::{MethodType, Session};

use super::guard::Guard;
use super::{Channel, Interrupt, RemoteCommand, Transport, TransportError};
use driver::{Driver, Failure, code};
use pump::{Opening, Pump};
use stream::{Fate, Handle, Reader, Shared, Waker, Writer};

pub use auth::{Prompt, Secret};
pub use host_key::HostKey;

/// Where and as whom to connect.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SshOptions {
    /// A name or an address.
    pub host: String,
    /// The SSH server's port.
    pub port: u16,
    /// The user's name on the device.
    pub user: String,
    /// A private key to try first, instead of the usual ones in `~/.ssh`.
    pub identity: Option<PathBuf>,
    /// The known_hosts files; new keys go into the first.
    pub known_hosts: Vec<PathBuf>,
    /// Record an unknown host's key instead of refusing it. A changed key is refused all the same.
    pub accept_new: bool,
    /// How long connecting, the handshake, and opening a channel may take, each.
    pub connect_timeout: Duration,
    /// How often to send something on an idle connection; it counts as lost after three times that without an
    /// answer. `None`: never, and no such limit.
    pub keepalive: Option<Duration>,
    /// Try the keys of the SSH agent.
    pub use_agent: bool,
    /// The SSH agent's socket; `SSH_AUTH_SOCK` by default.
    pub agent_socket: Option<PathBuf>,
}

impl SshOptions {
    /// Port 22, the user's and the machine's known_hosts, nothing accepted unseen, 10 s to connect, keepalive every
    /// 15 s, with the SSH agent.
    pub fn new(host: &str, user: &str) -> Self {
        let mut known_hosts: Vec<_> =
            std::env::home_dir().map(|home| home.join(".ssh/known_hosts")).into_iter().collect();
        known_hosts.push("/etc/ssh/ssh_known_hosts".into());
        Self {
            host: host.to_owned(),
            port: 22,
            user: user.to_owned(),
            identity: None,
            known_hosts,
            accept_new: false,
            connect_timeout: Duration::from_secs(10),
            keepalive: Some(Duration::from_secs(15)),
            use_agent: true,
            agent_socket: std::env::var_os("SSH_AUTH_SOCK").map(PathBuf::from),
        }
    }

    fn describe(&self) -> String {
        format!("ssh {}@{}:{}", self.user, self.host, self.port)
    }
}

fn default_identities() -> Vec<PathBuf> {
    let Some(home) = std::env::home_dir() else { return Vec::new() };
    ["id_ed25519", "id_ecdsa", "id_rsa"].iter().map(|name| home.join(".ssh").join(name)).collect()
}

/// A connection to a device. Dropping it ends all its channels.
pub struct SshTransport {
    peer: String,
    host_key: HostKey,
    authenticated_by: String,
    connect_timeout: Duration,
    interrupt: Interrupt,
    waker: Arc<Waker>,
    requests: Option<Sender<Opening>>,
    pump: Option<JoinHandle<()>>,
}

impl SshTransport {
    /// Connects, checks the host's key, and proves who the user is. Without `prompt` nobody is asked for anything.
    pub fn connect(
        options: &SshOptions,
        prompt: Option<&mut (dyn Prompt + '_)>,
        interrupt: &Interrupt,
    ) -> Result<Self, TransportError> {
        let peer = options.describe();
        let limit = options.connect_timeout;
        let guard = |stage| Guard::new(interrupt, &peer, stage, Some(limit));
        let socket = dial::dial(&options.host, options.port, limit, &guard("connecting"))?;
        let recorded = known_hosts::lookup(&options.known_hosts, &options.host, options.port)?;
        let driver = prepare(socket, options, &recorded).map_err(|source| {
            TransportError::NoCommonAlgorithm { peer: peer.clone(), source: source.into() }
        })?;
        driver
            .run(&guard("the SSH handshake"), |session| session.clone().handshake())
            .map_err(|f| handshake_failure(f, &peer))?;
        let host_key = {
            let key = driver.session.host_key().map(|(key, _)| key.to_vec()).unwrap_or_default();
            host_key::verify(options, &recorded, &key)?
        };
        let authenticated_by = auth::authenticate(&driver, options, prompt, interrupt)?;

        let failed = |source| TransportError::Stream { peer: peer.clone(), source };
        let waker = Arc::new(Waker::new().map_err(failed)?);
        let (requests, receiver) = mpsc::channel();
        let pump = Pump::new(driver, waker.clone(), receiver, options.keepalive);
        let pump =
            std::thread::Builder::new().name("ssh pump".into()).spawn(|| pump.run()).map_err(failed)?;
        Ok(Self {
            host_key,
            authenticated_by,
            connect_timeout: limit,
            interrupt: interrupt.clone(),
            waker,
            requests: Some(requests),
            pump: Some(pump),
            peer,
        })
    }

    /// The key by which the host has shown who it is, and whether it was recorded just now.
    pub fn host_key(&self) -> &HostKey {
        &self.host_key
    }

    /// What proved who the user is, in words, as in "key file `/home/me/.ssh/id_ed25519`".
    pub fn authenticated_by(&self) -> &str {
        &self.authenticated_by
    }
}

fn prepare(
    socket: std::net::TcpStream,
    options: &SshOptions,
    recorded: &[known_hosts::Entry],
) -> Result<Driver, ssh2::Error> {
    // Latency of small frames; and the kernel's word that a silent device is gone. Neither is worth failing for.
    let _ = socket.set_nodelay(true);
    #[cfg(target_os = "linux")]
    if let Some(limit) = options.keepalive.and_then(|k| u32::try_from(k.as_millis() * 3).ok()) {
        let _ = rustix::net::sockopt::set_tcp_user_timeout(&socket, limit);
    }
    let again = |_| ssh2::Error::unknown();
    socket.set_nonblocking(true).map_err(again)?;
    let mut session = Session::new()?;
    session.set_tcp_stream(socket.try_clone().map_err(again)?);
    session.set_blocking(false);
    let supported = session.supported_algs(MethodType::HostKey)?;
    session.method_pref(MethodType::HostKey, &host_key::algorithms(&supported, recorded))?;
    if let Some(keepalive) = options.keepalive {
        session.set_keepalive(false, u32::try_from(keepalive.as_secs().max(2)).unwrap_or(u32::MAX));
    }
    Ok(Driver { session, socket })
}

fn handshake_failure(failure: Failure, peer: &str) -> TransportError {
    let peer = peer.to_owned();
    match failure {
        Failure::Ended(error) => error,
        Failure::Ssh(source) => match source.code {
            code::KEX_FAILURE | code::KEY_EXCHANGE_FAILURE | code::METHOD_NONE => {
                TransportError::NoCommonAlgorithm { peer, source }
            }
            _ => TransportError::ClosedInHandshake { peer, source },
        },
    }
}

impl Transport for SshTransport {
    fn open(&mut self, command: &RemoteCommand) -> Result<Channel, TransportError> {
        let guard = Guard::new(&self.interrupt, &self.peer, command.line(), command.time_limit());
        let shared = Arc::new(Shared::new(self.waker.clone(), guard, self.peer.clone()));
        let opening = Opening { command: command.line().to_owned(), shared: shared.clone() };
        // The pump listens as long as this transport lives.
        let _ = self.requests.as_ref().map(|requests| requests.send(opening));
        self.waker.wake();
        let guard = Guard::new(&self.interrupt, &self.peer, "opening a channel", Some(self.connect_timeout));
        shared.wait_for(&guard, |state| match &state.fate {
            Fate::Opening => None,
            Fate::Refused(source) => Some(Err(TransportError::OpenFailed {
                peer: self.peer.clone(),
                command: command.line().to_owned(),
                source: source.clone(),
            })),
            Fate::Lost(source) => {
                Some(Err(TransportError::Lost { peer: self.peer.clone(), source: source.clone() }))
            }
            Fate::Killed => Some(Err(TransportError::ChannelClosed { peer: self.peer.clone() })),
            Fate::Running | Fate::Ended(_) => Some(Ok(())),
        })?;
        Ok(Channel {
            reader: Box::new(Reader::new(shared.clone())),
            writer: Box::new(Writer::new(shared.clone())),
            control: Arc::new(Handle::new(shared)),
        })
    }

    fn describe(&self) -> String {
        self.peer.clone()
    }
}

impl Drop for SshTransport {
    fn drop(&mut self) {
        self.requests = None;
        self.waker.wake();
        if let Some(pump) = self.pump.take() {
            // The pump has a short farewell and never blocks.
            let _ = pump.join();
        }
    }
}
