//! What bad input gets: an error with a hint, an exit code, and nothing left behind.

use std::fs;
use std::io::{BufRead, BufReader};

use e2e::{Device, Host, Options, SmallDisk, models, require_rtx};

fn host_with(models: &str, device: &Device) -> Host {
    let host = Host::new();
    host.fleet(models, device);
    host
}

const NET: &str = "  net:\n    onnx: net.onnx\n    precision: fp32\n    verify: {required: false}\n";
const INT8: &str = "  net:\n    onnx: net.onnx\n    precision: int8\n    verify: {required: false}\n    \
                    calibration: {images: photos, preprocess: plain}\n";

#[test]
fn a_missing_truncated_or_foreign_onnx_is_named() {
    let device = Device::start();
    let host = host_with(NET, &device);
    host.run(&["push", "here"]).fails(3, &["net.onnx"]);
    let whole = models::convolutions(16, 8, 1);
    for bytes in [&whole[..whole.len() / 2], b"not a model", b""] {
        host.write("net.onnx", bytes);
        host.run(&["push", "here"]).fails(3, &["net.onnx"]);
    }
    assert_eq!(fs::read_dir(device.store("blobs")).expect("a folder").count(), 0, "nothing was sent");
}

#[test]
fn an_operator_that_tensorrt_does_not_know_is_named_with_its_node() {
    require_rtx!();
    let device = Device::start();
    let host = host_with(NET, &device);
    host.write("net.onnx", models::unknown_operator());
    host.run(&["push", "here"]).fails(5, &["the_strange_node", "Frobnicate"]);
    assert!(!device.engine("net").exists());
    let log =
        fs::read_to_string(device.store("models/net/last-failure.log")).expect("TensorRT's words are kept");
    assert!(log.contains("Frobnicate"), "{log}");
    assert_eq!(fs::read_dir(device.store("work")).expect("a folder").count(), 0);
}

#[test]
fn an_operator_that_calibration_does_not_know_is_named_with_its_node() {
    let device = Device::start();
    let host = host_with(INT8, &device);
    host.write("net.onnx", models::unknown_operator());
    models::photographs(&host.path("photos"), 2);
    host.run(&["calibrate", "net"]).fails(3, &["the_strange_node", "Frobnicate"]);
}

#[test]
fn images_that_are_absent_or_undecodable_leave_no_table() {
    let device = Device::start();
    let host = host_with(INT8, &device);
    host.write("net.onnx", models::convolutions(16, 8, 1));
    host.run(&["calibrate", "net"]).fails(3, &["photos"]);
    host.write("photos/a.jpg", "not a picture");
    host.write("photos/b.png", "");
    host.run(&["calibrate", "net"]).fails(3, &["a.jpg"]);
    models::photographs(&host.path("photos"), 8);
    // Two of ten are more than the default share.
    host.run(&["calibrate", "net"]).fails(3, &["2 of 10", "a.jpg", "b.png"]);
    let files = host.files();
    assert!(!files.iter().any(|file| file.contains("calibration")), "{files:?}");
}

#[test]
fn an_activation_that_is_not_a_number_is_named() {
    let device = Device::start();
    let host = host_with(INT8, &device);
    host.write("net.onnx", models::not_a_number());
    models::photographs(&host.path("photos"), 2);
    host.run(&["calibrate", "net"]).fails(3, &["`root`", "photo00"]);
}

#[test]
fn a_table_of_another_model_is_refused() {
    let device = Device::start();
    let table = "  net:\n    onnx: net.onnx\n    precision: int8\n    calibration: {table: other.cache}\n";
    let host = host_with(table, &device);
    host.write("net.onnx", models::convolutions(16, 8, 1));
    host.write("other.cache", "TRT-8601-EntropyCalibration2\nsome/other/tensor: 3c010a14\n");
    host.run(&["push", "here"]).fails(3, &["other.cache", "another model"]);
}

#[test]
fn init_with_a_model_that_is_not_there_says_what_to_check() {
    let host = Host::new();
    host.run(&["init", "--onnx", "nope.onnx"]).fails(3, &["nope.onnx", "check the path"]);
    assert!(host.files().is_empty(), "{:?}", host.files());
}

#[test]
fn wrong_fleet_files_are_located() {
    let host = Host::new();
    let cases = [
        ("models:\n  net:\n    onx: a.onnx\n    precision: fp32\n", "trt-deploy.yaml:3:", "onnx"),
        ("models:\n  net:\n    onnx: a.onnx\n    precision: int9\n", "trt-deploy.yaml:4:", "int8"),
        ("models:\n  net: &m {onnx: a.onnx}\n  two:\n    <<: *m\n", "trt-deploy.yaml:4:", "`<<`"),
    ];
    for (text, place, word) in cases {
        host.write("trt-deploy.yaml", text);
        host.run(&["fleet", "validate"]).fails(2, &[place, word]);
    }
    let preprocess = INT8.replace("preprocess: plain", "preprocess: {siez: 224}");
    host.write("trt-deploy.yaml", format!("models:\n{preprocess}"));
    host.run(&["fleet", "validate"]).fails(2, &["siez", "size"]);
}

#[test]
fn a_keep_that_cannot_be_meant_is_refused_before_anything_is_done() {
    let device = Device::start();
    let host = host_with("", &device);
    host.write("net.onnx", models::convolutions(16, 8, 2));
    for (keep, words) in
        [("*", "nothing is left"), ("conv1_node", "names a node"), ("conv7", "names nothing")]
    {
        host.fleet(&format!("{NET}    keep: [\"{keep}\"]\n"), &device);
        let shown = host.run(&["fleet", "validate"]);
        assert_eq!((shown.code, shown.stdout.matches(words).count()), (6, 1), "{}", shown.stdout);
        for verb in [&["push", "here", "--dry-run"][..], &["push", "here"]] {
            host.run(verb).fails(3, &["`keep`", words]);
        }
    }
}

#[test]
fn a_dynamic_input_without_a_shape_and_a_shape_that_does_not_fit_are_refused() {
    require_rtx!();
    let device = Device::start();
    let host = host_with(NET, &device);
    host.write("net.onnx", models::dynamic_batch(16, 8));
    host.run(&["push", "here"]).fails(3, &["`images` has dynamic dimensions [-1, 3, 16, 16]", "`shapes`"]);
    host.fleet(&format!("{NET}    shapes: {{images: [1, 3, 99, 99]}}\n"), &device);
    host.run(&["push", "here"]).fails(3, &["images", "[1, 3, 99, 99]"]);
    host.fleet(&format!("{NET}    shapes: {{images: [4, 3, 16, 16]}}\n"), &device);
    host.run(&["push", "here"]).ok();
    host.write("net.onnx", models::convolutions(16, 8, 1));
    host.run(&["push", "here"]).fails(3, &["images", "[4, 3, 16, 16]"]);
}

#[test]
fn a_device_without_tensorrt_lists_the_names_it_tried() {
    let device = Device::with(&Options { without_tensorrt: true, ..Default::default() });
    let host = host_with(NET, &device);
    host.write("net.onnx", models::convolutions(16, 8, 1));
    host.run(&["push", "here"]).fails(5, &["libnvinfer.so.10", "libnvinfer.so.8", "tensorrt-dir"]);
}

#[test]
fn a_socket_without_an_agent_is_explained() {
    let mut device = Device::start();
    let host = host_with(NET, &device);
    host.write("net.onnx", models::convolutions(16, 8, 1));
    device.kill();
    host.run(&["push", "here"]).fails(4, &["agent.sock", "trt-agent daemon"]);
    let pushed = host.run(&["push", "here", "--json"]).json();
    assert_eq!(pushed[0]["error"]["retry"], "after-fix");
    // `agent install` does not work through a socket, so nobody is sent there.
    let status = host.run(&["agent", "status"]);
    assert_eq!(status.code, 6, "{}", status.stdout);
    assert!(status.stdout.contains("does not answer: cannot connect to socket"), "{}", status.stdout);
    assert!(status.stdout.contains("hint: is the agent running?"), "{}", status.stdout);
    assert!(!status.stdout.contains("agent install"), "{}", status.stdout);
    for verb in ["push", "status", "rollback", "probe"] {
        let report = host.run(&[verb, "here", "--json"]).fails(4, &["agent.sock"]).json();
        assert_eq!(report[0]["device"], "here", "{verb}");
        assert!(report[0]["error"]["hint"].is_string(), "{verb}: {report}");
    }
}

#[test]
fn ctrl_c_in_mid_calibration_leaves_nothing_but_what_can_be_resumed() {
    let device = Device::start();
    let host = host_with(&INT8.replace("preprocess: plain", "count: 4000, preprocess: plain"), &device);
    host.write("net.onnx", models::convolutions(64, 64, 6));
    models::photographs(&host.path("photos"), 300);
    let before = host.files();
    let mut calibrate = host.start(&["calibrate", "net"]);
    let stderr = calibrate.stderr.take().expect("stderr is piped");
    let mut lines = BufReader::new(stderr).lines();
    assert!(lines.any(|line| line.is_ok_and(|line| line.contains("10 %"))), "it does not begin");
    let pid = rustix::process::Pid::from_child(&calibrate);
    rustix::process::kill_process(pid, rustix::process::Signal::INT).expect("it runs");
    lines.for_each(drop);
    assert_eq!(calibrate.wait().expect("it ends").code(), Some(130));
    let part = "calibration/net.cache.histograms.part".to_owned();
    assert_eq!(host.files(), [vec![part.clone()], before].concat());
    let told = host.run(&["calibrate", "net", "--resume"]).ok().stderr;
    assert!(told.contains("of them had been counted before"), "{told}");
    assert!(!host.files().contains(&part), "it has served");
}

#[test]
fn without_progress_nothing_is_counted() {
    let device = Device::start();
    let host = host_with(INT8, &device);
    host.write("net.onnx", models::convolutions(16, 8, 1));
    models::photographs(&host.path("photos"), 12);
    assert!(host.run(&["calibrate", "net"]).ok().stderr.contains(" 100 %"));
    let quiet = host.run(&["calibrate", "net", "--force", "--no-progress"]).ok();
    assert!(!quiet.stderr.contains("calibrating") && quiet.stderr.contains("written"), "{}", quiet.stderr);
}

#[test]
fn a_full_disk_on_the_host_leaves_the_old_table_alone() {
    if !SmallDisk::is_possible() {
        return;
    }
    let device = Device::start();
    let host = host_with(INT8, &device);
    host.write("net.onnx", models::convolutions(16, 8, 1));
    models::photographs(&host.path("photos"), 4);
    let disk = host.path("calibration");
    let _disk = SmallDisk::mount(disk.clone(), 64);
    host.run(&["calibrate", "net"]).ok();
    let before = fs::read(disk.join("net.cache")).expect("a table");
    let filler = SmallDisk::fill(&disk, 0);
    fs::copy(host.path("photos/photo000.jpg"), host.path("photos/more.jpg")).expect("one more photo");
    host.run(&["calibrate", "net"]).fails(3, &["calibration/net.cache", "space"]);
    assert_eq!(fs::read(disk.join("net.cache")).expect("the old table"), before);
    assert_eq!(fs::read_dir(&disk).expect("a folder").count(), 3, "{:?}", host.files());
    fs::remove_file(filler).expect("the filler goes");
    host.run(&["calibrate", "net"]).ok();
}
