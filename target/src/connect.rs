//! Joins stdin and stdout to the daemon's socket, so that the protocol runs over any SSH client.

use std::io;
use std::net::Shutdown;
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};

/// The daemon could not be reached.
#[derive(Debug, thiserror::Error)]
pub enum ConnectError {
    /// No daemon listens there.
    #[error("no agent listens on {}", path.display())]
    NotListening {
        /// The socket.
        path: PathBuf,
        /// The system's reason.
        source: io::Error,
    },
    /// The user may not use the socket.
    #[error("the socket may not be used by this user: {}", path.display())]
    Forbidden {
        /// The socket.
        path: PathBuf,
    },
    /// The stream broke.
    #[error("the connection to the agent broke")]
    Io(#[from] io::Error),
}

impl ConnectError {
    /// What the user can do about it.
    pub fn hint(&self) -> Option<String> {
        match self {
            Self::NotListening { .. } => {
                Some("start it with `systemctl start trt-agent`, or install it again with `trt-deploy agent install`".into())
            }
            Self::Forbidden { .. } => Some("add the user to the group that owns the socket, and log in again".into()),
            Self::Io(_) => None,
        }
    }
}

/// Copies both ways until the daemon closes.
pub fn run(path: &Path) -> Result<(), ConnectError> {
    let socket = UnixStream::connect(path).map_err(|source| match source.kind() {
        io::ErrorKind::PermissionDenied => ConnectError::Forbidden { path: path.to_owned() },
        _ => ConnectError::NotListening { path: path.to_owned(), source },
    })?;
    let mut upstream = socket.try_clone()?;
    std::thread::spawn(move || {
        // The end of stdin tells the daemon that the host is gone; an error tells it the same.
        let _ = copy(&mut io::stdin().lock(), &mut upstream);
        let _ = upstream.shutdown(Shutdown::Write);
    });
    let mut downstream = socket;
    Ok(copy(&mut downstream, &mut io::stdout().lock())?)
}

/// Copies with a large buffer and flushes whatever arrives at once.
fn copy(from: &mut impl io::Read, to: &mut impl io::Write) -> io::Result<()> {
    let mut buffer = vec![0; 256 << 10];
    loop {
        match from.read(&mut buffer) {
            Ok(0) => return Ok(()),
            Ok(read) => {
                to.write_all(&buffer[..read])?;
                to.flush()?;
            }
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
}
