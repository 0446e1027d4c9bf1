//! Every module with every JetPack it runs, and what is planned there.

use super::*;

/// A module: name, SoC, compute capability, DLA cores.
type Module = (&'static str, &'static str, [u32; 2], u32);

const NANO: Module = ("Nano", "tegra210", [5, 3], 0);
const TX1: Module = ("TX1", "tegra210", [5, 3], 0);
const TX2: Module = ("TX2", "tegra186", [6, 2], 0);
const TX2_NX: Module = ("TX2 NX", "tegra186", [6, 2], 0);
const XAVIER_NX: Module = ("Xavier NX", "tegra194", [7, 2], 2);
const AGX_XAVIER: Module = ("AGX Xavier", "tegra194", [7, 2], 2);
const ORIN_NANO: Module = ("Orin Nano", "tegra234", [8, 7], 0);
const ORIN_NX: Module = ("Orin NX", "tegra234", [8, 7], 2);
const AGX_ORIN: Module = ("AGX Orin", "tegra234", [8, 7], 2);
const THOR: Module = ("Thor", "tegra264", [11, 0], 0);

const FIRST: &[Module] = &[NANO, TX1, TX2, TX2_NX, XAVIER_NX, AGX_XAVIER];
const ORINS: &[Module] = &[ORIN_NANO, ORIN_NX, AGX_ORIN];

/// JetPack, TensorRT, modules: NVIDIA's release notes.
const JETPACKS: [(&str, &str, &[Module]); 9] = [
    ("4.6", "TRT 8.0.1", FIRST),
    ("4.6.6", "TRT 8.2.1", FIRST),
    ("5.0.2", "TRT 8.4.1", &[XAVIER_NX, AGX_XAVIER, AGX_ORIN]),
    ("5.1.6", "TRT 8.5.2", &[XAVIER_NX, AGX_XAVIER, ORIN_NANO, ORIN_NX, AGX_ORIN]),
    ("6.0", "TRT 8.6.2", ORINS),
    ("6.2.2", "TRT 10.3.0", ORINS),
    ("7.1", "TRT 10.13.3", &[THOR]),
    ("7.2", "TRT 10.16.2", &[ORIN_NANO, ORIN_NX, AGX_ORIN, THOR]),
    ("7.2.2", "TRT 11.4.1", &[AGX_ORIN, THOR]),
];

pub(super) fn jetson(tensorrt: &str, module: Module) -> DeviceFacts {
    let (name, soc, cc, dla_cores) = module;
    let mut device = device(tensorrt, cc);
    if let Ok(gpu) = &mut device.gpu {
        gpu.name = name.into();
    }
    DeviceFacts { module: Some(name.into()), soc: Some(soc.into()), dla_cores, ..device }
}

/// A plan in a few words; the reasons follow.
fn words(result: &Result<BuildPlan, PlanError>) -> String {
    let plan = match result {
        Ok(plan) => plan,
        Err(error) => return format!("refused: {error}"),
    };
    let mut words = vec![plan.precision.to_string()];
    words.extend((plan.mode != QuantMode::None).then(|| format!("{:?}", plan.mode)));
    words.extend(plan.calibrator.map(|class| format!("{class:?}")));
    words.push(if plan.strongly_typed { "typed" } else { "flags" }.into());
    words.extend(plan.convert_fp16.then(|| "convert-fp16".into()));
    words.extend(plan.strip_qdq.then(|| "strip-qdq".into()));
    words.extend(plan.dla.map(|core| format!("dla={core}")));
    let why: String = plan.decisions.iter().map(|decision| format!("\n      {decision}")).collect();
    format!("{}{why}", words.join(" "))
}

/// Everything that can be asked of a device; what `on-unsupported` says is one line if it makes no difference.
fn rows(device: &DeviceFacts) -> String {
    let asks = [
        ("fp32", Precision::Fp32, None, false),
        ("fp16", Precision::Fp16, None, false),
        ("int8, MinMax table", Precision::Int8, Some("MinMaxCalibration"), false),
        ("int8, QAT", Precision::Int8, None, true),
    ];
    let mut text = String::new();
    for dla in [None, Some(0)] {
        for (name, precision, table, qdq) in asks {
            let outcome = |on_unsupported| {
                let spec = BuildSpec { dla, ..spec(precision, on_unsupported) };
                words(&plan(&model(qdq, &[1, 3, 8, 8]), table, &spec, device))
            };
            let [fail, fp16, anyway] =
                [OnUnsupported::Fail, OnUnsupported::Fp16, OnUnsupported::Int8Anyway].map(outcome);
            let place = if dla.is_some() { "DLA" } else { "GPU" };
            if fail == fp16 && fail == anyway {
                text += &format!("  {place}, {name}: {fail}\n");
            } else {
                for (word, outcome) in [("fail", fail), ("fp16", fp16), ("int8-anyway", anyway)] {
                    text += &format!("  {place}, {name}, {word}: {outcome}\n");
                }
            }
        }
    }
    text
}

#[test]
fn every_module_and_jetpack_has_its_plans_and_their_reasons() {
    let mut text = String::new();
    for (jetpack, tensorrt, modules) in JETPACKS {
        for module in modules {
            text += &format!("JetPack {jetpack} ({tensorrt}), {}\n", module.0);
            text += &rows(&jetson(tensorrt, *module));
        }
    }
    insta::assert_snapshot!("jetpacks", text);
}

#[test]
fn a_desktop_with_rtx_has_its_plans_too() {
    insta::assert_snapshot!("rtx", rows(&device("RTX 1.7.1", [8, 6])));
}

/// What `trtexec` builds, as asked or because nothing else can.
#[test]
fn what_trtexec_builds_and_what_it_cannot_has_its_plans_too() {
    let mut text = String::new();
    for (tensorrt, is_known, module) in [
        ("TRT 8.0.1", true, TX2_NX),
        ("TRT 8.2.1", true, XAVIER_NX),
        ("TRT 8.5.2", true, XAVIER_NX),
        ("TRT 9.3.0", false, AGX_ORIN),
        ("TRT 10.3.0", true, ORIN_NX),
        ("TRT 12.0.0", false, THOR),
    ] {
        let mut device = jetson(tensorrt, module);
        let found = device.tensorrt.as_mut().unwrap();
        found.is_known = is_known;
        let version = found.version;
        let older = version.map(|part| part.saturating_sub(1));
        for (beside, trtexec) in
            [("its", trtexec(Some(version))), ("another", trtexec(Some(older))), ("no", None)]
        {
            device.trtexec = trtexec;
            let known = if is_known { "known" } else { "unknown" };
            text += &format!("{tensorrt}, {known}, {}, {beside} trtexec\n", module.0);
            for backend in [BackendChoice::Auto, BackendChoice::Nvinfer, BackendChoice::Trtexec] {
                let spec = BuildSpec { backend, ..spec(Precision::Int8, OnUnsupported::Fp16) };
                let outcome = plan(&model(false, &[1]), Some("MinMaxCalibration"), &spec, &device);
                text += &format!("  {backend:?}: {}\n", words(&outcome));
            }
        }
    }
    insta::assert_snapshot!("trtexec", text);
}

/// What is promised of `keep` by every version, from 8.0, which only prefers, and by every builder.
#[test]
fn what_becomes_of_keep_depends_on_version_and_builder() {
    let mut text = String::new();
    for (tensorrt, module) in [
        ("TRT 8.0.1", XAVIER_NX),
        ("TRT 8.2.1", XAVIER_NX),
        ("TRT 8.4.1", AGX_ORIN),
        ("TRT 10.3.0", AGX_ORIN),
        ("TRT 11.4.1", AGX_ORIN),
    ] {
        let mut device = jetson(tensorrt, module);
        device.trtexec = trtexec(Some(device.tensorrt.as_ref().unwrap().version));
        for backend in [BackendChoice::Nvinfer, BackendChoice::Trtexec] {
            text += &format!("{tensorrt}, {backend:?}\n");
            for (name, precision, other_layers, qdq) in [
                ("int8 and fp16", Precision::Int8, Precision::Fp16, false),
                ("int8 and fp32", Precision::Int8, Precision::Fp32, false),
                ("int8, QAT", Precision::Int8, Precision::Fp16, true),
                ("fp16", Precision::Fp16, Precision::Fp16, false),
            ] {
                let keep = vec!["scores".to_owned()];
                let spec = BuildSpec { keep, backend, other_layers, ..spec(precision, OnUnsupported::Fail) };
                let table = (!qdq && precision == Precision::Int8).then_some("EntropyCalibration2");
                let plan = plan(&model(qdq, &[1]), table, &spec, &device).unwrap();
                let about = |decision: &&trt_wire::Decision| decision.what.contains("`scores`");
                text += &format!("  {name}: {}\n", plan.decisions.iter().find(about).unwrap());
            }
        }
    }
    insta::assert_snapshot!("keep", text);
}

/// The rules of the design, checked without the snapshot, which is accepted by eye.
#[test]
fn no_plan_of_any_jetson_breaks_a_rule() {
    let (mut plans, mut refusals) = (0, 0);
    for (_, tensorrt, modules) in JETPACKS {
        for module in modules {
            let device = jetson(tensorrt, *module);
            let major = device.tensorrt.as_ref().unwrap().version[0];
            for (qdq, dla) in [(false, None), (true, None), (false, Some(0)), (true, Some(1))] {
                for unsupported in [OnUnsupported::Fail, OnUnsupported::Fp16, OnUnsupported::Int8Anyway] {
                    let spec = BuildSpec { dla, ..spec(Precision::Int8, unsupported) };
                    let table = (!qdq).then_some("EntropyCalibration");
                    let Ok(plan) = plan(&model(qdq, &[1, 3, 8, 8]), table, &spec, &device) else {
                        refusals += 1;
                        continue;
                    };
                    plans += 1;
                    let row = format!("{tensorrt} {} {qdq} {dla:?} {unsupported:?}", module.0);
                    assert_eq!(plan.strongly_typed, major >= 11, "{row}");
                    assert_eq!(plan.calibrator.is_some(), plan.mode == QuantMode::Implicit, "{row}");
                    assert_eq!(plan.mode == QuantMode::Explicit, !qdq && major >= 11, "{row}");
                    assert_eq!(plan.precision != Precision::Int8, plan.mode == QuantMode::None, "{row}");
                    let downgraded = plan.precision != Precision::Int8;
                    let said =
                        plan.decisions.iter().any(|decision| decision.what.contains("instead of INT8"));
                    assert_eq!(downgraded, said, "{row}");
                    assert!(!downgraded || unsupported == OnUnsupported::Fp16, "{row}");
                    assert!(dla.is_none_or(|core| core < module.3), "{row}");
                }
            }
        }
    }
    // Refusing everything would break no rule. Of 33 rows, 8 have no INT8, 16 have a DLA, 1 one that takes Q/DQ: a table
    // 8*2 + 25*3, nodes of the model's own 8 + 25*3, a table on a DLA 16*3, such nodes on a DLA 3.
    assert_eq!((plans, refusals), (225, 171));
}
