//! Workers of a test's own, in place of `trt-agent worker`.

use crate::{Options, program};

/// A device whose worker is `simulated-worker` with these arguments: a SIMULATED TensorRT on a SIMULATED module.
pub fn simulated(arguments: &[&str]) -> Options {
    let program = program("simulated-worker").display().to_string();
    let arguments = arguments.iter().map(|&argument| argument.to_owned());
    without_tensorrt(std::iter::once(program).chain(arguments).collect())
}

/// A SIMULATED device whose builds run `script`, a piece of shell.
pub fn script(script: &str) -> Options {
    let simulated = program("simulated-worker").display().to_string();
    without_tensorrt(shell(&format!(
        "read -r job\ncase $job in\n*'\"job\":\"build\"'*) {script} ;;\n\
         *) {{ printf '%s\\n' \"$job\"; cat; }} | {simulated} --tensorrt 10.3.0 --module orin-nano ;;\nesac\n"
    )))
}

/// A device with the real worker, which waits for `seconds` after it said that it builds.
pub fn slow(seconds: u32) -> Options {
    let agent = program("trt-agent").display().to_string();
    let builds = r#"{"worker":"event","event":{"event":"phase","phase":"build"}}"#;
    let worker = shell(&format!(
        "read -r job\ncase $job in *'\"job\":\"build\"'*) echo '{builds}'; sleep {seconds} ;; esac\n\
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
