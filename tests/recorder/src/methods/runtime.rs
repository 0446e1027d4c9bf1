//! `VRuntime`, `VCudaEngine`, `VExecutionContext`, `VEngineInspector`.

use super::builder::{PLAN, adopt};
use super::network::{TENSORS, Tensor};
use super::{make, methods};
use crate::callbacks::{self, quote_raw};
use crate::journal::record;
use crate::object::Object;
use crate::show::{Address, Bindings, Flag, ObjectArg, Start};
use crate::types::{Dims32, Dims64, Ptr, Text};

/// The engine's inputs and outputs; as bindings, they are there once per profile.
const IO: [Tensor; 3] = [TENSORS[0], TENSORS[3], TENSORS[4]];

/// The engine's optimization profiles.
const PROFILES: i32 = 2;

methods! {
    runtime: VRuntime {
        fn setDLACore(this, core: i32) {}
        fn getNbDLACores(this) -> i32 { 2 }
        fn setErrorRecorder(this, recorder: ObjectArg) { adopt(this, recorder.0) }
        fn getErrorRecorder(this) -> Ptr { this.pointer("error recorder") }
        fn getLogger(this) -> Ptr { this.pointer("logger") }
    }
}

/// `TensorLocation::kHOST` for `boxes` in an engine whose plan says so.
fn location(engine: &Object, tensor: Tensor) -> i32 {
    let plan = engine.bytes("plan");
    (tensor.0 == IO[2].0 && String::from_utf8_lossy(&plan).contains("boxes on host")).into()
}

/// An engine for the recorder's own plan; null, and a recorded error, for anything else.
fn deserialize(runtime: &'static Object, start: *const u8, length: usize) -> Ptr {
    // SAFETY: the caller passes a plan of that length.
    let plan = unsafe {
        record(&format!("  a plan of {}", quote_raw(start, length)));
        if start.is_null() { &[] } else { std::slice::from_raw_parts(start, length) }
    };
    if plan.starts_with(PLAN) {
        let engine = make("VCudaEngine", runtime);
        if let Some(engine) = crate::object::public(engine) {
            engine.set_bytes("plan", plan);
        }
        return engine;
    }
    callbacks::report_error(runtime.pointer("error recorder"), 4, c"recorder: a plan of another version");
    std::ptr::null_mut()
}

fn io(index: i32) -> Tensor {
    usize::try_from(index).map_or(("", -1, &[]), |index| IO[index % IO.len()])
}

fn named(name: Text) -> Option<Tensor> {
    // SAFETY: the caller's string is alive during the call.
    let name = unsafe { callbacks::name(name) };
    IO.into_iter().find(|(known, ..)| *known == name)
}

fn is_input(tensor: Tensor) -> bool {
    tensor.0 == IO[0].0
}

methods! {
    engine: VCudaEngine {
        fn getNbBindings(this) -> i32 { PROFILES * IO.len() as i32 }
        fn getBindingName(this, index: i32) -> Text { crate::object::leak(io(index).0.as_bytes()) }
        fn bindingIsInput(this, index: i32) -> Flag { Flag(is_input(io(index)).into()) }
        fn getBindingDimensions(this, index: i32) -> Dims32 { Dims64::new(Some(io(index).2)).into() }
        fn getBindingDataType(this, index: i32) -> i32 { io(index).1 }
        fn getLocation(this, index: i32) -> i32 { location(this, io(index)) }
        fn getNbLayers(this) -> i32 { 2 }
        fn getNbOptimizationProfiles(this) -> i32 { PROFILES }
        fn getDeviceMemorySize(this) -> usize { 5 << 30 }
        fn getDeviceMemorySizeV2(this) -> i64 { 6 << 30 }
        fn createEngineInspector(this) -> Ptr { make("VEngineInspector", this) }
        fn getTensorDataType(this, name: Text) -> i32 { named(name).map_or(0, |(_, kind, _)| kind) }
        fn getTensorLocation(this, name: Text) -> i32 { named(name).map_or(0, |tensor| location(this, tensor)) }
        fn getTensorIOMode(this, name: Text) -> i32 { named(name).map_or(0, |tensor| if is_input(tensor) { 1 } else { 2 }) }
        fn getNbIOTensors(this) -> i32 { 3 }
        fn getIOTensorName(this, index: i32) -> Text { crate::object::leak(io(index).0.as_bytes()) }
    }
}

methods! {
    context: VExecutionContext {
        fn setBindingDimensions(this, index: i32, dims: Dims32) -> Flag {
            set_shape(this, io(index).0, dims.into());
            Flag(1)
        }
        fn getBindingDimensions(this, index: i32) -> Dims32 { shape_of(this, io(index)).into() }
        fn executeV2(this, bindings: Bindings) -> Flag { Flag(1) }
        fn enqueueV2(this, bindings: Bindings, stream: Address, consumed: Address) -> Flag { Flag(1) }
        fn setOptimizationProfileAsync(this, profile: i32, stream: Address) -> Flag { Flag((0..PROFILES).contains(&profile).into()) }
        fn setTensorAddress(this, name: Text, address: Address) -> Flag { Flag(named(name).is_some().into()) }
        fn enqueueV3(this, stream: Address) -> Flag { Flag(1) }
    }
}

fn set_shape(context: &Object, name: &str, dims: Dims64) {
    let extents = &dims.d[..dims.count.clamp(0, 8) as usize];
    context.set_bytes(name, extents.iter().flat_map(|extent| extent.to_le_bytes()).collect::<Vec<_>>());
}

/// The shape that was set; for an output the engine's shape with the batch size of the input.
fn shape_of(context: &Object, (name, _, shape): Tensor) -> Dims64 {
    let set = |name: &str| -> Vec<i64> {
        context.bytes(name).as_chunks().0.iter().map(|bytes| i64::from_le_bytes(*bytes)).collect()
    };
    let mut extents = set(name);
    if extents.is_empty() {
        let batch = set(IO[0].0).first().copied().unwrap_or(-1);
        extents = shape.iter().map(|&extent| if extent < 0 { batch } else { extent }).collect();
    }
    Dims64::new(Some(&extents))
}

fn shape(context: &Object, name: Text) -> Dims64 {
    named(name).map_or(Dims64::new(None), |tensor| shape_of(context, tensor))
}

methods! {
    inspector: VEngineInspector {
        fn getLayerInformation(this, layer: i32, format: i32) -> Text { c"{\"Name\": \"head\"}".as_ptr() }
        fn getEngineInformation(this, format: i32) -> Text { c"{\"Layers\": [\"stem + body\", \"head\"]}".as_ptr() }
    }
}

/// The methods as TensorRT 8 has them.
pub mod narrow {
    use super::*;

    methods! {
        runtime: VRuntime {
            fn deserializeCudaEngine(this, start: Start, length: usize, plugins: Address) -> Ptr {
                deserialize(this, start.0, length)
            }
        }
    }
    methods! {
        engine: VCudaEngine {
            fn createExecutionContext(this) -> Ptr { make("VExecutionContext", this) }
            fn getTensorShape(this, name: Text) -> Dims32 { Dims64::new(named(name).map(|(.., shape)| shape)).into() }
        }
    }
    methods! {
        context: VExecutionContext {
            fn setInputShape(this, name: Text, dims: *const Dims32) -> Flag {
                // SAFETY: a C++ reference; the name is alive during the call.
                unsafe { set_shape(this, &callbacks::name(name), (*dims).into()) };
                Flag(1)
            }
            fn getTensorShape(this, name: Text) -> Dims32 { shape(this, name).into() }
        }
    }

    /// All of them.
    pub fn all() -> Vec<(crate::methods::Name, crate::types::Slot)> {
        [runtime(), engine(), context()].concat()
    }
}

/// The methods as later versions have them.
pub mod wide {
    use super::*;

    methods! {
        runtime: VRuntime {
            fn deserializeCudaEngine(this, start: Start, length: usize) -> Ptr { deserialize(this, start.0, length) }
        }
    }
    methods! {
        engine: VCudaEngine {
            fn createExecutionContext(this, strategy: i32) -> Ptr { make("VExecutionContext", this) }
            fn getTensorShape(this, name: Text) -> Dims64 { Dims64::new(named(name).map(|(.., shape)| shape)) }
        }
    }
    methods! {
        context: VExecutionContext {
            fn setInputShape(this, name: Text, dims: *const Dims64) -> Flag {
                // SAFETY: a C++ reference; the name is alive during the call.
                unsafe { set_shape(this, &callbacks::name(name), *dims) };
                Flag(1)
            }
            fn getTensorShape(this, name: Text) -> Dims64 { shape(this, name) }
        }
    }

    /// All of them.
    pub fn all() -> Vec<(crate::methods::Name, crate::types::Slot)> {
        [runtime(), engine(), context()].concat()
    }
}
