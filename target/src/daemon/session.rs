//! One connection: the agent's side of the conversation that `trt_wire::message` describes.

use std::io::{BufReader, BufWriter};
use std::os::unix::net::UnixStream;
use std::sync::atomic::Ordering;
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;

use trt_wire::frame::{self, Frame, FrameError};
use trt_wire::message::{
    Action, Hello, Intent, ModelStatus, PROTOCOL, Planned, ReleaseStatus, Reply, Request,
};
use trt_wire::{BlobId, EngineKey, Failure, FailureCode, Manifest, ModelName, Retry};

use super::Agent;
use super::lock::Held;
use crate::deploy::{self, Control};

/// How much of a host's name is kept, in characters.
const LONGEST_NAME: usize = 128;

/// Serves a connection until the host closes it or says something that makes no sense.
pub fn run(agent: &Arc<Agent>, stream: UnixStream) {
    let Ok(reading) = stream.try_clone() else { return };
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
        let mine = Hello {
            protocol: PROTOCOL,
            version: env!("CARGO_PKG_VERSION").into(),
            features: vec![],
            name: rustix::system::uname().nodename().to_string_lossy().into_owned(),
        };
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

    /// Failing to write means that the host is gone, which reading will tell.
    fn reply(&self, reply: &Reply) {
        let _ = self.send(reply);
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
            let request: Request = frame::read_message(&mut self.reader)?;
            if request == Request::Cancel {
                // If nothing is under way, it was answered just before the host changed its mind.
                if let Some(running) = &self.running {
                    running.control.cancel.store(true, Ordering::Relaxed);
                }
                continue;
            }
            self.join();
            let result = match request {
                Request::Facts => Ok(Reply::Facts { facts: Box::new(self.agent.gatherer.gather()) }),
                Request::Status => self.status(),
                Request::Plan { manifest, intent, rebuild } => self.plan(*manifest, intent, rebuild),
                Request::Upload { blob, size, offset } => self.upload(blob, size, offset)?,
                Request::Deploy { expect } => match self.deploy(expect) {
                    Ok(()) => continue,
                    Err(failure) => Err(failure),
                },
                Request::Rollback { model, to } => self.rollback(&model, to.as_deref()),
                Request::Cancel => continue,
            };
            self.host.reply(&result.unwrap_or_else(Reply::Failed));
        }
    }

    /// The host is gone. A build under way is finished, since it may have taken an hour; it is not activated.
    fn leave(&mut self) {
        if let Some(running) = &self.running {
            running.control.detached.store(true, Ordering::Relaxed);
        }
        self.join();
    }

    fn join(&mut self) {
        if let Some(running) = self.running.take()
            && running.thread.join().is_err()
        {
            self.host.reply(&Reply::Failed(Failure::new(
                FailureCode::Store,
                Retry::Now,
                "the deployment ended in a panic; the agent's log has the place",
            )));
        }
    }

    fn lock(&mut self) -> Result<(), Failure> {
        if self.held.is_none() {
            self.held = Some(self.agent.lock.take(&self.host.who)?);
        }
        Ok(())
    }

    fn plan_now(&self, manifest: &Manifest, rebuild: bool) -> Result<Planned, Failure> {
        deploy::plan(manifest, rebuild, &self.agent.config, &self.agent.store, &self.agent.gatherer)
    }

    fn plan(&mut self, manifest: Manifest, intent: Intent, rebuild: bool) -> Result<Reply, Failure> {
        let mut planned = self.plan_now(&manifest, rebuild)?;
        if intent == Intent::Deploy && planned.action != Action::Nothing {
            self.lock()?;
            // Whoever held the lock until now may have changed what is to be done.
            planned = self.plan_now(&manifest, rebuild)?;
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
        let planned = self.plan_now(&manifest, rebuild)?;
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
            let result = deploy::run(&manifest, &planned, &host.who, &agent.config, &agent.store, &job, sink);
            host.reply(&result.map_or_else(Reply::Failed, |deployed| Reply::Deployed(Box::new(deployed))));
        });
        self.running = Some(Running { control, thread });
        Ok(())
    }

    fn status(&self) -> Result<Reply, Failure> {
        let store = &self.agent.store;
        let mut models = Vec::new();
        for model in store.models()? {
            let current = match store.current(&model)? {
                Some(id) => store.release(&model, id)?,
                None => None,
            };
            let record = current.as_ref().map(|release| store.engine(release.engine)).transpose()?.flatten();
            models.push(ModelStatus {
                current: current.zip(record).map(|(release, record)| ReleaseStatus {
                    release: release.id,
                    engine: release.engine,
                    precision: record.plan.precision,
                    mode: record.plan.mode,
                    tensorrt: record.built.tensorrt.to_string(),
                    engine_bytes: record.built.engine_bytes,
                    verify: release.verify,
                    activated: release.activation.map(|activation| activation.time),
                }),
                previous: store.previous(&model)?,
                path: store.engine_path(&model).display().to_string(),
                model,
            });
        }
        Ok(Reply::Status { models, busy: self.agent.lock.holder() })
    }

    fn rollback(&mut self, model: &ModelName, to: Option<&str>) -> Result<Reply, Failure> {
        self.lock()?;
        deploy::rollback(model, to, &self.host.who, &self.agent.config, &self.agent.store)
    }
}
