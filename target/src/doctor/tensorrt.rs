//! TensorRT as its workers found it: usable, known, of this JetPack, with a `trtexec` of the same version.

use trt_wire::{DeviceFacts, Finding, TensorRt, TensorRtProduct};

use super::{advice, good, problem};
use crate::config::Config;
use crate::facts::release;

pub fn check(config: &Config, facts: &DeviceFacts, runtimes: &[DeviceFacts]) -> Vec<Finding> {
    let mut findings = vec![jetpack(config, facts), default_place(facts, runtimes)];
    findings.extend(runtimes.iter().map(named_place));
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

fn default_place(facts: &DeviceFacts, runtimes: &[DeviceFacts]) -> Finding {
    const CHECK: &str = "tensorrt";
    let others_work = runtimes.iter().any(|runtime| runtime.tensorrt.is_ok());
    match &facts.tensorrt {
        Ok(found) => usable(CHECK, found, facts),
        Err(reason) if others_work => advice(
            CHECK,
            format!("none in the default place: {reason}"),
            "models must name a `runtime`; or set `tensorrt-dir` or `worker` in the agent's configuration",
        ),
        Err(reason) => problem(
            CHECK,
            format!("cannot be used: {reason}"),
            "install the TensorRT of JetPack (`sudo apt install tensorrt`), or set `tensorrt-dir` in the agent's \
             configuration to the folder it is in",
        ),
    }
}

fn named_place(facts: &DeviceFacts) -> Finding {
    let name = facts.runtime.as_ref().map(ToString::to_string).unwrap_or_default();
    let check = format!("runtime {name}");
    match &facts.tensorrt {
        Ok(found) => usable(&check, found, facts),
        Err(reason) => problem(
            &check,
            format!("no TensorRT: {reason}"),
            format!("try its `worker` by hand, and mend `runtimes.{name}` in the agent's configuration"),
        ),
    }
}

/// A TensorRT whose interface this agent does not know can be built with by `trtexec` only.
fn usable(check: &str, found: &TensorRt, facts: &DeviceFacts) -> Finding {
    match (found.is_known, &facts.trtexec) {
        (true, _) => good(check, format!("{found} at {}", found.library)),
        (false, Some(_)) => advice(
            check,
            format!("{found} is unknown to this agent; engines are built by trtexec"),
            "`trt-deploy agent install` brings an agent that may know it",
        ),
        (false, None) => problem(
            check,
            format!("{found} is unknown to this agent, and there is no trtexec to build with"),
            "install trtexec (`sudo apt install libnvinfer-bin`), or a newer agent with `trt-deploy agent install`",
        ),
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
