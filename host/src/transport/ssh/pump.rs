//! The one thread that touches the session once it is up.
//!
//! A blocking libssh2 session holds its lock while it waits, so that a thread that reads stops one that writes, and
//! both can wait for each other for ever. Here nothing in libssh2 ever blocks: this thread steps through the channels
//! and sleeps in poll(2) on the socket and a wake-up socket when nothing moves.
use std::collections::VecDeque;
use std::io;
use std::net::{Shutdown, TcpStream};
use std::sync::Arc;
use std::sync::mpsc::{Receiver, TryRecvError};
use std::time::{Duration, Instant};

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use ssh2::{ErrorCode, Session};

use super::super::SshError;
use super::driver::code;
use super::link::{Found, Link, end};
use super::stream::{Fate, Shared, Waker};

/// How much is read at once. libssh2 opens the receive window again with every read of this size.
const SCRATCH: usize = 256 << 10;

/// How long to sleep at most while an answer is awaited that another channel's operation may have fetched.
const ANSWER_TICK: Duration = Duration::from_millis(20);

/// How long channels may take to say goodbye when the transport is dropped.
const FAREWELL: Duration = Duration::from_millis(250);

/// The session, its socket, and a buffer to read into.
pub struct Wire {
    pub session: Session,
    pub socket: TcpStream,
    pub scratch: Vec<u8>,
}

impl Wire {
    /// Whether the socket takes a small packet whole.
    pub fn is_writable(&self) -> bool {
        let mut fds = [PollFd::new(&self.socket, PollFlags::OUT)];
        matches!(poll(&mut fds, Some(&Timespec::default())), Ok(1..))
    }

    /// The libssh2 error behind an I/O error, which does not carry the code.
    pub fn last_error(&self, error: &io::Error) -> SshError {
        match ssh2::Error::last_session_error(&self.session) {
            Some(last) if last.code() != ErrorCode::Session(code::EAGAIN) => last.into(),
            _ => SshError { code: code::SOCKET_DISCONNECT, message: error.to_string() },
        }
    }
}

/// A channel that somebody wants.
pub struct Opening {
    pub command: String,
    pub shared: Arc<Shared>,
}

/// The state of the thread.
pub struct Pump {
    pub wire: Wire,
    pub waker: Arc<Waker>,
    pub requests: Receiver<Opening>,
    pub keepalive: Option<Duration>,
    links: Vec<Link>,
    queue: VecDeque<Opening>,
    /// libssh2 has begun to open the first channel of the queue, and can open only one at a time.
    begun: bool,
    /// The transport is gone; this is when the thread ends.
    leaving: Option<Instant>,
}

impl Pump {
    pub fn new(
        driver: super::Driver,
        waker: Arc<Waker>,
        requests: Receiver<Opening>,
        keepalive: Option<Duration>,
    ) -> Self {
        let wire = Wire { session: driver.session, socket: driver.socket, scratch: vec![0; SCRATCH] };
        Self {
            wire,
            waker,
            requests,
            keepalive,
            links: Vec::new(),
            queue: VecDeque::new(),
            begun: false,
            leaving: None,
        }
    }

    /// Runs until the transport is gone; after a broken connection it only tells so to whoever asks.
    pub fn run(mut self) {
        let reason = self.serve();
        let fate = match &reason {
            Ok(()) => Fate::Killed,
            Err(error) => Fate::Lost(error.clone()),
        };
        if reason.is_ok() {
            // One polite packet if the socket takes it.
            let _ = self.wire.session.disconnect(None, "done", None);
        }
        // From now on libssh2's cleaning up fails at once instead of asking to wait.
        let _ = self.wire.socket.shutdown(Shutdown::Both);
        self.links.drain(..).for_each(|link| link.end(fate.clone()));
        self.queue
            .drain(..)
            .chain(self.requests.iter())
            .for_each(|opening| end(&opening.shared, fate.clone()));
    }

    /// Ends with `Ok` when the transport is gone, with the reason when the connection is.
    fn serve(&mut self) -> Result<(), SshError> {
        let mut next_keepalive = self.keepalive.map(|interval| Instant::now() + interval);
        loop {
            self.waker.reset();
            self.accept();
            let found = self.pass()?;
            if self.leaving.is_some_and(|at| self.links.is_empty() || Instant::now() >= at) {
                return Ok(());
            }
            if let (Some(at), Some(interval)) = (next_keepalive, self.keepalive)
                && Instant::now() >= at
                && self.wire.is_writable()
            {
                self.wire.session.keepalive_send()?;
                next_keepalive = Some(Instant::now() + interval);
            }
            if !found.progress && !self.links.iter().any(Link::has_work) {
                self.sleep(&found, next_keepalive)?;
            }
        }
    }

    fn accept(&mut self) {
        loop {
            match self.requests.try_recv() {
                Ok(opening) => self.queue.push_back(opening),
                Err(TryRecvError::Empty) => return,
                Err(TryRecvError::Disconnected) if self.leaving.is_some() => return,
                Err(TryRecvError::Disconnected) => {
                    self.leaving = Some(Instant::now() + FAREWELL);
                    self.links.iter().for_each(|link| link.kill());
                    self.queue.drain(..).for_each(|opening| end(&opening.shared, Fate::Killed));
                    return;
                }
            }
        }
    }

    /// Steps every channel once.
    fn pass(&mut self) -> Result<Found, SshError> {
        let mut found = self.open()?;
        for link in &mut self.links {
            found.merge(&link.step(&mut self.wire)?);
        }
        self.links.retain(|link| !link.is_done());
        Ok(found)
    }

    /// Opens the channel that is first in the queue.
    fn open(&mut self) -> Result<Found, SshError> {
        let mut found = Found::default();
        if !self.begun {
            // Nobody waits any more.
            while self.queue.front().is_some_and(|opening| Arc::strong_count(&opening.shared) == 1) {
                self.queue.pop_front();
            }
        }
        if self.queue.is_empty() {
            return Ok(found);
        }
        let opened = found.attempt(&self.wire.session, self.wire.session.channel_session());
        self.begun = matches!(opened, Ok(None));
        if self.begun {
            return Ok(found);
        }
        let Some(Opening { command, shared }) = self.queue.pop_front() else { return Ok(found) };
        match opened {
            Ok(channel) => self.links.extend(channel.map(|channel| Link::new(channel, command, shared))),
            Err(error) if error.code == code::CHANNEL_FAILURE => {
                found.progress = true;
                end(&shared, Fate::Refused(error));
            }
            Err(error) => {
                end(&shared, Fate::Lost(error.clone()));
                return Err(error);
            }
        }
        Ok(found)
    }

    fn sleep(&self, found: &Found, next_keepalive: Option<Instant>) -> Result<(), SshError> {
        let mut events = PollFlags::empty();
        events.set(PollFlags::IN, found.wants_in);
        events.set(PollFlags::OUT, found.wants_out);
        let until = |at: Instant| at.saturating_duration_since(Instant::now());
        let timeout =
            [found.wants_answer.then_some(ANSWER_TICK), next_keepalive.map(until), self.leaving.map(until)]
                .into_iter()
                .flatten()
                .min()
                .and_then(|timeout| Timespec::try_from(timeout).ok());
        let mut fds =
            [PollFd::new(&self.wire.socket, events), PollFd::new(self.waker.receiver(), PollFlags::IN)];
        // A signal only means to look around once more.
        let ready = poll(&mut fds, timeout.as_ref()).is_ok();
        let hung_up = fds[0].revents().intersects(PollFlags::HUP | PollFlags::ERR | PollFlags::NVAL);
        // If some channel reads, libssh2 finds out and says more.
        if ready && hung_up && !found.wants_in {
            return Err(SshError { code: code::SOCKET_DISCONNECT, message: "the server hung up".to_owned() });
        }
        Ok(())
    }
}
