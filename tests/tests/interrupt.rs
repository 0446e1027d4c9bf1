//! Ctrl-C, and agents that stop listening, fail early or have bad news: the host ends at once and tells what it knows.

use std::io::{BufReader, Read, Write};
use std::net::TcpListener;
use std::os::unix::net::{UnixListener, UnixStream};
use std::process::{Child, Stdio};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::time::{Duration, Instant};

use e2e::{Host, models};
use rustix::process::{Pid, Signal, kill_process};
use trt_wire::frame::{self, Frame};
use trt_wire::message::{
    Action, Deployed, Hello, Missing, ModelStatus, PROTOCOL, Planned, Reply, Request, VerifyOutcome,
};
use trt_wire::{
    Backend, BuildPlan, DeviceFacts, EngineKey, Failure, FailureCode, Manifest, Precision, QuantMode,
    ReleaseId, Retry,
};

/// How long a program may take to end after Ctrl-C: on an idle machine much less, and this is a tenth of what it waits for.
const AT_ONCE: Duration = Duration::from_secs(10);

/// More than all buffers between host and agent hold.
const LARGE: usize = 24 << 20;

/// An agent that does what the test wants.
struct Fake {
    stream: UnixStream,
    reader: BufReader<UnixStream>,
}

impl Fake {
    /// Listens in the host's folder, greets the first host that comes, and then acts on a thread of its own.
    fn start(host: &Host, name: &str, act: impl FnOnce(Self) + Send + 'static) {
        let listener = UnixListener::bind(host.path(&format!("{name}.sock"))).expect("a socket");
        std::thread::spawn(move || {
            let (stream, _) = listener.accept().expect("a host");
            let mut fake = Self { reader: BufReader::new(stream.try_clone().expect("a handle")), stream };
            let _: Hello = frame::read_message(&mut fake.reader).expect("a greeting");
            let hello =
                Hello { protocol: PROTOCOL, version: "0.1.0".into(), features: vec![], name: "fake".into() };
            frame::write_message(&mut fake.stream, &hello).expect("the host reads");
            act(fake);
        });
    }

    fn request(&mut self) -> Request {
        frame::read_message(&mut self.reader).expect("a request")
    }

    fn reply(&mut self, reply: &Reply) {
        frame::write_message(&mut self.stream, reply).expect("the host reads");
    }

    /// Answers the plan: everything is missing, if `missing` says so.
    fn plan(&mut self, missing: bool) {
        let Request::Plan { manifest, .. } = self.request() else { panic!("no plan is asked for") };
        self.reply(&Reply::Planned(Box::new(planned(&manifest, missing))));
    }

    /// Plans, and takes the first bytes of the upload.
    fn plan_and_begin_upload(&mut self) {
        self.plan(true);
        assert!(matches!(self.request(), Request::Upload { .. }));
        assert!(matches!(Frame::read(&mut self.reader), Ok(Frame::Data(_))));
    }

    /// Keeps the connection and reads nothing from it any more.
    fn sleep(self) {
        std::thread::sleep(e2e::patience(10 * AT_ONCE));
    }
}

fn planned(manifest: &Manifest, missing: bool) -> Planned {
    let missing = manifest.files.iter().filter(|_| missing);
    let plan = BuildPlan {
        precision: Precision::Fp32,
        mode: QuantMode::None,
        strongly_typed: false,
        convert_fp16: false,
        strip_qdq: false,
        other_layers: Precision::Fp16,
        keep: vec![],
        calibrator: None,
        backend: Backend::Nvinfer,
        dla: None,
        optimization_level: None,
        plugins: vec![],
        runtime: None,
        shapes: Default::default(),
        workspace: None,
        compute_capability: None,
        decisions: vec![],
    };
    let facts = DeviceFacts { hostname: "fake".into(), ..DeviceFacts::unknown("it is a fake") };
    Planned {
        action: Action::Build,
        plan,
        engine: EngineKey::of(b"engine"),
        release: ReleaseId::of(b"release"),
        current: None,
        missing: missing.map(|file| Missing { blob: file.blob, size: file.size, have: 0 }).collect(),
        facts,
        last_build_ms: None,
    }
}

fn deployed() -> Deployed {
    Deployed {
        release: ReleaseId::of(b"release"),
        engine: EngineKey::of(b"engine"),
        engine_bytes: 7,
        build_ms: Some(1),
        verify: VerifyOutcome::NotVerified { because: "it is a fake".into() },
        decisions: vec![],
        path: "/fake/engine.plan".into(),
    }
}

/// A host with a model of about `size` bytes and these devices, each behind a socket of its name.
fn host_with(devices: &[&str], size: usize) -> Host {
    let host = Host::new();
    let channels = ((size / 4 / 9) as f64).sqrt() as i64;
    host.write("net.onnx", models::convolutions(8, channels.max(8), 2));
    let devices = devices
        .iter()
        .map(|name| format!("  {name}: {{socket: {}}}\n", host.path(&format!("{name}.sock")).display()));
    let devices: String = devices.collect();
    let models = "  net: {onnx: net.onnx, precision: fp32, verify: {required: false}}\n";
    host.write("trt-deploy.yaml", format!("models:\n{models}devices:\n{devices}"));
    host
}

fn start(host: &Host, arguments: &[&str]) -> Child {
    let mut command = host.command(arguments);
    command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().expect("trt-deploy starts")
}

fn read(pipe: &mut impl Read) -> String {
    let mut text = String::new();
    pipe.read_to_string(&mut text).expect("text");
    text
}

/// Presses Ctrl-C; gives what the program printed and said. It must end at once with 130.
fn ctrl_c(mut child: Child) -> (String, String) {
    let since = Instant::now();
    kill_process(Pid::from_child(&child), Signal::INT).expect("it runs");
    let stdout = read(child.stdout.as_mut().expect("piped"));
    let stderr = read(child.stderr.as_mut().expect("piped"));
    let code = child.wait().expect("it ends").code();
    assert!(since.elapsed() < e2e::patience(AT_ONCE), "it took {:?}", since.elapsed());
    assert_eq!(code, Some(130), "{stderr}");
    assert!(stderr.contains("interrupted"), "{stderr}");
    (stdout, stderr)
}

fn signals() -> (Sender<()>, Receiver<()>) {
    channel()
}

#[test]
fn ctrl_c_ends_an_upload_that_the_device_does_not_read() {
    let host = host_with(&["here"], LARGE);
    let (begun, begins) = signals();
    Fake::start(&host, "here", move |mut fake| {
        fake.plan_and_begin_upload();
        begun.send(()).expect("the test waits");
        fake.sleep();
    });
    let push = start(&host, &["push", "here"]);
    begins.recv().expect("the upload begins");
    // Until the buffers are full, so that the host waits for the device.
    std::thread::sleep(Duration::from_millis(500));
    ctrl_c(push);
}

#[test]
fn an_upload_stops_when_the_device_says_that_it_failed() {
    let host = host_with(&["here"], LARGE);
    let (done, is_done) = channel();
    Fake::start(&host, "here", move |mut fake| {
        fake.plan_and_begin_upload();
        let failure = Failure::new(FailureCode::DiskFull, Retry::AfterFix, "no space for the blob")
            .with_hint("free some space on the device");
        fake.reply(&Reply::Failed(failure));
        // As slow as a network, so that the failure arrives in the middle.
        let mut rest = 0;
        while let Ok(Frame::Data(bytes)) = Frame::read(&mut fake.reader) {
            rest += bytes.len();
            std::thread::sleep(Duration::from_millis(50));
        }
        done.send(rest).expect("the test waits");
    });
    host.run(&["push", "here"]).fails(5, &["no space for the blob", "free some space"]);
    let rest = is_done.recv().expect("the connection ends");
    assert!(rest < LARGE / 2, "{rest} bytes were sent all the same");
}

#[test]
fn last_words_of_a_device_that_hangs_up_in_mid_upload_are_heard() {
    let host = host_with(&["here"], LARGE);
    Fake::start(&host, "here", |mut fake| {
        fake.plan_and_begin_upload();
        let failure =
            Failure::new(FailureCode::Store, Retry::AfterFix, "the store is gone").with_hint("mend it");
        // The host waits for the full buffers by now, and not for words.
        std::thread::sleep(Duration::from_millis(300));
        fake.reply(&Reply::Failed(failure));
    });
    host.run(&["push", "here"]).fails(5, &["the store is gone"]);
}

#[test]
fn a_cancel_that_comes_too_late_says_so_and_shows_what_is_active() {
    let host = host_with(&["here"], 0);
    let (begun, begins) = signals();
    Fake::start(&host, "here", move |mut fake| {
        fake.plan(false);
        assert!(matches!(fake.request(), Request::Deploy { .. }));
        begun.send(()).expect("the test waits");
        assert!(matches!(fake.request(), Request::Cancel));
        fake.reply(&Reply::Deployed(Box::new(deployed())));
    });
    let push = start(&host, &["push", "here", "--json"]);
    begins.recv().expect("the deployment begins");
    let (stdout, stderr) = ctrl_c(push);
    let release = ReleaseId::of(b"release");
    assert!(stderr.contains(&format!("too late to cancel: release {release} is active")), "{stderr}");
    let reports: serde_json::Value = serde_json::from_str(&stdout).expect("JSON");
    assert_eq!(reports[0]["models"][0]["deployed"]["release"], release.full());
}

#[test]
fn ctrl_c_keeps_the_results_of_devices_before_and_names_those_not_begun() {
    let host = host_with(&["first", "second", "third"], 0);
    Fake::start(&host, "first", |mut fake| {
        fake.plan(false);
        fake.request();
        fake.reply(&Reply::Deployed(Box::new(deployed())));
    });
    let (begun, begins) = signals();
    Fake::start(&host, "second", move |mut fake| {
        fake.request();
        begun.send(()).expect("the test waits");
        fake.sleep();
    });
    let push = start(&host, &["push", "first", "second", "third", "--json"]);
    begins.recv().expect("the second one is asked");
    let (stdout, stderr) = ctrl_c(push);
    let reports: serde_json::Value = serde_json::from_str(&stdout).expect("JSON");
    assert_eq!(reports[0]["device"], "first");
    assert!(reports[0]["models"][0]["deployed"].is_object(), "{stdout}");
    assert_eq!(reports[1]["error"]["message"], "model `net`: interrupted");
    assert!(reports[1]["traffic"]["sent"].as_u64().is_some_and(|sent| sent > 0), "{stdout}");
    assert_eq!(reports.as_array().map(Vec::len), Some(2));
    assert!(stderr.contains("not begun: third"), "{stderr}");
}

#[test]
fn a_failure_is_shown_before_the_next_device_has_its_turn() {
    let host = host_with(&["first", "second"], 0);
    let (begun, begins) = signals();
    Fake::start(&host, "second", move |mut fake| {
        fake.request();
        begun.send(()).expect("the test waits");
        fake.sleep();
    });
    let status = start(&host, &["status"]);
    begins.recv().expect("the second one is asked");
    let (stdout, stderr) = ctrl_c(status);
    let (shown, stopped) = (stderr.find("error: first failed"), stderr.find("interrupted"));
    assert!(shown.is_some() && shown < stopped, "{stderr}");
    assert!(stdout.contains("first") && stdout.contains("unreachable"), "{stdout}");
}

#[test]
fn ctrl_c_ends_connecting_to_a_server_that_says_nothing() {
    let silent = TcpListener::bind("127.0.0.1:0").expect("a port");
    let port = silent.local_addr().expect("an address").port();
    let host = Host::new();
    let device = format!("  here: {{host: 127.0.0.1, port: {port}}}\n");
    host.write("trt-deploy.yaml", format!("models: {{}}\ndevices:\n{device}"));
    let status = start(&host, &["status", "here"]);
    let (_connection, _) = silent.accept().expect("a host");
    ctrl_c(status);
}

#[test]
fn an_answer_that_makes_no_sense_is_no_unreachable_device() {
    let host = host_with(&["here"], 0);
    Fake::start(&host, "here", |mut fake| {
        fake.request();
        fake.stream.write_all(b"HTTP/1.1 200 OK\r\n").expect("the host reads");
        fake.sleep();
    });
    let run = host.run(&["status", "here"]).fails(5, &["cannot be understood", "0x48"]);
    assert!(run.stdout.contains("failed") && !run.stdout.contains("unreachable"), "{}", run.stdout);
}

#[test]
fn a_model_whose_files_are_damaged_is_shown_with_its_problem() {
    let host = host_with(&["here"], 0);
    Fake::start(&host, "here", |mut fake| {
        assert!(matches!(fake.request(), Request::Status));
        let model = ModelStatus {
            model: "net".parse().expect("a name"),
            current: None,
            problem: Some("`release.json` is cut short".into()),
            previous: None,
            path: String::new(),
        };
        fake.reply(&Reply::Status { models: vec![model], busy: None });
    });
    let run = host.run(&["status", "here"]).ok();
    assert!(run.stdout.contains("unreadable"), "{}", run.stdout);
    assert!(run.stderr.contains("here net: `release.json` is cut short"), "{}", run.stderr);
}
