//! The agent against hosts that are wrong, early, late, twice there, or suddenly gone.

use std::fs;
use std::io::{BufRead, BufReader, Write};
use std::os::unix::net::UnixListener;
use std::time::{Duration, Instant};

use e2e::{Device, Host, Options, SmallDisk, Wire, eventually, models, require_rtx, worker};
use trt_wire::frame::{self, FrameError, MAX_FRAME};
use trt_wire::message::{Action, Hello, PROTOCOL, Reply, Request};
use trt_wire::{BlobId, FailureCode};

const FP32: &str = "  net:\n    onnx: net.onnx\n    precision: fp32\n    verify: {required: false}\n";

fn failed(reply: Reply) -> trt_wire::Failure {
    match reply {
        Reply::Failed(failure) => failure,
        other => panic!("no failure: {other:?}"),
    }
}

#[test]
fn older_and_newer_agents_are_told_from_a_broken_one() {
    for (protocol, advice) in [(PROTOCOL - 1, "upgrade the agent"), (PROTOCOL + 1, "upgrade trt-deploy")] {
        let host = Host::new();
        let socket = host.path("old.sock");
        let listener = UnixListener::bind(&socket).expect("a socket");
        let agent = std::thread::spawn(move || {
            let (mut stream, _) = listener.accept().expect("a host");
            let hello = Hello { protocol, version: "9.9.9".into(), features: vec![], name: "jetson".into() };
            frame::write_message(&mut stream, &hello).expect("the host reads");
            let _ = frame::read_message::<Hello>(&mut stream);
        });
        host.write(
            "trt-deploy.yaml",
            format!("models: {{}}\ndevices: {{here: {{socket: {}}}}}\n", socket.display()),
        );
        host.run(&["status", "here"]).fails(4, &["9.9.9", &format!("protocol {protocol}"), advice]);
        agent.join().expect("the agent ends");
    }
}

#[test]
fn an_older_host_is_told_so_by_the_agent() {
    let device = Device::start();
    let mut wire = Wire::silent(&device);
    wire.hello(PROTOCOL + 1, "somebody");
    wire.read::<Hello>().expect("a greeting");
    assert_eq!(failed(wire.reply()).code, FailureCode::Protocol);
}

#[test]
fn a_frame_longer_than_the_cap_ends_the_connection_and_not_the_agent() {
    let device = Device::start();
    let mut wire = Wire::greet(&device, "somebody");
    let too_long = (MAX_FRAME as u32 + 1).to_be_bytes();
    wire.0.write_all(&[b"J".as_slice(), &too_long].concat()).expect("the agent reads");
    assert!(failed(wire.reply()).message.contains("longer than the limit"));
    assert!(matches!(wire.read::<Reply>(), Err(FrameError::Closed | FrameError::Io(_))));
    Wire::greet(&device, "the next one");
}

#[test]
fn bytes_that_are_no_frames_end_the_connection_and_not_the_agent() {
    let device = Device::start();
    for bytes in [b"GET / HTTP/1.1\r\n\r\n".as_slice(), &[0xff; 64], b"J\0\0\0\x02{]", b"D\0\0\0\x01x"] {
        let mut wire = Wire::greet(&device, "somebody");
        wire.0.write_all(bytes).expect("the agent reads");
        assert_eq!(failed(wire.reply()).code, FailureCode::BadRequest);
    }
    Wire::greet(&device, "the next one");
}

#[test]
fn a_blob_with_other_bytes_than_announced_is_discarded() {
    require_rtx!();
    let device = Device::start();
    let model = models::convolutions(16, 8, 1);
    let (blob, size) = (BlobId::of(&model), model.len() as u64);
    let mut wire = Wire::greet(&device, "somebody");
    let planned = wire.plan(&Wire::manifest("net", &model));
    assert_eq!(planned.missing.len(), 1);
    let mut wrong = model.clone();
    wrong[100] ^= 1;
    wire.upload(blob, size, 0, &wrong);
    assert_eq!(failed(wire.reply()).code, FailureCode::HashMismatch);
    assert_eq!(fs::read_dir(device.store("partial")).expect("a folder").count(), 0);
    // The conversation is in step: the right bytes are taken at once.
    wire.upload(blob, size, 0, &model);
    assert_eq!(wire.reply(), Reply::Stored { blob });
}

#[test]
fn blobs_that_nobody_planned_and_paths_outside_the_model_are_refused() {
    require_rtx!();
    let device = Device::start();
    let mut wire = Wire::greet(&device, "somebody");
    wire.upload(BlobId::of(b"x"), 1, 0, b"x");
    assert_eq!(failed(wire.reply()).code, FailureCode::BadRequest);
    for path in ["../escape", "/etc/passwd", "a/../../b", ""] {
        let mut manifest = Wire::manifest("net", b"x");
        manifest.files[0].path = path.into();
        let request = Request::Plan {
            manifest: Box::new(manifest),
            intent: trt_wire::message::Intent::Look,
            rebuild: false,
            table_promised: None,
        };
        assert_eq!(failed(wire.ask(&request)).code, FailureCode::BadRequest, "{path}");
    }
}

#[test]
fn the_second_of_two_pushes_is_told_who_is_first() {
    require_rtx!();
    let (device, host) = (Device::start(), Host::new());
    let model = models::convolutions(16, 8, 1);
    host.write("net.onnx", &model);
    host.fleet(FP32, &device);
    let mut first = Wire::greet(&device, "ann@desk");
    assert_eq!(first.plan(&Wire::manifest("other", &model)).action, Action::Build);
    host.run(&["push", "here"]).fails(5, &["ann@desk"]);
    drop(first);
    eventually("the lock ends with its connection", || host.run(&["push", "here"]).code == 0);
}

#[test]
fn an_upload_cut_off_by_a_killed_agent_continues_where_it_stopped() {
    require_rtx!();
    let (mut device, host) = (Device::start(), Host::new());
    let model = models::convolutions(16, 64, 6);
    host.write("net.onnx", &model);
    host.fleet(FP32, &device);
    let mut wire = Wire::greet(&device, "somebody");
    wire.plan(&Wire::manifest("net", &model));
    let half = model.len() / 2;
    wire.upload(BlobId::of(&model), model.len() as u64, 0, &model[..half]);
    let partial = device.store("partial").join(BlobId::of(&model).full());
    eventually("half of the bytes", || fs::metadata(&partial).is_ok_and(|meta| meta.len() >= half as u64));
    device.kill_and_restart();
    let pushed = host.run(&["push", "here", "--json"]).ok().json();
    assert_eq!(pushed[0]["models"][0]["upload_bytes"], (model.len() - half) as u64);
    assert!(device.engine("net").exists());
}

/// Starts a push to a device that takes its time, and returns when it builds.
fn push_until_it_builds(host: &Host) -> std::process::Child {
    let mut push = host.start(&["push", "here", "--no-progress"]);
    let mut lines = BufReader::new(push.stderr.take().expect("stderr is piped")).lines();
    assert!(lines.any(|line| line.is_ok_and(|line| line.contains("builds"))), "the build does not begin");
    // Whatever else it says must not fill the pipe.
    std::thread::spawn(move || lines.for_each(drop));
    push
}

#[test]
fn an_agent_killed_in_mid_build_leaves_nothing_and_builds_at_the_next_push() {
    require_rtx!();
    let host = Host::new();
    let mut device = Device::with(&worker::slow_once(60, &host.path("began")));
    host.write("net.onnx", models::convolutions(16, 8, 1));
    host.fleet(FP32, &device);
    let mut push = push_until_it_builds(&host);
    device.kill_and_restart();
    assert_eq!(push.wait().expect("the push ends").code(), Some(4));
    assert_eq!(fs::read_dir(device.store("work")).expect("a folder").count(), 0);
    assert!(!device.store("models/net/current").exists());
    host.run(&["push", "here"]).ok();
    assert!(device.engine("net").exists());
}

#[test]
fn ctrl_c_cancels_the_build_on_the_device_at_once() {
    require_rtx!();
    let (device, host) = (Device::with(&worker::slow(120)), Host::new());
    host.write("net.onnx", models::convolutions(16, 8, 1));
    host.fleet(FP32, &device);
    let mut push = push_until_it_builds(&host);
    assert_eq!(device.workers(), 1);
    let pid = rustix::process::Pid::from_child(&push);
    let since = Instant::now();
    rustix::process::kill_process(pid, rustix::process::Signal::INT).expect("the push runs");
    assert_eq!(push.wait().expect("the push ends").code(), Some(130));
    assert!(since.elapsed() < Duration::from_secs(60), "it took {:?}", since.elapsed());
    assert_eq!(device.workers(), 0, "no worker goes on");
    assert!(device.journal().contains("cancelled"), "{}", device.journal());
    assert_eq!(fs::read_dir(device.store("work")).expect("a folder").count(), 0);
}

#[test]
fn a_host_that_vanishes_in_mid_build_gets_its_engine_kept_and_not_activated() {
    require_rtx!();
    let (device, host) = (Device::with(&worker::slow(5)), Host::new());
    host.write("net.onnx", models::convolutions(16, 8, 1));
    host.fleet(FP32, &device);
    let mut push = push_until_it_builds(&host);
    push.kill().expect("the push runs");
    push.wait().expect("the push ends");
    eventually("the journal has why", || device.journal().contains("the host went away"));
    assert!(!device.store("models/net/current").exists());
    let again = host.run(&["push", "here", "--json"]).ok().json();
    assert_eq!(again[0]["models"][0]["planned"]["action"], "activate");
}

#[test]
fn a_full_disk_is_refused_before_the_upload_and_reported_during_it() {
    require_rtx!();
    if !SmallDisk::is_possible() {
        return;
    }
    let device = Device::with(&Options { disk_mib: Some(12), ..Default::default() });
    let host = Host::new();
    let model = models::convolutions(16, 128, 4);
    assert!(model.len() > 1 << 20);
    host.write("net.onnx", &model);
    host.fleet(FP32, &device);
    // Room for the plan, gone when the bytes arrive.
    let mut wire = Wire::greet(&device, "somebody");
    wire.plan(&Wire::manifest("net", &model));
    let filler = SmallDisk::fill(&device.store(""), 100);
    wire.upload(BlobId::of(&model), model.len() as u64, 0, &model);
    assert_eq!(failed(wire.reply()).code, FailureCode::DiskFull);
    drop(wire);

    let mut run = host.run(&["push", "here"]);
    eventually("the lock ends with its connection", || {
        let is_free = !run.stderr.contains("somebody");
        if !is_free {
            run = host.run(&["push", "here"]);
        }
        is_free
    });
    run.fails(5, &["MiB of disk", "free space"]);
    fs::remove_file(filler).expect("the filler goes");
    host.run(&["push", "here"]).ok();
}

#[test]
fn a_cancel_after_the_build_stops_the_hook_and_brings_back_what_was_active() {
    require_rtx!();
    let config = "hooks:\n  slow: {argv: [sleep, \"20\"]}\n".to_owned();
    let (device, host) = (Device::with(&Options { config, ..Default::default() }), Host::new());
    host.write("net.onnx", models::convolutions(16, 8, 1));
    host.fleet(FP32, &device);
    let first = host.run(&["push", "here", "--json"]).ok().json();
    host.fleet(&format!("{FP32}    hook: slow\n"), &device);
    let mut push = host.start(&["push", "here", "--no-progress"]);
    let mut lines = BufReader::new(push.stderr.take().expect("stderr is piped")).lines();
    assert!(lines.any(|line| line.is_ok_and(|line| line.contains("activates"))), "nothing is activated");
    std::thread::spawn(move || lines.for_each(drop));
    let pid = rustix::process::Pid::from_child(&push);
    rustix::process::kill_process(pid, rustix::process::Signal::INT).expect("the push runs");
    assert_eq!(push.wait().expect("the push ends").code(), Some(130));
    let status = host.run(&["status", "--json"]).ok().json();
    assert_eq!(status[0]["models"][0]["current"]["release"], first[0]["models"][0]["deployed"]["release"]);
}
