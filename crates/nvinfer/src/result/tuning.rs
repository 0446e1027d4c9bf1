//! `IBuilderConfig`: where an engine is to run, and what the builder may choose from.
//!
//! Most of these methods return nothing and refuse in silence, so what they set is read back.

use super::Owned;
use super::config::Config;
use super::network::LayerHandle;
use crate::error::{Error, Unsupported};
use crate::sys::object::{Method, call};
use crate::sys::slots::config::{self, VBuilderConfig};
use crate::sys::types::Ptr;
use crate::sys::values::{DeviceType, HardwareCompatibility, PreviewFeature, TacticSource};

type Set = Method<VBuilderConfig, unsafe extern "C" fn(Ptr, i32)>;
type Get = Method<VBuilderConfig, unsafe extern "C" fn(Ptr) -> i32>;

/// `QuantizationFlag::kCALIBRATE_BEFORE_FUSION`, in all families that calibrate.
const CALIBRATE_BEFORE_FUSION: i32 = 0;

impl Config {
    fn set_checked(&self, set: &Set, get: &Get, value: i32) -> Result<(), Error> {
        self.builder.forget_errors();
        let Owned(object) = self.object;
        // SAFETY: a value out of range is ignored or reported.
        let found = unsafe {
            call!(object, set, value)?;
            call!(object, get)?
        };
        if found == value { Ok(()) } else { Err(self.builder.rejected(set.name, value)) }
    }

    /// Runs all layers there, unless they are given another device.
    pub fn set_default_device(&self, device: DeviceType) -> Result<(), Error> {
        self.set_checked(&config::SET_DEFAULT_DEVICE_TYPE, &config::GET_DEFAULT_DEVICE_TYPE, device as i32)
    }

    /// Chooses one of several DLA cores.
    pub fn set_dla_core(&self, core: i32) -> Result<(), Error> {
        self.set_checked(&config::SET_DLA_CORE, &config::GET_DLA_CORE, core)
    }

    /// Runs one layer there.
    pub fn set_device(&self, layer: &LayerHandle, device: DeviceType) -> Result<(), Unsupported> {
        // SAFETY: the layer lives as long as its network, which the caller holds.
        unsafe { call!(self.object.0, config::SET_DEVICE_TYPE, layer.public, device as i32) }
    }

    /// Whether a DLA can run a layer.
    pub fn can_run_on_dla(&self, layer: &LayerHandle) -> Result<bool, Unsupported> {
        // SAFETY: as above.
        Ok(unsafe { call!(self.object.0, config::CAN_RUN_ON_DLA, layer.public) }? != 0)
    }

    /// Lets other GPUs run the engine.
    pub fn set_hardware_compatibility(&self, level: HardwareCompatibility) -> Result<(), Error> {
        let value = level.value(self.builder.version())?;
        let (set, get) =
            (&config::SET_HARDWARE_COMPATIBILITY_LEVEL, &config::GET_HARDWARE_COMPATIBILITY_LEVEL);
        self.set_checked(set, get, value)
    }

    /// Takes kernels from these sources only, besides TensorRT's own.
    pub fn set_tactic_sources(&self, sources: &[TacticSource]) -> Result<(), Error> {
        self.builder.forget_errors();
        let version = self.builder.version();
        let mut bits = 0;
        for source in sources {
            bits |= 1 << source.value(version)?;
        }
        // SAFETY: TensorRT answers false to bits that it does not know.
        if unsafe { call!(self.object.0, config::SET_TACTIC_SOURCES, bits) }? == 0 {
            let names: Vec<_> = sources.iter().map(|source| source.name()).collect();
            return Err(self.builder.rejected(config::SET_TACTIC_SOURCES.name, names.join(" | ")));
        }
        Ok(())
    }

    /// The sources kernels are taken from, as far as they are known.
    pub fn tactic_sources(&self) -> Result<Vec<TacticSource>, Unsupported> {
        // SAFETY: no arguments.
        let bits: u32 = unsafe { call!(self.object.0, config::GET_TACTIC_SOURCES) }?;
        let version = self.builder.version();
        let is_set = |source: &TacticSource| source.value(version).is_ok_and(|bit| bits & 1 << bit != 0);
        Ok(TacticSource::ALL.iter().copied().filter(is_set).collect())
    }

    /// Switches a preview feature.
    pub fn set_preview_feature(&self, feature: PreviewFeature, on: bool) -> Result<(), Error> {
        self.builder.forget_errors();
        let (value, object) = (feature.value(self.builder.version())?, self.object.0);
        // SAFETY: the value comes from the table of this family.
        let found = unsafe {
            call!(object, config::SET_PREVIEW_FEATURE, value, u8::from(on))?;
            call!(object, config::GET_PREVIEW_FEATURE, value)? != 0
        };
        if found == on {
            return Ok(());
        }
        let wish = format!("{}: {on}", feature.name());
        Err(self.builder.rejected(config::SET_PREVIEW_FEATURE.name, wish))
    }

    /// Calibrates layers as they are in the network rather than after fusion.
    pub fn set_calibrate_before_fusion(&self) -> Result<(), Error> {
        self.builder.forget_errors();
        let (flag, object) = (CALIBRATE_BEFORE_FUSION, self.object.0);
        // SAFETY: the only flag there is.
        let found = unsafe {
            call!(object, config::SET_QUANTIZATION_FLAG, flag)?;
            call!(object, config::GET_QUANTIZATION_FLAG, flag)?
        };
        if found == 0 {
            let name = "QuantizationFlag::kCALIBRATE_BEFORE_FUSION";
            return Err(self.builder.rejected(config::SET_QUANTIZATION_FLAG.name, name));
        }
        Ok(())
    }

    /// Calibrates with the shapes of a profile.
    pub fn set_calibration_profile(&self, profile: &super::Profile) -> Result<(), Error> {
        self.builder.forget_errors();
        // SAFETY: the profile lives as long as the builder, which both hold.
        if unsafe { call!(self.object.0, config::SET_CALIBRATION_PROFILE, profile.public()) }? == 0 {
            return Err(self.builder.rejected(config::SET_CALIBRATION_PROFILE.name, "the profile"));
        }
        Ok(())
    }
}
