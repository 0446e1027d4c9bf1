//! `VBuilderConfig`.

use super::{make, methods};
use crate::callbacks::quote_raw;
use crate::journal::record;
use crate::object::{Object, public};
use crate::show::{Flag, ObjectArg, Start};
use crate::types::Ptr;

methods! {
    config: VBuilderConfig {
        fn setInt8Calibrator(this, calibrator: ObjectArg) { this.set_pointer("calibrator", calibrator.0) }
        fn getInt8Calibrator(this) -> Ptr { this.pointer("calibrator") }
        fn setMaxWorkspaceSize(this, bytes: usize) { this.set("workspace", 0, bytes as i64) }
        fn getMaxWorkspaceSize(this) -> usize { this.get("workspace", 0, 0) as usize }
        fn setFlags(this, flags: u32) { this.set("flags", 0, flags.into()) }
        fn getFlags(this) -> u32 { flags(this) }
        fn clearFlag(this, flag: i32) { this.set("flags", 0, (flags(this) & !(1 << flag)).into()) }
        fn setFlag(this, flag: i32) { this.set("flags", 0, (flags(this) | 1 << flag).into()) }
        fn getFlag(this, flag: i32) -> Flag { Flag((flags(this) >> flag & 1) as u8) }
        fn setDeviceType(this, layer: ObjectArg, device: i32) {}
        fn canRunOnDLA(this, layer: ObjectArg) -> Flag {
            // All but the last layer.
            Flag(public(layer.0).is_some_and(|layer| layer.get("index", 0, 0) < 2).into())
        }
        fn setDLACore(this, core: i32) { this.set("DLA core", 0, core.into()) }
        fn getDLACore(this) -> i32 { this.get("DLA core", 0, -1) as i32 }
        fn setDefaultDeviceType(this, device: i32) { this.set("device", 0, device.into()) }
        fn getDefaultDeviceType(this) -> i32 { this.get("device", 0, 0) as i32 }
        fn addOptimizationProfile(this, profile: ObjectArg) -> i32 {
            let index = this.get("profiles", 0, 0);
            this.set("profiles", 0, index + 1);
            index as i32
        }
        fn setProfilingVerbosity(this, verbosity: i32) {}
        fn setCalibrationProfile(this, profile: ObjectArg) -> Flag { Flag(1) }
        fn setQuantizationFlag(this, flag: i32) { this.set("quantization", flag.into(), 1) }
        fn getQuantizationFlag(this, flag: i32) -> Flag { Flag(this.get("quantization", flag.into(), 0) as u8) }
        fn setTacticSources(this, sources: u32) -> Flag {
            this.set("tactic sources", 0, sources.into());
            Flag(1)
        }
        fn getTacticSources(this) -> u32 { this.get("tactic sources", 0, 31) as u32 }
        fn createTimingCache(this, start: Start, length: usize) -> Ptr {
            // SAFETY: the caller passes a block of that length.
            let contents = unsafe { quote_raw(start.0, length) };
            record(&format!("  a timing cache of {contents}"));
            let cache = make("VTimingCache", this);
            if let Some(cache) = public(cache).filter(|_| !start.0.is_null()) {
                // SAFETY: as above.
                cache.set_bytes("contents", unsafe { std::slice::from_raw_parts(start.0, length) });
            }
            cache
        }
        fn setTimingCache(this, cache: ObjectArg, ignore_mismatch: Flag) -> Flag {
            this.set_pointer("timing cache", cache.0);
            Flag(1)
        }
        fn getTimingCache(this) -> Ptr { this.pointer("timing cache") }
        fn setMemoryPoolLimit(this, pool: i32, bytes: usize) { this.set("pool", pool.into(), bytes as i64) }
        fn getMemoryPoolLimit(this, pool: i32) -> usize { this.get("pool", pool.into(), 1 << 33) as usize }
        fn setPreviewFeature(this, feature: i32, on: Flag) { this.set("preview", feature.into(), on.0.into()) }
        fn getPreviewFeature(this, feature: i32) -> Flag { Flag(this.get("preview", feature.into(), 0) as u8) }
        fn setBuilderOptimizationLevel(this, level: i32) { this.set("level", 0, level.clamp(0, 5).into()) }
        fn getBuilderOptimizationLevel(this) -> i32 { this.get("level", 0, 3) as i32 }
        fn setHardwareCompatibilityLevel(this, level: i32) { this.set("hardware", 0, level.into()) }
        fn getHardwareCompatibilityLevel(this) -> i32 { this.get("hardware", 0, 0) as i32 }
        fn setProgressMonitor(this, monitor: ObjectArg) { this.set_pointer("monitor", monitor.0) }
        fn getProgressMonitor(this) -> Ptr { this.pointer("monitor") }
        fn setNbComputeCapabilities(this, count: i32) -> Flag { Flag((count > 0).into()) }
        fn setComputeCapability(this, capability: i32, index: i32) -> Flag { Flag(1) }
    }
}

fn flags(config: &Object) -> u32 {
    config.get("flags", 0, 0) as u32
}
