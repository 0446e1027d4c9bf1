//! The builder's settings, continued: precisions and calibration, DLAs, memory pools, sources of kernels.

use std::rc::Rc;

use super::builder::OptimizationProfile;
use super::calibrator::Calibrator;
use super::config::BuilderConfig;
use super::layer::Layer;
use crate::error::Error;
use crate::sys::values::{
    BuilderFlag, DeviceType, HardwareCompatibility, MemoryPool, PrecisionConstraints, PreviewFeature,
    TacticSource,
};

impl BuilderConfig {
    /// Lets builds read the ranges of tensors from a calibration table. TensorRT 8 and 10, with [`BuilderFlag::Int8`].
    ///
    /// Only after the build can be told whether the table was used: ask the calibrator.
    pub fn set_calibrator(&mut self, calibrator: &Calibrator) -> Result<(), Error> {
        let library = &self.inner.builder.library;
        let calibrator = calibrator.bind(library.version, library.class_type_info)?;
        self.inner.set_calibrator(calibrator)
    }

    /// Calibrates with the optimal shapes of a profile of the same builder; else the first profile counts. TensorRT 8 and
    /// 10.
    pub fn set_calibration_profile(&mut self, profile: &OptimizationProfile) -> Result<(), Error> {
        if !Rc::ptr_eq(&profile.inner.builder, &self.inner.builder) {
            return Err(Error::Foreign { what: "profile" });
        }
        self.inner.set_calibration_profile(&profile.inner)
    }

    /// Calibrates layers as they are in the network rather than after fusion. TensorRT 8 and 10.
    pub fn set_calibrate_before_fusion(&mut self) -> Result<(), Error> {
        self.inner.set_calibrate_before_fusion()
    }

    /// Says how the precisions of [`Layer::set_precision`] are meant; without it they are ignored. Gives the flag that was
    /// set, as the versions differ.
    ///
    /// TensorRT 8.2 to 10. In 8.0 and 8.1 there is only [`PrecisionConstraints::Prefer`], as
    /// [`BuilderFlag::StrictTypes`]; [`PrecisionConstraints::Obey`] is [`Error::Unsupported`] there.
    pub fn set_precision_constraints(
        &mut self,
        constraints: PrecisionConstraints,
    ) -> Result<BuilderFlag, Error> {
        let flag = constraints.flag(self.inner.builder.version())?;
        self.set_flag(flag, true)?;
        Ok(flag)
    }

    /// Runs what can run there on a DLA core, counted from 0. What cannot goes to the GPU with `gpu_fallback`, and fails
    /// the build without. The engine needs FP16 or INT8.
    ///
    /// [`Error::NoDla`] if the device has no such core.
    pub fn set_dla(&mut self, core: u32, gpu_fallback: bool) -> Result<(), Error> {
        let available = self.inner.builder.dla_cores()?.max(0) as u32;
        if core >= available {
            return Err(Error::NoDla { core, available });
        }
        self.inner.set_default_device(DeviceType::Dla)?;
        self.inner.set_dla_core(core as i32)?;
        self.set_flag(BuilderFlag::GpuFallback, gpu_fallback)
    }

    /// Runs one layer on the GPU or on the DLA, against the default.
    pub fn set_device(&mut self, layer: &Layer<'_>, device: DeviceType) -> Result<(), Error> {
        self.own(layer)?;
        Ok(self.inner.set_device(&layer.inner, device)?)
    }

    /// Whether a DLA can run a layer, with the flags set so far.
    pub fn can_run_on_dla(&self, layer: &Layer<'_>) -> Result<bool, Error> {
        self.own(layer)?;
        Ok(self.inner.can_run_on_dla(&layer.inner)?)
    }

    fn own(&self, layer: &Layer<'_>) -> Result<(), Error> {
        let is_own = Rc::ptr_eq(&layer.network.inner.builder, &self.inner.builder);
        if is_own { Ok(()) } else { Err(Error::Foreign { what: "layer" }) }
    }

    /// Limits a memory pool, in bytes. TensorRT 8.4 and later; [`Self::set_workspace_limit`] is for all.
    ///
    /// [`Error::Rejected`] if TensorRT keeps another limit: DLA pools take powers of two from 4 KiB on.
    pub fn set_pool_limit(&mut self, pool: MemoryPool, bytes: usize) -> Result<(), Error> {
        let value = pool.value(self.inner.builder.version())?;
        self.inner.set_pool_checked(value, bytes)
    }

    /// The limit of a memory pool in bytes. TensorRT 8.4 and later.
    pub fn pool_limit(&self, pool: MemoryPool) -> Result<usize, Error> {
        Ok(self.inner.pool(pool.value(self.inner.builder.version())?)?)
    }

    /// Lets other GPUs than this one run the engine. TensorRT 8.6 and later; for TensorRT-RTX see
    /// [`Self::set_compute_capabilities`]. [`Error::Rejected`] where the device does not support it, as on Jetsons.
    pub fn set_hardware_compatibility(&mut self, level: HardwareCompatibility) -> Result<(), Error> {
        self.inner.set_hardware_compatibility(level)
    }

    /// Takes kernels from these sources only, besides TensorRT's own. [`Error::Unsupported`] for a source that the version
    /// does not know.
    pub fn set_tactic_sources(&mut self, sources: &[TacticSource]) -> Result<(), Error> {
        self.inner.set_tactic_sources(sources)
    }

    /// The sources in use, as far as they are in the table.
    pub fn tactic_sources(&self) -> Result<Vec<TacticSource>, Error> {
        Ok(self.inner.tactic_sources()?)
    }

    /// Switches a preview feature. TensorRT 8.5 and later.
    pub fn set_preview_feature(&mut self, feature: PreviewFeature, on: bool) -> Result<(), Error> {
        self.inner.set_preview_feature(feature, on)
    }
}
