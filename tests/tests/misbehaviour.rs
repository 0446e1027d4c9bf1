//! Whatever a worker does, the agent survives it, and the user is told what happened and what to do.

use std::fs;

use e2e::{Device, Host, Options, eventually, models, worker};

const ORIN: [&str; 4] = ["--tensorrt", "10.3.0", "--module", "orin-nano"];
const FP32: &str = "  net:\n    onnx: net.onnx\n    precision: fp32\n    verify: {required: false}\n";
const INT8: &str = "  net:\n    onnx: net.onnx\n    precision: int8\n    verify: {required: false}\n    \
                    calibration: {images: photos, preprocess: plain}\n";

fn simulated(more: &[&str]) -> Options {
    worker::simulated(&[&ORIN, more].concat())
}

/// A device, and a host with a fleet file of this model for it.
fn start(options: &Options, model: &str) -> (Device, Host) {
    let (device, host) = (Device::with(options), Host::new());
    host.write("net.onnx", models::convolutions(16, 8, 2));
    host.fleet(model, &device);
    (device, host)
}

/// The push fails with these words and a hint; nothing is left behind, and the agent goes on.
#[track_caller]
fn fails(device: &Device, host: &Host, words: &[&str]) {
    host.run(&["push", "here"]).fails(5, words);
    assert_eq!(device.workers(), 0, "{words:?}");
    assert_eq!(fs::read_dir(device.store("work")).expect("a folder").count(), 0, "{words:?}");
    assert!(!device.store("models/net/current").exists(), "{words:?}");
    host.run(&["status", "here"]).ok();
}

#[test]
fn every_way_to_die_is_a_failure_with_a_hint_and_never_the_end_of_the_agent() {
    for (misbehaviour, words) in [
        ("--crash", &["crashed with signal 11", "SIMULATED: about to crash"][..]),
        ("--killed", &["SIGKILL", "memory"]),
        ("--garbage", &["said something unexpected", "corrupted top size"]),
    ] {
        let (device, host) = start(&simulated(&[misbehaviour]), FP32);
        fails(&device, &host, words);
        // It was no accident: the same happens again, and the agent is still there.
        fails(&device, &host, words);
    }
}

#[test]
fn odd_endings_are_failures_too() {
    for (script, words) in [
        ("echo 'munmap_chunk(): invalid pointer' >&2; exit 3", "invalid pointer"),
        ("exec >&-; sleep 60", "killed"),
        ("exit 0", "without a result"),
    ] {
        let (device, host) = start(&worker::script(script), FP32);
        fails(&device, &host, &[words]);
    }
    let probed = r#"{"worker":"probed","tensorrt":{"Err":"x"},"gpu":{"Err":"x"},"cuda_driver":null,"dla_cores":null,"trtexec":null}"#;
    let (device, host) = start(&worker::script(&format!("echo '{probed}'")), FP32);
    let run = host.run(&["push", "here"]);
    assert!(run.code == 5 && run.stderr.contains("something else than a build"), "{run:?}");
    assert_eq!(device.workers(), 0);
}

#[test]
fn a_worker_that_hangs_is_cancelled_by_ctrl_c() {
    let (device, host) = start(&simulated(&["--hang"]), FP32);
    let push = host.start(&["push", "here", "--no-progress"]);
    let has_work = || device.store("work").read_dir().is_ok_and(|mut dir| dir.next().is_some());
    eventually("the build", || device.workers() > 0 && has_work());
    let pid = rustix::process::Pid::from_child(&push);
    rustix::process::kill_process(pid, rustix::process::Signal::INT).expect("the push runs");
    let output = push.wait_with_output().expect("the push ends");
    assert_eq!(output.status.code(), Some(130));
    assert_eq!(device.workers(), 0);
    host.run(&["status", "here"]).ok();
}

#[test]
fn a_worker_that_hangs_is_stopped_when_its_time_is_over() {
    let config = "build-timeout-minutes: 0\n".to_owned();
    let (device, host) = start(&Options { config, ..simulated(&["--hang"]) }, FP32);
    fails(&device, &host, &["stopped after 0 minutes", "build-timeout-minutes"]);
}

#[test]
fn a_slow_build_is_only_slow() {
    let (device, host) = start(&simulated(&["--slow", "1.5"]), FP32);
    let pushed = host.run(&["push", "here", "--json"]).ok().json();
    let build_ms = pushed[0]["models"][0]["deployed"]["build_ms"].as_u64();
    assert!(build_ms.is_some_and(|ms| ms >= 1500), "{pushed}");
    assert!(device.engine("net").exists());
}

#[test]
fn a_worker_that_cannot_even_probe_is_explained() {
    for (misbehaviour, words) in
        [("--crash", "crashed with signal 11"), ("--garbage", "said something unexpected")]
    {
        let (device, host) = start(&simulated(&["--at", "probe", misbehaviour]), FP32);
        fails(&device, &host, &[words]);
    }
}

/// What agent and host do with the failure. That the real worker finds out is not shown here, since the simulated one
/// judges itself: `a_build_that_ignores_the_table_fails_although_tensorrt_gave_an_engine` of `worker/implicit.rs` shows it,
/// on the recorder.
#[test]
fn a_worker_that_throws_its_engine_away_leaves_the_log_and_no_release() {
    let (device, host) = start(&simulated(&["--ignore-table"]), INT8);
    models::photographs(&host.path("photos"), 4);
    fails(&device, &host, &["did not use the calibration table"]);
    let log =
        fs::read_to_string(device.store("models/net/last-failure.log")).expect("TensorRT's words are kept");
    assert!(log.contains("Calibration completed") && log.contains("SIMULATED"), "{log}");
}
