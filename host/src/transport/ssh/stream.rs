//! What a channel's three handles and the pump share: two bounded buffers and the channel's fate.
use std::io::{self, Read, Write};
use std::os::unix::net::UnixStream;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};

use super::super::guard::Guard;
use super::super::tail::Tail;
use super::super::{Control, Exit, SshError, TransportError};

/// The size of each buffer. A channel's memory: this four times (the pump and each half hold one, which they swap),
/// and libssh2's receive window of 2 MiB.
pub const BUFFER: usize = 512 << 10;

/// Makes the pump look around, from any thread.
pub struct Waker {
    pending: AtomicBool,
    sender: UnixStream,
    receiver: UnixStream,
}

impl Waker {
    pub fn new() -> io::Result<Self> {
        let (sender, receiver) = UnixStream::pair()?;
        sender.set_nonblocking(true)?;
        receiver.set_nonblocking(true)?;
        Ok(Self { pending: AtomicBool::new(false), sender, receiver })
    }

    /// Ends the pump's sleep, or its next one.
    pub fn wake(&self) {
        if !self.pending.swap(true, Ordering::AcqRel) {
            // A full socket buffer holds wake-ups enough.
            let _ = (&self.sender).write(&[1]);
        }
    }

    /// Forgets the wake-ups so far; the pump calls it before it looks around.
    pub fn reset(&self) {
        // In this order: a byte that comes late costs one look too many, never a missed one.
        let _ = (&self.receiver).read(&mut [0; 64]);
        self.pending.store(false, Ordering::Release);
    }

    /// Becomes readable with a wake-up.
    pub fn receiver(&self) -> &UnixStream {
        &self.receiver
    }
}

/// What became of a channel.
#[derive(Debug, Clone)]
pub enum Fate {
    /// The server has not answered yet.
    Opening,
    /// The program runs.
    Running,
    /// The server refused.
    Refused(SshError),
    /// The program ended.
    Ended(Exit),
    /// The handles, or the transport, closed it.
    Killed,
    /// The connection broke.
    Lost(SshError),
}

/// The part under the lock.
pub struct State {
    pub fate: Fate,
    /// Bytes from the writer that the pump has not taken yet.
    pub outbox: Vec<u8>,
    /// The pump has taken bytes that it has not sent yet.
    pub sending: bool,
    pub writer_gone: bool,
    /// Bytes for the reader.
    pub inbox: Vec<u8>,
    pub inbox_ended: bool,
    pub reader_gone: bool,
    pub stderr: Tail,
    pub kill: bool,
}

/// One channel, as both sides see it.
pub struct Shared {
    state: Mutex<State>,
    changed: Condvar,
    waker: Arc<Waker>,
    guard: Guard,
    peer: String,
}

impl Shared {
    pub fn new(waker: Arc<Waker>, guard: Guard, peer: String) -> Self {
        let state = State {
            fate: Fate::Opening,
            outbox: Vec::with_capacity(BUFFER),
            sending: false,
            writer_gone: false,
            inbox: Vec::new(),
            inbox_ended: false,
            reader_gone: false,
            stderr: Tail::default(),
            kill: false,
        };
        Self { state: Mutex::new(state), changed: Condvar::new(), waker, guard, peer }
    }

    pub fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Changes the state and tells whoever waits.
    pub fn update<T>(&self, change: impl FnOnce(&mut State) -> T) -> T {
        let result = change(&mut self.lock());
        self.changed.notify_all();
        result
    }

    /// Waits until the state yields something, or `guard` ends the wait.
    pub fn wait_for<T>(
        &self,
        guard: &Guard,
        mut ready: impl FnMut(&mut State) -> Option<Result<T, TransportError>>,
    ) -> Result<T, TransportError> {
        let mut state = self.lock();
        loop {
            if let Some(result) = ready(&mut state) {
                return result;
            }
            guard.check()?;
            state = self.changed.wait_timeout(state, guard.tick()).unwrap_or_else(PoisonError::into_inner).0;
        }
    }

    /// The error of a channel that can no longer carry anything, if it is one.
    fn failure(&self, fate: &Fate) -> Option<TransportError> {
        let peer = self.peer.clone();
        match fate {
            Fate::Opening | Fate::Running | Fate::Ended(_) => None,
            Fate::Killed => Some(TransportError::ChannelClosed { peer }),
            Fate::Lost(source) | Fate::Refused(source) => {
                Some(TransportError::Lost { peer, source: source.clone() })
            }
        }
    }
}

/// The program's stdout.
pub struct Reader {
    shared: Arc<Shared>,
    chunk: Vec<u8>,
    position: usize,
}

impl Reader {
    pub fn new(shared: Arc<Shared>) -> Self {
        Self { shared, chunk: Vec::new(), position: 0 }
    }
}

impl Read for Reader {
    fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        if self.position == self.chunk.len() {
            let shared = &self.shared;
            let full = shared.wait_for(&shared.guard, |state| {
                if !state.inbox.is_empty() {
                    let full = state.inbox.len() >= BUFFER;
                    self.chunk.clear();
                    std::mem::swap(&mut self.chunk, &mut state.inbox);
                    return Some(Ok(full));
                }
                if let Some(error) = shared.failure(&state.fate) {
                    return Some(Err(error));
                }
                state.inbox_ended.then(|| {
                    self.chunk.clear();
                    Ok(false)
                })
            })?;
            self.position = 0;
            if full {
                shared.waker.wake();
            }
        }
        let n = (self.chunk.len() - self.position).min(buf.len());
        buf[..n].copy_from_slice(&self.chunk[self.position..self.position + n]);
        self.position += n;
        Ok(n)
    }
}

impl Drop for Reader {
    fn drop(&mut self) {
        self.shared.update(|state| {
            state.reader_gone = true;
            state.inbox = Vec::new();
        });
        self.shared.waker.wake();
    }
}

/// The program's stdin.
pub struct Writer {
    shared: Arc<Shared>,
}

impl Writer {
    pub fn new(shared: Arc<Shared>) -> Self {
        Self { shared }
    }

    /// The error of a stdin that nobody reads any more, if it is one.
    fn broken(shared: &Shared, state: &State) -> Option<io::Error> {
        match &state.fate {
            Fate::Ended(_) => Some(io::ErrorKind::BrokenPipe.into()),
            fate => shared.failure(fate).map(Into::into),
        }
    }
}

impl Write for Writer {
    fn write(&mut self, buf: &[u8]) -> io::Result<usize> {
        let shared = &self.shared;
        let (n, wake) = shared.wait_for(&shared.guard, |state| {
            if let Some(error) = Self::broken(shared, state) {
                return Some(Ok(Err(error)));
            }
            let n = buf.len().min(BUFFER - state.outbox.len());
            if n == 0 && !buf.is_empty() {
                return None;
            }
            let wake = state.outbox.is_empty();
            state.outbox.extend_from_slice(&buf[..n]);
            Some(Ok(Ok((n, wake))))
        })??;
        if wake {
            shared.waker.wake();
        }
        Ok(n)
    }

    fn flush(&mut self) -> io::Result<()> {
        let shared = &self.shared;
        shared.wait_for(&shared.guard, |state| {
            if state.outbox.is_empty() && !state.sending {
                return Some(Ok(Ok(())));
            }
            Self::broken(shared, state).map(|error| Ok(Err(error)))
        })?
    }
}

impl Drop for Writer {
    fn drop(&mut self) {
        self.shared.update(|state| state.writer_gone = true);
        self.shared.waker.wake();
    }
}

/// The program.
pub struct Handle {
    shared: Arc<Shared>,
}

impl Handle {
    pub fn new(shared: Arc<Shared>) -> Self {
        Self { shared }
    }
}

impl Control for Handle {
    fn kill(&self) {
        self.shared.update(|state| {
            state.kill = true;
            if matches!(state.fate, Fate::Opening | Fate::Running) {
                state.fate = Fate::Killed;
            }
        });
        self.shared.waker.wake();
    }

    fn wait(&self) -> Result<Exit, TransportError> {
        let shared = &self.shared;
        shared.wait_for(&shared.guard, |state| match &state.fate {
            Fate::Ended(exit) => Some(Ok(exit.clone())),
            fate => shared.failure(fate).map(Err),
        })
    }

    fn stderr(&self) -> String {
        self.shared.lock().stderr.text()
    }
}

impl Drop for Handle {
    fn drop(&mut self) {
        // The pump closes a channel that nobody holds any more.
        self.shared.waker.wake();
    }
}
