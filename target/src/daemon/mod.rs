//! The daemon: a Unix socket, a thread per connection, one deployment at a time.

mod lock;
mod session;

use std::fs;
use std::io;
use std::os::unix::fs::FileTypeExt;
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use rustix::event::{PollFd, PollFlags, poll};
use sd_notify::NotifyState;
use signal_hook::consts::{SIGINT, SIGTERM};

use crate::config::Config;
use crate::facts::Gatherer;
use crate::store::{Store, StoreError, durable};
use lock::DeployLock;

/// Connections served at once; each costs a thread.
const MAX_CONNECTIONS: usize = 64;

/// The daemon cannot start or go on.
#[derive(Debug, thiserror::Error)]
pub enum DaemonError {
    /// The store cannot be used.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// Somebody listens on the socket already.
    #[error("another agent listens on {}", path.display())]
    InUse {
        /// The socket.
        path: PathBuf,
    },
    /// The socket cannot be made.
    #[error("the socket cannot be made: {}", path.display())]
    Socket {
        /// The socket.
        path: PathBuf,
        /// The system's reason.
        source: io::Error,
    },
    /// Signals cannot be handled or the socket cannot be waited for.
    #[error("the daemon cannot wait for connections")]
    Wait(#[source] io::Error),
}

impl DaemonError {
    /// What the user can do about it.
    pub fn hint(&self) -> Option<String> {
        match self {
            Self::Store(StoreError::Locked { .. }) | Self::InUse { .. } => {
                Some("one agent is enough for a device: stop the other, or set `store` and `socket`".into())
            }
            Self::Store(_) => Some("set `store` in the configuration to a folder this user may write to".into()),
            Self::Socket { .. } => {
                Some("set `socket` in the configuration to a path of at most 107 bytes that this user may write to".into())
            }
            Self::Wait(_) => None,
        }
    }
}

/// What all connections share.
#[derive(Debug)]
struct Agent {
    config: Arc<Config>,
    store: Store,
    gatherer: Gatherer,
    lock: DeployLock,
    connections: AtomicUsize,
}

/// Serves until SIGTERM or SIGINT. A build under way ends with the daemon, and nothing of it stays.
pub fn run(config: Config) -> Result<(), Box<dyn std::error::Error>> {
    Ok(serve(config)?)
}

fn serve(config: Config) -> Result<(), DaemonError> {
    let config = Arc::new(config);
    let agent = Arc::new(Agent {
        store: Store::open(&config.store)?,
        gatherer: Gatherer::new(Arc::clone(&config)),
        lock: DeployLock::default(),
        connections: AtomicUsize::new(0),
        config: Arc::clone(&config),
    });
    let listener = listen(&config.socket)?;
    let (stop, stopper) = UnixStream::pair().map_err(DaemonError::Wait)?;
    for signal in [SIGINT, SIGTERM] {
        let stopper = stopper.try_clone().map_err(DaemonError::Wait)?;
        signal_hook::low_level::pipe::register(signal, stopper).map_err(DaemonError::Wait)?;
    }
    eprintln!("trt-agent {} listens on {}", env!("CARGO_PKG_VERSION"), config.socket.display());
    // Without a service manager there is nobody to notify.
    let _ = sd_notify::notify(&[NotifyState::Ready]);

    loop {
        let mut waits = [PollFd::new(&listener, PollFlags::IN), PollFd::new(&stop, PollFlags::IN)];
        match poll(&mut waits, None) {
            Ok(_) | Err(rustix::io::Errno::INTR) => {}
            Err(error) => return Err(DaemonError::Wait(error.into())),
        }
        if !waits[1].revents().is_empty() {
            break;
        }
        if waits[0].revents().is_empty() {
            continue;
        }
        match listener.accept() {
            Ok((stream, _)) => admit(&agent, stream),
            // A client that gave up while waiting; or no descriptors left, which passes.
            Err(error) => eprintln!("a connection could not be accepted: {error}"),
        }
    }
    let _ = sd_notify::notify(&[NotifyState::Stopping]);
    // Other threads end with the process; their worker sees its stdin close and ends as well.
    let _ = fs::remove_file(&config.socket);
    Ok(())
}

/// One of the connections served at once; free again when dropped, even by a panic.
struct Slot(Arc<Agent>);

impl Slot {
    fn take(agent: &Arc<Agent>) -> Option<Self> {
        let taken = agent.connections.fetch_add(1, Ordering::Relaxed);
        let slot = Self(Arc::clone(agent));
        (taken < MAX_CONNECTIONS).then_some(slot)
    }
}

impl Drop for Slot {
    fn drop(&mut self) {
        self.0.connections.fetch_sub(1, Ordering::Relaxed);
    }
}

fn admit(agent: &Arc<Agent>, stream: UnixStream) {
    match Slot::take(agent) {
        Some(slot) => drop(std::thread::spawn(move || session::run(&slot.0, stream))),
        None => session::refuse(stream, MAX_CONNECTIONS),
    }
}

/// Binds the socket for user and group only. A socket that nobody listens on is the remains of a killed daemon.
fn listen(path: &Path) -> Result<UnixListener, DaemonError> {
    let failed = |source| DaemonError::Socket { path: path.to_owned(), source };
    if UnixStream::connect(path).is_ok() {
        return Err(DaemonError::InUse { path: path.to_owned() });
    }
    match fs::symlink_metadata(path) {
        Ok(meta) if meta.file_type().is_socket() => fs::remove_file(path).map_err(failed)?,
        Ok(_) => {
            return Err(failed(io::Error::new(
                io::ErrorKind::AlreadyExists,
                "a file that is no socket is there",
            )));
        }
        Err(error) if error.kind() == io::ErrorKind::NotFound => {}
        Err(error) => return Err(failed(error)),
    }
    path.parent().map_or(Ok(()), durable::create_dir).map_err(failed)?;
    let old = rustix::process::umask(rustix::fs::Mode::from_raw_mode(0o117));
    let listener = UnixListener::bind(path);
    rustix::process::umask(old);
    listener.map_err(failed)
}
