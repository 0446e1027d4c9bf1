//! What a host may name, and what it gets for anything else.

use std::fs;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;

use trt_wire::message::{Action, Planned, VerifyOutcome};
use trt_wire::worker::{Built, CONTRACT, Probe, WorkerEvent};
use trt_wire::{
    BlobId, BuildPlan, BuildSpec, Decision, DeviceFacts, EngineKey, FailureCode, FileEntry, Gpu, GpuSource,
    Manifest, ModelSummary, Precision, ReleaseId, TensorRt, TensorRtProduct, Verification,
};

use super::identity::{Plugin, engine_key};
use super::*;
use crate::config::Config;
use crate::facts::Gatherer;
use crate::store::{BuildRecord, NewRelease, Store};

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
        let hello = WorkerEvent::Hello { contract: CONTRACT, agent_version: "0.1.0".into() };
        let hello = serde_json::to_string(&hello).unwrap();
        fs::write(&path, format!("read job\ncat <<'END'\n{hello}\n{answer}\nEND\n")).unwrap();
        path.display().to_string()
    };
    let (own, triton) = (script("own.sh", [10, 3, 0]), script("triton.sh", [10, 7, 0]));
    let text = format!(
        "store: {0}/store
worker: [sh, {own}]
runtimes: {{triton: {{worker: [sh, {triton}]}}}}
plugins: {{yolo: {0}/libyolo.so}}
hooks: {{restart: {{argv: [\"true\"]}}, fail: {{argv: [\"false\"]}}}}
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
fn planned(dir: &Path, change: impl FnOnce(&mut Manifest)) -> Result<Planned, trt_wire::Failure> {
    let store = Store::open(&config(dir).store).unwrap();
    planned_in(dir, &store, false, change)
}

fn planned_in(
    dir: &Path,
    store: &Store,
    rebuild: bool,
    change: impl FnOnce(&mut Manifest),
) -> Result<Planned, trt_wire::Failure> {
    let config = config(dir);
    let mut manifest = manifest();
    change(&mut manifest);
    let gatherer = Gatherer::new(Arc::clone(&config));
    plan(&manifest, rebuild, None, &config, store, |runtime| gatherer.gather(runtime))
}

#[test]
fn a_model_is_planned_for_the_tensorrt_of_the_runtime_it_names() {
    let dir = tempfile::tempdir().unwrap();
    let version = |planned: Planned| planned.facts.tensorrt.unwrap().version;
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
        ("reboot", "[fail, restart]"),
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

/// Puts an engine of this plan into the store, as if it had been built; returns its record's path.
fn built(store: &Store, planned: &Planned) -> std::path::PathBuf {
    let work = store.work_dir().join("engine");
    fs::create_dir_all(&work).unwrap();
    fs::write(work.join("engine.plan"), "plan").unwrap();
    fs::write(work.join("log"), "").unwrap();
    let record = BuildRecord {
        key: planned.engine,
        model: "net".parse().unwrap(),
        engine: BlobId::of(b"plan"),
        plan: planned.plan.clone(),
        built: Built {
            tensorrt: planned.facts.tensorrt.clone().unwrap(),
            engine_bytes: 4,
            wall_ms: 1,
            peak_rss: 0,
            layers: 1,
            quantized: 0,
            decisions: vec![],
        },
        facts: planned.facts.clone(),
        time: 0,
    };
    store.commit_engine(&work, &record).unwrap();
    store.engine_dir(planned.engine).join("build.json")
}

#[test]
fn an_engine_of_a_newer_agent_is_built_anew_beside_it() {
    let dir = tempfile::tempdir().unwrap();
    let store = Store::open(&config(dir.path()).store).unwrap();
    let plan = |rebuild| planned_in(dir.path(), &store, rebuild, |_| {}).unwrap();
    let first = plan(false);
    let record = built(&store, &first);
    assert_eq!((plan(false).action, plan(false).engine), (Action::Activate, first.engine));

    let text = fs::read_to_string(&record).unwrap();
    fs::write(&record, text.replacen("\"format\": 2", "\"format\": 99", 1)).unwrap();
    let second = plan(false);
    assert_eq!(second.action, Action::Build);
    assert_ne!(second.engine, first.engine, "applications may have it open");
    built(&store, &second);
    assert_eq!((plan(false).action, plan(false).engine), (Action::Activate, second.engine));
    assert_ne!(plan(true).engine, second.engine);
    assert!(record.exists());
}

#[test]
fn a_release_whose_documents_cannot_be_read_is_activated_again() {
    let dir = tempfile::tempdir().unwrap();
    let store = Store::open(&config(dir.path()).store).unwrap();
    let plan = || planned_in(dir.path(), &store, false, |_| {}).unwrap();
    let first = plan();
    built(&store, &first);
    activate(&store, &first);
    assert_eq!(plan().action, Action::Nothing);
    for text in ["{\"format\": 99}", "{\"form"] {
        let path = store.model_dir(&"net".parse().unwrap()).join("current/verify.json");
        fs::write(path, text).unwrap();
        assert_eq!((plan().action, plan().release), (Action::Activate, first.release));
        activate(&store, &first);
        assert_eq!(plan().action, Action::Nothing);
    }
}

/// What a deployment of a plain manifest does at its end.
fn activate(store: &Store, planned: &Planned) {
    let (manifest, verify) = (manifest(), VerifyOutcome::NotVerified { because: "a test".into() });
    let (id, engine) = (planned.release, planned.engine);
    store
        .add_release(&NewRelease { id, manifest: &manifest, engine, plan: &planned.plan, verify: &verify })
        .unwrap();
    store.activate(&manifest.model, id, store.current(&manifest.model).unwrap()).unwrap();
}

#[test]
fn a_failed_hook_brings_back_what_was_active_whatever_can_be_read_of_it() {
    let dir = tempfile::tempdir().unwrap();
    let config = config(dir.path());
    let store = Store::open(&config.store).unwrap();
    let planned = planned_in(dir.path(), &store, false, |_| {}).unwrap();
    built(&store, &planned);
    let (model, old, new) = ("net".parse().unwrap(), ReleaseId::of(b"old"), ReleaseId::of(b"new"));
    for name in ["manifest.json", "verify.json", "activation.json"] {
        for id in [old, new] {
            activate(&store, &Planned { release: id, ..planned.clone() });
        }
        store.activate(&model, old, Some(new)).unwrap();
        let document = store.model_dir(&model).join("releases").join(old.full()).join(name);
        fs::write(&document, "{").unwrap();
        let manifest = Manifest { hook: Some("fail".parse().unwrap()), ..manifest() };
        let failure =
            super::activate::switch(&store, &config, &manifest, new, Some(old), &AtomicBool::new(false))
                .unwrap_err();
        assert_eq!(failure.code, FailureCode::HookFailed, "{name}: {failure}");
        assert_eq!(store.current(&model).unwrap(), Some(old), "{name}");
        let back = (name != "activation.json").then_some(new);
        assert_eq!(store.way_back(&model, old), back, "{name}");
    }
}

#[test]
fn plugins_that_only_a_container_sees_are_not_looked_for_here() {
    let dir = tempfile::tempdir().unwrap();
    let with_plugin = |text: &str| {
        fs::write(dir.path().join("libyolo.so"), text).unwrap();
        planned(dir.path(), |manifest| manifest.build.plugins = vec!["yolo".parse().unwrap()]).unwrap()
    };
    let (first, second) = (with_plugin("first"), with_plugin("second"));
    assert_eq!(first.engine, second.engine, "a file of that path here is none of the container's");
    let said = |decision: &Decision| decision.what.contains("(yolo)") && decision.what.contains("--rebuild");
    assert!(first.plan.decisions.iter().any(said), "{:?}", first.plan.decisions);
    let without = planned(dir.path(), |_| {}).unwrap();
    assert!(!without.plan.decisions.iter().any(|decision| decision.what.contains("plugin")));
}
