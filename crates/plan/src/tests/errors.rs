//! Every refusal has words and a hint.

use super::*;

#[test]
fn every_refusal_says_what_would_mend_it() {
    let errors = [
        PlanError::NoTensorRt { reason: String::new() },
        PlanError::NoGpu { reason: String::new() },
        PlanError::CannotCrossBuild { tensorrt: String::new() },
        PlanError::QdqNeedsInt8 { asked: Precision::Fp32 },
        PlanError::NoInt8 { because: String::new(), has_qdq: false, chosen: OnUnsupported::Fail },
        PlanError::NoInt8 { because: String::new(), has_qdq: true, chosen: OnUnsupported::Fail },
        PlanError::NoTable,
        PlanError::TableAndQdq,
        PlanError::TableAlgorithm { word: String::new() },
        PlanError::OtherLayers,
        PlanError::Level { level: 6 },
        PlanError::NoLevels { level: 3, tensorrt: String::new() },
        PlanError::TooOld { tensorrt: String::new() },
        PlanError::UnknownTensorRt { tensorrt: String::new(), trtexec_would: false, is_rtx: false },
        PlanError::UnknownTensorRt { tensorrt: String::new(), trtexec_would: true, is_rtx: false },
        PlanError::UnknownTensorRt { tensorrt: String::new(), trtexec_would: false, is_rtx: true },
        PlanError::NoTrtexec,
        PlanError::TrtexecWithRtx { tensorrt: String::new() },
        PlanError::TrtexecDiffers { path: String::new(), version: String::new(), tensorrt: String::new() },
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
