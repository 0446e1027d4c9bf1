//! The main job over a real SSH server: install the agent, push, look, push again, roll back, uninstall.

use std::fs;

use e2e::{Host, Sim, models, program, require_rtx};

const INT8: &str = "  net:\n    onnx: net.onnx\n    precision: int8\n    verify: {required: false}\n    \
                    calibration: {images: photos, preprocess: plain, algorithm: ALGORITHM}\n";

#[test]
fn the_whole_job_over_ssh() {
    require_rtx!();
    let Some(sim) = Sim::up() else { return };
    let host = Host::new();
    host.write("net.onnx", models::convolutions(32, 96, 3));
    models::photographs(&host.path("photos"), 8);
    sim.fleet(&host, &INT8.replace("ALGORITHM", "entropy"), &[]);

    host.run(&["push", "jetson-nano"]).fails(4, &["no agent answers", "trt-deploy agent install"]);
    sim.install(&host);
    let first = host.run(&["push", "jetson-nano", "--json"]).ok().json();
    let release = first[0]["models"][0]["deployed"]["release"].clone();
    assert!(sim.store("models/net/current/engine/engine.plan").exists());

    let status = host.run(&["status", "jetson-nano", "--json"]).ok().json();
    assert_eq!(status[0]["models"][0]["current"]["release"], release);

    let second = host.run(&["push", "jetson-nano", "--json"]).ok().json();
    assert_eq!(second[0]["models"][0]["planned"]["action"], "nothing");

    sim.fleet(&host, &INT8.replace("ALGORITHM", "minmax"), &[]);
    let third = host.run(&["push", "jetson-nano", "--json"]).ok().json();
    let table = fs::metadata(host.path("calibration/net.cache")).expect("a table").len();
    assert_eq!(third[0]["models"][0]["upload_bytes"], table);

    let back = host.run(&["rollback", "jetson-nano", "--json"]).ok().json();
    assert_eq!(back[0]["to"], release);

    sim.install(&host);
    let status = host.run(&["status", "jetson-nano", "--json"]).ok().json();
    assert_eq!(status[0]["models"][0]["current"]["release"], release, "an upgraded agent finds its releases");
    host.run(&["agent", "uninstall", "jetson-nano"]).ok();
    host.run(&["status", "jetson-nano"]).fails(4, &["trt-deploy agent install"]);
    assert!(sim.store("models/net/current/engine/engine.plan").exists(), "engines stay");
}

#[test]
fn the_agent_is_replaced_and_removed_where_the_home_folder_is_a_symlink() {
    let Some(sim) = Sim::up() else { return };
    fs::rename(sim.path("home"), sim.path("nvme")).expect("a home folder");
    std::os::unix::fs::symlink(sim.path("nvme"), sim.path("home")).expect("a symlink");
    let host = Host::new();
    sim.fleet(&host, "  {}\n", &[]);
    // Its record is lost in between: what was recorded last is over.
    let forget = || fs::write(sim.store("agent.pid"), "999999999\n").expect("a record");
    sim.replace_and_remove_agent(&host, forget);
}

#[test]
fn an_agent_that_was_started_by_hand_is_not_taken_for_the_one_just_installed() {
    let Some(sim) = Sim::up() else { return };
    let host = Host::new();
    sim.fleet(&host, "  {}\n", &[]);
    sim.install(&host);
    let by_hand = "kill $(cat ~/.local/share/trt-agent/agent.pid); while [ -e ~/.local/share/trt-agent/agent.sock ]; do \
                   sleep 0.1; done; setsid ~/.local/bin/trt-agent daemon </dev/null >/dev/null 2>&1 & echo $!; \
                   until ~/.local/bin/trt-agent connect </dev/null >/dev/null 2>&1; do sleep 0.1; done";
    let pid = sim.shell(by_hand).trim().to_owned();
    let binary = program("trt-agent").display().to_string();
    for verb in
        [&["install", "jetson-nano", "--no-service", "--binary", &binary][..], &["uninstall", "jetson-nano"]]
    {
        let run = host.run(&[&["agent"], verb].concat());
        assert!(run.code == 5 && run.stderr.contains("started in another way"), "{run:?}");
    }
    sim.shell(&format!("kill {pid}; while [ -e ~/.local/share/trt-agent/agent.sock ]; do sleep 0.1; done"));
    host.run(&["agent", "uninstall", "jetson-nano"]).ok();
}

#[test]
fn each_way_of_not_getting_in_is_explained() {
    let Some(sim) = Sim::up() else { return };
    let host = Host::new();
    let status = |changes: &[(&str, &str)]| {
        sim.fleet(&host, "  {}\n", changes);
        host.run(&["status", "jetson-nano"])
    };
    let other = host.path("other_key").display().to_string();
    let keygen = std::process::Command::new("ssh-keygen")
        .args(["-q", "-t", "ed25519", "-N", "", "-f", &other])
        .status();
    assert!(keygen.is_ok_and(|status| status.success()));
    let empty = host.write("empty_known_hosts", "").display().to_string();
    let key = fs::read_to_string(host.path("other_key.pub")).expect("a key");
    let port = fs::read_to_string(sim.path("port")).expect("a port");
    let changed =
        host.write("changed_known_hosts", format!("[127.0.0.1]:{} {key}", port.trim())).display().to_string();

    status(&[("port", "1")]).fails(4, &["refused"]);
    status(&[("host", "no-such-host.invalid")]).fails(4, &["no-such-host.invalid"]);
    status(&[("user", "nobody-here")]).fails(4, &["nobody-here"]);
    status(&[("identity", &other)]).fails(4, &["other_key"]);
    status(&[("identity", "/no/such/key")]).fails(4, &["/no/such/key"]);
    status(&[("known-hosts", &empty)]).fails(4, &["unknown host key", "SHA256:", "--accept-new"]);
    status(&[("known-hosts", &changed)]).fails(4, &["CHANGED", "ssh-keygen -R"]);

    // A key seen for the first time is recorded when asked for, a changed one never.
    sim.fleet(&host, "  {}\n", &[("known-hosts", &empty)]);
    host.run(&["status", "jetson-nano", "--accept-new"]).fails(4, &["recorded host key", "no agent answers"]);
    assert!(fs::read_to_string(&empty).expect("a file").contains("ssh-ed25519"));
    sim.fleet(&host, "  {}\n", &[("known-hosts", &changed)]);
    host.run(&["status", "jetson-nano", "--accept-new"]).fails(4, &["CHANGED"]);
}
