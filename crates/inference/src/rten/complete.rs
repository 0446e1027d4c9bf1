//! What ONNX lets a file leave out, and rten wants to be told.
//!
//! rten reads neither the kernel's size off the weights of a convolution, nor the default stride of a pooling, nor
//! the extent of external data that is a whole file, and it takes external data from the model's own folder only.
//! Valid models differ, so this is mended here.

use std::collections::HashMap;
use std::path::{Component, Path, PathBuf};

use trt_onnx::proto::{
    AttributeProto, GraphProto, ModelProto, NodeProto, StringStringEntryProto, TensorProto, attr, elem,
};

/// Fills in what is missing; the model means the same afterwards. `files` are those of the external data,
/// and [`data_name`] is what they are called from then on.
pub fn complete(model: &mut ModelProto, files: &[PathBuf]) {
    if let Some(graph) = &mut model.graph {
        complete_graph(graph, &mut HashMap::new(), files);
    }
}

/// `dims` holds the dimensions of the stored tensors of this graph and of those around it.
fn complete_graph(graph: &mut GraphProto, dims: &mut HashMap<String, Vec<i64>>, files: &[PathBuf]) {
    for tensor in &mut graph.initializer {
        dims.insert(tensor.name.clone().unwrap_or_default(), tensor.dims.clone());
        locate(tensor, files);
    }
    for node in &mut graph.node {
        for attribute in &mut node.attribute {
            attribute.t.iter_mut().for_each(|tensor| locate(tensor, files));
        }
        if node.is("Constant")
            && let (Some(name), Some(value)) = (node.output.first(), node.attribute("value"))
        {
            let shape = value.t.as_ref().map(|tensor| tensor.dims.clone()).unwrap_or_default();
            dims.insert(name.clone(), shape);
        }
        match node.op() {
            "Conv" | "ConvTranspose" => {
                let kernel =
                    node.input(1).and_then(|weights| dims.get(weights)).and_then(|dims| dims.get(2..));
                if let Some(kernel) = kernel.map(<[i64]>::to_vec) {
                    default_ints(node, "kernel_shape", kernel);
                }
            }
            "MaxPool" | "AveragePool" | "LpPool" => {
                let sides = node.attribute("kernel_shape").map_or(0, |kernel| kernel.ints.len());
                default_ints(node, "strides", vec![1; sides]);
            }
            _ => {}
        }
        let bodies =
            node.attribute.iter_mut().flat_map(|a| a.g.as_deref_mut().into_iter().chain(&mut a.graphs));
        bodies.for_each(|body| complete_graph(body, dims, files));
    }
}

/// Sets an attribute that the node does not have.
fn default_ints(node: &mut NodeProto, name: &str, ints: Vec<i64>) {
    if node.attribute(name).is_none() && !ints.is_empty() {
        let (name, r#type) = (Some(name.to_owned()), Some(attr::INTS));
        node.attribute.push(AttributeProto { name, ints, r#type, ..AttributeProto::default() });
    }
}

/// Describes external data as rten wants it: with an extent, and in a file of a name that it accepts.
fn locate(tensor: &mut TensorProto, files: &[PathBuf]) {
    let entry = |key: &str| {
        let found = tensor.external_data.iter().find(|entry| entry.key.as_deref() == Some(key));
        found.and_then(|entry| entry.value.clone())
    };
    let Some(location) = entry("location") else { return };
    // As `trt_onnx` writes paths: without `./`.
    let path: PathBuf = Path::new(&location).components().filter(|part| *part != Component::CurDir).collect();
    let Some(number) = files.iter().position(|file| *file == path) else { return };
    let offset = entry("offset").unwrap_or_else(|| "0".to_owned());
    let length = entry("length").unwrap_or_else(|| bytes(tensor).to_string());
    tensor.external_data = [("location", data_name(number)), ("offset", offset), ("length", length)]
        .map(|(key, value)| StringStringEntryProto { key: Some(key.to_owned()), value: Some(value) })
        .into();
}

/// What rten is told to be the name of an external data file. It takes no folders, and few endings.
pub fn data_name(number: usize) -> String {
    format!("{number}.data")
}

/// How many bytes a tensor's values take.
fn bytes(tensor: &TensorProto) -> u64 {
    const UINT16: i32 = 4;
    const INT16: i32 = 5;
    const UINT64: i32 = 13;
    let value = match tensor.data_type.unwrap_or_default() {
        elem::INT64 | UINT64 | elem::DOUBLE => 8,
        elem::FLOAT16 | elem::BFLOAT16 | UINT16 | INT16 => 2,
        elem::INT8 | elem::UINT8 | elem::BOOL => 1,
        _ => 4,
    };
    tensor.dims.iter().fold(value, |bytes: u64, side| bytes.saturating_mul(side.unsigned_abs()))
}
