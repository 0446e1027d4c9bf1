//! What `probe` and `doctor` say about devices. Their files are those of `target/tests/devices`, and their worker says
//! what `probe.json` does there.

use std::path::Path;
use std::process::{Command, Stdio};

use e2e::{Device, Host, Options, program, run};

fn device(name: &str) -> Device {
    let devices =
        Path::new(env!("CARGO_MANIFEST_DIR")).parent().expect("a workspace").join("target/tests/devices");
    let folder = devices.join(name);
    assert!(folder.is_dir(), "{}", folder.display());
    let config = format!("worker: [cat, \"{0}/probe.json\"]\nfacts-root: \"{0}/root\"\n", folder.display());
    Device::with(&Options { config, without_tensorrt: true, ..Options::default() })
}

/// A host whose fleet is that device, called `here`.
fn host(device: &Device) -> Host {
    let host = Host::new();
    host.write("net.onnx", e2e::models::convolutions(16, 8, 1));
    host.fleet("  net: {onnx: net.onnx, precision: fp32}\n", device);
    host
}

#[track_caller]
fn says(text: &str, lines: &[&[&str]]) {
    for words in lines {
        let has = |line: &str| words.iter().all(|word| line.contains(word));
        assert!(text.lines().any(has), "no line with {words:?} in:\n{text}");
    }
}

#[test]
fn probe_shows_what_a_nano_is() {
    let nano = device("nano");
    let shown = host(&nano).run(&["probe", "here"]).ok().stdout;
    says(
        &shown,
        &[
            &["board", "NVIDIA Jetson Nano Developer Kit"],
            &["module", "Nano"],
            &["SoC", "tegra210"],
            &["L4T", "32.7.1"],
            &["JetPack", "4.6.1"],
            &["TensorRT", "8.2.1", "/usr/lib/aarch64-linux-gnu"],
            &["trtexec", "8.2.1", "/usr/src/tensorrt/bin/trtexec"],
            &["GPU", "compute capability 5.3"],
            &["CUDA", "10.2"],
            &["DLA cores", "0"],
            &["power mode", "5W", "follow the load"],
            &["memory", "2.77 GiB of 3.87 GiB available", "1.94 GiB of swap"],
        ],
    );
}

#[test]
fn doctor_advises_the_owner_of_a_nano_and_does_not_fail_for_it() {
    let nano = device("nano");
    let host = host(&nano);
    let shown = host.run(&["doctor", "here"]).ok().stdout;
    says(
        &shown,
        &[
            &["here: Nano"],
            &["good", "jetpack", "JetPack 4.6.1 (L4T 32.7.1)"],
            &["good", "tensorrt", "TensorRT 8.2.1"],
            &["good", "trtexec"],
            &["advice", "int8", "no INT8 instructions"],
            &["hint: ", "on-unsupported: fp16"],
            &["advice", "power mode", "5W; MAXN is faster"],
            &["hint: ", "sudo nvpmodel -m 0"],
            &["advice", "clocks"],
            &["advice", "memory", "zram"],
            &["good", "clock skew", "the same time"],
            &["good", "agent", "as this trt-deploy"],
            &["good", "store", "can be written"],
            &["good", "socket", "may deploy"],
            &["problems: 0, advice: 4"],
        ],
    );
    let json = host.run(&["doctor", "--json"]).ok().json();
    assert_eq!((&json[0]["device"], &json[0]["facts"]["module"]), (&"here".into(), &"Nano".into()));
    for finding in json[0]["findings"].as_array().expect("findings") {
        assert_eq!(finding["health"] == "good", finding["hint"].is_null(), "{finding}");
    }
}

#[test]
fn doctor_fails_with_its_own_code_where_there_is_a_problem() {
    let orin = device("dpkg-only");
    let run = host(&orin).run(&["doctor", "here"]);
    assert_eq!(run.code, 6, "{}", run.stderr);
    says(
        &run.stdout,
        &[
            &["PROBLEM", "tensorrt", "libnvinfer.so.8"],
            &["hint: ", "mend `worker` in the agent's configuration"],
            &["PROBLEM", "gpu"],
            &["problems: 2"],
        ],
    );
}

#[test]
fn a_device_that_does_not_answer_keeps_no_other_from_its_turn() {
    let nano = device("nano");
    let host = Host::new();
    host.write("net.onnx", e2e::models::convolutions(16, 8, 1));
    let models = "models: {net: {onnx: net.onnx, precision: fp32}}";
    let gone = host.path("gone.sock");
    let devices = format!(
        "devices: {{gone: {{socket: {}}}, here: {{socket: {}}}}}",
        gone.display(),
        nano.socket().display()
    );
    host.write("trt-deploy.yaml", format!("{models}\n{devices}\n"));
    let run = host.run(&["doctor", "--json"]);
    assert_eq!(run.code, 4, "{}", run.stderr);
    let json = run.json();
    assert!(json[0]["error"]["message"].is_string() && json[0]["facts"].is_null(), "{json}");
    assert_eq!(json[1]["facts"]["jetpack"], "4.6.1");
}

#[test]
fn a_runtime_of_the_device_is_probed_by_its_name() {
    let devices =
        Path::new(env!("CARGO_MANIFEST_DIR")).parent().expect("a workspace").join("target/tests/devices");
    let probe = |name: &str| devices.join(name).join("probe.json").display().to_string();
    let config = format!(
        "worker: [cat, \"{}\"]\nruntimes: {{triton: {{worker: [cat, \"{}\"]}}}}\nfacts-root: \"{}/orin-nano/root\"\n",
        probe("orin-nano"),
        probe("orin-nx"),
        devices.display()
    );
    let device = Device::with(&Options { config, without_tensorrt: true, ..Options::default() });
    let host = host(&device);
    let shown = host.run(&["probe", "here", "--runtime", "triton"]).ok().stdout;
    says(&shown, &[&["runtime", "triton"], &["TensorRT", "8.6.2"]]);
    host.run(&["probe", "here", "--runtime", "deepstream"]).fails(5, &["deepstream"]);
    says(&host.run(&["doctor", "here"]).ok().stdout, &[&["good", "runtime triton", "8.6.2"]]);
}

#[test]
fn the_agent_examines_its_device_without_a_daemon_too() {
    for (name, sound, words) in
        [("nano", true, "JetPack 4.6.1"), ("dpkg-only", false, "there are 2 problems")]
    {
        let device = device(name);
        let mut command = Command::new(program("trt-agent"));
        command.arg("--config").arg(device.store("../agent.yaml")).arg("doctor");
        let run = run(command);
        assert_eq!(run.code == 0, sound, "{}", run.stdout);
        assert!(format!("{}{}", run.stdout, run.stderr).contains(words), "{}{}", run.stdout, run.stderr);
    }
}

#[test]
fn a_reader_that_has_seen_enough_is_no_failure() {
    let device = device("nano");
    for verb in ["facts", "doctor"] {
        let mut command = Command::new(program("trt-agent"));
        command.arg("--config").arg(device.store("../agent.yaml")).arg(verb);
        let mut agent =
            command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().expect("the agent starts");
        drop(agent.stdout.take());
        let output = agent.wait_with_output().expect("it ends");
        let said = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success() && said.is_empty(), "{verb}: {said}");
    }
}
