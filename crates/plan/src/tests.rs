use std::collections::BTreeMap;

use trt_wire::{ShapeRange, TensorInfo};

use super::*;

fn device(tensorrt: &str, cc: [u32; 2]) -> DeviceFacts {
    let (product, version) = tensorrt.split_once(' ').unwrap();
    let version: Vec<u32> = version.split('.').map(|part| part.parse().unwrap()).collect();
    DeviceFacts {
        hostname: "jetson".into(),
        gpu: Ok(Gpu { name: "Orin".into(), compute_capability: cc, source: GpuSource::Driver }),
        tensorrt: Ok(TensorRt {
            product: if product == "RTX" { TensorRtProduct::Rtx } else { TensorRtProduct::TensorRt },
            version: version.try_into().unwrap(),
            library: "libnvinfer.so".into(),
            is_known: true,
        }),
        ..DeviceFacts::unknown("a test")
    }
}

fn model(has_qdq: bool, dims: &[i64]) -> ModelSummary {
    ModelSummary {
        opset: 13,
        has_qdq,
        inputs: vec![TensorInfo { name: "images".into(), element: "float".into(), dims: dims.to_vec() }],
        outputs: vec![],
        operators: BTreeMap::new(),
    }
}

fn spec(precision: Precision, on_unsupported: OnUnsupported) -> BuildSpec {
    BuildSpec { on_unsupported, ..BuildSpec::new(precision) }
}

/// One line for one row of the design's table.
fn row(tensorrt: &str, cc: [u32; 2], precision: Precision, unsupported: OnUnsupported, qdq: bool) -> String {
    let table = (precision == Precision::Int8 && !qdq).then_some("EntropyCalibration2");
    let result =
        plan(&model(qdq, &[1, 3, 8, 8]), table, &spec(precision, unsupported), &device(tensorrt, cc));
    let outcome = match result {
        Ok(plan) => {
            let why: Vec<String> = plan.decisions.iter().map(ToString::to_string).collect();
            let typing = if plan.strongly_typed { "typed" } else { "flags" };
            format!("{} {:?} {typing} convert={} {why:?}", plan.precision, plan.mode, plan.convert_fp16)
        }
        Err(error) => format!("error: {error}"),
    };
    format!("{tensorrt} {cc:?} {precision} {unsupported:?} qdq={qdq}: {outcome}")
}

#[test]
fn every_row_of_the_designs_table_has_its_plan_and_its_reasons() {
    use OnUnsupported::{Fail, Fp16 as ThenFp16, Int8Anyway};
    use Precision::{Fp16, Fp32, Int8};
    let rows = [
        row("TRT 8.2.1", [7, 2], Int8, Fail, false),
        row("TRT 10.3.0", [8, 7], Int8, Fail, false),
        row("TRT 11.4.1", [8, 7], Int8, Fail, false),
        row("RTX 1.7.1", [8, 6], Int8, Fail, false),
        row("TRT 8.2.1", [5, 3], Int8, Fail, false),
        row("TRT 8.2.1", [5, 3], Int8, ThenFp16, false),
        row("TRT 8.2.1", [5, 3], Int8, Int8Anyway, false),
        row("TRT 8.2.1", [6, 2], Int8, ThenFp16, true),
        row("TRT 8.5.2", [8, 7], Int8, Fail, true),
        row("TRT 8.5.2", [8, 7], Fp16, Fail, false),
        row("TRT 11.4.1", [8, 7], Fp16, Fail, false),
        row("RTX 1.7.1", [8, 6], Fp32, Fail, false),
        row("RTX 1.7.1", [8, 6], Fp32, Fail, true),
    ];
    insta::assert_snapshot!("design_table", rows.join("\n"));
}

#[test]
fn int8_needs_a_table_or_qdq_nodes() {
    let asked = spec(Precision::Int8, OnUnsupported::Fail);
    let device = device("RTX 1.7.1", [8, 6]);
    assert_eq!(plan(&model(false, &[1]), None, &asked, &device), Err(PlanError::NoTable));
    assert!(plan(&model(true, &[1]), None, &asked, &device).is_ok());
}

#[test]
fn a_gpu_from_the_configuration_serves_rtx_only() {
    let asked = spec(Precision::Fp32, OnUnsupported::Fail);
    let configured = |tensorrt| {
        let mut device = device(tensorrt, [8, 6]);
        device.gpu.as_mut().unwrap().source = GpuSource::Configuration;
        plan(&model(false, &[1]), None, &asked, &device)
    };
    assert_eq!(configured("RTX 1.7.1").unwrap().compute_capability, Some([8, 6]));
    assert!(matches!(configured("TRT 10.3.0"), Err(PlanError::CannotCrossBuild { .. })));
}

#[test]
fn shapes_are_checked_against_the_model() {
    let range = |min: &[i64], opt: &[i64], max: &[i64]| ShapeRange {
        min: min.into(),
        opt: opt.into(),
        max: max.into(),
    };
    let with = |name: &str, range: ShapeRange| {
        let mut asked = spec(Precision::Fp32, OnUnsupported::Fail);
        asked.shapes.insert(name.into(), range);
        plan(&model(false, &[-1, 3, -1, 8]), None, &asked, &device("RTX 1.7.1", [8, 6]))
    };
    let fixed = range(&[1, 3, 8, 8], &[1, 3, 8, 8], &[1, 3, 8, 8]);
    assert_eq!(with("images", fixed.clone()).unwrap().shapes["images"], fixed);
    assert!(matches!(with("imges", fixed), Err(PlanError::UnknownInput { .. })));
    let wrong_rank = range(&[1, 3, 8], &[1, 3, 8], &[1, 3, 8]);
    assert!(matches!(with("images", wrong_rank), Err(PlanError::ShapeMismatch { which: "min", .. })));
    let wrong_channels = range(&[1, 3, 8, 8], &[1, 4, 8, 8], &[1, 3, 8, 8]);
    assert!(matches!(with("images", wrong_channels), Err(PlanError::ShapeMismatch { which: "opt", .. })));
    let unordered = range(&[2, 3, 8, 8], &[1, 3, 8, 8], &[4, 3, 8, 8]);
    assert!(matches!(with("images", unordered), Err(PlanError::ShapeOrder { .. })));
    let asked = spec(Precision::Fp32, OnUnsupported::Fail);
    let unset = plan(&model(false, &[-1, 3]), None, &asked, &device("RTX 1.7.1", [8, 6]));
    assert!(matches!(unset, Err(PlanError::NoShape { .. })));
}

#[test]
fn what_no_device_could_build_is_known_without_one() {
    let check = |qdq, dims: &[i64], table, precision| {
        check(&model(qdq, dims), table, &spec(precision, OnUnsupported::Fail))
    };
    assert_eq!(check(false, &[1, 3], true, Precision::Int8), Ok(()));
    assert_eq!(check(true, &[1, 3], false, Precision::Int8), Ok(()));
    assert_eq!(check(false, &[1, 3], false, Precision::Int8), Err(PlanError::NoTable));
    assert!(matches!(check(true, &[1, 3], false, Precision::Fp16), Err(PlanError::QdqNeedsInt8 { .. })));
    let dynamic = check(false, &[-1, 3, -1, -1], false, Precision::Fp32).unwrap_err();
    assert!(dynamic.hint().unwrap().contains("[1, 3, 640, 640]"));
}

#[test]
fn every_refusal_says_what_would_mend_it() {
    let errors = [
        PlanError::NoTensorRt { reason: String::new() },
        PlanError::NoGpu { reason: String::new() },
        PlanError::CannotCrossBuild { tensorrt: String::new() },
        PlanError::QdqNeedsInt8 { asked: Precision::Fp32 },
        PlanError::NoInt8 { because: String::new(), has_qdq: false, chosen: OnUnsupported::Fail },
        PlanError::NoTable,
        PlanError::UnknownInput { name: String::new(), inputs: vec![] },
        PlanError::NoShape { name: "x".into(), dims: vec![-1] },
        PlanError::ShapeMismatch { name: String::new(), which: "min", shape: vec![], dims: vec![] },
        PlanError::ShapeOrder { name: String::new(), min: vec![], opt: vec![], max: vec![] },
    ];
    for error in errors {
        assert!(error.hint().is_some_and(|hint| !hint.is_empty()), "{error}");
    }
}
