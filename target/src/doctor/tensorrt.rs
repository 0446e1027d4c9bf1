//! TensorRT as its workers found it: usable, known, of this JetPack, with a `trtexec` of the same version.

use trt_plan::PlanError;
use trt_wire::{Backend, DeviceFacts, Finding, TensorRt, TensorRtProduct};

use super::{advice, good, problem};
use crate::config::{Config, Runtime};
use crate::facts::release;

pub fn check(config: &Config, facts: &DeviceFacts, runtimes: &[DeviceFacts]) -> Vec<Finding> {
    let mut findings = vec![jetpack(config, facts), default_place(config, facts, runtimes)];
    findings.extend(runtimes.iter().map(|runtime| named_place(config, runtime)));
    findings.extend(trtexec(facts));
    findings
}

/// A mismatch is no fault: users upgrade TensorRT, and containers bring their own.
fn jetpack(config: &Config, facts: &DeviceFacts) -> Finding {
    const CHECK: &str = "jetpack";
    let Some(l4t) = &facts.l4t else {
        return match &facts.soc {
            Some(soc) => advice(
                CHECK,
                format!("the L4T release of this {soc} is unknown"),
                "look at /etc/nv_tegra_release and `dpkg -s nvidia-l4t-core`; builds do not depend on it",
            ),
            None => good(CHECK, "this is no Jetson"),
        };
    };
    let Some(jetpack) = release::jetpack(l4t) else {
        return advice(
            CHECK,
            format!("this agent knows no JetPack with L4T {l4t}"),
            "builds do not depend on it, TensorRT itself is asked; `trt-deploy agent install` brings a newer agent",
        );
    };
    let is = format!("JetPack {} (L4T {l4t})", jetpack.name);
    let own_worker = !config.default_runtime.worker.is_empty();
    match &facts.tensorrt {
        Ok(found) if found.product == TensorRtProduct::TensorRt && found.version != jetpack.tensorrt => {
            let [major, minor, patch] = jetpack.tensorrt;
            let message = format!("{is} came with TensorRT {major}.{minor}.{patch}; {found} is used");
            if own_worker {
                return good(CHECK, format!("{message}, by the `worker` of the configuration"));
            }
            let hint = "fine if TensorRT was upgraded on purpose; else name the folder of the right one in \
                        `tensorrt-dir` of the agent's configuration";
            advice(CHECK, message, hint)
        }
        _ => good(CHECK, is),
    }
}

fn default_place(config: &Config, facts: &DeviceFacts, runtimes: &[DeviceFacts]) -> Finding {
    const CHECK: &str = "tensorrt";
    let others_work = runtimes.iter().any(|runtime| runtime.tensorrt.is_ok());
    match &facts.tensorrt {
        Ok(found) => usable(CHECK, found, facts),
        Err(reason) if others_work => advice(
            CHECK,
            format!("none in the default place: {reason}"),
            format!("models must name a `runtime`; or {}", mend(&config.default_runtime, "")),
        ),
        Err(reason) => problem(CHECK, format!("cannot be used: {reason}"), mend(&config.default_runtime, "")),
    }
}

/// What to do about a place to build in that has no TensorRT; `section` is where the configuration defines it.
fn mend(place: &Runtime, section: &str) -> String {
    match (place.worker.is_empty(), &place.tensorrt_dir) {
        (false, None) => {
            format!("run the program by hand, and mend `{section}worker` in the agent's configuration")
        }
        (false, Some(dir)) => format!(
            "mend `{section}worker` or `{section}tensorrt-dir` in the agent's configuration: the worker must see {}",
            dir.display()
        ),
        (true, Some(dir)) => format!(
            "install a complete TensorRT in {}, or mend `{section}tensorrt-dir` in the agent's configuration",
            dir.display()
        ),
        (true, None) => {
            "install the TensorRT of JetPack (`sudo apt install tensorrt`), or set `tensorrt-dir` in the \
                         agent's configuration to the folder it is in"
                .into()
        }
    }
}

fn named_place(config: &Config, facts: &DeviceFacts) -> Finding {
    let name = facts.runtime.as_ref().map(ToString::to_string).unwrap_or_default();
    let check = format!("runtime {name}");
    match &facts.tensorrt {
        Ok(found) => usable(&check, found, facts),
        Err(reason) => {
            let place = config.runtime(facts.runtime.as_ref()).unwrap_or(&config.default_runtime);
            problem(&check, format!("no TensorRT: {reason}"), mend(place, &format!("runtimes.{name}.")))
        }
    }
}

/// What builds with it is the plan's question, so that a push is refused just where this is a problem.
fn usable(check: &str, found: &TensorRt, facts: &DeviceFacts) -> Finding {
    match trt_plan::builder(facts) {
        Ok(Backend::Nvinfer) => good(check, format!("{found} at {}", found.library)),
        Ok(Backend::Trtexec) => advice(
            check,
            format!("{found} is unknown to this agent; engines are built by trtexec"),
            "`trt-deploy agent install` brings an agent that may know it",
        ),
        Err(error @ PlanError::TrtexecDiffers { .. }) => {
            let hint = error.hint().unwrap_or_default();
            problem(check, format!("{found} is unknown to this agent, and {error}"), hint)
        }
        Err(error) => problem(check, error.to_string(), error.hint().unwrap_or_default()),
    }
}

fn trtexec(facts: &DeviceFacts) -> Option<Finding> {
    const CHECK: &str = "trtexec";
    // TensorRT-RTX has a program of its own, which nothing here uses.
    let found = facts.tensorrt.as_ref().ok().filter(|found| found.product == TensorRtProduct::TensorRt)?;
    let Some(trtexec) = &facts.trtexec else {
        return Some(match found.is_known {
            true => good(CHECK, "absent, and not needed for this TensorRT"),
            // `tensorrt` has said so.
            false => return None,
        });
    };
    Some(match trtexec.version {
        Some(version) if version == found.version => {
            good(CHECK, format!("the same version, at {}", trtexec.path))
        }
        // `tensorrt` has said so.
        Some(_) if !found.is_known => return None,
        Some([major, minor, patch]) => advice(
            CHECK,
            format!("{} is of {major}.{minor}.{patch}, the library is {found}", trtexec.path),
            "do not build with `backend: trtexec` until they match; `sudo apt install libnvinfer-bin` brings JetPack's",
        ),
        None => advice(
            CHECK,
            format!("{} does not say its version", trtexec.path),
            "run it without arguments: its first lines name a TensorRT, or why it cannot start",
        ),
    })
}
