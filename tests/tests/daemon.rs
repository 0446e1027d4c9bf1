//! The daemon and the system around it.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::os::unix::net::UnixDatagram;
use std::process::{Command, Stdio};
use std::time::Duration;

use e2e::{Device, program};

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
    manager.set_read_timeout(Some(Duration::from_secs(20))).expect("a time limit");
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
