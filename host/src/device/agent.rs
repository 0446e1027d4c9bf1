//! A connection to an agent, after the greeting.

use std::io::{BufWriter, Write};
use std::sync::Arc;
use std::time::{Duration, Instant};

use serde::Serialize;
use trt_wire::frame::{self, FrameError};
use trt_wire::message::{Busy, Event, Hello, Intent, ModelStatus, PROTOCOL, Reply, Request};
use trt_wire::{DeviceFacts, Failure, FailureCode, Finding, Manifest, ModelName, ReleaseId, RuntimeName};

use super::reach::{Relay, Way};
use super::replies::{NoFrame, Replies};
use super::{DeviceError, Proposal};
use crate::interrupt::{Interrupt, Interrupted};
use crate::transport::{Channel, Control, RemoteCommand, Transport};

/// How long an agent may take to greet: loading its program from a slow card included.
const GREETING: Duration = Duration::from_secs(20);

/// How long a cancelled deployment may take to say so.
const FAREWELL: Duration = Duration::from_secs(5);

/// How long to look for the agent's last words on a connection that broke.
const LAST_WORDS: Duration = Duration::from_secs(1);

/// What went over the wire on one connection.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub struct Traffic {
    /// Bytes sent by this side, protocol included.
    pub sent: u64,
    /// Bytes received.
    pub received: u64,
    /// Requests answered, the greeting included: each costs one round trip.
    pub round_trips: u64,
}

/// What is asked of a plan.
#[derive(Debug, Clone)]
pub struct Wish {
    /// Only to look, or to deploy: with [`Intent::Deploy`] nobody else can deploy until the agent is dropped.
    pub intent: Intent,
    /// Build even if the device has the engine.
    pub rebuild: bool,
    /// There is no table yet, and one of this algorithm would be made before the deployment. Only with [`Intent::Look`].
    pub table_promised: Option<String>,
}

/// A rollback, done or looked at.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct RollBack {
    /// The release that was active.
    pub from: ReleaseId,
    /// The release to go to.
    pub to: ReleaseId,
    /// The path applications open.
    pub path: String,
}

/// A connection to an agent. Dropping it releases the device's deployment lock.
pub struct Agent {
    peer: String,
    interrupt: Interrupt,
    replies: Replies,
    writer: BufWriter<Box<dyn Write + Send>>,
    control: Arc<dyn Control>,
    traffic: Traffic,
    has_cancelled: bool,
    relay: Relay,
    // Dropped last: channels end with their transport.
    _transport: Box<dyn Transport>,
}

impl Drop for Agent {
    fn drop(&mut self) {
        self.control.kill();
    }
}

/// Runs `trt-agent connect` wherever the agent was installed: a non-interactive shell may not have these in its `PATH`.
fn connect_command(socket: Option<&str>) -> RemoteCommand {
    let mut script = r#"PATH="$PATH:/usr/local/bin:$HOME/.local/bin" exec trt-agent connect"#.to_owned();
    if let Some(socket) = socket {
        script.push_str(" --socket ");
        match socket.strip_prefix("~/") {
            Some(below) => script.push_str(&format!("\"$HOME\"/{}", crate::transport::quote(below))),
            None => script.push_str(&crate::transport::quote(socket)),
        }
    }
    RemoteCommand::script(&script)
}

impl Agent {
    /// Opens a channel to the agent and greets it.
    pub fn greet(way: Way, interrupt: &Interrupt) -> Result<Self, DeviceError> {
        let Way { mut transport, socket, relay } = way;
        let Channel { reader, writer, control } = transport.open(&connect_command(socket.as_deref()))?;
        let mut agent = Self {
            peer: transport.describe(),
            interrupt: interrupt.clone(),
            replies: Replies::new(reader),
            writer: BufWriter::with_capacity(frame::MAX_FRAME, writer),
            control,
            traffic: Traffic::default(),
            has_cancelled: false,
            relay,
            _transport: transport,
        };
        let mine = Hello {
            protocol: PROTOCOL,
            version: env!("CARGO_PKG_VERSION").into(),
            features: vec![],
            name: user_at_host(),
        };
        // An agent that is not there cannot be written to; what it says instead is more telling.
        let sent = agent.send(&mine);
        let hello = match agent.replies.next(Some(interrupt), Some(GREETING)) {
            Ok(frame) => frame.message::<Hello>(),
            Err(NoFrame::Frame(error)) => Err(error),
            Err(NoFrame::Interrupted) => return Err(Interrupted.into()),
            Err(NoFrame::Late) => Err(FrameError::Io(std::io::ErrorKind::TimedOut.into())),
        };
        let hello = hello.map_err(|source| agent.no_agent(source))?;
        sent?;
        agent.traffic.round_trips += 1;
        if hello.protocol != PROTOCOL {
            return Err(DeviceError::Protocol {
                peer: agent.peer.clone(),
                version: hello.version,
                protocol: hello.protocol,
            });
        }
        Ok(agent)
    }

    fn no_agent(&self, source: FrameError) -> DeviceError {
        // The program's stderr may still be on its way when its stdout has ended.
        if matches!(source, FrameError::Closed) {
            let _ = self.control.wait();
        }
        if let Err(interrupted) = self.interrupt.check() {
            return interrupted.into();
        }
        DeviceError::NoAgent {
            peer: self.peer.clone(),
            stderr: self.control.stderr(),
            source: Box::new(source),
        }
    }

    /// What went over the wire so far.
    pub fn traffic(&self) -> Traffic {
        Traffic { received: self.replies.received(), ..self.traffic }
    }

    /// Whether the device has said that it gave up a deployment because it was asked to.
    pub fn has_cancelled(&self) -> bool {
        self.has_cancelled
    }

    /// The device's facts, about building in `runtime`; in the device's default place if `None`.
    pub fn facts(&mut self, runtime: Option<&RuntimeName>) -> Result<DeviceFacts, DeviceError> {
        match self.ask(&Request::Facts { runtime: runtime.cloned() })? {
            Reply::Facts { facts } => Ok(*facts),
            other => Err(self.confused(&other)),
        }
    }

    /// What is good and bad about the device, and the facts that this rests on.
    pub fn doctor(&mut self) -> Result<(Vec<Finding>, DeviceFacts), DeviceError> {
        match self.ask(&Request::Doctor)? {
            Reply::Examined { findings, facts } => Ok((findings, *facts)),
            other => Err(self.confused(&other)),
        }
    }

    /// What is on the device, and who deploys to it right now.
    pub fn status(&mut self) -> Result<(Vec<ModelStatus>, Option<Busy>), DeviceError> {
        match self.ask(&Request::Status)? {
            Reply::Status { models, busy } => Ok((models, busy)),
            other => Err(self.confused(&other)),
        }
    }

    /// Activates an earlier release, or only finds out which one that would be. `to` is any unambiguous prefix of its
    /// hex digits; without it, the release before the active one.
    pub fn rollback(
        &mut self,
        model: &ModelName,
        to: Option<&str>,
        intent: Intent,
    ) -> Result<RollBack, DeviceError> {
        let request = Request::Rollback { model: model.clone(), to: to.map(str::to_owned), intent };
        match self.ask(&request)? {
            Reply::RolledBack { from, to, path } => Ok(RollBack { from, to, path }),
            other => Err(self.confused(&other)),
        }
    }

    /// What deploying `manifest` would do.
    pub fn plan(&mut self, manifest: &Manifest, wish: Wish) -> Result<Proposal<'_>, DeviceError> {
        let Wish { intent, rebuild, table_promised } = wish;
        let request = Request::Plan { manifest: Box::new(manifest.clone()), intent, rebuild, table_promised };
        match self.ask(&request)? {
            Reply::Planned(planned) => Ok(Proposal { agent: self, planned: *planned }),
            other => Err(self.confused(&other)),
        }
    }

    /// Sends a request and waits for its reply; Ctrl-C gives up at once.
    fn ask(&mut self, request: &Request) -> Result<Reply, DeviceError> {
        self.send(request)?;
        self.reply(|_| {})
    }

    /// Waits for the final reply, passing events on. Ctrl-C gives up at once.
    pub(super) fn reply(&mut self, mut events: impl FnMut(Event)) -> Result<Reply, DeviceError> {
        loop {
            match self.replies.next(Some(&self.interrupt), None) {
                Ok(frame) => match self.understand(frame)? {
                    Reply::Event(event) => events(event),
                    last => return self.finish(last),
                },
                Err(NoFrame::Frame(source)) => return Err(self.broken(source)),
                Err(NoFrame::Interrupted | NoFrame::Late) => return Err(Interrupted.into()),
            }
        }
    }

    /// Like [`Self::reply`], but Ctrl-C cancels the work on the device and waits a little for its last word.
    pub(super) fn reply_or_cancel(&mut self, mut events: impl FnMut(Event)) -> Result<Reply, DeviceError> {
        self.relay.set_patience(FAREWELL);
        let reply = match self.reply(&mut events) {
            Err(DeviceError::Interrupted(_)) => self.cancel(events),
            other => other,
        };
        self.relay.set_patience(Duration::ZERO);
        reply
    }

    /// Asks the device to stop. Its last word counts all the same: the work may have been done, or have failed, before.
    fn cancel(&mut self, mut events: impl FnMut(Event)) -> Result<Reply, DeviceError> {
        let deadline = Instant::now() + FAREWELL;
        self.send(&Request::Cancel)?;
        loop {
            let left = deadline.saturating_duration_since(Instant::now());
            let Ok(frame) = self.replies.next(None, Some(left)) else { return Err(Interrupted.into()) };
            match self.understand(frame)? {
                Reply::Event(event) => events(event),
                Reply::Failed(failure) if failure.code == FailureCode::Cancelled => {
                    self.has_cancelled = true;
                    return Err(Interrupted.into());
                }
                last => return self.finish(last),
            }
        }
    }

    fn finish(&mut self, reply: Reply) -> Result<Reply, DeviceError> {
        self.traffic.round_trips += 1;
        match reply {
            Reply::Failed(failure) => Err(self.failed(failure)),
            other => Ok(other),
        }
    }

    fn understand(&self, frame: frame::Frame) -> Result<Reply, DeviceError> {
        frame.message().map_err(|source| self.broken(source))
    }

    pub(super) fn send(&mut self, message: &impl Serialize) -> Result<(), DeviceError> {
        let len = serde_json::to_vec(message).map_or(0, |body| body.len());
        self.traffic.sent += frame::overhead() + len as u64;
        frame::write_message(&mut self.writer, message).map_err(|source| self.broken(source))
    }

    /// Sends a piece of a blob; [`Self::flush`] follows the last one.
    pub(super) fn send_data(&mut self, piece: &[u8]) -> Result<(), DeviceError> {
        self.interrupt.check()?;
        if let Some(early) = self.replies.waiting() {
            return Err(self.objection(early));
        }
        self.traffic.sent += frame::overhead() + piece.len() as u64;
        frame::write_data(&mut self.writer, piece).map_err(|source| self.cut_off(source))
    }

    pub(super) fn flush(&mut self) -> Result<(), DeviceError> {
        self.writer.flush().map_err(|error| self.cut_off(error.into()))
    }

    /// What the agent says in the middle of an upload: only a failure makes sense there.
    fn objection(&self, frame: Result<frame::Frame, FrameError>) -> DeviceError {
        match frame.and_then(|frame| frame.message()) {
            Ok(Reply::Failed(failure)) => self.failed(failure),
            Ok(other) => self.confused(&other),
            Err(source) => self.broken(source),
        }
    }

    /// Why nothing more can be sent. An agent that ended the connection may have said why before.
    fn cut_off(&self, source: FrameError) -> DeviceError {
        match self.replies.next(None, Some(LAST_WORDS)).map(|frame| frame.message()) {
            Ok(Ok(Reply::Failed(failure))) => self.failed(failure),
            _ => self.broken(source),
        }
    }

    pub(super) fn peer(&self) -> &str {
        &self.peer
    }

    pub(super) fn confused(&self, reply: &Reply) -> DeviceError {
        let got = serde_json::to_string(reply).unwrap_or_default().chars().take(80).collect();
        DeviceError::Confused { peer: self.peer.clone(), got }
    }

    fn failed(&self, failure: Failure) -> DeviceError {
        DeviceError::Failed { peer: self.peer.clone(), failure }
    }

    fn broken(&self, source: FrameError) -> DeviceError {
        // Ctrl-C ends what the transport waits for; that is no fault of the connection.
        if let Err(interrupted) = self.interrupt.check() {
            return interrupted.into();
        }
        let peer = self.peer.clone();
        match source {
            FrameError::Closed | FrameError::Io(_) => DeviceError::Broken { peer, source },
            damaged => DeviceError::Damaged { peer, source: damaged },
        }
    }
}

/// Who deploys, for the device's lock and journal.
fn user_at_host() -> String {
    let user =
        std::env::var("USER").or_else(|_| std::env::var("LOGNAME")).unwrap_or_else(|_| "somebody".into());
    format!("{user}@{}", rustix::system::uname().nodename().to_string_lossy())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_agent_is_found_in_the_places_it_is_installed_to() {
        let lines = [None, Some("~/agent dir/agent.sock"), Some("/run/x.sock")];
        let lines = lines.map(|socket| connect_command(socket).line().to_owned());
        insta::assert_snapshot!("connect_command", lines.join("\n"));
    }
}
