//! The main job with a Jetson's processor: the agent for aarch64 is installed over SSH in an arm64 userland, and the real
//! TensorRT-RTX for arm64 builds there. All of it is EMULATED by qemu, and there is no GPU.

use std::fs;
use std::process::Command;

use e2e::{Host, Sim, models, module_root};

const NET: &str = "  net:\n    onnx: net.onnx\n    precision: PRECISION\n    verify: {required: false}\n    \
                   calibration: {images: photos, preprocess: plain}\n";

#[test]
fn the_arm64_agent_is_installed_and_builds_with_the_real_arm64_tensorrt_rtx() {
    let Some(sim) = Sim::up_arm64() else { return };
    assert_eq!(sim.shell("uname -m").trim(), "aarch64");
    let host = Host::new();
    host.write("net.onnx", models::convolutions(32, 96, 3));
    models::photographs(&host.path("photos"), 8);
    sim.fleet(&host, &NET.replace("PRECISION", "int8"), &[]);
    let copied =
        Command::new("cp").arg("-r").arg(module_root("orin-nano")).arg(sim.path("home/facts")).status();
    assert!(copied.expect("cp").success());

    sim.install_with(
        &host,
        "tensorrt-dir: /opt/tensorrt-rtx\nbuild-for: \"8.6\"\nfacts-root: /home/nvidia/facts\n",
    );
    let facts = host.run(&["probe", "jetson-nano", "--json"]).ok().json()[0]["facts"].clone();
    assert_eq!(facts["arch"], "aarch64");
    assert_eq!(facts["module"], "Orin Nano");
    assert_eq!(facts["tensorrt"]["Ok"]["product"], "tensorrt-rtx");

    for precision in ["int8", "fp16"] {
        sim.fleet(&host, &NET.replace("PRECISION", precision), &[]);
        let push = host.run(&["push", "jetson-nano", "--json"]).ok().json();
        let deployed = &push[0]["models"][0]["deployed"];
        let engine = sim.store("models/net/current/engine/engine.plan");
        let size = fs::metadata(&engine).expect("an engine").len();
        assert_eq!(deployed["engine_bytes"], size, "{precision}");
        let log = fs::read_to_string(engine.with_file_name("log")).expect("a log");
        assert!(log.contains("Engine generation completed"), "TensorRT's own words, {precision}: {log}");
        let again = host.run(&["push", "jetson-nano", "--json"]).ok().json();
        assert_eq!(again[0]["models"][0]["planned"]["action"], "nothing", "{precision}");
    }
    let status = host.run(&["status", "jetson-nano", "--json"]).ok().json();
    assert_eq!(status[0]["models"][0]["current"]["precision"], "fp16");
}

#[test]
fn the_arm64_agent_is_replaced_and_removed_although_its_processes_are_the_emulators() {
    let Some(sim) = Sim::up_arm64() else { return };
    let host = Host::new();
    sim.fleet(&host, "  {}\n", &[]);
    sim.replace_and_remove_agent(&host, || ());
}

#[test]
fn the_words_of_the_arm64_parser_reach_the_host_and_the_agent_goes_on() {
    let Some(sim) = Sim::up_arm64() else { return };
    let host = Host::new();
    host.write("net.onnx", models::unknown_operator());
    sim.fleet(&host, "  net: {onnx: net.onnx, precision: fp32, verify: {required: false}}\n", &[]);
    sim.install_with(&host, "tensorrt-dir: /opt/tensorrt-rtx\nbuild-for: \"8.6\"\n");
    host.run(&["push", "jetson-nano"]).fails(5, &["the_strange_node", "Frobnicate"]);
    host.run(&["status", "jetson-nano"]).ok();
}
