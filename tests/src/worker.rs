//! Workers of a test's own, in place of `trt-agent worker`.

use std::path::Path;

use trt_wire::worker::{CONTRACT, WorkerEvent};

use crate::{Options, program};

/// What a worker of this version says first, as a line of JSON.
pub fn hello() -> String {
    let hello = WorkerEvent::Hello { contract: CONTRACT, agent_version: env!("CARGO_PKG_VERSION").into() };
    serde_json::to_string(&hello).expect("plain data")
}

/// A device whose worker is `simulated-worker` with these arguments: a SIMULATED TensorRT on a SIMULATED module.
pub fn simulated(arguments: &[&str]) -> Options {
    let program = program("simulated-worker").display().to_string();
    let arguments = arguments.iter().map(|&argument| argument.to_owned());
    without_tensorrt(std::iter::once(program).chain(arguments).collect())
}

/// A SIMULATED device whose builds run `script`, a piece of shell, after the worker has said who it is.
pub fn script(script: &str) -> Options {
    let simulated = program("simulated-worker").display().to_string();
    let hello = hello();
    without_tensorrt(shell(&format!(
        "read -r job\ncase $job in\n*'\"job\":\"build\"'*) echo '{hello}'; {script} ;;\n\
         *) {{ printf '%s\\n' \"$job\"; cat; }} | {simulated} --tensorrt 10.3.0 --module orin-nano ;;\nesac\n"
    )))
}

/// A device with the real worker, which waits for `seconds` after it said that it builds.
pub fn slow(seconds: u32) -> Options {
    waiting(&format!("sleep {seconds}"))
}

/// The same for the first build only, after which there is a file `marker`.
pub fn slow_once(seconds: u32, marker: &Path) -> Options {
    let marker = marker.display();
    waiting(&format!("[ -e {marker} ] || {{ touch {marker}; exec sleep {seconds}; }}"))
}

/// A device with the real worker, which runs a piece of shell after it said that it builds.
fn waiting(wait: &str) -> Options {
    let agent = program("trt-agent").display().to_string();
    let hello = hello();
    let builds = r#"{"worker":"event","event":{"event":"phase","phase":"build"}}"#;
    let worker = shell(&format!(
        "read -r job\ncase $job in *'\"job\":\"build\"'*) echo '{hello}'; echo '{builds}'; {wait} ;; esac\n\
         {{ printf '%s\\n' \"$job\"; cat; }} | {agent} worker\n"
    ));
    Options { worker, ..Options::default() }
}

fn shell(script: &str) -> Vec<String> {
    ["sh", "-c", script].map(str::to_owned).to_vec()
}

fn without_tensorrt(worker: Vec<String>) -> Options {
    Options { worker, without_tensorrt: true, ..Options::default() }
}
