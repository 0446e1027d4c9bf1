//! Networks of a few nodes.

use std::collections::BTreeMap;

use prost::Message as _;
use trt_evaluate::{Label, Sample};
use trt_inference::Tensor;
use trt_onnx::Model;
use trt_onnx::proto::{DimValue, Dimension, TensorShapeProto, TensorType, TypeProto, TypeValue, elem};
use trt_onnx::proto::{GraphProto, ModelProto, NodeProto, OperatorSetIdProto, TensorProto, ValueInfoProto};

/// A layer that multiplies by a matrix.
pub struct Layer {
    /// What it reads and what it computes.
    pub values: (&'static str, &'static str),
    /// The matrix, in rows.
    pub weight: Vec<Vec<f32>>,
}

/// Matrix products in a chain, from the first one's input `[1, n]` to the last one's output.
pub fn chain(layers: &[Layer]) -> Model {
    let mut graph = GraphProto { name: Some("tiny".into()), ..GraphProto::default() };
    for layer in layers {
        let (from, to) = layer.values;
        let weight = format!("{to}.weight");
        let columns = layer.weight[0].len();
        graph.initializer.push(TensorProto {
            name: Some(weight.clone()),
            dims: vec![layer.weight.len() as i64, columns as i64],
            data_type: Some(elem::FLOAT),
            float_data: layer.weight.concat(),
            ..TensorProto::default()
        });
        graph.node.push(NodeProto {
            op_type: Some("MatMul".into()),
            name: Some(format!("make {to}")),
            input: vec![from.into(), weight],
            output: vec![to.into()],
            ..NodeProto::default()
        });
    }
    let (first, last) = (&layers[0], &layers[layers.len() - 1]);
    graph.input.push(value(first.values.0, first.weight.len()));
    graph.output.push(value(last.values.1, last.weight[0].len()));
    let proto = ModelProto {
        ir_version: Some(8),
        opset_import: vec![OperatorSetIdProto { domain: None, version: Some(17) }],
        graph: Some(graph),
        ..ModelProto::default()
    };
    Model::from_bytes(proto.encode_to_vec(), None).unwrap()
}

fn value(name: &str, length: usize) -> ValueInfoProto {
    let dim = |size: usize| Dimension { value: Some(DimValue::Value(size as i64)), denotation: None };
    let shape = TensorShapeProto { dim: vec![dim(1), dim(length)] };
    let tensor = TensorType { elem_type: Some(elem::FLOAT), shape: Some(shape) };
    let r#type = TypeProto { value: Some(TypeValue::Tensor(tensor)), denotation: None };
    ValueInfoProto { name: Some(name.into()), r#type: Some(r#type), ..ValueInfoProto::default() }
}

/// The matrix that changes nothing, `size` by `size`.
pub fn identity(size: usize) -> Vec<Vec<f32>> {
    (0..size).map(|row| (0..size).map(|column| f32::from(u8::from(row == column))).collect()).collect()
}

/// Numbers from 0 to 1 that look random and are the same everywhere (a linear congruential generator).
pub fn noise(seed: u64) -> impl FnMut() -> f32 {
    let mut state = seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1;
    move || {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (state >> 40) as f32 / (1u64 << 24) as f32
    }
}

/// A sample of one input `x`.
pub fn sample(number: usize, values: Vec<f32>, label: Option<Label>) -> Sample {
    let input = Tensor::f32("x", [1, values.len()], values);
    Sample { name: format!("sample {number}"), inputs: vec![input], picture: None, label }
}

/// Scales by name.
pub fn scales(pairs: &[(&str, f32)]) -> BTreeMap<String, f32> {
    pairs.iter().map(|(name, scale)| ((*name).to_owned(), *scale)).collect()
}
