//! One connection: the agent's side of the conversation that `trt_wire::message` describes.

use std::io::{BufReader, BufWriter};
use std::net::Shutdown;
use std::os::unix::net::UnixStream;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::Ordering;
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use rustix::event::{PollFd, PollFlags, Timespec, poll};

use trt_wire::frame::{self, Frame, FrameError};
use trt_wire::message::{
    Action, Hello, Intent, ModelStatus, PROTOCOL, Planned, ReleaseStatus, Reply, Request,
};
use trt_wire::{
    BlobId, DeviceFacts, EngineKey, Failure, FailureCode, Manifest, ModelName, Retry, RuntimeName,
};

use super::Agent;
use super::lock::Held;
use crate::deploy::{self, Control, Order};
use crate::doctor;
use crate::facts::Gatherer;

/// How much of a host's name is kept, in characters.
const LONGEST_NAME: usize = 128;

/// How long a host may stall in the middle of what it says, or not take what it is told.
const STALL: Duration = Duration::from_secs(60);

/// How long a host that holds the deployment lock may say nothing while nothing is under way.
const IDLE: Duration = Duration::from_secs(120);

/// How often a session with work under way looks whether it is done.
const TICK: Duration = Duration::from_secs(1);

/// Sends a host away because too many others are here.
pub fn refuse(stream: UnixStream, limit: usize) {
    eprintln!("a connection was refused: {limit} are open");
    let _ = stream.set_write_timeout(Some(TICK));
    let host = Host { writer: Mutex::new(BufWriter::new(stream)), who: String::new() };
    let busy =
        Failure::new(FailureCode::Busy, Retry::Now, format!("the agent serves {limit} connections already"));
    let _ = host.send(&hello());
    host.reply(&Reply::Failed(busy.with_hint("try again in a moment")));
}

fn hello() -> Hello {
    Hello {
        protocol: PROTOCOL,
        version: env!("CARGO_PKG_VERSION").into(),
        features: vec![],
        name: rustix::system::uname().nodename().to_string_lossy().into_owned(),
    }
}

/// Serves a connection until the host closes it or says something that makes no sense.
pub fn run(agent: &Arc<Agent>, stream: UnixStream) {
    let Ok(reading) = stream.try_clone() else { return };
    // A host that stalls in mid-sentence, or does not listen, is as good as gone.
    if stream.set_read_timeout(Some(STALL)).and_then(|()| stream.set_write_timeout(Some(STALL))).is_err() {
        return;
    }
    let mut reader = BufReader::with_capacity(256 << 10, reading);
    let mut host = Host { writer: Mutex::new(BufWriter::new(stream)), who: String::new() };
    let greeted = host.greet(&mut reader);
    let host = Arc::new(host);
    let ended = greeted.and_then(|()| {
        let mut session =
            Session { agent, reader, host: Arc::clone(&host), pending: None, held: None, running: None };
        let ended = session.serve();
        session.leave();
        ended
    });
    if let Err(error) = ended
        && !matches!(error, FrameError::Closed)
    {
        host.reply(&Reply::Failed(Failure::new(FailureCode::BadRequest, Retry::Never, describe(&error))));
    }
}

fn describe(error: &FrameError) -> String {
    match std::error::Error::source(error) {
        Some(source) => format!("{error}: {source}"),
        None => error.to_string(),
    }
}

/// The other side, as seen from the threads that talk to it.
struct Host {
    writer: Mutex<BufWriter<UnixStream>>,
    who: String,
}

impl Host {
    /// Both sides say who they are. A host with another protocol is told so and sent away.
    fn greet(&mut self, reader: &mut BufReader<UnixStream>) -> Result<(), FrameError> {
        let mine = hello();
        self.send(&mine)?;
        let host: Hello = frame::read_message(reader)?;
        if host.protocol != PROTOCOL {
            let message = format!(
                "the host (trt-deploy {}) speaks protocol {}, this agent ({}) speaks {PROTOCOL}",
                host.version, host.protocol, mine.version
            );
            self.reply(&Reply::Failed(
                Failure::new(FailureCode::Protocol, Retry::AfterFix, message)
                    .with_hint("install the agent of the host's version with `trt-deploy agent install`"),
            ));
            return Err(FrameError::Closed);
        }
        // The name ends up in other people's terminals.
        self.who = host.name.chars().filter(|c| !c.is_control()).take(LONGEST_NAME).collect();
        Ok(())
    }

    fn send(&self, message: &impl serde::Serialize) -> Result<(), FrameError> {
        let mut writer = self.writer.lock().unwrap_or_else(PoisonError::into_inner);
        frame::write_message(&mut *writer, message)
    }

    /// A reply too long for a frame is replaced by a word about it. Otherwise failing to write means that the host is
    /// gone: the connection is closed, which reading will tell, and which makes later replies fail at once.
    fn reply(&self, reply: &Reply) {
        let result = match self.send(reply) {
            Err(FrameError::TooLong { len }) => {
                let message =
                    format!("the answer of {len} bytes is too long to be sent; the agent's files have it");
                self.send(&Reply::Failed(Failure::new(FailureCode::Store, Retry::Never, message)))
            }
            other => other,
        };
        if result.is_err() {
            let writer = self.writer.lock().unwrap_or_else(PoisonError::into_inner);
            let _ = writer.get_ref().shutdown(Shutdown::Both);
        }
    }
}

/// What `Deploy` would carry out.
struct Pending {
    manifest: Manifest,
    rebuild: bool,
    engine: EngineKey,
}

/// A deployment under way on a thread of its own, so that the session hears `Cancel` and notices a host that is gone.
struct Running {
    control: Control,
    thread: JoinHandle<()>,
}

struct Session<'a> {
    agent: &'a Arc<Agent>,
    reader: BufReader<UnixStream>,
    host: Arc<Host>,
    pending: Option<Pending>,
    held: Option<Held<'a>>,
    running: Option<Running>,
}

impl Session<'_> {
    fn serve(&mut self) -> Result<(), FrameError> {
        loop {
            self.await_request()?;
            let request: Request = frame::read_message(&mut self.reader)?;
            if request == Request::Cancel {
                // If nothing is under way, it was answered just before the host changed its mind.
                if let Some(running) = &self.running {
                    running.control.cancel.store(true, Ordering::Relaxed);
                }
                continue;
            }
            self.join();
            if let Some(reply) = self.answer(request)? {
                self.host.reply(&reply);
            }
        }
    }

    /// Waits for the host to say something; a host that holds the lock and does nothing with it is sent away.
    fn await_request(&mut self) -> Result<(), FrameError> {
        let mut idle = Instant::now();
        while self.reader.buffer().is_empty() {
            let watched = self.held.is_some() || self.running.is_some();
            let tick = Timespec { tv_sec: TICK.as_secs() as i64, tv_nsec: 0 };
            let mut waits = [PollFd::new(self.reader.get_ref(), PollFlags::IN)];
            match poll(&mut waits, watched.then_some(&tick)) {
                Ok(0) => {}
                Ok(_) => return Ok(()),
                Err(rustix::io::Errno::INTR) => continue,
                Err(error) => return Err(FrameError::Io(error.into())),
            }
            if self.running.as_ref().is_some_and(|running| !running.thread.is_finished()) {
                idle = Instant::now();
            }
            if idle.elapsed() > IDLE {
                return Err(FrameError::Io(std::io::ErrorKind::TimedOut.into()));
            }
        }
        Ok(())
    }

    /// The reply, unless a thread of its own will send it. Failures are replies; errors end the conversation.
    fn answer(&mut self, request: Request) -> Result<Option<Reply>, FrameError> {
        let result = match request {
            Request::Facts { runtime } => {
                let facts = self.agent.gatherer.gather(runtime.as_ref());
                facts.map(|facts| Reply::Facts { facts: Box::new(facts) })
            }
            Request::Status => self.status(),
            Request::Plan { manifest, intent, rebuild, table_promised } => {
                self.plan(*manifest, intent, rebuild, table_promised.as_deref())
            }
            Request::Doctor => {
                let examined = doctor::examine(&self.agent.config, &self.agent.gatherer);
                examined.map(|(findings, facts)| Reply::Examined { findings, facts: Box::new(facts) })
            }
            Request::Upload { blob, size, offset } => self.upload(blob, size, offset)?,
            Request::Deploy { expect } => match self.deploy(expect) {
                Ok(()) => return Ok(None),
                Err(failure) => Err(failure),
            },
            Request::Cancel => return Ok(None),
            Request::Rollback { model, to, intent } => self.rollback(&model, to.as_deref(), intent),
        };
        Ok(Some(result.unwrap_or_else(Reply::Failed)))
    }

    /// The host is gone. A build under way is finished, since it may have taken an hour; it is not activated.
    fn leave(&mut self) {
        if let Some(running) = &self.running {
            running.control.detached.store(true, Ordering::Relaxed);
        }
        self.join();
    }

    /// Waits for the work under way. Its thread has caught its own panics.
    fn join(&mut self) {
        if let Some(running) = self.running.take() {
            let _ = running.thread.join();
        }
    }

    fn lock(&mut self) -> Result<(), Failure> {
        if self.held.is_none() {
            self.held = Some(self.agent.lock.take(&self.host.who)?);
        }
        Ok(())
    }

    fn plan_now(
        &self,
        manifest: &Manifest,
        rebuild: bool,
        promised: Option<&str>,
        facts: impl FnOnce(&Gatherer, Option<&RuntimeName>) -> Result<DeviceFacts, Failure>,
    ) -> Result<Planned, Failure> {
        let Agent { config, store, gatherer, .. } = &**self.agent;
        deploy::plan(manifest, rebuild, promised, config, store, |runtime| facts(gatherer, runtime))
    }

    fn plan(
        &mut self,
        manifest: Manifest,
        intent: Intent,
        rebuild: bool,
        promised: Option<&str>,
    ) -> Result<Reply, Failure> {
        let promised = promised.filter(|_| intent == Intent::Look);
        let mut planned = self.plan_now(&manifest, rebuild, promised, Gatherer::gather)?;
        if intent == Intent::Deploy && planned.action != Action::Nothing {
            self.lock()?;
            // Whoever held the lock until now may have changed what is to be done.
            planned = self.plan_now(&manifest, rebuild, None, Gatherer::recall)?;
            self.pending = Some(Pending { manifest, rebuild, engine: planned.engine });
        }
        Ok(Reply::Planned(Box::new(planned)))
    }

    /// Data frames follow in any case, so they are read in any case: the conversation stays in step.
    fn upload(&mut self, blob: BlobId, size: u64, offset: u64) -> Result<Result<Reply, Failure>, FrameError> {
        let announced =
            self.pending.as_ref().is_some_and(|pending| pending.manifest.blobs().get(&blob) == Some(&size));
        let mut target = if announced {
            self.agent.store.upload(blob, size, offset).map_err(Failure::from)
        } else {
            let message = format!("blob {blob} is no part of the planned deployment");
            Err(Failure::new(FailureCode::BadRequest, Retry::Never, message))
        };
        let mut expected = size.saturating_sub(offset);
        while expected > 0 {
            let piece = Frame::read(&mut self.reader)?.data()?;
            expected = expected.saturating_sub(piece.len() as u64);
            if let Ok(upload) = &mut target
                && let Err(error) = upload.write(&piece)
            {
                target = Err(error.into());
            }
        }
        Ok(target.and_then(|upload| Ok(upload.finish()?)).map(|blob| Reply::Stored { blob }))
    }

    /// Starts what was planned, if the device still gives the same plan. The thread sends the reply.
    fn deploy(&mut self, expect: EngineKey) -> Result<(), Failure> {
        let refuse =
            |code, message: &str| Err(Failure::new(code, Retry::Now, message).with_hint("push again"));
        let Some(Pending { manifest, rebuild, engine }) = self.pending.take() else {
            return refuse(FailureCode::BadRequest, "nothing was planned on this connection");
        };
        let planned = self.plan_now(&manifest, rebuild, None, Gatherer::recall)?;
        if planned.engine != expect || engine != expect {
            return refuse(FailureCode::PlanChanged, "the device changed since the plan was made");
        }
        if !planned.missing.is_empty() {
            return refuse(FailureCode::BadRequest, "not everything was uploaded");
        }
        let control = Control::default();
        let (agent, host, job) = (Arc::clone(self.agent), Arc::clone(&self.host), control.clone());
        let thread = std::thread::spawn(move || {
            let sink = |event| host.reply(&Reply::Event(event));
            let run = || {
                let _building = (planned.action == Action::Build).then(|| agent.gatherer.building());
                let order = Order { manifest: &manifest, planned: &planned, rebuild, who: &host.who };
                deploy::run(order, &agent.config, &agent.store, &job, sink)
            };
            let result = catch_unwind(AssertUnwindSafe(run)).unwrap_or_else(|_| {
                let message = "the deployment ended in a panic; the agent's log has the place";
                Err(Failure::new(FailureCode::Store, Retry::Now, message))
            });
            if result.as_ref().is_err_and(|failure| failure.code == FailureCode::PlanChanged) {
                agent.gatherer.forget();
            }
            host.reply(&result.map_or_else(Reply::Failed, |deployed| Reply::Deployed(Box::new(deployed))));
        });
        self.running = Some(Running { control, thread });
        Ok(())
    }

    fn status(&self) -> Result<Reply, Failure> {
        let models = self.agent.store.models()?.into_iter().map(|model| self.model_status(model)).collect();
        Ok(Reply::Status { models, busy: self.agent.lock.holder() })
    }

    /// One model; files that make no sense are its problem and not that of the others.
    fn model_status(&self, model: ModelName) -> ModelStatus {
        let store = &self.agent.store;
        let path = store.engine_path(&model).display().to_string();
        let look = || {
            let Some(id) = store.current(&model)? else { return Ok((None, None)) };
            let gone = |what: String| Failure::new(FailureCode::NotFound, Retry::AfterFix, what);
            let release =
                store.release(&model, id)?.ok_or_else(|| gone(format!("the active release {id} is gone")))?;
            let record = store
                .engine(release.engine)?
                .ok_or_else(|| gone(format!("the engine of the active release {id} is gone")))?;
            let plan = release.plan.as_ref().unwrap_or(&record.plan);
            let decisions = plan.decisions.iter().chain(&record.built.decisions).cloned().collect();
            let current = ReleaseStatus {
                release: release.id,
                engine: release.engine,
                precision: record.plan.precision,
                mode: record.plan.mode,
                quantized: record.built.quantized,
                tensorrt: record.built.tensorrt.to_string(),
                engine_bytes: record.built.engine_bytes,
                verify: release.verify,
                decisions,
                activated: release.activation.map(|activation| activation.time),
            };
            Ok::<_, Failure>((Some(current), store.previous(&model)?))
        };
        match look() {
            Ok((current, previous)) => ModelStatus { model, current, problem: None, previous, path },
            Err(failure) => {
                let problem = match failure.hint {
                    Some(hint) => format!("{} ({hint})", failure.message),
                    None => failure.message,
                };
                ModelStatus { model, current: None, problem: Some(problem), previous: None, path }
            }
        }
    }

    fn rollback(&mut self, model: &ModelName, to: Option<&str>, intent: Intent) -> Result<Reply, Failure> {
        if intent == Intent::Deploy {
            self.lock()?;
        }
        let agent = self.agent;
        deploy::rollback(model, to, intent, &self.host.who, &agent.config, &agent.store, &agent.gatherer)
    }
}
