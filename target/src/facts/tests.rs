use super::*;

/// The facts of a device of `tests/devices`, without those of the machine that the test runs on.
fn facts(device: &str) -> DeviceFacts {
    let dir = tempfile::tempdir().unwrap();
    let gatherer = Gatherer::new(Arc::new(golden::config(device, dir.path())));
    let facts = gatherer.gather(None).unwrap();
    assert!(facts.time > 0 && facts.disk_free > 0 && !facts.hostname.is_empty() && !facts.arch.is_empty());
    DeviceFacts {
        hostname: "[host]".into(),
        arch: "[arch]".into(),
        agent_version: "[version]".into(),
        time: 0,
        disk_free: 0,
        ..facts
    }
}

#[test]
fn every_device_has_the_facts_that_its_files_and_its_worker_give() {
    for device in golden::DEVICES {
        let text = serde_json::to_string_pretty(&facts(device)).unwrap();
        insta::assert_snapshot!(device, text);
    }
}

#[test]
fn no_driver_means_no_gpu_however_well_the_module_is_known() {
    let facts = facts("dpkg-only");
    assert_eq!((facts.module.as_deref(), facts.jetpack.as_deref()), (Some("AGX Orin"), Some("5.0.2")));
    assert!(facts.gpu.is_err() && facts.cuda_driver.is_none() && facts.tensorrt.is_err());
}

#[test]
fn facts_are_those_of_the_runtime_asked_about() {
    let dir = tempfile::tempdir().unwrap();
    let mut config = golden::config("orin-nano", dir.path());
    let triton: RuntimeName = "triton".parse().unwrap();
    config.runtimes.insert(triton.clone(), golden::worker("orin-nx"));
    let gatherer = Gatherer::new(Arc::new(config));
    let version = |name: Option<&RuntimeName>| {
        let facts = gatherer.gather(name).unwrap();
        assert_eq!(facts.runtime.as_ref(), name);
        facts.tensorrt.unwrap().version
    };
    assert_eq!((version(None), version(Some(&triton))), ([10, 3, 0], [8, 6, 2]));
    let failure = gatherer.gather(Some(&"deepstream".parse().unwrap())).unwrap_err();
    assert!(failure.message.contains("deepstream") && failure.hint.unwrap().contains("triton"));
}

#[test]
fn a_worker_of_the_configuration_is_asked_anew_each_time() {
    let dir = tempfile::tempdir().unwrap();
    let said = dir.path().join("probe.json");
    let mut config = golden::config("nano", dir.path());
    config.default_runtime.worker = vec!["cat".into(), said.display().to_string()];
    let gatherer = Gatherer::new(Arc::new(config));
    for (device, version) in [("nano", [8, 2, 1]), ("orin-nano", [10, 3, 0])] {
        fs::copy(&golden::worker(device).worker[1], &said).unwrap();
        assert_eq!(gatherer.gather(None).unwrap().tensorrt.unwrap().version, version);
    }
}

#[test]
fn a_library_or_a_trtexec_that_came_or_changed_is_seen() {
    use std::os::unix::fs::PermissionsExt;
    let dir = tempfile::tempdir().unwrap();
    let at = |name: &str| dir.path().join(name);
    let write = |name: &str, text: &str| {
        fs::create_dir_all(at(name).parent().unwrap()).unwrap();
        fs::write(at(name), text).unwrap();
        fs::set_permissions(at(name), fs::Permissions::from_mode(0o755)).unwrap();
    };
    let runtime = Runtime { tensorrt_dir: Some(at("lib")), worker: vec![] };
    let tensorrt = TensorRt {
        product: trt_wire::TensorRtProduct::TensorRt,
        version: [8, 6, 2],
        library: at("lib/libnvinfer.so.8").display().to_string(),
        is_known: true,
    };
    let now = || stamp(&tensorrt, &runtime);
    assert_eq!(now(), None, "there is no library");
    let mut seen = vec![];
    for (name, text) in [
        ("lib/libnvinfer.so.8", "a"),
        ("bin/trtexec", "a"),
        ("bin/trtexec", "ab"),
        ("lib/libnvinfer.so.8", "ab"),
    ] {
        write(name, text);
        assert!(now().is_some() && now() == now());
        seen.push(now());
    }
    seen.dedup();
    assert_eq!(seen.len(), 4);
}

/// A worker that says what the file does, and counts how often it is asked.
fn counting(dir: &Path) -> (Runtime, impl Fn() -> usize) {
    let (said, asked) = (dir.join("probe.json"), dir.join("asked"));
    let script = format!("echo >> {}; cat {}", asked.display(), said.display());
    let worker = ["sh", "-c", &script].map(str::to_owned).to_vec();
    let count = move || fs::read_to_string(&asked).map_or(0, |text| text.lines().count());
    (Runtime { tensorrt_dir: None, worker }, count)
}

#[test]
fn the_steps_of_one_deployment_ask_a_worker_once() {
    let dir = tempfile::tempdir().unwrap();
    let (runtime, asked) = counting(dir.path());
    let mut config = golden::config("nano", dir.path());
    config.default_runtime = runtime;
    let gatherer = Gatherer::new(Arc::new(config));
    let says = |device: &str| fs::copy(&golden::worker(device).worker[1], dir.path().join("probe.json"));
    says("nano").unwrap();
    let first = gatherer.recall(None).unwrap();
    assert_eq!((first.tensorrt, asked()), (gatherer.recall(None).unwrap().tensorrt, 1));
    says("orin-nano").unwrap();
    assert_eq!((gatherer.recall(None).unwrap().tensorrt.unwrap().version, asked()), ([8, 2, 1], 1));
    assert_eq!((gatherer.gather(None).unwrap().tensorrt.unwrap().version, asked()), ([10, 3, 0], 2));
    gatherer.forget();
    gatherer.recall(None).unwrap();
    assert_eq!(asked(), 3);
    says("empty").unwrap();
    gatherer.gather(None).unwrap();
    gatherer.recall(None).unwrap();
    assert_eq!(asked(), 5, "what failed may work the next time");
}

#[test]
fn nobody_is_asked_while_a_build_is_under_way() {
    let dir = tempfile::tempdir().unwrap();
    let (runtime, asked) = counting(dir.path());
    fs::copy(&golden::worker("nano").worker[1], dir.path().join("probe.json")).unwrap();
    let mut config = golden::config("nano", dir.path());
    let triton: RuntimeName = "triton".parse().unwrap();
    config.runtimes.insert(triton.clone(), runtime);
    let gatherer = Gatherer::new(Arc::new(config));

    let building = gatherer.building();
    let failure = gatherer.gather(Some(&triton)).unwrap_err();
    assert_eq!((failure.code, asked()), (trt_wire::FailureCode::Busy, 0));
    assert!(failure.message.contains("`triton`") && failure.hint.unwrap().contains("wait"));
    drop(building);
    let before = gatherer.gather(Some(&triton)).unwrap();

    let building = [gatherer.building(), gatherer.building()];
    let during = gatherer.gather(Some(&triton)).unwrap();
    assert_eq!((during.tensorrt, during.gpu, asked()), (before.tensorrt, before.gpu, 1));
    drop(building);
    gatherer.gather(Some(&triton)).unwrap();
    assert_eq!(asked(), 2);
}
