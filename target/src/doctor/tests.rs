use std::sync::Arc;

use super::*;
use crate::config::{Hook, Runtime};
use crate::facts::golden;

/// The findings as text, with what depends on the machine of the test replaced.
fn text(findings: &[Finding]) -> String {
    let line = |finding: &Finding| {
        let Finding { check, health, message, hint } = finding;
        let hint = hint.as_ref().map(|hint| format!("\n    hint: {hint}")).unwrap_or_default();
        format!("{health:?} {check}: {message}{hint}\n")
    };
    findings.iter().map(line).collect()
}

fn of(device: &str, change: impl FnOnce(&mut Config, &mut DeviceFacts)) -> Vec<Finding> {
    let dir = tempfile::tempdir().unwrap();
    let mut config = golden::config(device, dir.path());
    let gatherer = Gatherer::new(Arc::new(config.clone()));
    let (_, mut facts) = examine(&config, &gatherer).unwrap();
    (facts.disk_free, facts.time) = (20 << 30, 1_790_000_000);
    config.store = "/tmp".into();
    // What a device finds with its own worker.
    config.default_runtime = Runtime::default();
    change(&mut config, &mut facts);
    findings(&config, &facts, &[])
}

fn finding<'a>(findings: &'a [Finding], check: &str) -> &'a Finding {
    findings
        .iter()
        .find(|finding| finding.check == check)
        .unwrap_or_else(|| panic!("no {check} in {findings:?}"))
}

#[test]
fn every_device_has_its_findings_and_each_that_is_not_good_a_hint() {
    for device in golden::DEVICES {
        let findings = of(device, |_, _| {});
        assert!(findings.iter().all(|finding| (finding.health == Health::Good) == finding.hint.is_none()));
        insta::with_settings!({filters => vec![
            (r"/\S*/agent\.sock", "[socket]"),
        ]}, { insta::assert_snapshot!(device, text(&findings)) });
    }
}

#[test]
fn a_tensorrt_that_was_upgraded_is_advice_and_one_of_a_container_is_good() {
    let upgrade = |_: &mut Config, facts: &mut DeviceFacts| {
        facts.tensorrt.as_mut().unwrap().version = [10, 7, 0];
    };
    let found = of("orin-nano", upgrade);
    let jetpack = finding(&found, "jetpack");
    assert_eq!(jetpack.health, Health::Advice);
    assert!(
        jetpack.message.contains("JetPack 6.2") && jetpack.message.contains("10.3.0"),
        "{}",
        jetpack.message
    );
    assert!(jetpack.message.contains("10.7.0"), "{}", jetpack.message);
    assert_eq!(finding(&found, "trtexec").health, Health::Advice);
    let found = of("orin-nano", |config, facts| {
        upgrade(config, facts);
        config.default_runtime = golden::worker("orin-nano");
    });
    assert_eq!(finding(&found, "jetpack").health, Health::Good);
}

#[test]
fn a_tensorrt_that_this_agent_does_not_know_needs_trtexec() {
    let unknown = |_: &mut Config, facts: &mut DeviceFacts| facts.tensorrt.as_mut().unwrap().is_known = false;
    assert_eq!(finding(&of("orin-nano", unknown), "tensorrt").health, Health::Advice);
    let found = of("orin-nano", |config, facts| {
        unknown(config, facts);
        facts.trtexec = None;
    });
    assert_eq!(finding(&found, "tensorrt").health, Health::Problem);
    // With another version's, each push is refused.
    let found = of("orin-nano", |config, facts| {
        unknown(config, facts);
        facts.trtexec.as_mut().unwrap().version = Some([8, 6, 2]);
    });
    let tensorrt = finding(&found, "tensorrt");
    assert_eq!(tensorrt.health, Health::Problem);
    assert!(tensorrt.message.contains("8.6.2"), "{}", tensorrt.message);
    assert!(!tensorrt.hint.as_ref().unwrap().contains("nvinfer`"), "it is not known: {tensorrt:?}");
    assert!(found.iter().all(|finding| finding.check != "trtexec"), "it is said once");
}

#[test]
fn a_gpu_to_build_for_must_be_one_that_this_tensorrt_builds_for() {
    use trt_wire::{GpuSource, TensorRtProduct};
    for (product, gpu, health, words) in [
        (TensorRtProduct::Rtx, [8, 6], Health::Advice, "no driver answers"),
        (TensorRtProduct::Rtx, [8, 7], Health::Problem, "compute capability 8.7"),
        (TensorRtProduct::TensorRt, [8, 6], Health::Problem, "only for the GPU it runs on"),
    ] {
        let found = of("orin-nano", |_, facts| {
            let tensorrt = facts.tensorrt.as_mut().unwrap();
            (tensorrt.product, tensorrt.version) = (product, [1, 7, 1]);
            let found = facts.gpu.as_mut().unwrap();
            (found.compute_capability, found.source) = (gpu, GpuSource::Configuration);
        });
        let finding = finding(&found, "gpu");
        assert_eq!(finding.health, health, "{finding:?}");
        assert!(finding.message.contains(words), "{finding:?}");
        assert!(finding.hint.as_ref().unwrap().contains("`build-for`"), "{finding:?}");
    }
}

/// The place that is configured is to be mended, not JetPack's.
#[test]
fn hints_about_tensorrt_and_gpu_speak_of_what_is_configured() {
    let worker = || vec!["docker".to_owned()];
    for (dir, worker, words, gpu) in [
        (None, vec![], "sudo apt install tensorrt", "NVIDIA driver"),
        (Some("/opt/trt"), vec![], "complete TensorRT in /opt/trt", "NVIDIA driver"),
        (None, worker(), "mend `worker`", "keeps it from TensorRT"),
        (Some("/opt/trt"), worker(), "must see /opt/trt", "keeps it from TensorRT"),
    ] {
        let found = of("nano", |config, facts| {
            config.default_runtime = Runtime { tensorrt_dir: dir.map(Into::into), worker: worker.clone() };
            (facts.tensorrt, facts.gpu) = (Err("x".into()), Err("x".into()));
        });
        let hint = |check| finding(&found, check).hint.clone().unwrap();
        assert!(hint("tensorrt").contains(words), "{}", hint("tensorrt"));
        assert!(hint("gpu").contains(gpu), "{}", hint("gpu"));
        let is_configured = dir.is_some() || !worker.is_empty();
        assert_eq!(hint("tensorrt").contains("JetPack"), !is_configured, "{}", hint("tensorrt"));
    }
    let found = of("nano", |config, facts| {
        config.default_runtime.worker = worker();
        facts.gpu = Err("no driver".into());
    });
    assert!(finding(&found, "gpu").hint.as_ref().unwrap().contains("--runtime nvidia"));
}

/// Files of these names in folders below a root.
fn installed(files: &[&str]) -> tempfile::TempDir {
    let root = tempfile::tempdir().unwrap();
    for file in files {
        let path = root.path().join(file);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(path, "").unwrap();
    }
    root
}

#[test]
fn parser_and_plugins_are_looked_for_where_the_library_was_loaded_from() {
    let root = installed(&[
        "usr/lib/aarch64-linux-gnu/libnvinfer.so.10",
        "usr/lib/aarch64-linux-gnu/libnvonnxparser.so.10",
        "usr/local/lib/libnvinfer.so.10",
        "usr/local/lib/libnvinfer_plugin.so.10",
        "opt/trt/libnvinfer.so.10",
    ]);
    for (library, parser, plugins) in [
        ("/usr/lib/aarch64-linux-gnu/libnvinfer.so.10.3.0", Health::Good, Health::Advice),
        ("/usr/local/lib/libnvinfer.so.10.3.0", Health::Advice, Health::Good),
        ("/opt/trt/libnvinfer.so.10.3.0", Health::Advice, Health::Advice),
        ("libnvinfer.so.10", Health::Good, Health::Advice),
    ] {
        let found = of("orin-nano", |config, facts| {
            config.facts_root = root.path().to_owned();
            facts.tensorrt.as_mut().unwrap().library = library.into();
        });
        assert_eq!(finding(&found, "onnx parser").health, parser, "{library}");
        assert_eq!(finding(&found, "plugin library").health, plugins, "{library}");
    }
    std::fs::remove_file(root.path().join("usr/lib/aarch64-linux-gnu/libnvonnxparser.so.10")).unwrap();
    let found = of("orin-nano", |config, _| config.facts_root = root.path().to_owned());
    assert_eq!(finding(&found, "onnx parser").health, Health::Problem, "it is nowhere");
}

#[test]
fn two_versions_side_by_side_are_pointed_out_with_the_one_that_is_used() {
    let root = installed(&["usr/lib/aarch64-linux-gnu/libnvinfer.so.10", "usr/local/lib/libnvinfer.so.8"]);
    let found = of("orin-nano", |config, _| config.facts_root = root.path().to_owned());
    let versions = finding(&found, "versions");
    assert_eq!(versions.health, Health::Advice);
    assert!(versions.message.contains("8 and 10") && versions.message.contains("10 is used"), "{versions:?}");
}

#[test]
fn half_an_installation_is_told_by_its_files() {
    let dir = tempfile::tempdir().unwrap();
    std::fs::write(dir.path().join("libnvinfer.so.8"), "").unwrap();
    let found = of("nano", |config, facts| {
        config.facts_root = "/".into();
        config.default_runtime.tensorrt_dir = Some(dir.path().to_owned());
        facts.tensorrt = Err("the ONNX parser was not found".into());
    });
    let parser = finding(&found, "onnx parser");
    assert_eq!(parser.health, Health::Problem);
    assert!(parser.hint.as_ref().unwrap().contains("libnvonnxparsers8"));
    assert_eq!(finding(&found, "plugin library").health, Health::Advice);
    assert_eq!(finding(&found, "tensorrt").health, Health::Problem);
}

#[test]
fn a_runtime_that_does_not_answer_is_a_problem_and_one_that_does_replaces_the_default_place() {
    let dir = tempfile::tempdir().unwrap();
    let mut config = golden::config("dpkg-only", dir.path());
    config.runtimes.insert("triton".parse().unwrap(), golden::worker("orin-nano"));
    let broken = Runtime { tensorrt_dir: None, worker: vec!["/nonexistent/docker".into()] };
    config.runtimes.insert("broken".parse().unwrap(), broken);
    let (found, _) = examine(&config, &Gatherer::new(Arc::new(config.clone()))).unwrap();
    assert_eq!(finding(&found, "runtime triton").health, Health::Good);
    assert_eq!(finding(&found, "runtime broken").health, Health::Problem);
    assert_eq!(finding(&found, "tensorrt").health, Health::Advice, "models can name the runtime that works");
    let program = finding(&found, "configuration");
    assert!(
        program.message.contains("`runtimes.broken.worker`")
            && program.message.contains("/nonexistent/docker")
    );
}

#[test]
fn programs_and_plugins_of_the_configuration_must_be_there() {
    let hook = |program: &str| Hook { argv: vec![program.into()], timeout: 1 };
    let good = of("nano", |config, _| {
        config.hooks.insert("restart".parse().unwrap(), hook("sh"));
        config.hooks.insert("absolute".parse().unwrap(), hook("/bin/sh"));
        config.plugins.insert("yolo".parse().unwrap(), "/proc/self/exe".into());
    });
    assert_eq!(finding(&good, "configuration").health, Health::Good);
    for (program, plugin) in
        [("no-such-program", "/bin/sh"), ("/proc/version", "/bin/sh"), ("sh", "/nonexistent.so")]
    {
        let bad = of("nano", |config, _| {
            config.hooks.insert("restart".parse().unwrap(), hook(program));
            config.plugins.insert("yolo".parse().unwrap(), plugin.into());
        });
        assert_eq!(finding(&bad, "configuration").health, Health::Problem, "{program} {plugin}");
    }
}

#[test]
fn a_full_disk_and_a_stopped_clock_are_problems() {
    for (free, health) in [(0, Health::Problem), (100 << 20, Health::Problem), (2 << 30, Health::Advice)] {
        let found = of("nano", |_, facts| (facts.disk_free, facts.time) = (free, 1_000));
        assert_eq!(finding(&found, "disk").health, health);
        assert_eq!(finding(&found, "clock").health, Health::Problem);
    }
}
