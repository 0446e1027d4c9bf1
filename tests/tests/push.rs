//! The main job over a local socket: from nothing to an active engine, and back.

use std::fs;

use e2e::{Device, Host, Options, models, program, require_rtx, worker};

const FP32: &str = "  net:\n    onnx: net.onnx\n    precision: fp32\n    verify: {required: false}\n";

#[test]
fn an_fp32_model_is_built_activated_and_not_built_again() {
    require_rtx!();
    let (device, host) = (Device::start(), Host::new());
    host.write("net.onnx", models::convolutions(32, 8, 2));
    host.fleet(FP32, &device);

    let dry = host.run(&["push", "here", "--dry-run", "--json"]).ok().json();
    assert_eq!(dry[0]["models"][0]["planned"]["action"], "build");
    assert!(!device.engine("net").exists(), "a dry run changes nothing");

    let first = host.run(&["push", "here", "--json"]).ok().json();
    let model = &first[0]["models"][0];
    assert_eq!(model["planned"]["action"], "build");
    let size = fs::metadata(device.engine("net")).expect("an engine").len();
    assert_eq!(model["deployed"]["engine_bytes"], size);
    assert_eq!(model["deployed"]["path"], device.engine("net").display().to_string());

    let second = host.run(&["push", "here", "--json"]).ok().json();
    assert_eq!(second[0]["models"][0]["planned"]["action"], "nothing");
    assert_eq!(second[0]["traffic"]["round-trips"], 2);
    assert!(second[0]["traffic"]["sent"].as_u64().is_some_and(|sent| sent < 4096), "{second}");

    let status = host.run(&["status", "--json"]).ok().json();
    let current = &status[0]["models"][0]["current"];
    assert_eq!(current["release"], model["deployed"]["release"]);
    assert_eq!(current["verify"]["verification"], "not-verified");
    assert_eq!(device.journal().lines().count(), 2, "one build, one activation");
}

#[test]
fn a_new_calibration_ships_only_the_table_and_rollback_returns_to_the_old_engine() {
    require_rtx!();
    let (device, host) = (Device::start(), Host::new());
    host.write("net.onnx", models::convolutions(32, 96, 3));
    models::photographs(&host.path("photos"), 12);
    let fleet = |algorithm: &str| {
        let calibration = format!("{{images: photos, algorithm: {algorithm}, preprocess: plain}}");
        let model = format!("{}    calibration: {calibration}\n", FP32.replace("fp32", "int8"));
        host.fleet(&model, &device);
    };
    fleet("entropy");
    let first = host.run(&["push", "here", "--json"]).ok().json();
    let deployed = &first[0]["models"][0]["deployed"];
    assert_eq!(first[0]["models"][0]["planned"]["plan"]["mode"], "explicit");
    let decisions = deployed["decisions"].to_string();
    assert!(decisions.contains("Q/DQ nodes are inserted from the calibration table"), "{decisions}");
    let record = fs::read_to_string(device.engine("net").with_file_name("build.json")).expect("a record");
    let record: serde_json::Value = serde_json::from_str(&record).expect("JSON");
    assert_eq!(record["built"]["quantized"], 2, "the first convolution is too small to gain from INT8");
    assert!(decisions.contains("conv0_node"), "what stays in FP32 is said: {decisions}");

    fleet("minmax");
    let second = host.run(&["push", "here", "--json"]).ok().json();
    let model = &second[0]["models"][0];
    assert_eq!(model["planned"]["action"], "build");
    let table = fs::metadata(host.path("calibration/net.cache")).expect("a table").len();
    assert_eq!(model["upload_bytes"], table, "nothing but the table travels");
    assert_ne!(model["deployed"]["release"], deployed["release"]);

    let back = host.run(&["rollback", "here", "--json"]).ok().json();
    assert_eq!(back[0]["to"], deployed["release"]);
    let link = fs::read_link(device.store("models/net/current")).expect("a symlink");
    assert!(link.ends_with(deployed["release"].as_str().expect("an id")));
    host.run(&["rollback", "here"]).fails(5, &["no earlier release"]);
}

#[test]
fn a_dry_run_before_the_first_calibration_shows_the_plan_without_a_key() {
    require_rtx!();
    let (device, host) = (Device::start(), Host::new());
    host.write("net.onnx", models::convolutions(32, 96, 3));
    models::photographs(&host.path("photos"), 4);
    let calibration = "    calibration: {images: photos, preprocess: plain}\n";
    host.fleet(&format!("{}{calibration}", FP32.replace("fp32", "int8")), &device);
    let before = host.files();
    let dry = host.run(&["push", "here", "--dry-run"]).ok();
    assert!(
        dry.stderr.contains("calibration/net.cache would be made first: there is no table yet"),
        "{dry:?}"
    );
    for line in [
        "here net: int8, explicit Q/DQ",
        "in 1 file, and the calibration table\n",
        "  build an engine, no earlier build",
    ] {
        assert!(dry.stdout.contains(line), "`{line}` is not in:\n{}", dry.stdout);
    }
    let dry = host.run(&["push", "here", "--dry-run", "--json"]).ok().json();
    assert_eq!(dry[0]["models"][0]["table_promised"], true);
    assert_eq!(host.files(), before);
    assert!(!device.engine("net").exists());
    host.run(&["push", "here"]).ok();
    let dry = host.run(&["push", "here", "--dry-run", "--json"]).ok().json();
    assert_eq!(dry[0]["models"][0]["table_promised"], false);
    assert_eq!(dry[0]["models"][0]["planned"]["action"], "nothing");
}

#[test]
fn a_rollback_looks_at_every_model_before_it_switches_one() {
    require_rtx!();
    let (device, host) = (Device::start(), Host::new());
    let two = format!("{FP32}{}", FP32.replace("  net:", "  other:").replace("net.onnx", "other.onnx"));
    host.fleet(&two, &device);
    let push = |name: &str, layers: usize| {
        host.write(&format!("{name}.onnx"), models::convolutions(16, 8, layers));
        let pushed = host.run(&["push", "here", "-m", name, "--json"]).ok().json();
        pushed[0]["models"][0]["deployed"]["release"].clone()
    };
    let active = |place: usize| {
        host.run(&["status", "--json"]).ok().json()[0]["models"][place]["current"]["release"].clone()
    };
    let (first, second) = (push("net", 1), push("net", 2));
    push("other", 3);
    // `other` has nothing to go back to, so `net` stays as well.
    host.run(&["rollback", "here"]).fails(5, &["`other` has no earlier release"]);
    assert_eq!(active(0), second);
    host.run(&["rollback", "here", "--dry-run"]).fails(5, &["`other` has no earlier release"]);

    let look = host.run(&["rollback", "here", "-m", "net", "--dry-run", "--json"]).ok().json();
    assert_eq!((&look[0]["from"], &look[0]["to"]), (&second, &first));
    assert_eq!(active(0), second, "a dry run changes nothing");
    let done = host.run(&["rollback", "here", "-m", "net", "--json"]).ok().json();
    assert_eq!(done, look);
    assert_eq!(active(0), first);
}

#[test]
fn external_data_travels_with_the_model_and_a_new_table_leaves_it_where_it_is() {
    require_rtx!();
    let (device, host) = (Device::start(), Host::new());
    models::convolutions_with_external_data(&host.path(""), "net", 32, 96, 3);
    models::photographs(&host.path("photos"), 6);
    let data = fs::metadata(host.path("net.data")).expect("weights").len();
    host.fleet(FP32, &device);
    let first = host.run(&["push", "here", "--json"]).ok().json();
    assert!(first[0]["models"][0]["upload_bytes"].as_u64().is_some_and(|sent| sent > data));

    let calibration = "    calibration: {images: photos, preprocess: plain}\n";
    host.fleet(&format!("{}{calibration}", FP32.replace("fp32", "int8")), &device);
    let second = host.run(&["push", "here", "--json"]).ok().json();
    let table = fs::metadata(host.path("calibration/net.cache")).expect("a table").len();
    assert_eq!(second[0]["models"][0]["upload_bytes"], table);
    assert_ne!(second[0]["models"][0]["deployed"]["engine"], first[0]["models"][0]["deployed"]["engine"]);

    fs::remove_file(host.path("net.data")).expect("the weights go");
    host.run(&["push", "here"]).fails(3, &["net.data"]);
}

#[test]
fn a_forced_rebuild_is_a_release_of_its_own() {
    require_rtx!();
    let (device, host) = (Device::start(), Host::new());
    let deployed = |model: &[u8], arguments: &[&str]| {
        host.write("net.onnx", model);
        host.fleet(FP32, &device);
        host.run(&[&["push", "here", "--json"], arguments].concat()).ok().json()[0]["models"][0]["deployed"]
            .clone()
    };
    let first = deployed(&models::convolutions(16, 8, 1), &[]);
    let second = deployed(&models::convolutions(16, 8, 2), &[]);
    let again = deployed(&models::convolutions(16, 8, 2), &["--rebuild"]);
    assert_ne!(again["release"], second["release"], "engines never change: a rebuild is another release");
    assert!(again["build_ms"].is_u64(), "it was built again");
    assert!(device.engine("net").exists());
    assert_eq!(fs::read_dir(device.store("work")).expect("a folder").count(), 0);
    let plain = host.run(&["push", "here", "--json"]).ok().json();
    assert_eq!(plain[0]["models"][0]["planned"]["action"], "nothing", "the newest engine counts");
    for release in [second, first] {
        let back = host.run(&["rollback", "here", "--json"]).ok().json();
        assert_eq!(back[0]["to"], release["release"]);
    }
}

#[test]
fn a_hook_that_fails_brings_the_release_before_it_back() {
    require_rtx!();
    let config = "hooks:\n  good: {argv: [/bin/true]}\n  bad: {argv: [/bin/false]}\n".to_owned();
    let device = Device::with(&e2e::Options { config, ..Default::default() });
    let host = Host::new();
    host.write("net.onnx", models::convolutions(16, 8, 1));
    host.fleet(&format!("{FP32}    hook: good\n"), &device);
    let first = host.run(&["push", "here", "--json"]).ok().json();
    host.fleet(&format!("{FP32}    hook: bad\n"), &device);
    host.run(&["push", "here"]).fails(5, &["the hook failed"]);
    let status = host.run(&["status", "--json"]).ok().json();
    assert_eq!(
        status[0]["models"][0]["current"]["release"], first[0]["models"][0]["deployed"]["release"],
        "the first release is active again"
    );
    host.fleet(&format!("{FP32}    hook: nobody\n"), &device);
    host.run(&["push", "here"]).fails(5, &["no such hook on the device: nobody"]);
}

#[test]
fn a_release_that_must_be_verified_is_refused_before_anything_is_sent() {
    require_rtx!();
    let (device, host) = (Device::start(), Host::new());
    host.write("net.onnx", models::convolutions(16, 8, 1));
    host.fleet("  net: {onnx: net.onnx, precision: fp32}\n", &device);
    host.run(&["push", "here"]).fails(5, &["must be verified", "required: false"]);
    assert_eq!(fs::read_dir(device.store("blobs")).expect("a folder").count(), 0);
}

#[test]
fn what_was_decided_for_a_release_is_told_even_if_its_engine_was_built_for_another() {
    let nano = worker::simulated(&["--tensorrt", "8.2.1", "--module", "nano"]);
    let (device, host) = (Device::with(&nano), Host::new());
    host.write("net.onnx", models::convolutions(16, 8, 2));
    models::photographs(&host.path("photos"), 4);
    let decided = || {
        let status = host.run(&["status", "--json"]).ok().json();
        status[0]["models"][0]["current"]["decisions"].to_string()
    };
    let instead = "FP16 is built instead of INT8";

    host.fleet(&FP32.replace("fp32", "fp16"), &device);
    host.run(&["push", "here"]).ok();
    assert!(decided().contains("SIMULATED") && !decided().contains(instead), "{}", decided());

    let calibration = "    calibration: {images: photos, preprocess: plain}\n    on-unsupported: fp16\n";
    host.fleet(&format!("{}{calibration}", FP32.replace("fp32", "int8")), &device);
    let pushed = host.run(&["push", "here", "--json"]).ok().json();
    let model = &pushed[0]["models"][0];
    assert_eq!(model["planned"]["action"], "activate", "the engine is the same");
    assert!(model["deployed"]["decisions"].to_string().contains(instead), "{model}");
    assert!(decided().contains(instead) && decided().contains("SIMULATED"), "{}", decided());
    let plan = fs::read_to_string(device.store("models/net/current/plan.json")).expect("a plan");
    assert!(plan.contains(instead), "{plan}");

    host.run(&["rollback", "here"]).ok();
    assert!(!decided().contains(instead), "{}", decided());
}

/// A SIMULATED worker of the configuration that writes a line to `starts` each time it is started.
fn counted(starts: &std::path::Path, more: &str) -> Options {
    let simulated = program("simulated-worker").display().to_string();
    let script = format!(
        "echo started >> {}; exec {simulated} --tensorrt 10.3.0 --module orin-nano {more}",
        starts.display()
    );
    let worker = ["sh", "-c", &script].map(str::to_owned).to_vec();
    Options { worker, without_tensorrt: true, ..Options::default() }
}

#[test]
fn a_push_starts_a_worker_of_the_configuration_once_to_ask_and_once_to_build() {
    let host = Host::new();
    let starts = host.path("starts");
    let device = Device::with(&counted(&starts, ""));
    let count = || fs::read_to_string(&starts).map_or(0, |text| text.lines().count());
    host.write("net.onnx", models::convolutions(16, 8, 1));
    host.fleet(FP32, &device);
    host.run(&["push", "here"]).ok();
    assert_eq!(count(), 2);
    host.run(&["push", "here"]).ok();
    assert_eq!(count(), 3, "another push asks anew");
}

#[test]
fn nobody_loads_a_second_tensorrt_beside_a_build() {
    let host = Host::new();
    let starts = host.path("starts");
    let slow = counted(&starts, "--slow 4");
    let config = format!("runtimes:\n  triton:\n    worker: {}\n", serde_json::json!(slow.worker));
    let device = Device::with(&Options { config, ..slow });
    let count = || fs::read_to_string(&starts).map_or(0, |text| text.lines().count());
    host.write("net.onnx", models::convolutions(16, 8, 1));
    host.fleet(FP32, &device);
    let push = host.start(&["push", "here"]);
    e2e::eventually("the build", || count() == 2);
    let probe = host.run(&["probe", "here", "--json"]).ok();
    assert!(probe.stdout.contains("10,") || probe.stdout.contains("10.3.0"), "{probe:?}");
    host.run(&["push", "here", "--dry-run"]).ok();
    host.fleet(&format!("{FP32}    runtime: triton\n"), &device);
    host.run(&["push", "here", "--dry-run"]).fails(5, &["a build is under way", "`triton`"]);
    assert_eq!(count(), 2, "one to ask and one to build");
    assert!(push.wait_with_output().expect("it ends").status.success());
    host.run(&["push", "here", "--dry-run"]).ok();
}

#[test]
fn a_worker_of_another_version_is_refused_before_anything_is_built() {
    let old = r#"{"worker":"probed","tensorrt":{"Err":"x"},"gpu":{"Err":"x"},"cuda_driver":null}"#;
    let new = r#"{"worker":"hello","contract":4711,"agent_version":"9.9.9"}"#;
    for (said, words) in [(old, "older than this agent"), (new, "trt-agent 9.9.9")] {
        let worker = ["sh", "-c", &format!("read -r job; echo '{said}'")].map(str::to_owned).to_vec();
        let device = Device::with(&Options { worker, without_tensorrt: true, ..Options::default() });
        let host = Host::new();
        host.write("net.onnx", models::convolutions(16, 8, 1));
        host.fleet(FP32, &device);
        host.run(&["push", "here"]).fails(5, &[words, "build its image anew"]);
    }
    // A container that was replaced between the question and the build.
    let (device, host) = (Device::with(&worker::script(&format!("echo '{new}'"))), Host::new());
    host.write("net.onnx", models::convolutions(16, 8, 1));
    host.fleet(FP32, &device);
    host.run(&["push", "here"]).fails(5, &["trt-agent 9.9.9", "build its image anew"]);
}

#[test]
fn a_timing_cache_that_cannot_be_kept_is_told_and_a_forced_rebuild_uses_none() {
    let device = Device::with(&worker::simulated(&["--tensorrt", "10.3.0", "--module", "orin-nano"]));
    let host = Host::new();
    host.write("net.onnx", models::convolutions(16, 8, 1));
    host.fleet(FP32, &device);
    fs::write(device.store("timing"), "a file where the folder should be").expect("a file");
    let pushed = host.run(&["push", "here", "--json"]).ok().json();
    let lost = "the timing cache cannot be kept";
    let decisions = pushed[0]["models"][0]["deployed"]["decisions"].to_string();
    assert!(decisions.contains(lost), "{decisions}");
    let status = host.run(&["status", "--json"]).ok().json();
    assert!(status.to_string().contains(lost), "{status}");

    fs::remove_file(device.store("timing")).expect("it goes");
    host.run(&["push", "here", "--rebuild"]).ok();
    let caches = fs::read_dir(device.store("timing")).expect("a folder").flatten();
    let caches: Vec<_> = caches.map(|entry| entry.path()).collect();
    let decided_with_a_foreign_cache = |layers: usize, arguments: &[&str]| {
        host.write("net.onnx", models::convolutions(16, 8, layers));
        fs::write(&caches[0], "of another TensorRT").expect("a file");
        let pushed = host.run(&[&["push", "here", "--json"], arguments].concat()).ok().json();
        pushed[0]["models"][0]["deployed"]["decisions"].to_string()
    };
    let refused = "TensorRT refuses the timing cache";
    let plain = decided_with_a_foreign_cache(2, &[]);
    assert!(plain.contains(refused), "{plain}");
    let forced = decided_with_a_foreign_cache(2, &["--rebuild"]);
    assert!(!forced.contains(refused), "it was not even given one: {forced}");
    let kept = fs::read_to_string(&caches[0]).expect("a cache");
    assert!(kept.starts_with("SIMULATED"), "what a forced rebuild measures is kept: {kept}");
}

#[test]
fn a_model_that_fails_keeps_no_other_one_from_its_turn() {
    let device = Device::with(&worker::simulated(&["--tensorrt", "10.3.0", "--module", "orin-nano"]));
    let host = Host::new();
    host.write("net.onnx", models::convolutions(16, 8, 1));
    let net = "{onnx: net.onnx, precision: fp16, verify: {required: false}";
    host.fleet(&format!("  a: {net}, hook: absent}}\n  b: {net}}}\n  c: {net}, dla: 0}}\n"), &device);
    let run = host.run(&["push", "here", "--json"]).fails(5, &["model `a`", "absent", "model `c`", "DLA"]);
    let report = &run.json()[0];
    let models = report["models"].as_array().expect("a list");
    let names: Vec<_> = models.iter().map(|model| model["model"].as_str().expect("a name")).collect();
    assert_eq!(names, ["a", "b", "c"]);
    assert!(models[0]["error"]["hint"].is_string() && models[2]["error"]["hint"].is_string(), "{report}");
    assert!(models[1]["error"].is_null() && models[1]["deployed"].is_object(), "{report}");
    assert_eq!(report["error"], models[0]["error"], "the first one stands for the device");
    assert!(device.engine("b").exists());
}

#[test]
fn a_connection_that_fails_ends_the_device_and_says_which_models_were_not_tried() {
    let mut device = Device::start();
    let host = Host::new();
    host.write("net.onnx", models::convolutions(16, 8, 1));
    host.fleet(&format!("{FP32}{}", FP32.replace("net:", "second:")), &device);
    device.kill();
    let run = host.run(&["push", "here", "--json"]).fails(4, &["here: not tried: net, second"]);
    assert_eq!(run.json()[0]["not_tried"], serde_json::json!(["net", "second"]));
    assert_eq!(run.stderr.matches("error:").count(), 1, "{}", run.stderr);
}

#[test]
fn ctrl_c_says_what_became_of_the_build() {
    let arguments = ["--tensorrt", "10.3.0", "--module", "orin-nano", "--hang"];
    let (device, host) = (Device::with(&worker::simulated(&arguments)), Host::new());
    host.write("net.onnx", models::convolutions(16, 8, 1));
    host.fleet(&format!("{FP32}{}", FP32.replace("net:", "second:")), &device);
    let push = host.start(&["push", "here"]);
    let has_work = || device.store("work").read_dir().is_ok_and(|mut dir| dir.next().is_some());
    e2e::eventually("the build", || device.workers() > 0 && has_work());
    let pid = rustix::process::Pid::from_child(&push);
    rustix::process::kill_process(pid, rustix::process::Signal::INT).expect("the push runs");
    let output = push.wait_with_output().expect("the push ends");
    assert_eq!(output.status.code(), Some(130));
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(said.contains("here net: cancelled: the device does not go on building"), "{said}");
    assert!(said.contains("here: not tried: second") && said.contains("interrupted"), "{said}");
    assert_eq!(device.workers(), 0);
}
