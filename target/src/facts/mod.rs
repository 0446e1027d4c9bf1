//! What is known about this device: files below the facts root, and a worker that asks TensorRT and the driver.
//!
//! Nothing is inferred that can be asked: TensorRT's version is the library's answer, and the GPU is the driver's.

pub mod files;
#[cfg(test)]
pub mod golden;
pub mod machine;
mod module;
pub mod power;
pub mod release;

use std::collections::BTreeMap;
use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};

use trt_wire::worker::{Job, Probe, WorkerEvent};
use trt_wire::{DeviceFacts, Failure, Gpu, GpuSource, RuntimeName, TensorRt};

use crate::config::{Config, Runtime};
use crate::supervise;
use crate::worker::trtexec::find;

/// Gathers facts, and remembers what the agent's own worker found until the library's file or that of `trtexec` changes.
///
/// What a worker of the configuration says is asked anew each time: its library may be a container's, whose changes
/// cannot be seen from here.
#[derive(Debug)]
pub struct Gatherer {
    config: Arc<Config>,
    kept: Mutex<BTreeMap<Option<RuntimeName>, (Stamp, Probe)>>,
}

/// Enough of a file to see that it was replaced.
#[derive(Debug, Clone, PartialEq, Eq)]
struct FileStamp(u64, u64, i64, u64);

impl FileStamp {
    fn of(path: &Path) -> Option<Self> {
        let meta = fs::metadata(path).ok()?;
        Some(Self(meta.dev(), meta.ino(), meta.mtime(), meta.len()))
    }
}

/// The library's file, and that of the first `trtexec`, which may be installed and replaced by itself.
type Stamp = (FileStamp, Option<FileStamp>);

fn stamp(tensorrt: &TensorRt, runtime: &Runtime) -> Option<Stamp> {
    let trtexec = find::first(runtime.tensorrt_dir.as_deref(), tensorrt);
    Some((FileStamp::of(tensorrt.library.as_ref())?, trtexec.and_then(|path| FileStamp::of(&path))))
}

impl Gatherer {
    /// A gatherer for one configuration.
    pub fn new(config: Arc<Config>) -> Self {
        Self { config, kept: Mutex::default() }
    }

    /// All facts as of now, about building in `runtime`; in the configuration's default place if `None`. Loading TensorRT
    /// takes a moment the first time. A runtime that the configuration does not define is the only failure.
    pub fn gather(&self, runtime: Option<&RuntimeName>) -> Result<DeviceFacts, Failure> {
        let root = &self.config.facts_root;
        let probe = self.probe(runtime, self.config.runtime(runtime)?);
        let compatible = machine::compatible(root);
        let module = module::module(&compatible);
        let l4t = release::l4t(root);
        let (memory_total, memory_available) = machine::memory(root);
        let modes = power::Modes::read(root);
        Ok(DeviceFacts {
            hostname: machine::hostname(),
            arch: machine::arch(),
            board: machine::board(root),
            module: module.map(|module| module.name.into()),
            soc: module::soc(&compatible),
            compatible,
            jetpack: l4t.as_deref().and_then(release::jetpack).map(|jetpack| jetpack.name.into()),
            l4t,
            dla_cores: probe.dla_cores.or(module.map(|module| module.dla_cores)).unwrap_or(0),
            runtime: runtime.cloned(),
            gpu: self.gpu(probe.gpu),
            cuda_driver: probe.cuda_driver,
            tensorrt: probe.tensorrt,
            trtexec: probe.trtexec,
            memory_total,
            memory_available,
            swap_total: machine::swap(root).total,
            power_mode: modes.and_then(|modes| Some(modes.current()?.name.clone())),
            clocks_pinned: power::clocks_pinned(root),
            time: crate::store::now(),
            disk_free: disk_free(&self.config.store),
            agent_version: env!("CARGO_PKG_VERSION").into(),
        })
    }

    /// The driver's answer, else what the configuration says to build for.
    fn gpu(&self, asked: Result<Gpu, String>) -> Result<Gpu, String> {
        asked.or_else(|reason| match self.config.build_for {
            Some(compute_capability) => {
                Ok(Gpu { name: "none".into(), compute_capability, source: GpuSource::Configuration })
            }
            None => Err(reason),
        })
    }

    fn probe(&self, name: Option<&RuntimeName>, runtime: &Runtime) -> Probe {
        if !runtime.worker.is_empty() {
            return ask(runtime);
        }
        // Held while the worker runs: whoever comes meanwhile wants the same answer.
        let mut kept = self.kept.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some((stamp, probe)) = kept.get(&name.cloned())
            && let Ok(found) = &probe.tensorrt
            && self::stamp(found, runtime).as_ref() == Some(stamp)
        {
            return probe.clone();
        }
        let probe = ask(runtime);
        // What failed may work the next time: the driver may come up later than the agent.
        let stamp = match (&probe.tensorrt, &probe.gpu) {
            (Ok(found), Ok(_)) => self::stamp(found, runtime),
            _ => None,
        };
        match stamp {
            Some(stamp) => kept.insert(name.cloned(), (stamp, probe.clone())),
            None => kept.remove(&name.cloned()),
        };
        probe
    }

    /// Asks again the next time, since another library than expected was found.
    pub fn forget(&self) {
        self.kept.lock().unwrap_or_else(PoisonError::into_inner).clear();
    }
}

fn ask(runtime: &Runtime) -> Probe {
    let job = Job::Probe { tensorrt_dir: runtime.tensorrt_dir.clone() };
    match supervise::run(runtime, &job, &supervise::Limits::probe(), |_| {}) {
        Ok(WorkerEvent::Probed(probe)) => probe,
        Ok(_) => unanswered("the worker answered something else than a probe"),
        Err(failure) => unanswered(&failure.message),
    }
}

fn unanswered(reason: &str) -> Probe {
    Probe {
        tensorrt: Err(reason.to_owned()),
        gpu: Err(reason.to_owned()),
        cuda_driver: None,
        dla_cores: None,
        trtexec: None,
    }
}

/// Free bytes for this user at the store, or at its nearest existing parent; 0 if the system does not say.
pub fn disk_free(store: &Path) -> u64 {
    let existing = store.ancestors().find(|path| path.exists());
    existing.and_then(|path| rustix::fs::statvfs(path).ok()).map_or(0, |stat| stat.f_bavail * stat.f_frsize)
}

#[cfg(test)]
mod tests;
