//! A libssh2 session before its pump runs: operations, one after the other, that never block for good.
use std::net::TcpStream;

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use ssh2::{BlockDirections, ErrorCode, Session};

use super::super::guard::Guard;
use super::super::{SshError, TransportError};

/// libssh2's numbers for the errors that are told apart (libssh2.h).
pub mod code {
    pub const KEX_FAILURE: i32 = -5;
    pub const SOCKET_SEND: i32 = -7;
    pub const KEY_EXCHANGE_FAILURE: i32 = -8;
    pub const SOCKET_DISCONNECT: i32 = -13;
    pub const METHOD_NONE: i32 = -17;
    pub const AUTHENTICATION_FAILED: i32 = -18;
    pub const PUBLICKEY_UNVERIFIED: i32 = -19;
    pub const CHANNEL_FAILURE: i32 = -21;
    pub const CHANNEL_REQUEST_DENIED: i32 = -22;
    pub const EAGAIN: i32 = -37;
    pub const SOCKET_RECV: i32 = -43;
}

/// A session that is not blocking, and its socket to wait on.
pub struct Driver {
    pub session: Session,
    pub socket: TcpStream,
}

/// How an operation failed: libssh2 said so, or the wait was ended.
pub enum Failure {
    Ssh(SshError),
    Ended(TransportError),
}

impl Driver {
    /// Repeats an operation until libssh2 no longer asks to wait.
    pub fn run<T>(
        &self,
        guard: &Guard,
        mut operation: impl FnMut(&Session) -> Result<T, ssh2::Error>,
    ) -> Result<T, Failure> {
        loop {
            guard.check().map_err(Failure::Ended)?;
            match operation(&self.session) {
                Err(e) if would_block(&e) => self.wait(guard),
                done => return done.map_err(|e| Failure::Ssh(e.into())),
            }
        }
    }

    fn wait(&self, guard: &Guard) {
        let events = events(&self.session.block_directions());
        let tick = Timespec::try_from(guard.tick()).ok();
        // Whatever poll says, the next attempt finds out.
        let _ = poll(&mut [PollFd::new(&self.socket, events)], tick.as_ref());
    }
}

/// Whether libssh2 asks to wait.
pub fn would_block(error: &ssh2::Error) -> bool {
    error.code() == ErrorCode::Session(code::EAGAIN)
}

/// Whether the connection is gone.
pub fn is_lost(error: &SshError) -> bool {
    matches!(error.code, code::SOCKET_DISCONNECT | code::SOCKET_RECV | code::SOCKET_SEND)
}

/// What to wait for on the socket.
pub fn events(directions: &BlockDirections) -> PollFlags {
    match directions {
        BlockDirections::Outbound => PollFlags::OUT,
        BlockDirections::Both => PollFlags::IN | PollFlags::OUT,
        BlockDirections::Inbound | BlockDirections::None => PollFlags::IN,
    }
}
