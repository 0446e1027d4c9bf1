//! What a host may name, and what it gets for anything else.

use std::fs;
use std::path::Path;
use std::sync::Arc;

use trt_wire::worker::{Probe, WorkerEvent};
use trt_wire::{
    BlobId, BuildPlan, BuildSpec, DeviceFacts, EngineKey, FailureCode, FileEntry, Gpu, GpuSource, Manifest,
    ModelSummary, Precision, TensorRt, TensorRtProduct, Verification,
};

use super::identity::{Plugin, engine_key};
use super::*;
use crate::config::Config;
use crate::facts::Gatherer;
use crate::store::Store;

fn probe(version: [u32; 3]) -> Probe {
    Probe {
        tensorrt: Ok(TensorRt {
            product: TensorRtProduct::TensorRt,
            version,
            library: "/usr/lib/libnvinfer.so".into(),
            is_known: true,
        }),
        gpu: Ok(Gpu { name: "Orin".into(), compute_capability: [8, 7], source: GpuSource::Driver }),
        cuda_driver: Some([12, 6]),
        dla_cores: Some(0),
        trtexec: None,
    }
}

/// A configuration whose default place and whose runtime `triton` answer as two versions of TensorRT, by scripts that
/// speak as workers do.
fn config(dir: &Path) -> Arc<Config> {
    let script = |name: &str, version| {
        let answer = serde_json::to_string(&WorkerEvent::Probed(probe(version))).unwrap();
        let path = dir.join(name);
        fs::write(&path, format!("read job\ncat <<'END'\n{answer}\nEND\n")).unwrap();
        path.display().to_string()
    };
    let (own, triton) = (script("own.sh", [10, 3, 0]), script("triton.sh", [10, 7, 0]));
    let text = format!(
        "store: {0}/store
worker: [sh, {own}]
runtimes: {{triton: {{worker: [sh, {triton}]}}}}
plugins: {{yolo: {0}/libyolo.so}}
hooks: {{restart: {{argv: [\"true\"]}}}}
",
        dir.display()
    );
    let path = dir.join("agent.yaml");
    fs::write(&path, text).unwrap();
    Arc::new(Config::load(Some(&path)).unwrap())
}

fn manifest() -> Manifest {
    Manifest {
        format: Manifest::FORMAT,
        model: "net".parse().unwrap(),
        files: vec![FileEntry { path: "net.onnx".into(), blob: BlobId::of(b"net"), size: 3 }],
        table: None,
        summary: ModelSummary {
            opset: 13,
            has_qdq: false,
            inputs: vec![],
            outputs: vec![],
            operators: Default::default(),
        },
        build: BuildSpec::new(Precision::Fp32),
        verification: Verification { required: false },
        hook: None,
    }
}

/// Plans what `change` makes of a plain manifest.
fn planned(
    dir: &Path,
    change: impl FnOnce(&mut Manifest),
) -> Result<trt_wire::message::Planned, trt_wire::Failure> {
    let config = config(dir);
    let store = Store::open(&config.store).unwrap();
    let mut manifest = manifest();
    change(&mut manifest);
    plan(&manifest, false, None, &config, &store, &Gatherer::new(Arc::clone(&config)))
}

#[test]
fn a_model_is_planned_for_the_tensorrt_of_the_runtime_it_names() {
    let dir = tempfile::tempdir().unwrap();
    let version = |planned: trt_wire::message::Planned| planned.facts.tensorrt.unwrap().version;
    let own = planned(dir.path(), |_| {}).unwrap();
    let triton = planned(dir.path(), |m| m.build.runtime = Some("triton".parse().unwrap())).unwrap();
    assert_ne!(own.engine, triton.engine);
    assert_eq!(triton.facts.runtime, triton.plan.runtime);
    assert_eq!((version(own), version(triton)), ([10, 3, 0], [10, 7, 0]));
}

#[test]
fn names_that_the_device_does_not_define_are_refused_before_any_upload() {
    let dir = tempfile::tempdir().unwrap();
    let refused = [
        planned(dir.path(), |m| m.build.runtime = Some("deepstream".parse().unwrap())),
        planned(dir.path(), |m| {
            m.build.plugins = vec!["yolo".parse().unwrap(), "libc.so.6".parse().unwrap()]
        }),
        planned(dir.path(), |m| m.hook = Some("reboot".parse().unwrap())),
    ];
    for (result, (name, known)) in refused.into_iter().zip([
        ("deepstream", "[triton]"),
        ("libc.so.6", "[yolo]"),
        ("reboot", "[restart]"),
    ]) {
        let failure = result.unwrap_err();
        assert_eq!(failure.code, FailureCode::NotFound, "{failure}");
        assert!(failure.message.contains(name), "{failure}");
        assert!(failure.hint.unwrap().contains(known));
    }
}

#[test]
fn a_model_that_must_be_verified_is_refused_for_what_is_missing() {
    let dir = tempfile::tempdir().unwrap();
    let failure = planned(dir.path(), |m| m.verification.required = true).unwrap_err();
    assert_eq!(failure.code, FailureCode::NotVerified);
    assert!(failure.message.contains("cannot compare an engine with FP32 yet"), "{failure}");
}

/// The key for one change to what an engine is made of.
fn key(change: impl FnOnce(&mut Manifest, &mut BuildPlan, &mut Vec<Plugin>, &mut DeviceFacts)) -> EngineKey {
    let mut manifest = manifest();
    let found = probe([10, 3, 0]);
    let mut facts =
        DeviceFacts { tensorrt: found.tensorrt, gpu: found.gpu, ..DeviceFacts::unknown("a test") };
    let mut plan = trt_plan::plan(&manifest.summary, None, &manifest.build, &facts).unwrap();
    let mut plugins = Vec::new();
    change(&mut manifest, &mut plan, &mut plugins, &mut facts);
    engine_key(&manifest, &plan, &plugins, &facts, 0)
}

#[test]
fn everything_that_makes_another_engine_makes_another_key() {
    let dir = tempfile::tempdir().unwrap();
    let library = dir.path().join("libyolo.so");
    let plugin = |text: &str| {
        fs::write(&library, text).unwrap();
        Plugin::at(library.clone())
    };
    let keys = [
        key(|_, _, _, _| {}),
        key(|manifest, _, _, _| manifest.files[0].blob = BlobId::of(b"another")),
        key(|_, plan, _, _| plan.precision = Precision::Fp16),
        key(|_, plan, _, _| plan.other_layers = Precision::Fp16),
        key(|_, plan, _, _| plan.keep = vec!["x".into()]),
        key(|_, plan, _, _| plan.dla = Some(0)),
        key(|_, plan, _, _| plan.optimization_level = Some(5)),
        key(|_, plan, _, _| plan.backend = trt_wire::Backend::Trtexec),
        key(|_, plan, _, _| plan.strip_qdq = true),
        key(|_, plan, _, _| plan.runtime = Some("triton".parse().unwrap())),
        key(|_, _, plugins, _| plugins.push(plugin("first"))),
        key(|_, _, plugins, _| plugins.push(plugin("second"))),
        key(|_, _, plugins, _| plugins.push(Plugin::at("/nowhere/libyolo.so".into()))),
        key(|_, _, _, facts| facts.tensorrt.as_mut().unwrap().library = "/opt/libnvinfer.so".into()),
        key(|_, _, _, facts| facts.tensorrt.as_mut().unwrap().version = [10, 7, 0]),
        key(|_, _, _, facts| facts.gpu.as_mut().unwrap().name = "Xavier".into()),
        key(|_, _, _, facts| facts.l4t = Some("36.4.3".into())),
    ];
    let different: std::collections::BTreeSet<_> = keys.iter().collect();
    assert_eq!(different.len(), keys.len());
}

#[test]
fn what_makes_no_other_engine_keeps_the_key() {
    let plain = key(|_, _, _, _| {});
    let reason = trt_wire::Decision { what: "x".into(), because: "y".into() };
    assert_eq!(plain, key(|_, plan, _, _| plan.decisions.push(reason)));
    assert_eq!(plain, key(|_, _, _, facts| facts.memory_available = 1));
    assert_eq!(plain, key(|manifest, _, _, _| manifest.hook = Some("restart".parse().unwrap())));
}
