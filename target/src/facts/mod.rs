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
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use trt_wire::worker::{Job, Probe, WorkerEvent};
use trt_wire::{DeviceFacts, Failure, FailureCode, Gpu, GpuSource, Retry, RuntimeName, TensorRt};

use crate::config::{Config, Runtime};
use crate::supervise;
use crate::worker::trtexec::find;

/// Gathers facts, and remembers what workers found.
///
/// What the agent's own worker found holds until the library's file or that of `trtexec` changes. What a worker of the
/// configuration says is asked anew: its library may be a container's, whose changes cannot be seen from here.
/// [`Gatherer::recall`] asks neither again, and while a build is under way nobody is asked ([`Gatherer::building`]): a
/// board of 4 GB has no room for a second TensorRT.
#[derive(Debug)]
pub struct Gatherer {
    config: Arc<Config>,
    /// By place to build in; those of the configuration and no others. Locked while a worker runs: whoever comes meanwhile
    /// wants the same answer.
    kept: BTreeMap<Option<RuntimeName>, Mutex<Option<Kept>>>,
    builds: AtomicUsize,
}

/// What a worker found.
#[derive(Debug)]
struct Kept {
    probe: Probe,
    /// The library as it was; `None` if it is not a file of this system that the agent's own worker loaded.
    stamp: Option<Stamp>,
}

impl Kept {
    /// Whether the library is the one that was asked, as far as can be seen from here.
    fn is_current(&self, runtime: &Runtime) -> bool {
        match (&self.probe.tensorrt, &self.stamp) {
            (Ok(found), Some(stamp)) => self::stamp(found, runtime).as_ref() == Some(stamp),
            (Ok(_), None) => !runtime.worker.is_empty(),
            (Err(_), _) => false,
        }
    }

    /// Whether there is no need to ask the same library again. What failed may work the next time: the driver may come
    /// up later than the agent.
    fn is_lasting(&self, runtime: &Runtime) -> bool {
        runtime.worker.is_empty() && self.probe.gpu.is_ok() && self.is_current(runtime)
    }
}

/// A build under way, until dropped.
#[derive(Debug)]
pub struct Building<'a>(&'a AtomicUsize);

impl Drop for Building<'_> {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
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
        let places = std::iter::once(None).chain(config.runtimes.keys().cloned().map(Some));
        let kept = places.map(|place| (place, Mutex::default())).collect();
        Self { config, kept, builds: AtomicUsize::new(0) }
    }

    /// All facts as of now, about building in `runtime`; in the configuration's default place if `None`. Loading TensorRT
    /// takes a moment the first time.
    ///
    /// Fails for a runtime that the configuration does not define, and with [`FailureCode::Busy`] for one that nobody
    /// asked before the build that is under way.
    pub fn gather(&self, runtime: Option<&RuntimeName>) -> Result<DeviceFacts, Failure> {
        self.facts(runtime, Kept::is_lasting)
    }

    /// The same with what was found when TensorRT was last asked, unless its file has changed since.
    ///
    /// For the steps of one deployment. A library that changed unseen, in a container, is noticed by the worker that
    /// builds, which refuses to build with another one than the plan's.
    pub fn recall(&self, runtime: Option<&RuntimeName>) -> Result<DeviceFacts, Failure> {
        self.facts(runtime, Kept::is_current)
    }

    /// Says that a build begins. Until it ends, what is remembered is the answer to everything.
    pub fn building(&self) -> Building<'_> {
        self.builds.fetch_add(1, Ordering::Relaxed);
        Building(&self.builds)
    }

    fn facts(
        &self,
        runtime: Option<&RuntimeName>,
        is_good: impl Fn(&Kept, &Runtime) -> bool,
    ) -> Result<DeviceFacts, Failure> {
        let root = &self.config.facts_root;
        let probe = self.probe(runtime, is_good)?;
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

    fn probe(
        &self,
        name: Option<&RuntimeName>,
        is_good: impl Fn(&Kept, &Runtime) -> bool,
    ) -> Result<Probe, Failure> {
        let runtime = self.config.runtime(name)?;
        let place = self.kept.get(&name.cloned()).expect("every place of the configuration has an entry");
        let mut kept = place.lock().unwrap_or_else(PoisonError::into_inner);
        let is_building = self.builds.load(Ordering::Relaxed) > 0;
        if let Some(kept) = kept.as_ref().filter(|kept| is_building || is_good(kept, runtime)) {
            return Ok(kept.probe.clone());
        }
        if is_building {
            return Err(busy(name));
        }
        let probe = ask(runtime);
        let own = probe.tensorrt.as_ref().ok().filter(|_| runtime.worker.is_empty());
        let stamp = own.and_then(|found| self::stamp(found, runtime));
        Ok(kept.insert(Kept { probe, stamp }).probe.clone())
    }

    /// Asks again the next time, since another library than expected was found.
    pub fn forget(&self) {
        for place in self.kept.values() {
            *place.lock().unwrap_or_else(PoisonError::into_inner) = None;
        }
    }
}

fn busy(name: Option<&RuntimeName>) -> Failure {
    let place = name.map_or("the default place to build in".into(), |name| format!("runtime `{name}`"));
    let message = format!(
        "a build is under way, and the TensorRT of {place} was not asked before it: two at once need more memory than \
         small boards have"
    );
    Failure::new(FailureCode::Busy, Retry::Now, message)
        .with_hint("wait for the build to end; `trt-deploy status` shows it")
}

fn ask(runtime: &Runtime) -> Probe {
    let job = Job::Probe { tensorrt_dir: runtime.tensorrt_dir.clone() };
    match supervise::run(runtime, &job, &supervise::Limits::probe(runtime), |_| {}) {
        Ok(WorkerEvent::Probed(probe)) => probe,
        Ok(_) => unanswered("the worker answered something else than a probe"),
        Err(Failure { message, hint: Some(hint), .. }) => unanswered(&format!("{message} ({hint})")),
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
