//! Which `trtexec` builds what, and how it is asked.

use super::*;

#[test]
fn int8_on_8_6_is_built_from_a_table_of_any_algorithm() {
    let Some(tensorrt) = TensorRt::new(8602, 8) else { return };
    let device = tensorrt.device();
    let model = INT8.replace("preprocess: plain", "preprocess: plain, algorithm: minmax");
    let host = host(&device, &format!("{model}    workspace: 64MiB\n    keep: [relu0]\n"));
    let dry = host.run(&["push", "here", "--dry-run"]).ok();
    let program = tensorrt.path("bin/trtexec").display().to_string();
    let decision = format!("`{program}` builds the engine, because the model says `backend: trtexec`");
    says(&dry.stdout, &[&decision, "int8, implicit, TensorRT 8.6.2"]);

    let run = host.run(&["push", "here"]).ok();
    says(&run.stdout, &[&decision, "EntropyCalibration2 instead of MinMaxCalibration", "active"]);
    let table = tensorrt.read("bin/table");
    assert!(table.starts_with("TRT-8602-EntropyCalibration2\n"), "{table}");
    assert!(table.contains("\nimages: ") && !table.contains("\nrelu0: "), "{table}");
    let arguments = tensorrt.read("bin/arguments");
    for word in [
        "--int8",
        "--fp16",
        "--calib=",
        "--memPoolSize=workspace:64",
        "--skipInference",
        "--timingCacheFile=",
    ] {
        assert!(arguments.lines().any(|line| line.starts_with(word)), "{word}: {arguments}");
    }
    assert!(!arguments.contains("Shapes"), "the model has no dynamic input: {arguments}");
    assert!(tensorrt.read("bin/library-path").starts_with(&tensorrt.path("lib").display().to_string()));
    assert!(fs::read(device.engine("net")).expect("an engine").starts_with(b"ftrt"));
    let told = run.stdout.find("nobody knows whether 1 layer").expect("the script's log lists no layers");
    assert!(told < run.stdout.find("active").expect("the result"), "{}", run.stdout);
    assert_eq!(run.stdout.matches("nobody knows whether").count(), 1, "once: {}", run.stdout);
    says(
        &log(&device),
        &["Generated calibration scales", "&&&& PASSED", "[verbose] [TRT] Original: 9 layers"],
    );
    let record = fs::read_to_string(device.engine("net").with_file_name("build.json")).expect("a record");
    let record: serde_json::Value = serde_json::from_str(&record).expect("JSON");
    assert_eq!(record["built"]["layers"], 9);
    assert!(record["built"]["peak_rss"].as_u64().is_some_and(|bytes| bytes > 0));
    says(&host.run(&["push", "here"]).ok().stdout, &["up to date"]);
    says(&host.run(&["probe", "here"]).ok().stdout, &[&program]);
}

#[test]
fn dynamic_inputs_get_their_shapes() {
    let Some(tensorrt) = TensorRt::new(8201, 8) else { return };
    let device = tensorrt.device();
    let shapes =
        "    shapes:\n      images: {min: [1, 3, 16, 16], opt: [2, 3, 16, 16], max: [4, 3, 16, 16]}\n";
    let host = host(&device, &format!("{FP16}{shapes}    workspace: 64MiB\n"));
    host.write("net.onnx", models::dynamic_batch(16, 8));
    host.run(&["push", "here"]).ok();
    let arguments = tensorrt.read("bin/arguments");
    says(
        &arguments,
        &[
            "--minShapes=images:1x3x16x16\n",
            "--optShapes=images:2x3x16x16\n",
            "--maxShapes=images:4x3x16x16\n",
            "--workspace=64\n",
            "--buildOnly\n",
        ],
    );
    assert!(!arguments.contains("--int8"));
}

#[test]
fn a_version_that_the_agent_does_not_know_is_built_from_qdq_by_its_trtexec() {
    let typed = |tensorrt: TensorRt| {
        let device = tensorrt.device();
        let host = host(&device, &INT8.replace("    backend: trtexec\n", ""));
        let run = host.run(&["push", "here"]).ok();
        says(
            &run.stdout,
            &[
                "int8, explicit Q/DQ, TensorRT 12.0.1",
                "builds the engine, because this agent does not know the interface of TensorRT 12.0.1",
                "Q/DQ nodes are inserted from the calibration table",
                "active",
            ],
        );
        let arguments = tensorrt.read("bin/arguments");
        let options: Vec<&str> =
            arguments.lines().map(|line| line.split('=').next().unwrap_or(line)).collect();
        assert_eq!(options, ["--onnx", "--saveEngine"], "no option that its help does not name");
        says(&tensorrt.read("bin/model"), &["QuantizeLinear", "DequantizeLinear"]);
        assert!(tensorrt.read("bin/table").is_empty());
    };
    // The library is found under a known name, or `trtexec` is all there is.
    let Some(tensorrt) = TensorRt::new(120_001, 11) else { return };
    typed(tensorrt);
    typed(TensorRt::without_library(120_001));
}

#[test]
fn tensorrt_9_has_calibrators_and_only_its_trtexec_can_be_used() {
    let tensorrt = TensorRt::without_library(9300);
    tensorrt.behaves(
        "help() { echo '  --onnx=<file> --saveEngine=<file> --int8 --fp16 --calib=<file> --skipInference'; }",
    );
    let device = tensorrt.device();
    let host = host(&device, &INT8.replace("    backend: trtexec\n", ""));
    says(&host.run(&["push", "here"]).ok().stdout, &["int8, implicit, TensorRT 9.3.0", "active"]);
    assert!(tensorrt.read("bin/table").starts_with("TRT-9300-EntropyCalibration2\n"));
    says(&log(&device), &["Generated calibration scales"]);
}

#[test]
fn an_option_that_a_newer_version_has_lost_is_named() {
    let tensorrt = TensorRt::without_library(120_001);
    let device = tensorrt.device();
    let host = host(&device, &format!("{FP16}    workspace: 1GiB\n"));
    host.run(&["push", "here"]).fails(5, &["the `trtexec` of TensorRT 12.0.1 has no option `--memPoolSize`"]);
}

#[test]
fn a_trtexec_of_another_version_builds_nothing() {
    let Some(tensorrt) = TensorRt::new(8602, 8) else { return };
    tensorrt.write("bin/version", "8503");
    let device = tensorrt.device();
    let host = host(&device, FP16);
    host.run(&["push", "here"])
        .fails(5, &["is of TensorRT 8.5.3, and its engines could not be loaded by TensorRT 8.6.2"]);
    assert!(!tensorrt.path("bin/arguments").exists());
    // It may lie when it is asked, too.
    tensorrt.write("bin/version", "8602");
    tensorrt.behaves("case $line in *--help*) ;; *) version=8503 ;; esac\n");
    host.run(&["push", "here"]).fails(5, &["the `trtexec` that ran is of TensorRT 8.5.3"]);
    assert!(!device.store("models/net/current").exists());
}

#[test]
fn a_trtexec_without_a_banner_is_taken_for_the_librarys_own_with_a_decision() {
    let Some(tensorrt) = TensorRt::new(8602, 8) else { return };
    tensorrt.behaves(
        "banner() { echo \"&&&& $1 TensorRT.trtexec # $line\"; }\n\
         plan() { head -c 4000 /dev/zero; }\n",
    );
    let device = tensorrt.device();
    let run = host(&device, FP16).run(&["push", "here"]).ok();
    says(
        &run.stdout,
        &["is taken for a part of TensorRT 8.6.2, because its banner names no version", "active"],
    );
}

#[test]
fn a_device_without_trtexec_says_what_brings_it() {
    let Some(tensorrt) = TensorRt::new(8602, 8) else { return };
    fs::remove_file(tensorrt.path("bin/trtexec")).expect("it was there");
    let device = tensorrt.device();
    let run = host(&device, FP16).run(&["push", "here"]);
    // The machine that runs this test may have one of its own.
    let missing = run.stderr.contains("the device has no `trtexec`") && run.stderr.contains("libnvinfer-bin");
    assert!(run.code == 5 && (missing || run.stderr.contains("could not be loaded by")), "{}", run.stderr);
}
