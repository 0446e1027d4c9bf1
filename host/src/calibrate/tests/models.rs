//! Tiny models and photographs, made in code.

use std::path::{Path, PathBuf};

use image::{Rgb, RgbImage};
use prost::Message as _;
use trt_onnx::proto::{
    DimValue, Dimension, GraphProto, ModelProto, NodeProto, OperatorSetIdProto, TensorProto,
    TensorShapeProto, TensorType, TypeProto, TypeValue, ValueInfoProto, elem,
};

pub fn node(op: &str, inputs: &[&str], outputs: &[&str]) -> NodeProto {
    NodeProto {
        op_type: Some(op.into()),
        input: inputs.iter().map(|&input| input.into()).collect(),
        output: outputs.iter().map(|&output| output.into()).collect(),
        ..NodeProto::default()
    }
}

pub fn tensor(name: &str, dims: &[i64], values: &[f32]) -> TensorProto {
    TensorProto {
        name: Some(name.into()),
        dims: dims.to_vec(),
        data_type: Some(elem::FLOAT),
        float_data: values.to_vec(),
        ..TensorProto::default()
    }
}

/// A value of that shape; -1 is a free dimension.
pub fn value(name: &str, elem_type: i32, dims: &[i64]) -> ValueInfoProto {
    let dim = |&size: &i64| Dimension {
        value: Some(if size < 0 { DimValue::Param("free".into()) } else { DimValue::Value(size) }),
        denotation: None,
    };
    let shape = Some(TensorShapeProto { dim: dims.iter().map(dim).collect() });
    let tensor = TensorType { elem_type: Some(elem_type), shape };
    ValueInfoProto {
        name: Some(name.into()),
        r#type: Some(TypeProto { value: Some(TypeValue::Tensor(tensor)), denotation: None }),
        ..ValueInfoProto::default()
    }
}

/// A model with input `x` of that shape, and the last node's output as its own.
pub fn model(input: &[i64], nodes: Vec<NodeProto>, initializer: Vec<TensorProto>) -> ModelProto {
    let output = nodes.last().and_then(|node| node.output.first()).cloned().unwrap_or_default();
    let graph = GraphProto {
        node: nodes,
        name: Some("tiny".into()),
        initializer,
        input: vec![value("x", elem::FLOAT, input)],
        output: vec![ValueInfoProto { name: Some(output), ..ValueInfoProto::default() }],
        ..GraphProto::default()
    };
    ModelProto {
        ir_version: Some(8),
        graph: Some(graph),
        opset_import: vec![OperatorSetIdProto { domain: None, version: Some(17) }],
        ..ModelProto::default()
    }
}

/// A convolution whose node is called like its output, a ReLU, and a reshape by a computed shape.
///
/// `x` -> Conv `c` -> Relu `r` -> Reshape `y` (by Shape `s` of `x`'s ReLU, integers).
pub fn convolution(input: &[i64]) -> ModelProto {
    let mut conv = node("Conv", &["x", "w"], &["c"]);
    conv.name = Some("c".into());
    let weights: Vec<f32> = (0..36).map(|n| (n % 7) as f32 * 0.25 - 0.75).collect();
    let nodes = vec![
        conv,
        node("Relu", &["c"], &["r"]),
        node("Shape", &["r"], &["s"]),
        node("Reshape", &["r", "s"], &["y"]),
    ];
    model(input, nodes, vec![tensor("w", &[4, 3, 1, 3], &weights)])
}

pub fn save(model: &ModelProto, path: &Path) -> PathBuf {
    std::fs::write(path, model.encode_to_vec()).unwrap();
    path.to_owned()
}

/// `count` different photographs in `folder`, called `name(n)`; the first is white all over.
pub fn photographs(folder: &Path, count: u32, name: impl Fn(u32) -> String) {
    std::fs::create_dir_all(folder).unwrap();
    for n in 0..count {
        let pixel = |x: u32, y: u32| match n {
            0 => Rgb([255; 3]),
            _ => Rgb([(x * 7 * n % 256) as u8, (y * 11 + n) as u8, (x * y % 251) as u8]),
        };
        RgbImage::from_fn(24, 16, pixel).save(folder.join(name(n))).unwrap();
    }
}
