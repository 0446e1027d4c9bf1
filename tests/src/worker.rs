//! Workers of a test's own, in place of `trt-agent worker`: shell scripts that speak the worker's contract.

use crate::{Options, program};

/// A device whose builds run `script`, a piece of shell that finds the job in `$job`. A probe is told of a SIMULATED
/// TensorRT-RTX and GPU.
pub fn simulated(script: &str) -> Options {
    let probed = r#"{"worker":"probed","tensorrt":{"Ok":{"product":"tensorrt-rtx","version":[1,7,1],"library":"/simulated","is_known":true}},"gpu":{"Ok":{"name":"SIMULATED","compute_capability":[8,6],"source":"driver"}},"cuda_driver":null,"dla_cores":null,"trtexec":null}"#;
    let script = format!(
        "read -r job\ncase $job in\n*'\"job\":\"probe\"'*) echo '{probed}' ;;\n*)\n{script}\n;;\nesac\n"
    );
    Options { worker: Some(script), ..Options::default() }
}

/// A device with the real worker, which waits for `seconds` after it said that it builds.
pub fn slow(seconds: u32) -> Options {
    let agent = program("trt-agent").display().to_string();
    let builds = r#"{"worker":"event","event":{"event":"phase","phase":"build"}}"#;
    let script = format!(
        "read -r job\ncase $job in *'\"job\":\"build\"'*) echo '{builds}'; sleep {seconds} ;; esac\n\
         {{ printf '%s\\n' \"$job\"; cat; }} | {agent} worker\n"
    );
    Options { worker: Some(script), ..Options::default() }
}
