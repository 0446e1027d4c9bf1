//! ONNX Runtime of the tests' Python, and small models.

use std::path::PathBuf;

use onnxruntime::{Device, External, ModelSource, Optimization, Options, OrtError, Runtime, Session};
use prost::Message as _;
use trt_onnx::proto::{
    AttributeProto, GraphProto, ModelProto, NodeProto, OperatorSetIdProto, TensorType, TypeProto, TypeValue,
    ValueInfoProto,
};

/// The library of `TRT_TEST_PYTHON`, loaded; says so and gives nothing where it has none.
#[track_caller]
pub fn runtime() -> Option<&'static Runtime> {
    let python = test_support::python()?;
    let lib = python.parent()?.parent()?.join("lib");
    let sites = std::fs::read_dir(lib).into_iter().flatten().flatten();
    let mut files = sites
        .flat_map(|site| std::fs::read_dir(site.path().join("site-packages/onnxruntime/capi")))
        .flat_map(|folder| folder.flatten().map(|file| file.path()));
    let is_it = |path: &PathBuf| path.to_string_lossy().contains("/libonnxruntime.so");
    let Some(library) = files.find(is_it) else {
        test_support::skip("the tests' Python has its onnxruntime elsewhere than a virtual environment");
        return None;
    };
    Some(Runtime::load(Some(&library)).unwrap())
}

/// Opens a session on one thread.
pub fn open(runtime: &'static Runtime, model: &[u8], external: &[External]) -> Result<Session, OrtError> {
    let options = Options { device: Device::Cpu { threads: 1 }, optimization: Optimization::All };
    Session::new(runtime, ModelSource::Bytes(model, external), &options)
}

/// A node of the default domain.
pub fn node(op: &str, inputs: &[&str], outputs: &[&str], attributes: Vec<AttributeProto>) -> NodeProto {
    let names = |names: &[&str]| names.iter().map(ToString::to_string).collect();
    NodeProto {
        name: Some(format!("{op}_{}", outputs[0])),
        op_type: Some(op.to_owned()),
        input: names(inputs),
        output: names(outputs),
        attribute: attributes,
        ..NodeProto::default()
    }
}

/// An integer attribute.
pub fn int(name: &str, value: i64) -> AttributeProto {
    let r#type = Some(trt_onnx::proto::attr::INT);
    AttributeProto { name: Some(name.to_owned()), i: Some(value), r#type, ..AttributeProto::default() }
}

/// A model of opset 17 with inputs of any shape, whose outputs ONNX Runtime derives.
pub fn model(inputs: &[(&str, i32)], nodes: Vec<NodeProto>, outputs: &[&str]) -> Vec<u8> {
    let named = |name: &str| ValueInfoProto { name: Some(name.to_owned()), ..ValueInfoProto::default() };
    let input = |(name, elem_type): &(&str, i32)| {
        let tensor = TensorType { elem_type: Some(*elem_type), ..TensorType::default() };
        let value = Some(TypeValue::Tensor(tensor));
        ValueInfoProto { r#type: Some(TypeProto { value, ..TypeProto::default() }), ..named(name) }
    };
    let graph = GraphProto {
        name: Some("g".to_owned()),
        node: nodes,
        input: inputs.iter().map(input).collect(),
        output: outputs.iter().map(|name| named(name)).collect(),
        ..GraphProto::default()
    };
    let opset = OperatorSetIdProto { domain: None, version: Some(17) };
    let model = ModelProto {
        ir_version: Some(8),
        graph: Some(graph),
        opset_import: vec![opset],
        ..ModelProto::default()
    };
    model.encode_to_vec()
}
