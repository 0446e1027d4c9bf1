use std::fmt::Write;

use trt_wire::{Backend, CalibratorClass, TensorRtProduct};

use super::*;

fn plan(mode: QuantMode) -> BuildPlan {
    BuildPlan {
        precision: if mode == QuantMode::None { Precision::Fp16 } else { Precision::Int8 },
        mode,
        strongly_typed: false,
        convert_fp16: false,
        strip_qdq: false,
        other_layers: Precision::Fp16,
        keep: vec![],
        calibrator: (mode == QuantMode::Implicit).then_some(CalibratorClass::EntropyCalibration2),
        backend: Backend::Trtexec,
        dla: None,
        optimization_level: None,
        plugins: vec![],
        runtime: None,
        shapes: [].into(),
        workspace: None,
        compute_capability: None,
        decisions: vec![],
    }
}

fn tensorrt(version: [u32; 3]) -> TensorRt {
    TensorRt {
        product: TensorRtProduct::TensorRt,
        version,
        library: String::new(),
        is_known: version[0] < 12,
    }
}

fn request<'a>(tensorrt: &'a TensorRt, plan: &'a BuildPlan) -> Request<'a> {
    Request {
        tensorrt,
        help: None,
        plan,
        model: Path::new("/w/net.onnx"),
        engine: Path::new("/w/engine.plan"),
        table: (plan.mode == QuantMode::Implicit).then_some(Path::new("/w/table")),
        timing_cache: Some(Path::new("/w/timing.cache")),
        plugins: &[],
        shapes: vec![],
        held: &[],
    }
}

fn text(request: &Request<'_>) -> String {
    match arguments(request) {
        Ok(list) => list.iter().map(|word| word.to_string_lossy()).collect::<Vec<_>>().join(" "),
        Err(error) => format!("error: {error}"),
    }
}

/// The most that can be asked of each version.
#[test]
fn arguments_of_every_version() {
    let range = |batch| [batch, 3, 640, 640].to_vec();
    let range = ShapeRange { min: range(1), opt: range(4), max: range(8) };
    let tokens = ShapeRange { min: vec![1, 8], opt: vec![4, 8], max: vec![8, 8] };
    let plugins = [PathBuf::from("/opt/p one.so"), PathBuf::from("/opt/p2.so")];
    let held = ["/head/Conv".to_owned(), "model/add:0".to_owned()];
    let mut table = String::new();
    for version in [
        [8, 0, 1],
        [8, 2, 1],
        [8, 4, 1],
        [8, 5, 2],
        [8, 6, 2],
        [9, 3, 0],
        [10, 0, 1],
        [10, 3, 0],
        [10, 16, 2],
        [11, 4, 1],
        [12, 0, 0],
    ] {
        let tensorrt = tensorrt(version);
        let is_typed = version[0] >= 11;
        let of = |mode| BuildPlan { strongly_typed: is_typed, ..plan(mode) };
        writeln!(table, "{tensorrt}").unwrap();
        let modes: &[QuantMode] = if is_typed {
            &[QuantMode::None, QuantMode::Explicit]
        } else {
            &[QuantMode::None, QuantMode::Implicit, QuantMode::ModelQdq]
        };
        for &mode in modes {
            writeln!(table, "  {mode:?}: {}", text(&request(&tensorrt, &of(mode)))).unwrap();
        }
        let all = BuildPlan {
            workspace: Some(1 << 30),
            dla: Some(1),
            optimization_level: (version >= [8, 6, 0]).then_some(5),
            other_layers: Precision::Fp32,
            ..of(if is_typed { QuantMode::Explicit } else { QuantMode::Implicit })
        };
        let held: &[String] = if holds_layers(&tensorrt) { &held } else { &[] };
        let shapes = vec![("images:0", &range), ("tokens", &tokens)];
        let request = Request { plugins: &plugins, shapes, held, ..request(&tensorrt, &all) };
        writeln!(table, "  everything: {}", text(&request)).unwrap();
    }
    insta::assert_snapshot!(table);
}

#[test]
fn the_calibrator_and_its_flags_are_never_named_to_a_version_without_them() {
    for version in [[11, 0, 0], [11, 4, 1], [12, 0, 0], [13, 1, 0]] {
        let tensorrt = tensorrt(version);
        let plan = BuildPlan { strongly_typed: true, ..plan(QuantMode::Explicit) };
        let text = text(&request(&tensorrt, &plan));
        for word in ["--int8", "--fp16", "--calib", "--layerPrecisions"] {
            assert!(!text.contains(word), "{version:?}: {text}");
        }
    }
    let qdq = plan(QuantMode::ModelQdq);
    assert!(!text(&request(&tensorrt([8, 6, 1]), &qdq)).contains("--calib"));
}

#[test]
fn a_version_that_is_not_known_is_believed_about_its_options() {
    let twelve = tensorrt([12, 0, 0]);
    let help = "  --onnx=<file>  a model\n  --saveEngine=<file>\n --memPoolSizes other\n --verbose, --quiet";
    let mut typed = BuildPlan { strongly_typed: true, ..plan(QuantMode::Explicit) };
    let asked = |plan: &BuildPlan| text(&Request { help: Some(help), ..request(&twelve, plan) });
    assert_eq!(asked(&typed), "--onnx=/w/net.onnx --saveEngine=/w/engine.plan --verbose");
    typed.workspace = Some(1 << 20);
    assert_eq!(asked(&typed), "error: the `trtexec` of TensorRT 12.0.0 has no option `--memPoolSize`");
}

#[test]
fn names_that_the_options_cannot_say_are_refused() {
    let eight = tensorrt([8, 6, 1]);
    let plan = plan(QuantMode::None);
    let range = ShapeRange { min: vec![1], opt: vec![1], max: vec![1] };
    for name in ["a,b", "a'b", "", "a\nb"] {
        let request = Request { shapes: vec![(name, &range)], ..request(&eight, &plan) };
        assert!(matches!(arguments(&request), Err(TrtexecError::Unsayable { .. })), "{name}");
    }
    let many: Vec<String> = (0..20_000).map(|number| format!("layer{number}")).collect();
    let request = Request { held: &many, ..request(&eight, &plan) };
    assert!(matches!(arguments(&request), Err(TrtexecError::Unsayable { .. })));
}

#[test]
fn a_workspace_is_never_rounded_to_nothing() {
    let plan = BuildPlan { workspace: Some(1000), ..plan(QuantMode::None) };
    assert!(text(&request(&tensorrt([8, 2, 1]), &plan)).contains("--workspace=1 "));
    assert!(text(&request(&tensorrt([10, 3, 0]), &plan)).contains("--memPoolSize=workspace:1 "));
}
