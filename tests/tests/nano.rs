//! The README's first example, `trt-deploy push jetson-nano`, and what becomes of it on other devices.
//!
//! The devices are SIMULATED: their files are those of the module, and the worker acts as its TensorRT.

use std::fs;

use e2e::{Device, Host, Options, Run, Sim, models, module_root, program, worker};
use serde_json::{Value, json};

const DETECTOR: &str = "  detector:\n    onnx: detector.onnx\n    precision: int8\n    verify: {required: false}\n    \
                        calibration: {images: photos, preprocess: plain}\n";

/// The three kinds of devices: no INT8, INT8 from a calibrator, INT8 from Q/DQ nodes.
const NANO: Jetson = Jetson { module: "nano", tensorrt: "8.2.1" };
const ORIN_NANO: Jetson = Jetson { module: "orin-nano", tensorrt: "10.3.0" };
const THOR: Jetson = Jetson { module: "thor", tensorrt: "11.4.1" };

#[derive(Clone, Copy)]
struct Jetson {
    module: &'static str,
    tensorrt: &'static str,
}

impl Jetson {
    fn options(self) -> Options {
        let module = Some(self.module.to_owned());
        Options { module, ..worker::simulated(&["--tensorrt", self.tensorrt, "--module", self.module]) }
    }

    fn start(self) -> Device {
        Device::with(&self.options())
    }
}

/// A folder with a model and photographs.
fn host() -> Host {
    let host = Host::new();
    host.write("detector.onnx", models::convolutions(32, 16, 3));
    models::photographs(&host.path("photos"), 6);
    host
}

/// Writes the fleet file: these models, and a device that is called `jetson-nano`, whatever it is.
fn fleet(host: &Host, models: &str, device: &Device) {
    let devices = format!("devices:\n  jetson-nano:\n    socket: {}\n", device.socket().display());
    host.write("trt-deploy.yaml", format!("models:\n{models}{devices}"));
}

fn push(host: &Host) -> Run {
    host.run(&["push", "jetson-nano"])
}

/// What a push in JSON says of its only model.
fn pushed(host: &Host) -> Value {
    host.run(&["push", "jetson-nano", "--json"]).ok().json()[0]["models"][0].clone()
}

#[track_caller]
fn says(text: &str, words: &[&str]) {
    for word in words {
        assert!(text.contains(word), "`{word}` is not in:\n{text}");
    }
}

/// The engine's log on the device.
fn log(device: &Device) -> String {
    fs::read_to_string(device.engine("detector").with_file_name("log")).expect("a log")
}

/// The arguments of the README's first example.
fn first_example() -> Vec<String> {
    let readme = fs::read_to_string(concat!(env!("CARGO_MANIFEST_DIR"), "/../README.md")).expect("a README");
    let block = readme.split("```sh\n").nth(1).and_then(|rest| rest.split("```").next()).expect("an example");
    let words: Vec<String> = block.split_whitespace().map(str::to_owned).collect();
    assert_eq!(words, ["trt-deploy", "push", "jetson-nano"], "this test is about that example");
    words[1..].to_vec()
}

#[test]
fn the_first_example_of_the_readme_over_ssh() {
    let Some(sim) = Sim::up() else { return };
    let host = host();
    sim.fleet(&host, &format!("{DETECTOR}    on-unsupported: fp16\n"), &[]);
    let worker = json!([program("simulated-worker"), "--tensorrt", NANO.tensorrt, "--module", NANO.module]);
    sim.install_with(
        &host,
        &format!("worker: {worker}\nfacts-root: {}\n", module_root(NANO.module).display()),
    );

    let example = first_example();
    let example: Vec<&str> = example.iter().map(String::as_str).collect();
    let run = host.run(&example).ok();
    says(
        &run.stdout,
        &[
            "jetson-nano detector: fp16, TensorRT 8.2.1",
            "FP16 is built instead of INT8, because SIMULATED NVIDIA Tegra X1 (compute capability 5.3) has no INT8 \
             instructions",
            "jetson-nano detector: active",
        ],
    );
    assert!(sim.store("models/detector/current/engine/engine.plan").exists());
    says(&host.run(&example).ok().stdout, &["jetson-nano detector: up to date"]);
}

#[test]
fn a_nano_gets_fp16_with_a_decision_that_is_kept() {
    let (device, host) = (NANO.start(), host());
    fleet(&host, &format!("{DETECTOR}    on-unsupported: fp16\n"), &device);
    let model = pushed(&host);
    assert_eq!(model["planned"]["plan"]["precision"], "fp16");
    assert_eq!(model["planned"]["plan"]["mode"], "none");
    let facts = &model["planned"]["facts"];
    assert_eq!(
        (&facts["module"], &facts["gpu"]["Ok"]["compute_capability"]),
        (&json!("Nano"), &json!([5, 3]))
    );
    let record = device.engine("detector").with_file_name("build.json");
    says(&fs::read_to_string(record).expect("a record"), &["FP16 is built instead of INT8"]);
    let status = host.run(&["status", "--json"]).ok().json();
    assert_eq!(status[0]["models"][0]["current"]["precision"], "fp16");
}

#[test]
fn a_nano_is_refused_unless_the_model_allows_something_else() {
    let (device, host) = (NANO.start(), host());
    for on_unsupported in ["", "    on-unsupported: fail\n"] {
        fleet(&host, &format!("{DETECTOR}{on_unsupported}"), &device);
        let words = ["INT8 was asked for", "Tegra X1", "no INT8 instructions", "`on-unsupported: fp16`"];
        push(&host).fails(5, &words);
    }
    assert_eq!(fs::read_dir(device.store("blobs")).expect("a folder").count(), 0, "nothing was sent");
}

#[test]
fn a_nano_builds_implicit_int8_if_it_must_and_warns() {
    let (device, host) = (NANO.start(), host());
    fleet(&host, &format!("{DETECTOR}    on-unsupported: int8-anyway\n"), &device);
    let run = host.run(&["push", "jetson-nano", "-v"]).ok();
    says(
        &run.stdout,
        &["int8, implicit, TensorRT 8.2.1", "INT8 is built although it will be slower than FP16", "active"],
    );
    says(&run.stderr, &["hardware without native Int8 support"]);
    says(
        &log(&device),
        &[
            "Reading Calibration Cache for calibrator: EntropyCalibration2",
            "Generated calibration scales using",
        ],
    );
}

#[test]
fn an_orin_nano_takes_the_table_and_thor_takes_qdq_nodes() {
    for (jetson, mode, calibrator, quantized) in
        [(ORIN_NANO, "implicit", json!("EntropyCalibration2"), 0), (THOR, "explicit", Value::Null, 3)]
    {
        let (device, host) = (jetson.start(), host());
        fleet(&host, DETECTOR, &device);
        let model = pushed(&host);
        let plan = &model["planned"]["plan"];
        assert_eq!((&plan["precision"], &plan["mode"]), (&json!("int8"), &json!(mode)), "{plan}");
        assert_eq!(plan["calibrator"], calibrator);
        let status = host.run(&["status", "--json"]).ok().json();
        assert_eq!(status[0]["models"][0]["current"]["quantized"], quantized, "{}", jetson.module);
        says(&log(&device), &["SIMULATED"]);
    }
}

#[test]
fn a_table_of_minmax_scales_has_its_own_calibrator() {
    let (device, host) = (ORIN_NANO.start(), host());
    fleet(&host, &DETECTOR.replace("preprocess", "algorithm: minmax, preprocess"), &device);
    assert_eq!(pushed(&host)["planned"]["plan"]["calibrator"], "MinMaxCalibration");
    says(&log(&device), &["Reading Calibration Cache for calibrator: MinMaxCalibration"]);
}

#[test]
fn a_dry_run_shows_the_plan_of_every_device() {
    let show = |jetson: Jetson, keys: &str| {
        let (device, host) = (jetson.start(), host());
        fleet(&host, &format!("{DETECTOR}{keys}"), &device);
        let run = host.run(&["push", "jetson-nano", "--dry-run"]);
        assert!(!device.engine("detector").exists());
        format!("# {} with {keys:?}\n{}{}exit {}\n", jetson.module, run.stdout, run.stderr, run.code)
    };
    let text = [
        show(NANO, "    on-unsupported: fp16\n"),
        show(NANO, "    on-unsupported: int8-anyway\n"),
        show(NANO, ""),
        show(ORIN_NANO, ""),
        show(ORIN_NANO, "    other-layers: fp32\n    keep: [relu*]\n"),
        show(THOR, ""),
        show(THOR, "    dla: 0\n"),
    ];
    insta::with_settings!({filters => vec![
        (r"socket [^\s:]+", "socket [path]"),
        (r"\S*/(calibration/)", "$1"),
    ]}, { insta::assert_snapshot!("plans", text.join("\n")) });
}

#[test]
fn what_is_kept_in_higher_precision_has_no_scale_and_reaches_the_plan() {
    let (device, host) = (ORIN_NANO.start(), host());
    let table = || fs::read_to_string(host.path("calibration/detector.cache")).expect("a table");
    fleet(&host, &format!("{DETECTOR}    keep: [\"*elu2\", conv1]\n"), &device);
    assert_eq!(pushed(&host)["planned"]["plan"]["keep"], json!(["conv1", "relu2"]));
    assert!(!table().contains("conv1:") && table().contains("conv0:"), "{}", table());

    // Another list is another table, and another engine.
    fleet(&host, &format!("{DETECTOR}    keep: [conv0]\n"), &device);
    let run = push(&host).ok();
    says(
        &run.stderr,
        &["is stale", "`keep` changed: `conv0` came to it, and `conv1` and 1 more went from it"],
    );
    assert!(table().contains("conv1:") && !table().contains("conv0:"), "{}", table());

    // The table alone carries it to those who use it as one made elsewhere; what they keep beside has no scale either.
    let elsewhere =
        DETECTOR.replace("{images: photos, preprocess: plain}", "{table: calibration/detector.cache}");
    fleet(&host, &format!("{elsewhere}    keep: [relu0]\n"), &device);
    let shipped = pushed(&host);
    assert_eq!(shipped["planned"]["plan"]["keep"], json!(["conv0", "relu0"]));
    let here = table().len() as u64;
    assert!(shipped["upload_bytes"].as_u64().is_some_and(|sent| 0 < sent && sent < here), "{shipped}");

    fleet(&host, &format!("{DETECTOR}    keep: [conv7]\n"), &device);
    push(&host).fails(3, &["`keep` names nothing that the model computes: `conv7`", "did you mean `conv"]);
    let validated = host.run(&["fleet", "validate"]);
    assert_eq!(validated.code, 6);
    says(&validated.stdout, &["conv7"]);
}

#[test]
fn a_model_with_qdq_nodes_needs_no_table_and_takes_none() {
    let (device, host) = (ORIN_NANO.start(), host());
    host.write("detector.onnx", models::quantized_convolutions(32, 16, 2));
    fleet(&host, DETECTOR, &device);
    let words = ["Q/DQ nodes", "table", "remove `calibration`"];
    push(&host).fails(3, &words);
    host.run(&["calibrate", "detector"]).fails(3, &["needs no table", "remove `calibration`"]);
    let validated = host.run(&["fleet", "validate"]);
    assert_eq!(validated.code, 6);
    says(&validated.stdout, &words);

    let own = DETECTOR.replace("    calibration: {images: photos, preprocess: plain}\n", "");
    fleet(&host, &own, &device);
    assert_eq!(pushed(&host)["planned"]["plan"]["mode"], "model-qdq");

    let nano = NANO.start();
    fleet(&host, &own, &nano);
    push(&host).fails(5, &["no INT8 instructions"]);
    fleet(&host, &format!("{own}    on-unsupported: fp16\n"), &nano);
    says(&push(&host).ok().stdout, &["the model's own Q/DQ nodes are taken out"]);
}

#[test]
fn a_dla_is_used_where_there_is_one() {
    let model = format!("{DETECTOR}    dla: 1\n    on-unsupported: fp16\n");
    let (device, host) = (NANO.start(), host());
    fleet(&host, &model, &device);
    push(&host).fails(5, &["Nano has no DLA", "an entry of its own"]);
    let xavier = Jetson { module: "xavier-nx", tensorrt: "8.5.2" }.start();
    fleet(&host, &model, &xavier);
    let plan = pushed(&host)["planned"]["plan"].clone();
    assert_eq!((&plan["dla"], &plan["calibrator"]), (&json!(1), &json!("EntropyCalibration2")));
}

#[test]
fn what_no_dla_can_run_is_told_before_a_device_is_asked() {
    let (device, host) = (NANO.start(), host());
    fleet(&host, "  detector: {onnx: detector.onnx, precision: fp32, dla: 0}\n", &device);
    let words = ["a DLA runs FP16 and INT8 only", "`precision: fp16`"];
    let validated = host.run(&["fleet", "validate"]);
    assert_eq!(validated.code, 6);
    says(&validated.stdout, &words);
    push(&host).fails(3, &words);
}

#[test]
fn runtimes_and_plugins_are_those_that_the_device_defines() {
    let container = json!([program("simulated-worker"), "--tensorrt", "8.6.1", "--module", "orin-nano"]);
    let host = host();
    let plugin = host.write("libyolo_layer.so", "not a library, and nobody loads it");
    let config = format!(
        "runtimes:\n  deepstream:\n    worker: {container}\nplugins:\n  yolo-layer: {}\n",
        plugin.display()
    );
    let device = Device::with(&Options { config, ..ORIN_NANO.options() });
    fleet(&host, &format!("{DETECTOR}    runtime: deepstream\n    plugins: [yolo-layer]\n"), &device);
    let model = pushed(&host);
    assert_eq!(model["planned"]["facts"]["tensorrt"]["Ok"]["version"], json!([8, 6, 1]));
    says(&log(&device), &["Loaded plugin library", "libyolo_layer.so"]);
    let status = host.run(&["status", "--json"]).ok().json();
    assert_eq!(status[0]["models"][0]["current"]["tensorrt"], "TensorRT 8.6.1");

    fleet(&host, &format!("{DETECTOR}    runtime: triton\n"), &device);
    push(&host).fails(5, &["no such runtime on the device: triton", "deepstream"]);
    fleet(&host, &format!("{DETECTOR}    plugins: [evil]\n"), &device);
    push(&host).fails(5, &["no such plugin on the device: evil", "yolo-layer"]);
}
