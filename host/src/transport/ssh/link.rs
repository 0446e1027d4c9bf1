//! One channel as the pump sees it: a small state machine, stepped whenever something may have changed.
use std::io::{ErrorKind, Read, Write};
use std::sync::Arc;

use ssh2::{BlockDirections, Channel, Session, Stream};

use super::super::{Exit, SshError};
use super::driver::{code, would_block};
use super::pump::Wire;
use super::stream::{BUFFER, Fate, Shared};

/// Where a channel is in its life.
enum Phase {
    /// The server has a channel, but not the command yet.
    Exec(String),
    /// Data flows.
    Running,
    /// Both sides say goodbye.
    Closing,
    /// Nothing is left to do.
    Done,
}

/// What a step found.
#[derive(Default)]
pub struct Found {
    /// Something moved; another step may move more.
    pub progress: bool,
    /// It waits for the socket to take bytes.
    pub wants_out: bool,
    /// It waits for bytes from the socket.
    pub wants_in: bool,
    /// It waits for an answer, whose arrival does not show if another channel's operation fetches it.
    pub wants_answer: bool,
}

impl Found {
    /// Adds what another step found.
    pub fn merge(&mut self, other: &Self) {
        self.progress |= other.progress;
        self.wants_out |= other.wants_out;
        self.wants_in |= other.wants_in;
        self.wants_answer |= other.wants_answer;
    }

    /// Sorts a result into done, to be repeated (`None`) and failed.
    pub fn attempt<T>(
        &mut self,
        session: &Session,
        result: Result<T, ssh2::Error>,
    ) -> Result<Option<T>, SshError> {
        match result {
            Ok(value) => {
                self.progress = true;
                Ok(Some(value))
            }
            Err(e) if would_block(&e) => {
                self.blocked(session);
                self.wants_answer = true;
                Ok(None)
            }
            Err(e) => Err(e.into()),
        }
    }

    fn blocked(&mut self, session: &Session) {
        self.wants_in = true;
        self.wants_out |=
            matches!(session.block_directions(), BlockDirections::Outbound | BlockDirections::Both);
    }
}

/// A channel with its libssh2 handles.
///
/// libssh2 sends one packet at a time: an operation whose packet went out in part must be repeated, by the same
/// channel, before anything else can be sent on the session. So every operation begun is repeated in each step until
/// it is through, also when the channel is being closed; other channels' operations are told to wait meanwhile, which
/// the bundled libssh2 does (1.11.2; up to 1.11.1 they failed).
pub struct Link {
    channel: Channel,
    stderr: Stream,
    shared: Arc<Shared>,
    phase: Phase,
    /// Bytes taken from the outbox, to be given to libssh2 again and again until they are sent.
    sending: Vec<u8>,
    sent: usize,
    /// The last write waits for room in the receiver's window.
    starved: bool,
    /// The last write may have gone out in part.
    partial: bool,
    eof_sent: bool,
    eof_seen: bool,
}

impl Link {
    pub fn new(channel: Channel, command: String, shared: Arc<Shared>) -> Self {
        Self {
            stderr: channel.stderr(),
            channel,
            shared,
            phase: Phase::Exec(command),
            sending: Vec::with_capacity(BUFFER),
            sent: 0,
            starved: false,
            partial: false,
            eof_sent: false,
            eof_seen: false,
        }
    }

    pub fn is_done(&self) -> bool {
        matches!(self.phase, Phase::Done)
    }

    /// Ends the channel for its handles; libssh2's part goes on until it is done.
    pub fn end(&self, fate: Fate) {
        end(&self.shared, fate);
    }

    /// Asks for the channel to be closed.
    pub fn kill(&self) {
        self.end(Fate::Killed);
        self.shared.update(|state| state.kill = true);
    }

    /// Whether packets that arrived already would move something, so that waiting for the socket would be wrong:
    /// libssh2 fetches packets for all channels, whichever channel's operation it is.
    pub fn has_work(&self) -> bool {
        let Phase::Running = self.phase else { return false };
        let state = self.shared.lock();
        let readable = state.reader_gone || state.inbox.len() < BUFFER;
        drop(state);
        (readable && self.channel.read_window().available > 0)
            || (!self.eof_seen && self.channel.eof())
            || (self.starved && self.channel.write_window().remaining > 0)
    }

    /// Moves what can be moved. An error means that the whole connection is lost.
    pub fn step(&mut self, wire: &mut Wire) -> Result<Found, SshError> {
        // If only the pump holds it, nobody can want anything from this channel any more.
        let unwanted = self.shared.lock().kill || Arc::strong_count(&self.shared) == 1;
        if unwanted && let Phase::Running = self.phase {
            self.phase = Phase::Closing;
        }
        let mut found = Found::default();
        match &self.phase {
            Phase::Exec(command) => {
                let begun = self.channel.exec(command);
                self.exec(&mut found, wire, begun)?;
            }
            Phase::Running => {
                self.write(&mut found, wire)?;
                self.read(&mut found, wire)?;
            }
            Phase::Closing => self.close(&mut found, wire)?,
            Phase::Done => {}
        }
        Ok(found)
    }

    fn exec(
        &mut self,
        found: &mut Found,
        wire: &Wire,
        begun: Result<(), ssh2::Error>,
    ) -> Result<(), SshError> {
        match found.attempt(&wire.session, begun) {
            Ok(None) => Ok(()),
            Ok(Some(())) => {
                self.phase = Phase::Running;
                self.shared.update(|state| {
                    if matches!(state.fate, Fate::Opening) {
                        state.fate = Fate::Running;
                    }
                });
                Ok(())
            }
            Err(error) if matches!(error.code, code::CHANNEL_FAILURE | code::CHANNEL_REQUEST_DENIED) => {
                found.progress = true;
                self.end(Fate::Refused(error));
                self.phase = Phase::Closing;
                Ok(())
            }
            Err(error) => Err(error),
        }
    }

    fn write(&mut self, found: &mut Found, wire: &Wire) -> Result<(), SshError> {
        if self.eof_sent {
            return Ok(());
        }
        if self.sent == self.sending.len() {
            self.sending.clear();
            self.sent = 0;
            self.shared.update(|state| {
                std::mem::swap(&mut state.outbox, &mut self.sending);
                state.sending = !self.sending.is_empty();
            });
        }
        while self.sent < self.sending.len() && self.write_packet(found, wire)? {}
        if self.sent < self.sending.len() {
            return Ok(());
        }
        let ended = self.shared.update(|state| {
            state.sending = false;
            state.outbox.is_empty() && state.writer_gone
        });
        if ended { self.send_eof(found, wire) } else { Ok(()) }
    }

    /// Sends at most 32 KiB; false if that must wait.
    fn write_packet(&mut self, found: &mut Found, wire: &Wire) -> Result<bool, SshError> {
        (self.starved, self.partial) = (false, false);
        match self.channel.write(&self.sending[self.sent..]) {
            Ok(n) if n > 0 => {
                self.sent += n;
                found.progress = true;
                Ok(true)
            }
            Err(e) if e.kind() != ErrorKind::WouldBlock => Err(wire.last_error(&e)),
            _ => {
                self.starved = self.channel.write_window().remaining == 0;
                self.partial = !self.starved;
                found.wants_in = true;
                found.wants_out |= self.partial;
                Ok(false)
            }
        }
    }

    /// libssh2 keeps this packet on its stack, where it could not repeat it: only if the socket takes it whole.
    fn send_eof(&mut self, found: &mut Found, wire: &Wire) -> Result<(), SshError> {
        if !wire.is_writable() {
            found.wants_out = true;
            return Ok(());
        }
        self.eof_sent = found.attempt(&wire.session, self.channel.send_eof())?.is_some();
        Ok(())
    }

    fn read(&mut self, found: &mut Found, wire: &mut Wire) -> Result<(), SshError> {
        if self.eof_seen {
            if found.attempt(&wire.session, self.channel.wait_close())?.is_some() {
                self.end(Fate::Ended(self.exit()));
                self.phase = Phase::Closing;
            }
            return Ok(());
        }
        let n = read(&mut self.stderr, found, wire, usize::MAX)?;
        if n > 0 {
            self.shared.update(|state| state.stderr.push(&wire.scratch[..n]));
        }
        let state = self.shared.lock();
        let room = if state.reader_gone { usize::MAX } else { BUFFER.saturating_sub(state.inbox.len()) };
        drop(state);
        if room > 0 {
            let n = read(&mut self.channel.stream(0), found, wire, room)?;
            if n > 0 {
                self.shared.update(|state| {
                    if !state.reader_gone {
                        state.inbox.extend_from_slice(&wire.scratch[..n]);
                    }
                });
            }
        }
        if self.channel.eof() {
            found.progress = true;
            self.eof_seen = true;
            self.shared.update(|state| state.inbox_ended = true);
        }
        Ok(())
    }

    fn exit(&self) -> Exit {
        match self.channel.exit_signal().ok().and_then(|s| s.exit_signal) {
            Some(signal) => Exit::Signal(signal),
            None => Exit::Code(self.channel.exit_status().unwrap_or_default()),
        }
    }

    fn close(&mut self, found: &mut Found, wire: &mut Wire) -> Result<(), SshError> {
        while self.partial && self.write_packet(found, wire)? {}
        if !self.eof_seen {
            // Completes a window update that went out in part; the data is of no interest.
            let mut stdout = self.channel.stream(0);
            while read(&mut stdout, found, wire, usize::MAX)? > 0 {}
        }
        if self.partial {
            return Ok(());
        }
        if !self.eof_sent {
            self.send_eof(found, wire)?;
        }
        if self.eof_sent && found.attempt(&wire.session, self.channel.close())?.is_some() {
            self.phase = Phase::Done;
        }
        Ok(())
    }
}

impl Drop for Link {
    /// Whatever happens to the pump, nobody waits for ever.
    fn drop(&mut self) {
        self.end(Fate::Lost(SshError {
            code: code::SOCKET_DISCONNECT,
            message: "the pump stopped".to_owned(),
        }));
    }
}

/// Reads what is there, at most `limit` bytes, into the scratch buffer; 0 if there is nothing now.
fn read(stream: &mut Stream, found: &mut Found, wire: &mut Wire, limit: usize) -> Result<usize, SshError> {
    let limit = limit.min(wire.scratch.len());
    match stream.read(&mut wire.scratch[..limit]) {
        Ok(0) => found.wants_in = true,
        Ok(n) => {
            found.progress = true;
            return Ok(n);
        }
        Err(e) if e.kind() == ErrorKind::WouldBlock => found.blocked(&wire.session),
        Err(e) => return Err(wire.last_error(&e)),
    }
    Ok(0)
}

/// Settles a channel's fate, unless it is settled.
pub fn end(shared: &Shared, fate: Fate) {
    shared.update(|state| {
        if matches!(state.fate, Fate::Opening | Fate::Running) {
            state.fate = fate;
        }
    });
}
