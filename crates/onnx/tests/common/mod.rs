//! Tiny models built in code, and where the large ones are.

// Each test binary compiles this module and uses its part of it.
#![allow(dead_code)]

use std::path::PathBuf;

use prost::Message;
use trt_onnx::Model;
use trt_onnx::proto::{
    AttributeProto, DimValue, Dimension, GraphProto, ModelProto, NodeProto, OperatorSetIdProto, TensorProto,
    TensorShapeProto, TensorType, TypeProto, TypeValue, ValueInfoProto, attr, elem,
};

/// A node of the default domain, named after its first output.
pub fn node(op: &str, inputs: &[&str], outputs: &[&str]) -> NodeProto {
    NodeProto {
        op_type: Some(op.into()),
        name: outputs.first().map(|output| format!("{output}_node")),
        input: inputs.iter().map(|&input| input.into()).collect(),
        output: outputs.iter().map(|&output| output.into()).collect(),
        ..NodeProto::default()
    }
}

pub trait With {
    fn with_int(self, name: &str, value: i64) -> Self;
    fn with_ints(self, name: &str, values: &[i64]) -> Self;
    fn with_body(self, name: &str, graph: GraphProto) -> Self;
}

impl With for NodeProto {
    fn with_int(mut self, name: &str, value: i64) -> Self {
        let (name, r#type) = (Some(name.into()), Some(attr::INT));
        self.attribute.push(AttributeProto { name, r#type, i: Some(value), ..Default::default() });
        self
    }

    fn with_ints(mut self, name: &str, values: &[i64]) -> Self {
        let (name, r#type) = (Some(name.into()), Some(attr::INTS));
        self.attribute.push(AttributeProto { name, r#type, ints: values.to_vec(), ..Default::default() });
        self
    }

    fn with_body(mut self, name: &str, graph: GraphProto) -> Self {
        let (name, r#type, g) = (Some(name.into()), Some(attr::GRAPH), Some(Box::new(graph)));
        self.attribute.push(AttributeProto { name, r#type, g, ..Default::default() });
        self
    }
}

/// A float tensor whose values are 0.1, -0.2, 0.3 and so on.
pub fn weight(name: &str, dims: &[i64]) -> TensorProto {
    let count = dims.iter().product::<i64>();
    let value = |index: i64| (index + 1) as f32 * if index % 2 == 0 { 0.1 } else { -0.1 };
    TensorProto {
        name: Some(name.into()),
        dims: dims.to_vec(),
        data_type: Some(elem::FLOAT),
        float_data: (0..count).map(value).collect(),
        ..TensorProto::default()
    }
}

/// A float value of that shape; -1 is a free dimension.
pub fn value(name: &str, dims: &[i64]) -> ValueInfoProto {
    let dim = |&size: &i64| Dimension {
        value: Some(if size < 0 { DimValue::Param("free".into()) } else { DimValue::Value(size) }),
        denotation: None,
    };
    let shape = Some(TensorShapeProto { dim: dims.iter().map(dim).collect() });
    let tensor = TensorType { elem_type: Some(elem::FLOAT), shape };
    ValueInfoProto {
        name: Some(name.into()),
        r#type: Some(TypeProto { value: Some(TypeValue::Tensor(tensor)), denotation: None }),
        ..ValueInfoProto::default()
    }
}

pub fn graph(
    node: Vec<NodeProto>,
    initializer: Vec<TensorProto>,
    input: Vec<ValueInfoProto>,
    output: Vec<ValueInfoProto>,
) -> GraphProto {
    GraphProto { node, initializer, input, output, name: Some("test".into()), ..GraphProto::default() }
}

pub fn model(opset: i64, graph: GraphProto) -> ModelProto {
    let set = OperatorSetIdProto { domain: Some(String::new()), version: Some(opset) };
    ModelProto { ir_version: Some(7), opset_import: vec![set], graph: Some(graph), ..ModelProto::default() }
}

/// The model as it would be read from a file.
pub fn read(proto: &ModelProto) -> Model {
    Model::from_bytes(proto.encode_to_vec(), None).unwrap()
}

/// The messages behind a model.
pub fn proto(model: &Model) -> ModelProto {
    ModelProto::decode(&model.to_bytes().unwrap()[..]).unwrap()
}

/// The graph behind a model.
pub fn graph_of(model: &Model) -> GraphProto {
    proto(model).graph.unwrap()
}

/// The first node of that operator.
pub fn find<'a>(graph: &'a GraphProto, op: &str) -> &'a NodeProto {
    graph.node.iter().find(|node| node.op() == op).unwrap_or_else(|| panic!("no {op}"))
}

/// The node that computes `value`.
pub fn producer<'a>(graph: &'a GraphProto, value: &str) -> &'a NodeProto {
    let found = graph.node.iter().find(|node| node.output.iter().any(|output| output == value));
    found.unwrap_or_else(|| panic!("nothing computes {value}"))
}

/// A one-convolution network `x -> y` with a bias.
pub fn convolution(opset: i64) -> ModelProto {
    let conv = node("Conv", &["x", "w", "b"], &["y"]);
    let weights = vec![weight("w", &[2, 3, 1, 1]), weight("b", &[2])];
    let (input, output) = (value("x", &[1, 3, 4, 4]), value("y", &[1, 2, 4, 4]));
    model(opset, graph(vec![conv], weights, vec![input], vec![output]))
}

/// A float tensor of these values, or a scalar.
pub fn scale(name: &str, values: &[f32]) -> TensorProto {
    let dims = if values.len() == 1 { vec![] } else { vec![values.len() as i64] };
    TensorProto { float_data: values.to_vec(), ..weight(name, &dims) }
}

/// An integer tensor.
pub fn integers(name: &str, data_type: i32, dims: &[i64], values: &[i32]) -> TensorProto {
    let (data_type, float_data) = (Some(data_type), vec![]);
    TensorProto { data_type, float_data, int32_data: values.to_vec(), ..weight(name, dims) }
}

/// `x` quantized, a convolution whose weight is stored as INT8 and its bias as INT32, and an output that is quantized.
pub fn quantized_convolution(zero_type: i32, zero_point: i32) -> ModelProto {
    let nodes = vec![
        node("QuantizeLinear", &["x", "s", "z"], &["xq"]),
        node("DequantizeLinear", &["xq", "s", "z"], &["xd"]),
        node("DequantizeLinear", &["wq", "ws", "wz"], &["w"]).with_int("axis", 0),
        node("DequantizeLinear", &["bq", "bs"], &["b"]).with_int("axis", 0),
        node("Conv", &["xd", "w", "b"], &["c"]),
        node("QuantizeLinear", &["c", "s", "z"], &["cq"]),
        node("DequantizeLinear", &["cq", "s", "z"], &["y"]),
    ];
    let stored = vec![
        scale("s", &[0.5]),
        integers("z", zero_type, &[], &[zero_point]),
        integers("wq", elem::INT8, &[2, 3, 1, 1], &[1, 2, 3, -4, -5, -6]),
        scale("ws", &[0.5, 0.25]),
        integers("wz", elem::INT8, &[2], &[0, 0]),
        integers("bq", elem::INT32, &[2], &[1000, -8]),
        scale("bs", &[0.25, 0.125]),
    ];
    let (input, output) = (value("x", &[1, 3, 4, 4]), value("y", &[1, 2, 4, 4]));
    model(13, graph(nodes, stored, vec![input], vec![output]))
}

/// A model of the shared collection, which is no part of a checkout; says so and gives nothing where there is none.
pub fn shared(name: &str) -> Option<PathBuf> {
    test_support::shared(&format!("models/{name}"))
}
