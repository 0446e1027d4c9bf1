//! `backend: tensorrt`: the calls of a whole calibration, by a recorder in TensorRT's place, which takes every batch and
//! writes the table that it is told to, and a stub in CUDA's, which is memory. No TensorRT has been asked.

use std::path::Path;
use std::process::Command;

use e2e::{Host, Run, models};

const FLEET: &str = "models:
  net:
    onnx: net.onnx
    precision: int8
    shapes: {images: [1, 3, 224, 224]}
    calibration: {images: photos, preprocess: plain, batch: 4, backend: tensorrt, tensorrt-dir: lib}
";
const TABLE: &str = "calibration/net.cache";
/// As TensorRT 10 writes it, with a name of its own making.
const WRITTEN: &str = "TRT-100300-EntropyCalibration2\nimages: 3c010204\nconv0: 3d418306\n\
                       (Unnamed Layer* 0) [Constant]_output: 3c010204\n";

/// The libraries of TensorRT 10.3 and of a CUDA driver.
fn stage(folder: &Path) {
    std::fs::create_dir_all(folder).unwrap();
    let recorder = std::env::current_exe().unwrap().with_file_name("librecorder.so");
    for name in ["libnvinfer", "libnvonnxparser", "libnvinfer_plugin"] {
        // One file under all names, so that the loader makes one library of them.
        let link = folder.join(format!("{name}.so.10"));
        if std::fs::hard_link(&recorder, &link).is_err() {
            std::os::unix::fs::symlink(&recorder, &link).unwrap();
        }
    }
    let compiled = Command::new("cc")
        .args(["-shared", "-fPIC", "-o"])
        .arg(folder.join("libcuda.so.1"))
        .args([concat!(env!("CARGO_MANIFEST_DIR"), "/../crates/cuda/tests/stub/driver.c"), "-lpthread"])
        .status();
    assert!(compiled.unwrap().success());
}

fn host() -> Host {
    let host = Host::new();
    stage(&host.path("lib"));
    host.write("net.onnx", models::dynamic_batch(224, 4));
    models::photographs(&host.path("photos"), 9);
    host.write("trt-deploy.yaml", FLEET);
    host
}

fn run(host: &Host, args: &[&str]) -> Run {
    let mut command = host.command(args);
    command
        .env("LD_LIBRARY_PATH", host.path("lib"))
        .env("RECORDER_VERSION", "100300")
        .env("RECORDER_LOG", host.path("log"))
        .env("RECORDER_CACHE", WRITTEN)
        .env("STUB_CUDA_LOG", host.path("cuda.log"));
    e2e::run(command)
}

/// How many batches TensorRT got.
fn batches(host: &Host) -> usize {
    let log = std::fs::read_to_string(host.path("log")).unwrap();
    log.lines().filter(|line| line.contains("getBatch(images) -> true, 0x")).count()
}

#[test]
fn tensorrts_own_table_is_written_with_its_provenance() {
    let host = host();
    let told = run(&host, &["calibrate"]).ok().stderr;
    assert!(told.contains("proven on a recorder of TensorRT's calls"), "{told}");
    // Nine samples are two batches of four, and one that fills none.
    assert_eq!(batches(&host), 2);
    assert!(told.contains("1 sample(s) were left out") && told.contains("fills no batch"), "{told}");
    assert!(told.contains("2 of 3 float activations have a scale"), "{told}");
    assert_eq!(std::fs::read_to_string(host.path(TABLE)).unwrap(), WRITTEN);
    let sidecar = std::fs::read(host.path(&format!("{TABLE}.json"))).unwrap();
    let sidecar: serde_json::Value = serde_json::from_slice(&sidecar).unwrap();
    assert_eq!(sidecar["backend"]["name"], "tensorrt");
    assert_eq!(sidecar["backend"]["version"], "10.3.0");
    assert_eq!((&sidecar["dataset"]["count"], &sidecar["batch"]), (&8.into(), &4.into()));
    assert_eq!(sidecar["without_scale"]["relu0"], "TensorRT's own calibrator gave it none");
    assert!(sidecar.get("histograms").is_none() && !host.path(&format!("{TABLE}.histograms")).exists());

    assert!(run(&host, &["calibrate"]).ok().stderr.contains("is up to date"));
    host.write("trt-deploy.yaml", FLEET.replace("backend: tensorrt", "backend: rten"));
    let told = run(&host, &["calibrate"]).ok().stderr;
    assert!(told.contains("`backend` was tensorrt, whose own calibrator decided, and is another"), "{told}");
}

#[test]
fn what_is_kept_in_higher_precision_leaves_tensorrts_table() {
    let host = host();
    host.write("trt-deploy.yaml", FLEET.replace("precision: int8", "precision: int8\n    keep: [conv0]"));
    run(&host, &["calibrate"]).ok();
    assert_eq!(std::fs::read_to_string(host.path(TABLE)).unwrap(), WRITTEN.replace("conv0: 3d418306\n", ""));
}

#[test]
fn broken_samples_end_it_before_tensorrt_makes_a_table_of_the_rest() {
    let host = host();
    host.write("photos/a.jpg", "no picture");
    run(&host, &["calibrate"]).fails(3, &["1 of 10", "a.jpg"]);
    assert!(!host.path(TABLE).exists());
    host.write("trt-deploy.yaml", FLEET.replace("batch: 4", "batch: 4, max-undecodable: 0.2"));
    let told = run(&host, &["calibrate"]).ok().stderr;
    assert!(told.contains("a.jpg"), "{told}");
}

#[test]
fn what_it_has_not_got_and_a_missing_library_are_told_with_what_helps() {
    let host = host();
    host.write("trt-deploy.yaml", FLEET.replace("batch: 4", "algorithm: mse"));
    run(&host, &["calibrate"]).fails(3, &["has no `algorithm: mse`", "`entropy1`"]);
    host.write("trt-deploy.yaml", FLEET.replace("dir: lib", "dir: photos"));
    run(&host, &["calibrate"])
        .fails(3, &["no TensorRT can calibrate here", "libnvinfer.so.10", "tensorrt-dir"]);
    let single = ["calibrate", "--onnx", "net.onnx", "--images", "photos", "--preprocess", "plain"];
    let more = ["--shape", "images:1x3x224x224", "--backend", "tensorrt", "--tensorrt-dir", "lib"];
    run(&host, &[&single[..], &more].concat()).ok();
    assert_eq!(std::fs::read_to_string(host.path("net.cache")).unwrap(), WRITTEN);
}
