//! The builder's settings.

use std::ops::ControlFlow;

use super::builder::{HostMemory, OptimizationProfile};
use crate::error::{Error, Unsupported};
use crate::result;
use crate::sys::monitor::{ProgressEvent, ProgressMonitor};
use crate::sys::values::{BuilderFlag, ProfilingVerbosity, compute_capabilities};

/// How to build. Settings that a version lacks are [`Error::Unsupported`], never ignored.
pub struct BuilderConfig {
    pub(super) inner: result::Config,
}

impl BuilderConfig {
    /// Sets or clears a flag. Precision flags exist in TensorRT 8 and 10 only.
    pub fn set_flag(&mut self, flag: BuilderFlag, on: bool) -> Result<(), Error> {
        Ok(self.inner.set_flag(flag.value(self.inner.builder.version())?, on)?)
    }

    /// Whether a flag is set.
    pub fn flag(&self, flag: BuilderFlag) -> Result<bool, Error> {
        Ok(self.inner.flag(flag.value(self.inner.builder.version())?)?)
    }

    /// Limits the memory that layers may use while they run, in bytes.
    pub fn set_workspace_limit(&mut self, bytes: usize) -> Result<(), Error> {
        Ok(self.inner.set_workspace(bytes)?)
    }

    /// The workspace limit in bytes.
    pub fn workspace_limit(&self) -> Result<usize, Error> {
        Ok(self.inner.workspace()?)
    }

    /// Sets how much the builder tries, from 0 (fast build) to 5 (fast engine); 3 is TensorRT's default. TensorRT 8.6
    /// and later. [`Error::Rejected`] for other levels.
    pub fn set_optimization_level(&mut self, level: i32) -> Result<(), Error> {
        self.inner.set_optimization_level(level)
    }

    /// Sets what the engine remembers of its layers.
    pub fn set_profiling_verbosity(&mut self, verbosity: ProfilingVerbosity) -> Result<(), Error> {
        Ok(self.inner.set_profiling_verbosity(verbosity)?)
    }

    /// Adds a profile of the same builder and gives its index, from 0.
    pub fn add_profile(&mut self, profile: &OptimizationProfile) -> Result<i32, Error> {
        if !std::rc::Rc::ptr_eq(&profile.inner.builder, &self.inner.builder) {
            return Err(Error::Foreign { what: "profile" });
        }
        self.inner.add_profile(&profile.inner)
    }

    /// Names the GPU architectures to build for, as `sm` numbers like 86. TensorRT-RTX only, and needed there on a
    /// machine without a GPU; [`compute_capabilities`] lists what a version offers.
    pub fn set_compute_capabilities(&mut self, capabilities: &[i32]) -> Result<(), Error> {
        let version = self.inner.builder.version();
        let offered = compute_capabilities(version);
        if offered.is_empty() {
            return Err(Unsupported { what: "VBuilderConfig::setComputeCapability", version }.into());
        }
        if let Some(unknown) = capabilities.iter().find(|capability| !offered.contains(capability)) {
            let value = format!("{unknown}, but only {offered:?}");
            return Err(Error::Rejected {
                method: "VBuilderConfig::setComputeCapability",
                value,
                recorded: vec![],
            });
        }
        self.inner.set_compute_capabilities(capabilities)
    }

    /// Calls `sink` with the progress of builds, from any thread; `Break` cancels the build at its next step. Not in
    /// TensorRT 8. A panic in it is caught and does not cancel.
    pub fn set_progress(
        &mut self,
        sink: impl Fn(ProgressEvent<'_>) -> ControlFlow<()> + Send + Sync + 'static,
    ) -> Result<(), Error> {
        let monitor = ProgressMonitor::new(self.inner.builder.library.class_type_info, Box::new(sink));
        Ok(self.inner.set_monitor(monitor)?)
    }

    /// Uses a timing cache: the bytes of [`Self::timing_cache`] from an earlier build, or none for a fresh one.
    ///
    /// [`Error::TimingCache`] if they are of another TensorRT or, unless `ignore_mismatch`, of another device. RTX takes
    /// any bytes, and warns in its log that it uses no timing cache.
    pub fn set_timing_cache(&mut self, contents: &[u8], ignore_mismatch: bool) -> Result<(), Error> {
        self.inner.set_timing_cache(contents, ignore_mismatch)
    }

    /// The timing cache as it is after the builds; `None` if none was set.
    pub fn timing_cache(&self) -> Result<Option<HostMemory>, Error> {
        Ok(self.inner.timing_cache()?.map(|inner| HostMemory { inner }))
    }
}
