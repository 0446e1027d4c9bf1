mod errors;
mod fleet;

use std::collections::BTreeMap;

use trt_wire::{Backend, BackendChoice, CalibratorClass, QuantMode, ShapeRange, TensorInfo, Trtexec};

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
fn rtx_builds_for_the_gpus_that_it_knows_only() {
    let asked = spec(Precision::Fp32, OnUnsupported::Fail);
    for (tensorrt, gpu, is_known) in [
        ("RTX 1.3.0", [7, 5], true),
        ("RTX 1.4.0", [12, 1], false),
        ("RTX 1.5.0", [12, 1], true),
        ("RTX 1.7.1", [8, 7], false),
        ("RTX 1.7.1", [5, 3], false),
    ] {
        let mut device = device(tensorrt, gpu);
        device.gpu.as_mut().unwrap().source = GpuSource::Configuration;
        let planned = plan(&model(false, &[1]), None, &asked, &device);
        assert_eq!(planned.is_ok(), is_known, "{tensorrt} {gpu:?}");
        assert_eq!(build_for(&device).is_ok(), is_known, "{tensorrt} {gpu:?}");
        if let Err(error) = planned {
            assert!(
                error.hint().unwrap().contains("`build-for`") && error.hint().unwrap().contains("\"8.6\"")
            );
        }
    }
}

#[test]
fn one_shape_for_all_is_not_called_the_smallest() {
    let shape = vec![3, 224, 224];
    let range = ShapeRange { min: shape.clone(), opt: shape.clone(), max: shape };
    let mut asked = spec(Precision::Fp32, OnUnsupported::Fail);
    asked.shapes.insert("images".into(), range);
    let error = plan(&model(false, &[1, 3, 8, 8]), None, &asked, &device("RTX 1.7.1", [8, 6])).unwrap_err();
    assert!(error.to_string().starts_with("the shape [3, 224, 224] of input"), "{error}");
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
    let wrong_rank = range(&[1, 3, 8], &[1, 3, 8], &[2, 3, 8]);
    assert!(matches!(with("images", wrong_rank), Err(PlanError::ShapeMismatch { which: "min ", .. })));
    let wrong_channels = range(&[1, 3, 8, 8], &[1, 4, 8, 8], &[1, 3, 8, 8]);
    assert!(matches!(with("images", wrong_channels), Err(PlanError::ShapeMismatch { which: "opt ", .. })));
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
fn a_table_beside_qdq_nodes_is_refused_with_and_without_a_device() {
    let asked = spec(Precision::Int8, OnUnsupported::Fp16);
    assert_eq!(check(&model(true, &[1]), true, &asked), Err(PlanError::TableAndQdq));
    let orin = device("TRT 10.3.0", [8, 7]);
    assert_eq!(
        plan(&model(true, &[1]), Some("EntropyCalibration2"), &asked, &orin),
        Err(PlanError::TableAndQdq)
    );
}

#[test]
fn the_calibrator_is_the_one_that_the_tables_header_names() {
    let orin = device("TRT 8.5.2", [8, 7]);
    let class = |word| {
        let spec = spec(Precision::Int8, OnUnsupported::Fail);
        plan(&model(false, &[1]), Some(word), &spec, &orin).map(|plan| plan.calibrator)
    };
    for (word, expected) in [
        ("EntropyCalibration2", CalibratorClass::EntropyCalibration2),
        ("MinMaxCalibration", CalibratorClass::MinMaxCalibration),
        ("EntropyCalibration", CalibratorClass::EntropyCalibration),
        // Its own class would be handed a header that no library can tell from another's.
        ("Legacy", CalibratorClass::EntropyCalibration2),
    ] {
        assert_eq!(class(word), Ok(Some(expected)));
    }
    let asked = spec(Precision::Int8, OnUnsupported::Fail);
    let legacy = plan(&model(false, &[1]), Some("Legacy"), &asked, &orin).unwrap();
    let said = legacy.decisions.iter().any(|decision| decision.because.contains("a legacy header"));
    assert!(said, "{:?}", legacy.decisions);
    assert_eq!(class("Percentile"), Err(PlanError::TableAlgorithm { word: "Percentile".into() }));
}

#[test]
fn a_dla_and_trtexec_get_entropy_2_whatever_the_table_says() {
    let mut orin = fleet::jetson("TRT 8.5.2", ("Orin NX", "tegra234", [8, 7], 2));
    orin.trtexec = trtexec(Some([8, 5, 2]));
    let int8 = spec(Precision::Int8, OnUnsupported::Fail);
    for asked in [
        BuildSpec { dla: Some(1), ..int8.clone() },
        BuildSpec { backend: BackendChoice::Trtexec, ..int8.clone() },
    ] {
        let plan = plan(&model(false, &[1]), Some("MinMaxCalibration"), &asked, &orin).unwrap();
        assert_eq!(plan.calibrator, Some(CalibratorClass::EntropyCalibration2));
        let said =
            plan.decisions.iter().any(|decision| decision.because.contains("scales are used as they are"));
        assert!(said, "{:?}", plan.decisions);
    }
}

#[test]
fn what_is_not_int8_runs_in_what_other_layers_says_and_no_other_engine_cares() {
    let ask = |tensorrt, precision, other_layers| {
        let spec = BuildSpec { other_layers, ..spec(precision, OnUnsupported::Fail) };
        plan(&model(false, &[1]), Some("EntropyCalibration2"), &spec, &device(tensorrt, [8, 7])).unwrap()
    };
    use Precision::{Fp16, Fp32, Int8};
    for (tensorrt, precision, other, converts, others) in [
        ("TRT 8.6.2", Int8, Fp16, false, Fp16),
        ("TRT 8.6.2", Int8, Fp32, false, Fp32),
        ("TRT 11.4.1", Int8, Fp16, true, Fp16),
        ("TRT 11.4.1", Int8, Fp32, false, Fp32),
        ("TRT 11.4.1", Fp16, Fp32, true, Fp16),
        ("TRT 11.4.1", Fp32, Fp16, false, Fp32),
        ("TRT 8.6.2", Fp32, Fp16, false, Fp32),
    ] {
        let plan = ask(tensorrt, precision, other);
        assert_eq!(
            (plan.convert_fp16, plan.other_layers),
            (converts, others),
            "{tensorrt} {precision} {other}"
        );
    }
    let fp32 = |plan: BuildPlan| BuildPlan { decisions: vec![], ..plan };
    assert_eq!(fp32(ask("TRT 8.6.2", Fp32, Fp16)), fp32(ask("TRT 8.6.2", Fp32, Fp32)));
}

#[test]
fn activations_to_keep_are_counted_and_named_in_a_decision() {
    let keep: Vec<String> = (0..7).map(|index| format!("x{index}")).collect();
    let ask = |tensorrt, precision| {
        let spec = BuildSpec { keep: keep.clone(), ..spec(precision, OnUnsupported::Fail) };
        plan(&model(false, &[1]), Some("EntropyCalibration2"), &spec, &device(tensorrt, [8, 7])).unwrap()
    };
    for (tensorrt, words) in [
        ("TRT 8.0.1", "where TensorRT has a kernel for it"),
        ("TRT 8.2.1", "precision constraints"),
        ("TRT 8.6.2", "precision constraints"),
        ("TRT 11.4.1", "no Q/DQ nodes"),
    ] {
        let plan = ask(tensorrt, Precision::Int8);
        let said = plan.decisions.iter().find(|decision| decision.what.starts_with("7 activations")).unwrap();
        assert!(said.what.contains("`x4` and 2 more") && said.what.contains(words), "{said}");
        assert_eq!(plan.keep, keep);
    }
    assert!(ask("TRT 8.6.2", Precision::Fp32).keep.is_empty());
}

#[test]
fn a_qat_model_on_hardware_without_int8_is_refused_or_loses_its_qdq_nodes() {
    let nano = device("TRT 8.2.1", [5, 3]);
    let ask = |unsupported| plan(&model(true, &[1]), None, &spec(Precision::Int8, unsupported), &nano);
    let stripped = ask(OnUnsupported::Fp16).unwrap();
    assert_eq!(
        (stripped.strip_qdq, stripped.mode, stripped.precision),
        (true, QuantMode::None, Precision::Fp16)
    );
    assert!(stripped.decisions.iter().any(|decision| decision.what.contains("taken out")));
    for refused in [OnUnsupported::Fail, OnUnsupported::Int8Anyway] {
        assert!(matches!(ask(refused), Err(PlanError::NoInt8 { has_qdq: true, .. })));
    }
}

fn trtexec(version: Option<[u32; 3]>) -> Option<Trtexec> {
    Some(Trtexec { path: "/usr/src/tensorrt/bin/trtexec".into(), version })
}

#[test]
fn trtexec_builds_if_asked_for_or_if_nothing_else_can() {
    let ask = |tensorrt, is_known, trtexec, backend| {
        let mut device = device(tensorrt, [8, 7]);
        device.tensorrt.as_mut().unwrap().is_known = is_known;
        device.trtexec = trtexec;
        let spec = BuildSpec { backend, ..spec(Precision::Int8, OnUnsupported::Fail) };
        plan(&model(false, &[1]), Some("EntropyCalibration2"), &spec, &device)
    };
    use BackendChoice::{Auto, Nvinfer, Trtexec};
    let same = || trtexec(Some([10, 3, 0]));
    assert_eq!(ask("TRT 10.3.0", true, same(), Auto).unwrap().backend, Backend::Nvinfer);
    assert_eq!(ask("TRT 10.3.0", true, None, Nvinfer).unwrap().backend, Backend::Nvinfer);
    for (is_known, backend) in [(false, Auto), (true, Trtexec), (false, Trtexec)] {
        let plan = ask("TRT 10.3.0", is_known, same(), backend).unwrap();
        assert_eq!(plan.backend, Backend::Trtexec);
        assert!(plan.decisions[0].what.contains("trtexec"), "{:?}", plan.decisions);
    }
    let nameless = ask("TRT 10.3.0", true, trtexec(None), Trtexec).unwrap();
    assert!(nameless.decisions[1].because.contains("names no version"));
    let future = ask("TRT 12.0.0", false, trtexec(Some([12, 0, 0])), Auto).unwrap();
    assert_eq!((future.mode, future.strongly_typed), (QuantMode::Explicit, true));

    let refused = |result: Result<BuildPlan, PlanError>| result.unwrap_err().to_string();
    for (error, words) in [
        (ask("TRT 10.3.0", false, None, Auto), "no `trtexec`"),
        (ask("TRT 10.3.0", false, same(), Nvinfer), "`backend: nvinfer`"),
        (ask("TRT 10.3.0", true, None, Trtexec), "no `trtexec`"),
        (ask("TRT 10.3.0", true, trtexec(Some([8, 6, 2])), Trtexec), "8.6.2"),
        (ask("RTX 1.7.1", true, same(), Trtexec), "does not build for TensorRT-RTX 1.7.1"),
        (ask("RTX 1.9.0", false, same(), Auto), "does not know the interface of TensorRT-RTX 1.9.0"),
        (ask("TRT 7.1.3", false, trtexec(Some([7, 1, 3])), Auto), "8.0 is the oldest"),
    ] {
        let text = refused(error);
        assert!(text.contains(words), "{text}");
    }
}

#[test]
fn a_dla_is_there_or_the_refusal_names_the_module() {
    let ask = |tensorrt, module, dla, precision| {
        let spec = BuildSpec { dla: Some(dla), ..spec(precision, OnUnsupported::Fail) };
        plan(&model(false, &[1]), Some("EntropyCalibration2"), &spec, &fleet::jetson(tensorrt, module))
    };
    use Precision::{Fp16, Fp32, Int8};
    let nx = ("Orin NX", "tegra234", [8, 7], 2);
    let agx = ("AGX Orin", "tegra234", [8, 7], 2);
    let plan = ask("TRT 8.6.2", nx, 1, Int8).unwrap();
    assert!(plan.decisions.iter().any(|decision| decision.what.contains("go to the GPU")));
    assert_eq!(ask("TRT 11.4.1", agx, 1, Fp16).unwrap().dla, Some(1));
    for (result, words) in [
        (ask("TRT 8.6.2", ("Orin Nano", "tegra234", [8, 7], 0), 0, Fp16), "Orin Nano has no DLA"),
        (ask("TRT 8.6.2", nx, 2, Fp16), "Orin NX has 2"),
        (ask("TRT 8.6.2", nx, 0, Fp32), "FP16 and INT8 only"),
        (ask("TRT 10.16.2", agx, 0, Fp16), "10.8 dropped it"),
        (ask("TRT 11.4.0", agx, 0, Fp16), "10.8 dropped it"),
        (ask("TRT 11.4.1", nx, 0, Fp16), "AGX Orin only"),
        (ask("TRT 10.16.2", ("Orin Nano", "tegra234", [8, 7], 0), 0, Fp16), "no module of this kind"),
        (ask("TRT 10.16.2", ("Thor", "tegra264", [11, 0], 0), 0, Fp16), "no module of this kind"),
        (ask("TRT 8.6.2", ("Orin NX", "tegra234", [8, 7], 0), 0, Fp16), "none that TensorRT could use"),
        (ask("RTX 1.7.1", nx, 0, Fp16), "TensorRT-RTX 1.7.1 cannot use one"),
    ] {
        let text = result.unwrap_err().to_string();
        assert!(text.contains(words), "{text}");
    }
    // TensorRT is asked too: a module that this table does not have may have one all the same.
    assert!(ask("TRT 11.6.0", ("T9000", "tegra999", [12, 0], 1), 0, Fp16).is_ok());
    let asked = BuildSpec { dla: Some(0), ..spec(Int8, OnUnsupported::Fail) };
    let qat = super::plan(&model(true, &[1]), None, &asked, &fleet::jetson("TRT 10.3.0", agx));
    assert!(matches!(qat, Err(PlanError::DlaQdq { .. })));
    let qat = super::plan(&model(true, &[1]), None, &asked, &fleet::jetson("TRT 11.4.1", agx)).unwrap();
    assert!(qat.decisions.iter().any(|decision| decision.because.contains("is untried")), "{qat:?}");
}

#[test]
fn what_no_dla_can_run_is_known_without_a_device() {
    let mut asked = BuildSpec { dla: Some(0), ..spec(Precision::Fp32, OnUnsupported::Fail) };
    assert_eq!(check(&model(false, &[1]), false, &asked), Err(PlanError::DlaFp32));
    asked.precision = Precision::Fp16;
    asked.shapes.insert("images".into(), ShapeRange { min: vec![1], opt: vec![1], max: vec![4] });
    assert_eq!(
        check(&model(false, &[-1]), false, &asked),
        Err(PlanError::DlaShapes { name: "images".into() })
    );
    asked.dla = None;
    assert_eq!(check(&model(false, &[-1]), false, &asked), Ok(()));
}

#[test]
fn an_rtx_that_ends_in_its_own_error_on_int8_gets_fp16_if_allowed() {
    for (qdq, table) in [(false, Some("EntropyCalibration2")), (true, None)] {
        let ask = |tensorrt, unsupported| {
            plan(&model(qdq, &[1]), table, &spec(Precision::Int8, unsupported), &device(tensorrt, [8, 6]))
        };
        for old in ["RTX 1.4.0", "RTX 1.6.1"] {
            for unsupported in [OnUnsupported::Fail, OnUnsupported::Int8Anyway] {
                let error = ask(old, unsupported).unwrap_err();
                assert!(matches!(error, PlanError::NoInt8 { newer_rtx: true, .. }), "{error}");
                assert!(error.hint().unwrap().contains("TensorRT-RTX 1.7"));
            }
            let plan = ask(old, OnUnsupported::Fp16).unwrap();
            assert_eq!((plan.precision, plan.strip_qdq), (Precision::Fp16, qdq));
            assert!(plan.decisions.iter().any(|decision| decision.because.contains("an error of its own")));
        }
        assert_eq!(ask("RTX 1.7.0", OnUnsupported::Fail).unwrap().precision, Precision::Int8);
    }
}

#[test]
fn doctor_is_told_what_a_push_would_be_told() {
    let of = |is_known, trtexec| {
        let mut device = device("TRT 12.0.0", [8, 7]);
        device.tensorrt.as_mut().unwrap().is_known = is_known;
        device.trtexec = trtexec;
        builder(&device)
    };
    assert_eq!(of(true, None), Ok(Backend::Nvinfer));
    assert_eq!(of(false, trtexec(Some([12, 0, 0]))), Ok(Backend::Trtexec));
    assert!(matches!(
        of(false, trtexec(Some([11, 4, 1]))),
        Err(PlanError::TrtexecDiffers { is_known: false, .. })
    ));
    assert!(matches!(of(false, None), Err(PlanError::UnknownTensorRt { .. })));
    assert!(matches!(builder(&DeviceFacts::unknown("x")), Err(PlanError::NoTensorRt { .. })));
}

#[test]
fn an_optimization_level_needs_tensorrt_8_6_and_six_is_none() {
    let ask = |tensorrt, level| {
        let spec =
            BuildSpec { optimization_level: Some(level), ..spec(Precision::Fp16, OnUnsupported::Fail) };
        plan(&model(false, &[1]), None, &spec, &device(tensorrt, [8, 7])).map(|plan| plan.optimization_level)
    };
    assert_eq!(ask("TRT 8.6.0", 5), Ok(Some(5)));
    assert_eq!(ask("RTX 1.4.0", 0), Ok(Some(0)));
    assert!(matches!(ask("TRT 8.5.2", 3), Err(PlanError::NoLevels { level: 3, .. })));
    assert_eq!(ask("TRT 10.3.0", 6), Err(PlanError::Level { level: 6 }));
}

#[test]
fn plugins_runtime_and_workspace_pass_through() {
    let asked = BuildSpec {
        plugins: vec!["yolo".parse().unwrap()],
        runtime: Some("triton".parse().unwrap()),
        workspace: Some(1 << 28),
        ..spec(Precision::Fp16, OnUnsupported::Fail)
    };
    let plan = plan(&model(false, &[1]), None, &asked, &device("TRT 10.3.0", [8, 7])).unwrap();
    assert_eq!((plan.plugins, plan.runtime, plan.workspace), (asked.plugins, asked.runtime, asked.workspace));
}

#[test]
fn the_rest_of_an_int8_engine_cannot_be_int8() {
    let asked = BuildSpec { other_layers: Precision::Int8, ..spec(Precision::Int8, OnUnsupported::Fail) };
    assert_eq!(check(&model(false, &[1]), true, &asked), Err(PlanError::OtherLayers));
}
