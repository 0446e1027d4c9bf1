//! What is known about this device: files below the facts root, and a worker that asks TensorRT and the driver.

mod machine;

use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};

use trt_wire::worker::{Job, Probe, WorkerEvent};
use trt_wire::{DeviceFacts, Gpu, GpuSource};

use crate::config::Config;
use crate::supervise;

/// Gathers facts, and remembers what the worker found until the library's file changes.
#[derive(Debug)]
pub struct Gatherer {
    config: Arc<Config>,
    last: Mutex<Option<(FileStamp, Probe)>>,
}

/// Enough of a file to see that it was replaced.
#[derive(Debug, Clone, PartialEq, Eq)]
struct FileStamp(u64, u64, i64, u64);

impl FileStamp {
    fn of(path: &str) -> Option<Self> {
        let meta = fs::metadata(path).ok()?;
        Some(Self(meta.dev(), meta.ino(), meta.mtime(), meta.len()))
    }
}

impl Gatherer {
    /// A gatherer for one configuration.
    pub fn new(config: Arc<Config>) -> Self {
        Self { config, last: Mutex::new(None) }
    }

    /// All facts as of now. Loading TensorRT takes a moment the first time.
    pub fn gather(&self) -> DeviceFacts {
        let root = &self.config.facts_root;
        let probe = self.probe();
        let (memory_total, memory_available) = machine::memory(root);
        DeviceFacts {
            hostname: machine::hostname(),
            arch: machine::arch(),
            board: machine::board(root),
            compatible: machine::compatible(root),
            l4t: machine::l4t(root),
            module: None,
            soc: None,
            jetpack: None,
            dla_cores: probe.dla_cores.unwrap_or(0),
            runtime: None,
            trtexec: probe.trtexec,
            swap_total: 0,
            power_mode: None,
            clocks_pinned: None,
            time: crate::store::now(),
            gpu: self.gpu(probe.gpu),
            cuda_driver: probe.cuda_driver,
            tensorrt: probe.tensorrt,
            memory_total,
            memory_available,
            disk_free: disk_free(&self.config.store),
            agent_version: env!("CARGO_PKG_VERSION").into(),
        }
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

    fn probe(&self) -> Probe {
        let mut last = self.last.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some((stamp, probe)) = &*last
            && probe
                .tensorrt
                .as_ref()
                .is_ok_and(|found| FileStamp::of(&found.library).as_ref() == Some(stamp))
        {
            return probe.clone();
        }
        let runtime = &self.config.default_runtime;
        let job = Job::Probe { tensorrt_dir: runtime.tensorrt_dir.clone() };
        let probe = match supervise::run(runtime, &job, &supervise::Limits::probe(), |_| {}) {
            Ok(WorkerEvent::Probed(probe)) => probe,
            Ok(_) => unanswered("the worker answered something else than a probe"),
            Err(failure) => unanswered(&failure.message),
        };
        // What failed may work the next time: the driver may come up later than the agent.
        *last = match (&probe.tensorrt, &probe.gpu) {
            (Ok(found), Ok(_)) => FileStamp::of(&found.library).map(|stamp| (stamp, probe.clone())),
            _ => None,
        };
        probe
    }

    /// Asks again the next time, since another library than expected was found.
    pub fn forget(&self) {
        *self.last.lock().unwrap_or_else(PoisonError::into_inner) = None;
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
