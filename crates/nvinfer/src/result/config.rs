//! `IBuilderConfig` and `ITimingCache`.

use std::rc::Rc;
use std::sync::Arc;

use super::builder::{Builder, HostMemory, Profile};
use super::{Owned, expect};
use crate::error::{Error, Unsupported};
use crate::sys::calibrator::Calibrator;
use crate::sys::monitor::ProgressMonitor;
use crate::sys::object::call;
use crate::sys::slots::config::{self, VBuilderConfig};
use crate::sys::slots::timing_cache::{self, VTimingCache};
use crate::sys::types::Ptr;
use crate::sys::values::{BuilderFlag, MemoryPool, ProfilingVerbosity};

/// A builder configuration with what it points to.
pub struct Config {
    pub(super) object: Owned<VBuilderConfig>,
    pub(crate) monitor: Option<Arc<ProgressMonitor>>,
    calibrator: Option<Arc<Calibrator>>,
    timing_cache: Option<Owned<VTimingCache>>,
    pub(crate) builder: Rc<Builder>,
}

impl Config {
    /// Makes a configuration and checks on it that the slots are where the table says.
    pub fn new(builder: Rc<Builder>) -> Result<Config, Error> {
        let public = builder.create_config()?;
        // SAFETY: a new configuration or null.
        let object = unsafe { Owned::new(builder.version(), public) };
        let object = object.ok_or_else(|| builder.creation("VBuilder::createBuilderConfig"))?;
        let config = Config { object, monitor: None, calibrator: None, timing_cache: None, builder };
        match config.check_interface() {
            Ok(()) => Ok(config),
            Err(mismatch) => {
                // Whatever these slots are, the object may hold our monitor now, and its deletion may be another call.
                std::mem::forget(config);
                Err(mismatch)
            }
        }
    }

    /// Round trips through three distant parts of the vtable, each undone afterwards.
    ///
    /// After an error the object may still point to the monitor, which is leaked then.
    fn check_interface(&self) -> Result<(), Error> {
        let version = self.builder.version();
        let (before, probe) = (self.workspace()?, 64 << 20);
        self.set_workspace(probe)?;
        let method = match MemoryPool::Workspace.value(version) {
            Ok(_) => config::GET_MEMORY_POOL_LIMIT.name,
            Err(_) => config::GET_MAX_WORKSPACE_SIZE.name,
        };
        expect(version, method, probe, self.workspace()?)?;
        self.set_workspace(before)?;
        let debug = BuilderFlag::Debug.value(version)?;
        self.set_flag(debug, true)?;
        expect(version, config::GET_FLAG.name, true, self.flag(debug)?)?;
        expect(version, config::GET_FLAGS.name, 1 << debug, self.flags()? & 1 << debug)?;
        self.set_flag(debug, false)?;
        expect(version, config::CLEAR_FLAG.name, false, self.flag(debug)?)?;

        let monitor = ProgressMonitor::new(
            self.builder.library.class_type_info,
            Box::new(|_| std::ops::ControlFlow::Continue(())),
        );
        for pointer in [monitor.as_ptr(), std::ptr::null_mut()] {
            // SAFETY: the monitor lives until the configuration has forgotten it, in the second turn; if that is not proven,
            // it lives forever.
            let Ok(()) = (unsafe { call!(self.object.0, config::SET_PROGRESS_MONITOR, pointer) }) else {
                break;
            };
            // SAFETY: no arguments.
            let found = unsafe { call!(self.object.0, config::GET_PROGRESS_MONITOR) }?;
            expect(version, config::GET_PROGRESS_MONITOR.name, pointer, found)
                .inspect_err(|_| std::mem::forget(monitor.clone()))?;
        }
        Ok(())
    }

    /// Sets or clears a flag, by its value in this version.
    pub fn set_flag(&self, flag: i32, on: bool) -> Result<(), Unsupported> {
        // SAFETY: the value comes from the table of this family.
        unsafe {
            if on {
                call!(self.object.0, config::SET_FLAG, flag)
            } else {
                call!(self.object.0, config::CLEAR_FLAG, flag)
            }
        }
    }

    /// Whether a flag is set, by its value in this version.
    pub fn flag(&self, flag: i32) -> Result<bool, Unsupported> {
        // SAFETY: as above.
        Ok(unsafe { call!(self.object.0, config::GET_FLAG, flag) }? != 0)
    }

    fn flags(&self) -> Result<u32, Unsupported> {
        // SAFETY: no arguments.
        unsafe { call!(self.object.0, config::GET_FLAGS) }
    }

    /// Limits a pool, by its value in this version.
    fn set_pool(&self, pool: i32, bytes: usize) -> Result<(), Unsupported> {
        // SAFETY: the value comes from the table of this family; any size is accepted or reported.
        unsafe { call!(self.object.0, config::SET_MEMORY_POOL_LIMIT, pool, bytes) }
    }

    /// The limit of a pool, by its value in this version.
    pub fn pool(&self, pool: i32) -> Result<usize, Unsupported> {
        // SAFETY: the value comes from the table of this family.
        unsafe { call!(self.object.0, config::GET_MEMORY_POOL_LIMIT, pool) }
    }

    /// Limits a pool and reads back what TensorRT made of it.
    pub fn set_pool_checked(&self, pool: i32, bytes: usize) -> Result<(), Error> {
        self.builder.forget_errors();
        self.set_pool(pool, bytes)?;
        let found = self.pool(pool)?;
        if found == bytes {
            return Ok(());
        }
        let value = format!("{bytes} bytes for pool {pool}, and keeps {found}");
        Err(self.builder.rejected(config::SET_MEMORY_POOL_LIMIT.name, value))
    }

    /// Limits the workspace; before 8.4 by the method that pools replaced.
    pub fn set_workspace(&self, bytes: usize) -> Result<(), Unsupported> {
        match MemoryPool::Workspace.value(self.builder.version()) {
            Ok(pool) => self.set_pool(pool, bytes),
            // SAFETY: any size is accepted.
            Err(_) => unsafe { call!(self.object.0, config::SET_MAX_WORKSPACE_SIZE, bytes) },
        }
    }

    /// The workspace limit in bytes.
    pub fn workspace(&self) -> Result<usize, Unsupported> {
        match MemoryPool::Workspace.value(self.builder.version()) {
            Ok(pool) => self.pool(pool),
            // SAFETY: no arguments.
            Err(_) => unsafe { call!(self.object.0, config::GET_MAX_WORKSPACE_SIZE) },
        }
    }

    /// Sets how much is tried, and reads back what TensorRT made of it.
    pub fn set_optimization_level(&self, level: i32) -> Result<(), Error> {
        self.builder.forget_errors();
        // SAFETY: TensorRT cuts or ignores a level out of range.
        let found = unsafe {
            call!(self.object.0, config::SET_BUILDER_OPTIMIZATION_LEVEL, level)?;
            call!(self.object.0, config::GET_BUILDER_OPTIMIZATION_LEVEL)?
        };
        if found == level {
            Ok(())
        } else {
            Err(self.builder.rejected(config::SET_BUILDER_OPTIMIZATION_LEVEL.name, level))
        }
    }

    /// Sets what the engine remembers of its layers.
    pub fn set_profiling_verbosity(&self, verbosity: ProfilingVerbosity) -> Result<(), Unsupported> {
        // SAFETY: the values are the same in all versions.
        unsafe { call!(self.object.0, config::SET_PROFILING_VERBOSITY, verbosity as i32) }
    }

    /// Adds a profile and gives its index.
    pub fn add_profile(&self, profile: &Profile) -> Result<i32, Error> {
        self.builder.forget_errors();
        // SAFETY: the profile lives as long as the builder, which both hold.
        let index = unsafe { call!(self.object.0, config::ADD_OPTIMIZATION_PROFILE, profile.public()) }?;
        if index < 0 {
            return Err(self.builder.rejected(config::ADD_OPTIMIZATION_PROFILE.name, "the profile"));
        }
        Ok(index)
    }

    /// Names the GPU architectures to build for.
    pub fn set_compute_capabilities(&self, capabilities: &[i32]) -> Result<(), Error> {
        self.builder.forget_errors();
        let object = self.object.0;
        let count = capabilities.len() as i32;
        // SAFETY: TensorRT answers false to a count that it does not like.
        if unsafe { call!(object, config::SET_NB_COMPUTE_CAPABILITIES, count) }? == 0 {
            return Err(self.builder.rejected(config::SET_NB_COMPUTE_CAPABILITIES.name, count));
        }
        for (&capability, index) in capabilities.iter().zip(0..) {
            // SAFETY: the index is below the count just set; unknown capabilities are answered with false.
            if unsafe { call!(object, config::SET_COMPUTE_CAPABILITY, capability, index) }? == 0 {
                return Err(self.builder.rejected(config::SET_COMPUTE_CAPABILITY.name, capability));
            }
        }
        Ok(())
    }

    /// Watches the builds that use this configuration.
    pub fn set_monitor(&mut self, monitor: Arc<ProgressMonitor>) -> Result<(), Unsupported> {
        // SAFETY: the monitor is kept in a field after the configuration, so it outlives it; a former one is dropped
        // only after it was replaced.
        unsafe { call!(self.object.0, config::SET_PROGRESS_MONITOR, monitor.as_ptr()) }?;
        self.monitor = Some(monitor);
        Ok(())
    }

    /// Lets builds read their ranges from a calibration table.
    pub fn set_calibrator(&mut self, calibrator: Arc<Calibrator>) -> Result<(), Error> {
        let pointer = calibrator.as_ptr();
        // SAFETY: the calibrator is kept in a field after the configuration, so it outlives it; a former one is dropped
        // only after it was replaced. All four classes have IInt8Calibrator as their first and only base.
        let found = unsafe {
            call!(self.object.0, config::SET_INT8_CALIBRATOR, pointer)?;
            call!(self.object.0, config::GET_INT8_CALIBRATOR)?
        };
        self.calibrator = Some(calibrator);
        expect(self.builder.version(), config::GET_INT8_CALIBRATOR.name, pointer, found)
    }

    /// Uses a timing cache with these contents; none make an empty one.
    pub fn set_timing_cache(&mut self, contents: &[u8], ignore_mismatch: bool) -> Result<(), Error> {
        self.builder.forget_errors();
        let object = self.object.0;
        // SAFETY: TensorRT copies the bytes, and returns null if they are no timing cache.
        let public =
            unsafe { call!(object, config::CREATE_TIMING_CACHE, contents.as_ptr(), contents.len()) }?;
        // SAFETY: a new cache or null.
        let cache: Option<Owned<VTimingCache>> = unsafe { Owned::new(self.builder.version(), public) };
        let refused = || Error::TimingCache { bytes: contents.len(), recorded: self.builder.take_errors() };
        let cache = cache.ok_or_else(refused)?;
        // SAFETY: on success the cache is kept in a field after the configuration, so it outlives it.
        if unsafe { call!(object, config::SET_TIMING_CACHE, cache.0.public, u8::from(ignore_mismatch)) }? == 0
        {
            return Err(refused());
        }
        self.timing_cache = Some(cache);
        Ok(())
    }

    /// The contents of the timing cache in use; `None` if none was set.
    pub fn timing_cache(&self) -> Result<Option<HostMemory>, Error> {
        self.builder.forget_errors();
        let Some(cache) = &self.timing_cache else { return Ok(None) };
        // SAFETY: no arguments; the cache is alive.
        let public = unsafe { call!(cache.0, timing_cache::SERIALIZE) }?;
        // SAFETY: a new memory block or null.
        let memory = unsafe { HostMemory::new(self.builder.library.clone(), public) };
        memory.map(Some).ok_or_else(|| self.builder.creation(timing_cache::SERIALIZE.name))
    }

    pub(super) fn public(&self) -> Ptr {
        self.object.0.public
    }
}
