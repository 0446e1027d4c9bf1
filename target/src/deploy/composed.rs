//! Whether [`COMPOSER`](super::identity::COMPOSER) still stands for what is composed.
//!
//! Engines are found by a key that holds that number instead of the composed graph. If the same model, table and plan
//! give another graph than before and the number stays, devices keep their old engines and nobody notices. Therefore
//! `composed.golden` has the hash of what small models become, and the number that belongs to them.

use std::fs;
use std::path::{Path, PathBuf};

use prost::Message;
use trt_onnx::proto::{
    AttributeProto, DimValue, Dimension, GraphProto, ModelProto, NodeProto, OperatorSetIdProto, TensorProto,
    TensorShapeProto, TensorType, TypeProto, TypeValue, ValueInfoProto, attr, elem,
};
use trt_wire::worker::BuildJob;
use trt_wire::{Backend, BlobId, BuildPlan, Precision, QuantMode, TensorRt, TensorRtProduct};

use super::identity::COMPOSER;
use crate::worker::compose;

const GOLDEN: &str = include_str!("composed.golden");

/// Set to write `composed.golden` anew.
const UPDATE: &str = "TRT_UPDATE_COMPOSED";

#[test]
fn what_is_composed_is_what_the_number_of_the_composer_stands_for() {
    let now: String = std::iter::once(format!("composer {COMPOSER}\n"))
        .chain(fixtures().into_iter().map(|(name, hash)| format!("{name} {}\n", hash.full())))
        .collect();
    if now == GOLDEN {
        return;
    }
    let is_raised = now.lines().next() != GOLDEN.lines().next();
    let changed: Vec<&str> = now.lines().skip(1).filter(|line| !GOLDEN.contains(line)).collect();
    assert!(
        is_raised || GOLDEN.is_empty(),
        "the same models are composed differently than before: raise COMPOSER in target/src/deploy/identity.rs, so that \
         devices build their engines again, and run this test once with {UPDATE}=1; changed:\n{}",
        changed.join("\n")
    );
    assert!(
        std::env::var_os(UPDATE).is_some(),
        "COMPOSER was raised: run this test once with {UPDATE}=1, which writes target/src/deploy/composed.golden"
    );
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/src/deploy/composed.golden");
    fs::write(path, now).unwrap();
}

/// Every way of composing, and the hash of what comes of it.
fn fixtures() -> Vec<(&'static str, BlobId)> {
    let (plain, wide, quantized) = (network(8, false), network(96, false), network(8, true));
    let plan = |mode| BuildPlan { mode, ..untouched() };
    let explicit = || plan(QuantMode::Explicit);
    vec![
        ("explicit", compose(&plain, explicit(), TensorRtProduct::TensorRt)),
        ("explicit-rtx-small", compose(&plain, explicit(), TensorRtProduct::Rtx)),
        ("explicit-rtx", compose(&wide, explicit(), TensorRtProduct::Rtx)),
        (
            "explicit-keep",
            compose(
                &plain,
                BuildPlan { keep: vec!["conv1".into()], ..explicit() },
                TensorRtProduct::TensorRt,
            ),
        ),
        ("mixed", compose(&plain, BuildPlan { convert_fp16: true, ..explicit() }, TensorRtProduct::TensorRt)),
        ("fp16", compose(&plain, BuildPlan { convert_fp16: true, ..untouched() }, TensorRtProduct::TensorRt)),
        ("own-qdq", compose(&quantized, plan(QuantMode::ModelQdq), TensorRtProduct::TensorRt)),
        (
            "own-qdq-mixed",
            compose(
                &quantized,
                BuildPlan { convert_fp16: true, ..plan(QuantMode::ModelQdq) },
                TensorRtProduct::TensorRt,
            ),
        ),
        (
            "stripped",
            compose(&quantized, BuildPlan { strip_qdq: true, ..untouched() }, TensorRtProduct::TensorRt),
        ),
        (
            "stripped-fp16",
            compose(
                &quantized,
                BuildPlan { strip_qdq: true, convert_fp16: true, ..untouched() },
                TensorRtProduct::Rtx,
            ),
        ),
    ]
}

/// A plan that leaves the graph alone.
fn untouched() -> BuildPlan {
    BuildPlan {
        precision: Precision::Fp32,
        mode: QuantMode::None,
        strongly_typed: true,
        convert_fp16: false,
        strip_qdq: false,
        other_layers: Precision::Fp16,
        keep: vec![],
        calibrator: None,
        backend: Backend::Nvinfer,
        dla: None,
        optimization_level: None,
        plugins: vec![],
        runtime: None,
        shapes: Default::default(),
        workspace: None,
        compute_capability: None,
        decisions: vec![],
    }
}

fn compose(model: &ModelProto, plan: BuildPlan, product: TensorRtProduct) -> BlobId {
    let dir = tempfile::tempdir().unwrap();
    let write = |name: &str, bytes: &[u8]| -> PathBuf {
        let path = dir.path().join(name);
        fs::write(&path, bytes).unwrap();
        path
    };
    let job = BuildJob {
        tensorrt_dir: None,
        plugins: vec![],
        model: write("model.onnx", &model.encode_to_vec()),
        table: Some(write("table", table().as_bytes())),
        plan,
        tensorrt: TensorRt {
            product,
            version: [11, 0, 0],
            library: "libnvinfer.so.11".into(),
            is_known: true,
        },
        timing_cache: None,
        engine: dir.path().join("engine.plan"),
        log: dir.path().join("log"),
    };
    let composed = compose::run(&job).unwrap();
    assert_ne!(composed.model, job.model, "nothing was composed");
    hash(&composed.model)
}

fn hash(path: &Path) -> BlobId {
    BlobId::of(&fs::read(path).unwrap())
}

/// A scale for every activation.
fn table() -> String {
    let names = ["images", "conv0", "relu0", "conv1", "sum", "relu1", "pooled", "flat", "logits"];
    let line = |(index, name): (usize, &&str)| {
        let scale = 0.01f32 + index as f32 * 0.003;
        format!("{name}: {:08x}\n", scale.to_bits())
    };
    std::iter::once("TRT-100300-EntropyCalibration2\n".to_owned())
        .chain(names.iter().enumerate().map(line))
        .collect()
}

/// Two convolutions of so many `channels` with a shortcut, pooled and classified. With `quantized`, input and weights of the first one have
/// Q/DQ nodes, and its bias is stored as INT32.
fn network(channels: i64, quantized: bool) -> ModelProto {
    let mut initializer = vec![
        floats("weight0", &[channels, 3, 3, 3], 1),
        floats("weight1", &[channels, channels, 3, 3], 2),
        floats("weight2", &[4, channels], 3),
        floats("bias2", &[4], 4),
    ];
    let mut nodes = Vec::new();
    let mut first = ["images", "weight0", "bias0"];
    if quantized {
        let bias: Vec<u8> =
            (0..channels as i32).flat_map(|value| (value * 100 - 350).to_le_bytes()).collect();
        initializer.push(tensor("bias0_stored", &[channels], elem::INT32, bias));
        for (name, scale) in [("image_scale", 0.02f32), ("weight_scale", 0.005), ("bias_scale", 0.0001)] {
            initializer.push(tensor(name, &[], elem::FLOAT, scale.to_le_bytes().to_vec()));
        }
        for (name, r#type, size) in [("zero", elem::INT8, 1), ("bias_zero", elem::INT32, 4)] {
            initializer.push(tensor(name, &[], r#type, vec![0; size]));
        }
        nodes.push(node("QuantizeLinear", &["images", "image_scale", "zero"], "images_q"));
        nodes.push(node("DequantizeLinear", &["images_q", "image_scale", "zero"], "images_dq"));
        nodes.push(node("QuantizeLinear", &["weight0", "weight_scale", "zero"], "weight0_q"));
        nodes.push(node("DequantizeLinear", &["weight0_q", "weight_scale", "zero"], "weight0_dq"));
        nodes.push(node("DequantizeLinear", &["bias0_stored", "bias_scale", "bias_zero"], "bias0_dq"));
        first = ["images_dq", "weight0_dq", "bias0_dq"];
    } else {
        initializer.push(floats("bias0", &[channels], 5));
    }
    nodes.extend([
        padded(node("Conv", &first, "conv0")),
        node("Relu", &["conv0"], "relu0"),
        padded(node("Conv", &["relu0", "weight1"], "conv1")),
        node("Add", &["conv1", "relu0"], "sum"),
        node("Relu", &["sum"], "relu1"),
        node("GlobalAveragePool", &["relu1"], "pooled"),
        node("Flatten", &["pooled"], "flat"),
        with_int(node("Gemm", &["flat", "weight2", "bias2"], "logits"), "transB", 1),
        node("Softmax", &["logits"], "scores"),
    ]);
    let graph = GraphProto {
        name: Some("composed".into()),
        node: nodes,
        initializer,
        input: vec![value("images", &[1, 3, 16, 16])],
        output: vec![value("scores", &[1, 4])],
        ..Default::default()
    };
    let opset = OperatorSetIdProto { domain: Some(String::new()), version: Some(13) };
    ModelProto { ir_version: Some(8), graph: Some(graph), opset_import: vec![opset], ..Default::default() }
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

fn padded(mut node: NodeProto) -> NodeProto {
    let (name, r#type) = (Some("pads".into()), Some(attr::INTS));
    node.attribute.push(AttributeProto { name, r#type, ints: vec![1; 4], ..Default::default() });
    node
}

fn with_int(mut node: NodeProto, name: &str, value: i64) -> NodeProto {
    let (name, r#type) = (Some(name.into()), Some(attr::INT));
    node.attribute.push(AttributeProto { name, r#type, i: Some(value), ..Default::default() });
    node
}

/// Numbers between -0.5 and 0.5, the same every time.
fn floats(name: &str, dims: &[i64], seed: u32) -> TensorProto {
    let count = dims.iter().product::<i64>() as u32;
    let number = |index: u32| {
        let mixed = (index + 1).wrapping_mul(seed).wrapping_mul(2_654_435_761);
        (mixed >> 16) as f32 / 65536.0 - 0.5
    };
    tensor(name, dims, elem::FLOAT, (0..count).flat_map(|index| number(index).to_le_bytes()).collect())
}

fn tensor(name: &str, dims: &[i64], r#type: i32, bytes: Vec<u8>) -> TensorProto {
    TensorProto {
        name: Some(name.into()),
        dims: dims.to_vec(),
        data_type: Some(r#type),
        raw_data: Some(bytes.into()),
        ..Default::default()
    }
}

fn value(name: &str, dims: &[i64]) -> ValueInfoProto {
    let dim = |&size: &i64| Dimension { value: Some(DimValue::Value(size)), denotation: None };
    let shape = Some(TensorShapeProto { dim: dims.iter().map(dim).collect() });
    let tensor = TensorType { elem_type: Some(elem::FLOAT), shape };
    ValueInfoProto {
        name: Some(name.into()),
        r#type: Some(TypeProto { value: Some(TypeValue::Tensor(tensor)), denotation: None }),
        ..Default::default()
    }
}
