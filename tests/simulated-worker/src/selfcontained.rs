//! A model in one piece, with everything said that ONNX lets a file leave out and the simulation's backend wants to know.

use std::collections::HashMap;
use std::fs;
use std::path::Path;

use prost::Message as _;
use trt_onnx::Model;
use trt_onnx::proto::{AttributeProto, EXTERNAL, GraphProto, ModelProto, TensorProto, attr};
use trt_wire::{Failure, FailureCode};

use crate::say::{failure, io_failure};

/// The model's bytes with its external data inside. `path` is the file that it was read from.
pub fn bytes(model: &Model, path: &Path) -> Result<Vec<u8>, Failure> {
    let bad = |error: String| {
        failure(FailureCode::BadModel, error, "check the model with `python -m onnx.checker`")
    };
    let bytes = model.to_bytes().map_err(|error| bad(error.to_string()))?;
    let mut proto = ModelProto::decode(bytes.as_slice()).map_err(|error| bad(error.to_string()))?;
    let folder = path.parent().unwrap_or(Path::new("."));
    if let Some(graph) = &mut proto.graph {
        for tensor in &mut graph.initializer {
            if tensor.data_location == Some(EXTERNAL) {
                inline(tensor, folder)?;
            }
        }
        name_kernels(graph);
    }
    Ok(proto.encode_to_vec())
}

fn inline(tensor: &mut TensorProto, folder: &Path) -> Result<(), Failure> {
    let entry = |key: &str| {
        let found = tensor.external_data.iter().find(|entry| entry.key.as_deref() == Some(key));
        found.and_then(|entry| entry.value.clone())
    };
    let path = folder.join(entry("location").unwrap_or_default());
    let bytes = fs::read(&path).map_err(io_failure(&path))?;
    let number = |key: &str| entry(key).and_then(|text| text.parse::<usize>().ok());
    let start = number("offset").unwrap_or(0).min(bytes.len());
    let end = number("length").map_or(bytes.len(), |length| start.saturating_add(length).min(bytes.len()));
    tensor.raw_data = Some(bytes[start..end].to_vec().into());
    (tensor.data_location, tensor.external_data) = (None, Vec::new());
    Ok(())
}

/// rten does not read the size of a kernel off the weights, which Q/DQ nodes hide anyway.
fn name_kernels(graph: &mut GraphProto) {
    let stored = graph.initializer.iter();
    let mut dims: HashMap<String, Vec<i64>> =
        stored.map(|tensor| (tensor.name.clone().unwrap_or_default(), tensor.dims.clone())).collect();
    for node in &mut graph.node {
        if node.is("QuantizeLinear") || node.is("DequantizeLinear") {
            let shape = node.input(0).and_then(|name| dims.get(name)).cloned();
            dims.extend(node.output.first().cloned().zip(shape));
        }
        let (name, ints) = match node.op() {
            "Conv" | "ConvTranspose" => {
                let weights = node.input(1).and_then(|weights| dims.get(weights));
                ("kernel_shape", weights.and_then(|dims| dims.get(2..)).map(<[i64]>::to_vec))
            }
            "MaxPool" | "AveragePool" | "LpPool" => {
                ("strides", node.attribute("kernel_shape").map(|kernel| vec![1; kernel.ints.len()]))
            }
            _ => continue,
        };
        if let (Some(ints), None) = (ints, node.attribute(name)) {
            let (name, r#type) = (Some(name.to_owned()), Some(attr::INTS));
            node.attribute.push(AttributeProto { name, r#type, ints, ..AttributeProto::default() });
        }
    }
}
