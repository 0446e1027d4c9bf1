//! Calibration as a user runs it: again, in shards, from saved histograms, and held against FP32.

mod input;
mod own_calibrator;

use std::process::Command;

use e2e::{Host, models};

const FLEET: &str = "models:
  net:
    onnx: net.onnx
    precision: int8
    calibration: {images: photos, preprocess: {size: 16}, count: 6, backend: rten}
";
const TABLE: &str = "calibration/net.cache";

/// A folder with a small network, nine photographs and a fleet file.
fn host() -> Host {
    let host = Host::new();
    host.write("net.onnx", models::convolutions(16, 4, 2));
    models::photographs(&host.path("photos"), 9);
    host.write("trt-deploy.yaml", FLEET);
    host
}

/// Table and sidecar, with the time of 2024-01-01.
fn run(host: &Host, args: &[&str]) -> e2e::Run {
    let mut command = host.command(args);
    command.env("SOURCE_DATE_EPOCH", "1704067200");
    e2e::run(command).ok()
}

fn bytes(host: &Host) -> [Vec<u8>; 2] {
    [TABLE.to_owned(), format!("{TABLE}.json")].map(|name| std::fs::read(host.path(&name)).unwrap())
}

#[test]
fn calibrating_twice_gives_the_same_bytes() {
    let (one, other) = (host(), host());
    run(&one, &["calibrate"]);
    run(&other, &["calibrate"]);
    assert_eq!(bytes(&one), bytes(&other));
    assert!(run(&one, &["calibrate"]).stderr.contains("is up to date"));
}

#[test]
fn shards_and_the_table_derived_from_them_are_those_of_one_run() {
    let (one, other) = (host(), host());
    run(&one, &["calibrate"]);
    for shard in ["2/3", "3/3", "1/3"] {
        run(&other, &["calibrate", "net", "--shard", shard]);
    }
    let files = [1, 2, 3].map(|shard| format!("{TABLE}.{shard}-of-3.histograms"));
    let histograms = format!("{TABLE}.histograms");
    let merge: Vec<&str> =
        ["table", "merge", "-o", &histograms].into_iter().chain(files.iter().map(String::as_str)).collect();
    run(&other, &merge);
    run(&other, &["table", "derive", &histograms, "--onnx", "net.onnx", "-o", TABLE]);
    assert_eq!(bytes(&one), bytes(&other));
    let told = run(&other, &["calibrate", "net"]);
    assert!(told.stderr.contains("is up to date"), "{}", told.stderr);
}

#[test]
fn gnu_parallel_spreads_a_calibration_as_the_documentation_says() {
    if Command::new("parallel").arg("--version").output().is_err() {
        test_support::skip("GNU parallel is not installed");
        return;
    }
    let document = include_str!("../../../docs/spread.md");
    let block = document.split("```sh\n").nth(1).and_then(|rest| rest.split("```").next()).unwrap();
    let (one, other) = (host(), host());
    run(&one, &["calibrate"]);
    for host in [&one, &other] {
        host.write("trt-deploy.yaml", FLEET.replace("net:", "detector:"));
    }
    let program = one.command(&[]).get_program().to_owned();
    let folder = std::path::Path::new(&program).parent().unwrap().to_owned();
    let path = std::env::join_paths(
        std::iter::once(folder).chain(std::env::split_paths(&std::env::var_os("PATH").unwrap())),
    )
    .unwrap();
    let mut shell = Command::new("sh");
    shell.args(["-e", "-c", block]).current_dir(other.path("")).env("PATH", path).env("HOME", other.path(""));
    let told = e2e::run(shell).ok();
    assert!(told.stderr.contains("derived again from saved histograms"), "{}", told.stderr);
    let detector = std::fs::read(other.path("calibration/detector.cache")).unwrap();
    assert_eq!(detector, std::fs::read(one.path(TABLE)).unwrap());
}

#[test]
fn another_algorithm_needs_no_run_of_the_model() {
    let host = host();
    run(&host, &["calibrate"]);
    host.write("trt-deploy.yaml", FLEET.replace("count: 6", "count: 6, algorithm: 'percentile:99.9'"));
    let told = run(&host, &["calibrate"]).stderr;
    assert!(told.contains("derived again from saved histograms"), "{told}");
    assert!(
        run(&host, &["table", "histogram", &format!("{TABLE}.histograms"), "relu0"]).stdout.contains("relu0")
    );
    let coverage = run(&host, &["table", "coverage", TABLE, "--onnx", "net.onnx"]).stdout;
    assert!(coverage.contains("5 of 5 activations"), "{coverage}");
}

#[test]
fn auto_chooses_the_same_every_time_and_says_why() {
    let (one, other) = (host(), host());
    for host in [&one, &other] {
        host.write("trt-deploy.yaml", FLEET.replace("count: 6", "count: 9, algorithm: auto"));
        let told = run(host, &["calibrate"]).stderr;
        assert!(told.contains("chosen since"), "{told}");
    }
    assert_eq!(bytes(&one), bytes(&other));
    let sidecar: serde_json::Value = serde_json::from_slice(&bytes(&one)[1]).unwrap();
    assert_eq!(sidecar["auto"]["splits"].as_array().unwrap().len(), 3);
    assert!(run(&one, &["calibrate"]).stderr.contains("is up to date"));
}

#[test]
fn evaluation_has_figures_a_rescue_and_a_report() {
    let host = host();
    run(&host, &["calibrate"]);
    let found = run(&host, &["evaluate", "net", "--json", "--rank", "3"]).json();
    assert_eq!(
        (&found["about"], &found["evaluation"]["samples"]),
        (&"left aside by calibration".into(), &3.into())
    );
    let sqnr = found["evaluation"]["mean-sqnr"].as_f64().unwrap();
    assert!(sqnr > 5.0, "{found}");
    run(&host, &["report", "net"]);
    let html = std::fs::read_to_string(host.path("calibration/net.html")).unwrap();
    assert!(html.contains("relu0") && !html.contains("http-equiv=\"refresh\""));

    let before = bytes(&host);
    let told = run(&host, &["evaluate", "net", "--rescue", &format!("sqnr>={}", sqnr + 1.0)]);
    assert!(told.stdout.contains("keep `"), "{}\n{}", told.stdout, told.stderr);
    assert_ne!(before[0], bytes(&host)[0], "a scale is gone");
    assert!(run(&host, &["calibrate"]).stderr.contains("is up to date"), "the rescue stays");
}
