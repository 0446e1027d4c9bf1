//! `VNetworkDefinition`, `VTensor`, `VLayer`, `VOptimizationProfile`, and the scripted network.

use super::methods;
use crate::callbacks;
use crate::object::{Object, leak};
use crate::show::Flag;
use crate::types::{Dims64, Ptr, Text};

/// A tensor of the scripted network: name, `DataType`, shape.
pub type Tensor = (&'static str, i32, &'static [i64]);

/// Its tensors, in the order of the data.
pub const TENSORS: [Tensor; 5] = [
    ("images", 0, &[-1, 3, 224, 224]),
    ("stem/out", 0, &[-1, 8, 112, 112]),
    ("body/out", 0, &[-1, 16, 7, 7]),
    ("scores", 1, &[-1, 1000]),
    ("boxes", 3, &[-1, 100, 4]),
];

/// Its layers: name, `LayerType`, inputs and outputs by their places in [`TENSORS`].
const LAYERS: [(&str, i32, &[usize], &[usize]); 3] =
    [("stem", 0, &[0], &[1]), ("body", 1, &[1], &[2]), ("head", 1, &[2], &[3, 4])];

/// Fills a network as a parser does.
pub fn fill(network: &'static Object, model: &[u8]) {
    network.set_bytes("model", model);
    for (index, (name, ..)) in TENSORS.iter().enumerate() {
        item("VTensor", network, index, name);
    }
    for (index, (name, ..)) in LAYERS.iter().enumerate() {
        item("VLayer", network, index, name);
    }
}

fn item(class: &'static str, network: &'static Object, index: usize, name: &str) {
    let item = Object::new(class, Some(network));
    item.set("index", 0, index as i64);
    item.set_bytes("name", name);
}

/// The items of a parsed network; none before.
fn count(network: &Object, class: &str, wanted: &[usize]) -> i32 {
    if network.children(class).is_empty() { 0 } else { wanted.len() as i32 }
}

fn pick(network: &Object, class: &str, wanted: &[usize], index: i32) -> Ptr {
    let place = usize::try_from(index).ok().and_then(|index| wanted.get(index));
    let item = place.and_then(|&place| network.children(class).get(place).copied());
    item.map_or(std::ptr::null_mut(), Object::as_ptr)
}

const INPUTS: &[usize] = &[0];
const OUTPUTS: &[usize] = &[3, 4];
const ALL_LAYERS: &[usize] = &[0, 1, 2];

methods! {
    network: VNetworkDefinition {
        fn getNbLayers(this) -> i32 { count(this, "VLayer", ALL_LAYERS) }
        fn getLayer(this, index: i32) -> Ptr { pick(this, "VLayer", ALL_LAYERS, index) }
        fn getNbInputs(this) -> i32 { count(this, "VTensor", INPUTS) }
        fn getInput(this, index: i32) -> Ptr { pick(this, "VTensor", INPUTS, index) }
        fn getNbOutputs(this) -> i32 { count(this, "VTensor", OUTPUTS) }
        fn getOutput(this, index: i32) -> Ptr { pick(this, "VTensor", OUTPUTS, index) }
        fn getName(this) -> Text { leak(&this.bytes("name")) }
        fn setName(this, name: Text) {
            // SAFETY: the caller's string is alive during the call.
            this.set_bytes("name", unsafe { callbacks::name(name) })
        }
    }
}

methods! {
    tensor: VTensor {
        fn getName(this) -> Text { leak(&this.bytes("name")) }
        fn getType(this) -> i32 { TENSORS[this.get("index", 0, 0) as usize].1 }
        fn setDynamicRange(this, min: f32, max: f32) -> Flag {
            this.set("range", 0, 1);
            Flag((min < max).into())
        }
        fn dynamicRangeIsSet(this) -> Flag { Flag(this.get("range", 0, 0) as u8) }
    }
}

fn dims(tensor: &Object) -> Dims64 {
    Dims64::new(Some(TENSORS[tensor.get("index", 0, 0) as usize].2))
}

/// The layer's tensors on one side.
fn side(layer: &Object, outputs: bool) -> &'static [usize] {
    let (_, _, ins, outs) = LAYERS[layer.get("index", 0, 0) as usize];
    if outputs { outs } else { ins }
}

fn tensor_of(layer: &Object, outputs: bool, index: i32) -> Ptr {
    layer.parent.map_or(std::ptr::null_mut(), |network| pick(network, "VTensor", side(layer, outputs), index))
}

methods! {
    layer: VLayer {
        fn getType(this) -> i32 { LAYERS[this.get("index", 0, 0) as usize].1 }
        fn getName(this) -> Text { leak(&this.bytes("name")) }
        fn getNbInputs(this) -> i32 { side(this, false).len() as i32 }
        fn getInput(this, index: i32) -> Ptr { tensor_of(this, false, index) }
        fn getNbOutputs(this) -> i32 { side(this, true).len() as i32 }
        fn getOutput(this, index: i32) -> Ptr { tensor_of(this, true, index) }
        fn setPrecision(this, precision: i32) { this.set("precision", 0, precision.into()) }
        fn getPrecision(this) -> i32 { this.get("precision", 0, 0) as i32 }
        fn precisionIsSet(this) -> Flag { Flag((this.get("precision", 0, -1) >= 0).into()) }
        fn setOutputType(this, index: i32, precision: i32) { this.set("output", index.into(), 1) }
        fn outputTypeIsSet(this, index: i32) -> Flag { Flag(this.get("output", index.into(), 0) as u8) }
    }
}

methods! {
    profile: VOptimizationProfile {
        fn isValid(this) -> Flag { Flag(1) }
    }
}

/// The methods with `Dims` of TensorRT 8: by value.
pub mod narrow {
    use super::*;
    use crate::types::Dims32;

    methods! {
        tensor: VTensor {
            fn getDimensions(this) -> Dims32 { dims(this).into() }
        }
    }
    methods! {
        profile: VOptimizationProfile {
            fn setDimensions(this, input: Text, selector: i32, dims: Dims32) -> Flag { Flag((dims.count >= 0).into()) }
        }
    }

    /// Both.
    pub fn all() -> Vec<(crate::methods::Name, crate::types::Slot)> {
        [tensor(), profile()].concat()
    }
}

/// The methods with `Dims64`: arguments by reference.
pub mod wide {
    use super::*;

    methods! {
        tensor: VTensor {
            fn getDimensions(this) -> Dims64 { dims(this) }
        }
    }
    methods! {
        profile: VOptimizationProfile {
            fn setDimensions(this, input: Text, selector: i32, dims: *const Dims64) -> Flag { Flag(1) }
        }
    }

    /// Both.
    pub fn all() -> Vec<(crate::methods::Name, crate::types::Slot)> {
        [tensor(), profile()].concat()
    }
}
