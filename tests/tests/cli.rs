//! What the user reads: help texts, plans and errors, as snapshots.

use e2e::{Device, Host, models, require_rtx};

#[test]
fn every_verb_explains_itself() {
    let host = Host::new();
    let verbs: [&[&str]; 23] = [
        &[],
        &["init"],
        &["calibrate"],
        &["evaluate"],
        &["report"],
        &["push"],
        &["status"],
        &["rollback"],
        &["probe"],
        &["doctor"],
        &["table"],
        &["table", "show"],
        &["table", "check"],
        &["table", "diff"],
        &["table", "coverage"],
        &["table", "merge"],
        &["table", "derive"],
        &["table", "histogram"],
        &["agent"],
        &["agent", "install"],
        &["agent", "status"],
        &["agent", "uninstall"],
        &["fleet", "validate"],
    ];
    let help = verbs.map(|verb| {
        let run = host.run(&[verb, &["--help"]].concat()).ok();
        format!("$ trt-deploy {} --help\n{}", verb.join(" "), run.stdout)
    });
    insta::assert_snapshot!("help", help.join("\n"));
}

#[test]
fn a_plan_is_shown_with_its_reasons() {
    require_rtx!();
    let (device, host) = (Device::start(), Host::new());
    host.write("net.onnx", models::convolutions(16, 8, 1));
    let models = "  net: {onnx: net.onnx, precision: fp32, verify: {required: false}}\n  \
                  half: {onnx: net.onnx, precision: fp16, verify: {required: false}}\n  \
                  quant: {onnx: net.onnx, precision: int8, verify: {required: false}}\n";
    host.fleet(models, &device);
    let show = |model: &str| {
        let run = host.run(&["push", "here", "--dry-run", "-m", model]);
        format!("{}{}exit {}\n", run.stdout, run.stderr, run.code)
    };
    let text = ["net", "half", "quant"].map(show).join("\n");
    insta::with_settings!({filters => vec![
        (r"TensorRT-RTX \d+\.\d+\.\d+", "TensorRT-RTX [version]"),
        (r"socket \S+", "socket [path]"),
        (r"engine [0-9a-f]{8}", "engine [key]"),
    ]}, { insta::assert_snapshot!("plans", text) });
}

#[test]
fn completions_come_for_the_usual_shells() {
    let host = Host::new();
    for shell in ["bash", "zsh", "fish"] {
        assert!(host.run(&["completions", shell]).ok().stdout.contains("trt-deploy"), "{shell}");
    }
}
