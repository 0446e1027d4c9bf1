//! The daemon and the system around it.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::os::unix::net::UnixDatagram;
use std::process::{Command, Stdio};
use std::time::Duration;

use e2e::{Device, Host, models, program, worker};

#[test]
fn the_socket_is_for_user_and_group_only() {
    let device = Device::start();
    let mode = fs::metadata(device.socket()).expect("a socket").permissions().mode();
    assert_eq!(mode & 0o777, 0o660);
}

#[test]
fn the_service_manager_is_told_when_the_agent_listens_and_sigterm_ends_it() {
    let dir = tempfile::tempdir().expect("a folder");
    let manager = UnixDatagram::bind(dir.path().join("notify")).expect("a socket");
    manager.set_read_timeout(Some(e2e::patience(Duration::from_secs(60)))).expect("a time limit");
    let config = dir.path().join("agent.yaml");
    fs::write(&config, format!("store: {0}/store\nsocket: {0}/agent.sock\n", dir.path().display()))
        .expect("a file");
    let mut agent = Command::new(program("trt-agent"))
        .arg("--config")
        .arg(&config)
        .arg("daemon")
        .env("NOTIFY_SOCKET", dir.path().join("notify"))
        .stderr(Stdio::null())
        .spawn()
        .expect("the agent starts");
    let mut message = [0; 256];
    let length = manager.recv(&mut message).expect("a message");
    assert!(String::from_utf8_lossy(&message[..length]).contains("READY=1"));
    assert!(dir.path().join("agent.sock").exists(), "it listens before it says so");
    rustix::process::kill_process(rustix::process::Pid::from_child(&agent), rustix::process::Signal::TERM)
        .expect("it runs");
    assert!(agent.wait().expect("it ends").success());
    assert!(!dir.path().join("agent.sock").exists());
}

#[test]
fn a_second_agent_on_the_same_store_is_refused_with_a_hint() {
    let device = Device::start();
    let config = device.store("../agent.yaml");
    let second = Command::new(program("trt-agent"))
        .arg("--config")
        .arg(config)
        .arg("daemon")
        .output()
        .expect("it runs");
    assert!(!second.status.success());
    let words = String::from_utf8_lossy(&second.stderr);
    assert!(words.contains("another agent") && words.contains("hint:"), "{words}");
}

#[test]
fn a_file_that_is_no_socket_is_not_removed() {
    let dir = tempfile::tempdir().expect("a folder");
    let config = dir.path().join("agent.yaml");
    let precious = dir.path().join("precious");
    fs::write(&precious, "content").expect("a file");
    let text = format!("store: {0}/store\nsocket: {0}/precious\n", dir.path().display());
    fs::write(&config, text).expect("a file");
    let agent = Command::new(program("trt-agent"))
        .arg("--config")
        .arg(config)
        .arg("daemon")
        .output()
        .expect("it runs");
    assert!(!agent.status.success());
    assert_eq!(fs::read_to_string(precious).expect("a file"), "content");
}

#[test]
fn one_damaged_model_does_not_hide_the_others_and_is_not_up_to_date() {
    e2e::require_rtx!();
    let (device, host) = (Device::start(), Host::new());
    host.write("net.onnx", models::convolutions(16, 8, 1));
    let model =
        |name| format!("  {name}: {{onnx: net.onnx, precision: fp32, verify: {{required: false}}}}\n");
    host.fleet(&format!("{}{}", model("a"), model("b")), &device);
    host.run(&["push", "here"]).ok();

    let release = fs::read_link(device.store("models/a/current")).expect("a symlink");
    fs::remove_dir_all(device.store("models/a").join(release)).expect("a release goes");
    let status = host.run(&["status", "--json"]).ok().json();
    assert!(
        status[0]["models"][0]["problem"].as_str().is_some_and(|words| words.contains("is gone")),
        "{status}"
    );
    assert!(status[0]["models"][1]["current"].is_object(), "{status}");
    let again = host.run(&["push", "here", "--json"]).ok().json();
    assert_eq!(again[0]["models"][0]["planned"]["action"], "activate");

    fs::remove_file(device.engine("b")).expect("an engine goes");
    let again = host.run(&["push", "here", "--model", "b", "--json"]).ok().json();
    assert_eq!(again[0]["models"][0]["planned"]["action"], "build");
    assert!(device.engine("b").exists());
}

#[test]
fn rollback_refuses_an_engine_of_another_tensorrt() {
    e2e::require_rtx!();
    let (device, host) = (Device::start(), Host::new());
    let fleet = "  net: {onnx: net.onnx, precision: fp32, verify: {required: false}}\n";
    host.fleet(fleet, &device);
    for layers in [1, 2] {
        host.write("net.onnx", models::convolutions(16, 8, layers));
        host.run(&["push", "here"]).ok();
    }
    // What a JetPack upgrade leaves: the older release's engine was built by another version.
    let engines = fs::read_dir(device.store("engines")).expect("a folder");
    let current = fs::canonicalize(device.engine("net")).expect("an engine");
    let older = engines
        .flatten()
        .map(|entry| entry.path())
        .find(|path| !current.starts_with(path))
        .expect("two engines");
    let record = fs::read_to_string(older.join("build.json")).expect("a record");
    let mut record: serde_json::Value = serde_json::from_str(&record).expect("JSON");
    record["built"]["tensorrt"]["version"] = serde_json::json!([1, 0, 0]);
    fs::write(older.join("build.json"), record.to_string()).expect("a record");
    host.run(&["rollback", "here"]).fails(5, &["TensorRT-RTX 1.0.0", "push the model again"]);
}

#[test]
fn an_agent_whose_program_was_replaced_goes_on_building() {
    let Some(library) = e2e::rtx_dir() else { return e2e::skip("no TensorRT-RTX") };
    let dir = tempfile::tempdir().expect("a folder");
    let (copy, config) = (dir.path().join("trt-agent"), dir.path().join("agent.yaml"));
    fs::copy(program("trt-agent"), &copy).expect("a copy");
    let text = format!(
        "store: {0}/store\nsocket: {0}/agent.sock\ntensorrt-dir: \"{1}\"\nbuild-for: \"8.6\"\n",
        dir.path().display(),
        library.display()
    );
    fs::write(&config, text).expect("a file");
    let mut agent = Command::new(&copy)
        .arg("--config")
        .arg(&config)
        .arg("daemon")
        .stderr(Stdio::null())
        .spawn()
        .expect("it starts");
    let socket = dir.path().join("agent.sock");
    e2e::eventually("its socket", || socket.exists());
    fs::remove_file(&copy).expect("the program goes");
    let host = Host::new();
    host.write("net.onnx", models::convolutions(16, 8, 1));
    let models = "models: {net: {onnx: net.onnx, precision: fp32, verify: {required: false}}}";
    host.write("trt-deploy.yaml", format!("{models}\ndevices: {{here: {{socket: {}}}}}\n", socket.display()));
    let run = host.run(&["push", "here"]);
    agent.kill().expect("it runs");
    agent.wait().expect("it ends");
    run.ok();
}

#[test]
fn what_a_newer_agent_stored_is_renewed_by_a_push_and_nothing_of_it_is_removed() {
    let device = Device::with(&worker::simulated(&["--tensorrt", "10.3.0", "--module", "orin-nano"]));
    let host = Host::new();
    host.write("net.onnx", models::convolutions(16, 8, 1));
    host.fleet("  net: {onnx: net.onnx, precision: fp32, verify: {required: false}}\n", &device);
    host.run(&["push", "here"]).ok();
    let problem = || host.run(&["status", "--json"]).ok().json()[0]["models"][0]["problem"].clone();
    let newer = |path: &std::path::Path| {
        let text = fs::read_to_string(path).expect("a document");
        let mut document: serde_json::Value = serde_json::from_str(&text).expect("JSON");
        document["format"] = serde_json::json!(99);
        fs::write(path, document.to_string()).expect("a document");
    };
    let engine = fs::canonicalize(device.engine("net")).expect("an engine");
    for (document, action) in [
        (device.store("models/net/current/manifest.json"), "activate"),
        (engine.with_file_name("build.json"), "build"),
    ] {
        newer(&document);
        let words = problem().to_string();
        assert!(words.contains("another version of the agent") && words.contains("push"), "{words}");
        assert!(!words.contains("remove"), "{words}");
        let pushed = host.run(&["push", "here", "--json"]).ok().json();
        assert_eq!(pushed[0]["models"][0]["planned"]["action"], action);
        assert!(problem().is_null(), "{}", problem());
        assert!(engine.exists(), "an application may have it open");
    }
}
