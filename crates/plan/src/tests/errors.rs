//! Every refusal has words and a hint.

use super::*;

fn runtime() -> Option<trt_wire::RuntimeName> {
    Some("triton".parse().unwrap())
}

fn no_int8(has_qdq: bool, newer_rtx: bool) -> PlanError {
    PlanError::NoInt8 { because: String::new(), newer_rtx, has_qdq, chosen: OnUnsupported::Fail }
}

fn unknown(trtexec: TrtexecThere) -> PlanError {
    PlanError::UnknownTensorRt { tensorrt: String::new(), trtexec }
}

fn differs(is_known: bool) -> PlanError {
    let [path, version, tensorrt] = Default::default();
    PlanError::TrtexecDiffers { path, version, tensorrt, is_known }
}

#[test]
fn every_refusal_says_what_would_mend_it() {
    let errors = [
        PlanError::NoTensorRt { reason: String::new(), runtime: None },
        PlanError::NoTensorRt { reason: String::new(), runtime: runtime() },
        PlanError::NoGpu { reason: String::new(), runtime: None },
        PlanError::NoGpu { reason: String::new(), runtime: runtime() },
        PlanError::CannotCrossBuild { tensorrt: String::new() },
        PlanError::NotBuiltFor { tensorrt: String::new(), asked: [8, 7], offered: &[[8, 6]] },
        PlanError::QdqNeedsInt8 { asked: Precision::Fp32 },
        no_int8(false, false),
        no_int8(true, false),
        no_int8(false, true),
        PlanError::NoTable,
        PlanError::TableAndQdq,
        PlanError::TableAlgorithm { word: String::new() },
        PlanError::OtherLayers,
        PlanError::Level { level: 6 },
        PlanError::NoLevels { level: 3, tensorrt: String::new() },
        PlanError::TooOld { tensorrt: String::new() },
        unknown(TrtexecThere::Fits),
        unknown(TrtexecThere::Differs),
        unknown(TrtexecThere::Absent),
        unknown(TrtexecThere::NotForRtx),
        PlanError::NoTrtexec,
        PlanError::TrtexecWithRtx { tensorrt: String::new() },
        differs(true),
        differs(false),
        PlanError::NoDla { module: String::new(), because: String::new() },
        PlanError::DlaCore { module: String::new(), core: 2, cores: 2 },
        PlanError::DlaFp32,
        PlanError::DlaQdq { tensorrt: String::new() },
        PlanError::DlaShapes { name: String::new() },
        PlanError::UnknownInput { name: String::new(), inputs: vec![] },
        PlanError::NoShape { name: "x".into(), dims: vec![-1] },
        PlanError::ShapeMismatch { name: String::new(), which: "min", shape: vec![], dims: vec![] },
        PlanError::ShapeOrder { name: String::new(), min: vec![], opt: vec![], max: vec![] },
    ];
    for error in errors {
        assert!(error.hint().is_some_and(|hint| !hint.is_empty()), "{error}");
    }
}

/// Asks again and again, and does each time what the hint about `backend` says.
#[test]
fn hints_about_the_backend_lead_out_or_to_something_to_install_and_never_in_a_circle() {
    let model = model(false, &[1]);
    for is_known in [false, true] {
        for version in [None, Some([12, 0, 0]), Some([11, 4, 1])] {
            for first in [BackendChoice::Auto, BackendChoice::Nvinfer, BackendChoice::Trtexec] {
                let mut device = device("TRT 12.0.0", [8, 7]);
                device.tensorrt.as_mut().unwrap().is_known = is_known;
                device.trtexec = version.and_then(|version| trtexec(Some(version)));
                let (mut backend, mut tried) = (first, vec![]);
                loop {
                    let row = format!("known: {is_known}, trtexec {version:?}, {tried:?}, {backend:?}");
                    assert!(!tried.contains(&backend), "in a circle: {row}");
                    tried.push(backend);
                    let asked = BuildSpec { backend, ..spec(Precision::Fp16, OnUnsupported::Fail) };
                    let Err(error) = plan(&model, None, &asked, &device) else { break };
                    let hint = error.hint().unwrap();
                    // What is to be installed first changes the device.
                    let says = |word: &str| hint.contains(word) && !hint.contains(&format!("and {word}"));
                    backend = match (says("set `backend: nvinfer`"), says("set `backend: auto`")) {
                        (true, _) => BackendChoice::Nvinfer,
                        (_, true) => BackendChoice::Auto,
                        _ => {
                            assert!(hint.contains("install"), "{row}: {hint}");
                            break;
                        }
                    };
                }
            }
        }
    }
}

#[test]
fn no_hint_promises_keys_for_a_single_device_in_a_model_that_others_share() {
    for error in [
        PlanError::NoLevels { level: 3, tensorrt: String::new() },
        PlanError::TrtexecWithRtx { tensorrt: String::new() },
        PlanError::NoDla { module: String::new(), because: String::new() },
        PlanError::DlaCore { module: String::new(), core: 2, cores: 2 },
    ] {
        let hint = error.hint().unwrap();
        assert!(hint.contains("an entry of its own") && !hint.contains("for this device"), "{hint}");
    }
}

#[test]
fn who_lacks_tensorrt_is_the_device_or_the_runtime_that_the_model_names() {
    let refused = |runtime| {
        let device = DeviceFacts { runtime, ..DeviceFacts::unknown("docker is gone") };
        let error = plan(&model(false, &[1]), None, &spec(Precision::Fp16, OnUnsupported::Fail), &device);
        let error = error.unwrap_err();
        (error.to_string(), error.hint().unwrap())
    };
    let (message, hint) = refused(None);
    assert!(
        message.starts_with("the device has") && !hint.contains("JetPack") && hint.contains("`worker`"),
        "{hint}"
    );
    let (message, hint) = refused(runtime());
    assert!(message.contains("`triton`") && hint.contains("`runtimes.triton`"), "{message}: {hint}");
}
