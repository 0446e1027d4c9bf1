//! Carries out a plan: build, commit, release, activate.

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use trt_wire::message::{Action, Deployed, Event, Phase, Planned, VerifyOutcome};
use trt_wire::worker::{BuildJob, Built, Job, WorkerEvent};
use trt_wire::{Decision, Failure, FailureCode, Manifest, QuantMode, Retry};

use super::{activate, identity};
use crate::config::Config;
use crate::store::{BuildRecord, Entry, NewRelease, Store, durable, now};
use crate::supervise::{self, Limits};

/// How others influence a deployment under way.
#[derive(Debug, Clone, Default)]
pub struct Control {
    /// Stop now: a build leaves nothing behind, a finished engine is kept, a hook under way is undone.
    pub cancel: Arc<AtomicBool>,
    /// The host is gone: finish and keep the engine, but activate nothing that nobody watches.
    pub detached: Arc<AtomicBool>,
}

impl Control {
    /// Why nothing should be activated any more.
    fn stopped(&self) -> Option<&'static str> {
        if self.cancel.load(Ordering::Relaxed) {
            Some("the deployment was cancelled")
        } else if self.detached.load(Ordering::Relaxed) {
            Some("the host went away")
        } else {
            None
        }
    }
}

/// What is to be carried out, and for whom.
#[derive(Debug, Clone, Copy)]
pub struct Order<'a> {
    /// What to deploy.
    pub manifest: &'a Manifest,
    /// What that means here and now.
    pub planned: &'a Planned,
    /// A build is forced. It measures every layer afresh and keeps that: whoever forces it trusts nothing from before.
    pub rebuild: bool,
    /// Who asked for it.
    pub who: &'a str,
}

/// Builds if the plan says so, then activates. All that happens is told to `sink` and to the journal.
pub fn run(
    order: Order<'_>,
    config: &Config,
    store: &Store,
    control: &Control,
    mut sink: impl FnMut(Event),
) -> Result<Deployed, Failure> {
    let Order { manifest, planned, who, .. } = order;
    let mut decisions = planned.plan.decisions.clone();
    let mut build_ms = None;
    if planned.action == Action::Build {
        let result = build(order, config, store, control, &mut sink);
        journal(store, who, "build", manifest, planned, &result);
        let built = result?;
        build_ms = Some(built.wall_ms);
    }
    let record = store.engine(planned.engine)?.ok_or_else(|| {
        Failure::new(
            FailureCode::Store,
            Retry::Now,
            format!("engine {} is gone from the store", planned.engine),
        )
    })?;
    decisions.extend(record.built.decisions.iter().cloned());

    if let Some(words) = control.stopped() {
        let message = format!("{words}; the engine is kept and not activated");
        let stopped = Err(Failure::new(FailureCode::Cancelled, Retry::Now, message));
        journal(store, who, "activate", manifest, planned, &stopped);
        return stopped;
    }
    let verify = VerifyOutcome::NotVerified {
        because: "this version of the agent cannot compare an engine with FP32 yet".into(),
    };
    store.add_release(&NewRelease {
        id: planned.release,
        manifest,
        engine: planned.engine,
        plan: &planned.plan,
        verify: &verify,
    })?;
    sink(Event::Phase { phase: Phase::Activate });
    let previous = store.current(&manifest.model)?;
    let result = activate::switch(store, config, manifest, planned.release, previous, &control.cancel);
    journal(store, who, "activate", manifest, planned, &result);
    result?;
    Ok(Deployed {
        release: planned.release,
        engine: planned.engine,
        engine_bytes: record.built.engine_bytes,
        build_ms,
        verify,
        decisions,
        path: store.engine_path(&manifest.model).display().to_string(),
    })
}

/// What happened has happened: a journal that cannot be written is the daemon's own trouble and goes to its log.
fn journal<T>(
    store: &Store,
    who: &str,
    what: &'static str,
    manifest: &Manifest,
    planned: &Planned,
    result: &Result<T, Failure>,
) {
    let text = result.as_ref().err().map_or_else(|| "ok".to_owned(), ToString::to_string);
    let entry = Entry {
        time: now(),
        who,
        what,
        model: &manifest.model,
        release: Some(planned.release),
        engine: Some(planned.engine),
        result: &text,
    };
    store.record_or_log(&entry);
}

/// A folder that is gone when the build is over, however it ends.
struct Workspace(PathBuf);

impl Drop for Workspace {
    fn drop(&mut self) {
        // What cannot be removed now is removed when the daemon starts.
        let _ = fs::remove_dir_all(&self.0);
    }
}

fn build(
    order: Order<'_>,
    config: &Config,
    store: &Store,
    control: &Control,
    sink: &mut impl FnMut(Event),
) -> Result<Built, Failure> {
    let Order { manifest, planned, .. } = order;
    let work = Workspace(store.work_dir().join(planned.engine.full()));
    let failed = |error: std::io::Error| {
        Failure::from(crate::store::StoreError::Io { path: work.0.clone(), source: error })
    };
    let _ = fs::remove_dir_all(&work.0);
    fs::create_dir_all(&work.0).map_err(failed)?;
    let job = job(order, config, store, &work.0)?;
    let (engine, log, timing) = (job.engine.clone(), job.log.clone(), job.timing_cache.clone());

    let runtime = config.runtime(planned.plan.runtime.as_ref())?;
    let limits = Limits::build(config.build_timeout, Arc::clone(&control.cancel));
    let mut built = match supervise::run(runtime, &Job::Build(Box::new(job)), &limits, sink) {
        Ok(WorkerEvent::Done(built)) => built,
        Ok(_) => {
            let message = "the worker answered something else than a build";
            return Err(Failure::new(FailureCode::WorkerDied, Retry::AfterFix, message)
                .with_hint("the `worker` of the agent's configuration must run `trt-agent worker`"));
        }
        Err(failure) => return Err(with_log(failure, keep_log(store, manifest, &log))),
    };
    // Kept before the engine is, so that its record can tell. A cache that cannot be kept costs time in the next build
    // and nothing in this one.
    if let Some(Err(error)) = timing.map(|copy| store.keep_timing_cache(&planned.facts, &copy)) {
        built.decisions.push(Decision {
            what: "the next build measures every layer again".into(),
            because: format!("the timing cache cannot be kept: {}", Failure::from(error)),
        });
    }
    let record = BuildRecord {
        key: planned.engine,
        model: manifest.model.clone(),
        engine: identity::hash_file(&engine).map_err(failed)?,
        plan: planned.plan.clone(),
        built: built.clone(),
        facts: planned.facts.clone(),
        time: now(),
    };
    store.commit_engine(&work.0, &record)?;
    Ok(built)
}

/// Lays out the model's files under the names they know each other by.
fn job(order: Order<'_>, config: &Config, store: &Store, work: &Path) -> Result<BuildJob, Failure> {
    let Order { manifest, planned, rebuild, .. } = order;
    let model_dir = work.join("model");
    for file in &manifest.files {
        store.link_blob(file.blob, &model_dir.join(&file.path))?;
    }
    let tensorrt = planned.facts.tensorrt.clone().map_err(|reason| {
        Failure::new(FailureCode::NoTensorRt, Retry::AfterFix, format!("the plan has no TensorRT: {reason}"))
    })?;
    let runtime = config.runtime(planned.plan.runtime.as_ref())?;
    let timing_cache = work.join("timing.cache");
    if !rebuild {
        store.copy_timing_cache(&planned.facts, &timing_cache);
    }
    let needs_table = planned.plan.mode == QuantMode::Explicit || planned.plan.mode == QuantMode::Implicit;
    Ok(BuildJob {
        tensorrt_dir: runtime.tensorrt_dir.clone(),
        plugins: config.plugin_paths(&planned.plan.plugins)?,
        timing_cache: Some(timing_cache),
        model: model_dir.join(&manifest.files[0].path),
        table: manifest.table.as_ref().filter(|_| needs_table).map(|table| store.blob_path(table.blob)),
        plan: planned.plan.clone(),
        tensorrt,
        engine: work.join("engine.plan"),
        log: work.join("log"),
    })
}

/// TensorRT's words about a failed build stay readable on the device.
fn keep_log(store: &Store, manifest: &Manifest, log: &Path) -> Option<PathBuf> {
    let dir = store.model_dir(&manifest.model);
    let path = dir.join("last-failure.log");
    let text = fs::read(log).ok()?;
    // The failure itself is reported; a log that cannot be kept must not hide it.
    durable::create_dir(&dir).and_then(|()| durable::write(&path, &text)).ok()?;
    Some(path)
}

/// Says in the hint where TensorRT's log is.
fn with_log(failure: Failure, log: Option<PathBuf>) -> Failure {
    let Some(log) = log else { return failure };
    let log = format!("the log is on the device: {}", log.display());
    let hint = failure.hint.as_ref().map_or_else(|| log.clone(), |hint| format!("{hint}; {log}"));
    failure.with_hint(hint)
}
