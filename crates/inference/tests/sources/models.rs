//! Small models.

use prost::Message as _;
use trt_inference::Histograms;
use trt_onnx::Model;
use trt_onnx::proto::{
    AttributeProto, GraphProto, ModelProto, NodeProto, OperatorSetIdProto, TensorProto, TensorType,
    TypeProto, TypeValue, ValueInfoProto, attr,
};

/// Name and greatest magnitude of everything that was counted.
pub fn amax(histograms: &Histograms) -> Vec<(&str, Option<f32>)> {
    histograms.observed.iter().map(|o| (o.name.as_str(), o.counts.amax())).collect()
}

/// A node of the default domain, without a name.
pub fn node(op: &str, inputs: &[&str], output: &str, attributes: Vec<AttributeProto>) -> NodeProto {
    NodeProto {
        op_type: Some(op.to_owned()),
        input: inputs.iter().map(ToString::to_string).collect(),
        output: vec![output.to_owned()],
        attribute: attributes,
        ..NodeProto::default()
    }
}

/// An attribute with an integer.
pub fn int(name: &str, value: i64) -> AttributeProto {
    let r#type = Some(attr::INT);
    AttributeProto { name: Some(name.to_owned()), i: Some(value), r#type, ..AttributeProto::default() }
}

/// A graph of nodes between inputs of any shape and outputs.
pub fn graph(inputs: &[(&str, i32)], nodes: Vec<NodeProto>, outputs: &[&str]) -> GraphProto {
    let named = |name: &str| ValueInfoProto { name: Some(name.to_owned()), ..ValueInfoProto::default() };
    let input = |(name, elem_type): &(&str, i32)| {
        let tensor = TensorType { elem_type: Some(*elem_type), ..TensorType::default() };
        let value = Some(TypeValue::Tensor(tensor));
        ValueInfoProto { r#type: Some(TypeProto { value, ..TypeProto::default() }), ..named(name) }
    };
    GraphProto {
        name: Some("g".to_owned()),
        node: nodes,
        input: inputs.iter().map(input).collect(),
        output: outputs.iter().map(|name| named(name)).collect(),
        ..GraphProto::default()
    }
}

/// The model of a graph, opset 17; operators of domain `TRT` may occur.
pub fn model(graph: GraphProto) -> Model {
    let opset = |domain: &str, version| OperatorSetIdProto {
        domain: Some(domain.to_owned()),
        version: Some(version),
    };
    let proto = ModelProto {
        ir_version: Some(8),
        graph: Some(graph),
        opset_import: vec![opset("", 17), opset("TRT", 1)],
        ..ModelProto::default()
    };
    Model::from_bytes(proto.encode_to_vec(), None).unwrap()
}

/// A stored tensor of floats.
pub fn stored(name: &str, dims: &[i64], values: &[f32]) -> TensorProto {
    let bytes: Vec<u8> = values.iter().flat_map(|value| value.to_le_bytes()).collect();
    TensorProto {
        name: Some(name.to_owned()),
        dims: dims.to_vec(),
        data_type: Some(trt_onnx::proto::elem::FLOAT),
        raw_data: Some(bytes.into()),
        ..TensorProto::default()
    }
}
