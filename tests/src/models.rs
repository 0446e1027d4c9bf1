//! Small models and photographs, made on the spot and the same every time.

use std::path::Path;

use prost::Message;
use trt_onnx::proto::{
    AttributeProto, DimValue, Dimension, EXTERNAL, GraphProto, ModelProto, NodeProto, OperatorSetIdProto,
    StringStringEntryProto, TensorProto, TensorShapeProto, TensorType, TypeProto, TypeValue, ValueInfoProto,
    attr, elem,
};

/// A chain of 3x3 convolutions with ReLU over `images`, a float input of 1 x 3 x `side` x `side`.
///
/// More `layers` and `channels` take TensorRT longer.
pub fn convolutions(side: i64, channels: i64, layers: usize) -> Vec<u8> {
    let mut nodes = Vec::new();
    let mut weights = Vec::new();
    let mut value = "images".to_owned();
    for layer in 0..layers {
        let inputs = if layer == 0 { 3 } else { channels };
        let weight = format!("weight{layer}");
        weights.push(float_tensor(&weight, &[channels, inputs, 3, 3], layer as u64));
        let (conv, relu) = (format!("conv{layer}"), format!("relu{layer}"));
        nodes.push(with_ints(node("Conv", &[&value, &weight], &conv), "pads", &[1, 1, 1, 1]));
        nodes.push(node("Relu", &[&conv], &relu));
        value = relu;
    }
    let output = value_info(&value, &[1, channels, side, side]);
    model(nodes, weights, value_info("images", &[1, 3, side, side]), output)
}

/// [`convolutions`] of one layer that takes any number of images at once.
pub fn dynamic_batch(side: i64, channels: i64) -> Vec<u8> {
    let mut model = ModelProto::decode(convolutions(side, channels, 1).as_slice()).expect("our own bytes");
    for value in model.graph.iter_mut().flat_map(|graph| graph.input.iter_mut().chain(&mut graph.output)) {
        let tensor = match value.r#type.as_mut().and_then(|value| value.value.as_mut()) {
            Some(TypeValue::Tensor(tensor)) => tensor,
            other => panic!("no tensor: {other:?}"),
        };
        let batch = tensor.shape.as_mut().and_then(|shape| shape.dim.first_mut()).expect("a batch");
        batch.value = Some(DimValue::Param("batch".into()));
    }
    model.encode_to_vec()
}

/// [`convolutions`] with its weights in a file beside it, as PyTorch writes large models: `name`.onnx and `name`.data.
pub fn convolutions_with_external_data(dir: &Path, name: &str, side: i64, channels: i64, layers: usize) {
    let bytes = convolutions(side, channels, layers);
    let mut model = ModelProto::decode(bytes.as_slice()).expect("our own bytes");
    let mut data = Vec::new();
    for tensor in model.graph.iter_mut().flat_map(|graph| &mut graph.initializer) {
        let raw = tensor.raw_data.take().unwrap_or_default();
        let entry =
            |key: &str, value: String| StringStringEntryProto { key: Some(key.into()), value: Some(value) };
        tensor.external_data = vec![
            entry("location", format!("{name}.data")),
            entry("offset", data.len().to_string()),
            entry("length", raw.len().to_string()),
        ];
        tensor.data_location = Some(EXTERNAL);
        data.extend_from_slice(&raw);
    }
    std::fs::write(dir.join(format!("{name}.onnx")), model.encode_to_vec()).expect("a file");
    std::fs::write(dir.join(format!("{name}.data")), data).expect("a file");
}

/// [`convolutions`] with Q/DQ nodes around every convolution, as training for quantization leaves them.
pub fn quantized_convolutions(side: i64, channels: i64, layers: usize) -> Vec<u8> {
    let mut model =
        trt_onnx::Model::from_bytes(convolutions(side, channels, layers), None).expect("our own bytes");
    trt_onnx::quantize(&mut model, &|_| Some(0.02), &trt_onnx::QuantOptions::default())
        .expect("convolutions");
    model.to_bytes().expect("a small model")
}

/// One node of an operator that nobody implements.
pub fn unknown_operator() -> Vec<u8> {
    let mut strange = node("Frobnicate", &["images"], "result");
    strange.name = Some("the_strange_node".into());
    model(vec![strange], vec![], value_info("images", &[1, 3, 8, 8]), value_info("result", &[1, 3, 8, 8]))
}

/// A model whose activation `root` is NaN for every image: the square root of a negative number.
pub fn not_a_number() -> Vec<u8> {
    let shape = [1, 3, 8, 8];
    let nodes = vec![node("Neg", &["images"], "negative"), node("Sqrt", &["negative"], "root")];
    model(nodes, vec![], value_info("images", &shape), value_info("root", &shape))
}

fn model(
    node: Vec<NodeProto>,
    initializer: Vec<TensorProto>,
    input: ValueInfoProto,
    output: ValueInfoProto,
) -> Vec<u8> {
    let graph = GraphProto {
        name: Some("test".into()),
        node,
        initializer,
        input: vec![input],
        output: vec![output],
        ..Default::default()
    };
    let opset = OperatorSetIdProto { domain: Some(String::new()), version: Some(13) };
    let model = ModelProto {
        ir_version: Some(8),
        graph: Some(graph),
        opset_import: vec![opset],
        ..Default::default()
    };
    model.encode_to_vec()
}

fn node(op: &str, inputs: &[&str], output: &str) -> NodeProto {
    NodeProto {
        op_type: Some(op.into()),
        name: Some(format!("{output}_node")),
        input: inputs.iter().map(|&input| input.into()).collect(),
        output: vec![output.into()],
        ..Default::default()
    }
}

fn with_ints(mut node: NodeProto, name: &str, ints: &[i64]) -> NodeProto {
    let (name, r#type) = (Some(name.into()), Some(attr::INTS));
    node.attribute.push(AttributeProto { name, r#type, ints: ints.to_vec(), ..Default::default() });
    node
}

fn float_tensor(name: &str, dims: &[i64], seed: u64) -> TensorProto {
    let count = dims.iter().product::<i64>() as usize;
    let fan_in = dims[1..].iter().product::<i64>() as f32;
    let mut state = seed;
    let values = (0..count).map(|_| (uniform(&mut state) - 0.45) * 3.0 / fan_in.sqrt());
    let bytes: Vec<u8> = values.flat_map(f32::to_le_bytes).collect();
    TensorProto {
        name: Some(name.into()),
        dims: dims.to_vec(),
        data_type: Some(elem::FLOAT),
        raw_data: Some(bytes.into()),
        ..Default::default()
    }
}

fn value_info(name: &str, dims: &[i64]) -> ValueInfoProto {
    let dim = |&size: &i64| Dimension { value: Some(DimValue::Value(size)), denotation: None };
    let shape = Some(TensorShapeProto { dim: dims.iter().map(dim).collect() });
    let tensor = TensorType { elem_type: Some(elem::FLOAT), shape };
    ValueInfoProto {
        name: Some(name.into()),
        r#type: Some(TypeProto { value: Some(TypeValue::Tensor(tensor)), denotation: None }),
        ..Default::default()
    }
}

/// The next number of a small generator, from 0 to 1.
fn uniform(state: &mut u64) -> f32 {
    *state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
    (*state >> 40) as f32 / (1 << 24) as f32
}

/// Writes `count` pictures of soft shapes and noise as JPEG files into `dir`.
pub fn photographs(dir: &Path, count: usize) {
    std::fs::create_dir_all(dir).expect("a folder");
    for number in 0..count {
        let mut state = number as u64;
        let [red, green, blue] = [(); 3].map(|()| uniform(&mut state) * 255.0);
        let picture = image::RgbImage::from_fn(96, 64, |x, y| {
            let wave = ((x * (number as u32 + 1)) as f32 / 20.0).sin() * ((y + 7) as f32 / 15.0).cos();
            let noise = uniform(&mut state) * 20.0;
            image::Rgb(
                [red, green, blue].map(|base| (base * (0.6 + 0.4 * wave) + noise).clamp(0.0, 255.0) as u8),
            )
        });
        picture.save(dir.join(format!("photo{number:03}.jpg"))).expect("a picture");
    }
}
