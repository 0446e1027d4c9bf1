//! `VBuilder`, `VHostMemory`, `VTimingCache`.

use super::{make, methods};
use crate::callbacks;
use crate::journal::fail;
use crate::object::{Object, public};
use crate::show::{Flag, ObjectArg};
use crate::types::Ptr;

/// What the build of an accepted network gives.
pub const PLAN: &[u8] = b"recorded plan";

/// `BuilderFlag::kINT8`, the same in 8.x and 10.x.
const INT8: i64 = 1;

methods! {
    builder: VBuilder {
        fn platformHasFastFp16(this) -> Flag { Flag(1) }
        fn platformHasFastInt8(this) -> Flag { Flag(0) }
        fn getNbDLACores(this) -> i32 { 2 }
        fn createBuilderConfig(this) -> Ptr { make("VBuilderConfig", this) }
        fn createNetworkV2(this, flags: u32) -> Ptr { make("VNetworkDefinition", this) }
        fn createOptimizationProfile(this) -> Ptr { make("VOptimizationProfile", this) }
        fn setErrorRecorder(this, recorder: ObjectArg) { adopt(this, recorder.0) }
        fn getErrorRecorder(this) -> Ptr { this.pointer("error recorder") }
        fn buildSerializedNetwork(this, network: ObjectArg, config: ObjectArg) -> Ptr { build(this, network.0, config.0) }
        fn isNetworkSupported(this, network: ObjectArg, config: ObjectArg) -> Flag { Flag(1) }
        fn getLogger(this) -> Ptr { this.pointer("logger") }
        fn setMaxThreads(this, threads: i32) -> Flag { Flag((threads > 0).into()) }
    }
}

methods! {
    memory: VHostMemory {
        fn data(this) -> Ptr { this.pointer("data") }
        fn size(this) -> usize { this.get("size", 0, 0) as usize }
    }
}

methods! {
    timing_cache: VTimingCache {
        fn serialize(this) -> Ptr { host_memory(&this.bytes("contents")) }
    }
}

methods! {
    host_memory_type: VHostMemory {
        fn kind(this) -> i32 { 2 }
    }
}

/// `IHostMemory::type`, under another name since Rust keeps that word.
pub fn memory_type() -> crate::types::Slot {
    host_memory_type()[0].1
}

/// Memory of TensorRT's with these bytes, which needs no builder.
pub fn host_memory(bytes: &[u8]) -> Ptr {
    let memory = Object::new("VHostMemory", None);
    memory.set_pointer("data", bytes.to_vec().leak().as_mut_ptr().cast());
    memory.set("size", 0, bytes.len() as i64);
    memory.as_ptr()
}

/// A new error recorder takes the place of the old one.
pub fn adopt(object: &Object, recorder: Ptr) {
    let before = object.pointer("error recorder");
    if !before.is_null() {
        callbacks::release_error_recorder(before);
    }
    object.set_pointer("error recorder", recorder);
    if !recorder.is_null() {
        callbacks::adopt_error_recorder(recorder);
    }
}

/// What TensorRT's log says of a calibration table, word for word: a model with the words `accepts the table` or `rejects the
/// table` decides it. Other models leave it unsaid, as a build does that ignores the table.
fn speak_of_table(logger: Ptr, model: &str) {
    const INFO: i32 = 3;
    const ERROR: i32 = 1;
    let reading = c"Reading Calibration Cache for calibrator: EntropyCalibration2";
    let words = match model {
        _ if model.contains("accepts the table") => (
            INFO,
            c"Generated calibration scales using calibration cache. Make sure that calibration cache has latest scales.",
        ),
        _ if model.contains("rejects the table") => {
            (ERROR, c"Calibration table does not match calibrator algorithm type.")
        }
        _ => return,
    };
    callbacks::log(logger, INFO, reading);
    callbacks::log(logger, words.0, words.1);
}

/// Calls back as a build does. A model with the word `unbuildable` fails, with the reason in the error recorder only.
fn build(builder: &'static Object, network: Ptr, config: Ptr) -> Ptr {
    let (Some(network), Some(config)) = (public(network), public(config)) else {
        fail("buildSerializedNetwork of something else than a network and a configuration")
    };
    let model = network.bytes("model");
    if !model.is_empty() && network.children("IParser").is_empty() {
        fail(&format!("{network} is built after its parser, which holds its weights, was deleted"));
    }
    let calibrator = config.pointer("calibrator");
    if !calibrator.is_null() && config.get("flags", 0, 0) & (1 << INT8) != 0 {
        callbacks::calibrate(calibrator);
        speak_of_table(builder.pointer("logger"), &String::from_utf8_lossy(&model));
    }
    let monitor = config.pointer("monitor");
    let goes_on = monitor.is_null() || callbacks::progress(monitor);
    if String::from_utf8_lossy(&model).contains("unbuildable") {
        callbacks::report_error(
            builder.pointer("error recorder"),
            4,
            c"recorder: no implementation of `head`",
        );
        return std::ptr::null_mut();
    }
    if goes_on { host_memory(PLAN) } else { std::ptr::null_mut() }
}
