//! What the agent may touch: its store, its socket, the GPU's device nodes.

use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use rustix::fs::Access;
use trt_wire::{DeviceFacts, Finding};

use super::{advice, good, problem};
use crate::config::Config;
use crate::facts::files;

/// What CUDA opens: on JetPack 4 and 5, on 6, and on Thor.
const NODES: [&str; 7] = [
    "dev/nvhost-gpu",
    "dev/nvhost-ctrl-gpu",
    "dev/nvhost-as-gpu",
    "dev/nvmap",
    "dev/nvgpu/igpu0/ctrl",
    "dev/nvidiactl",
    "dev/nvidia0",
];

pub fn check(config: &Config, facts: &DeviceFacts) -> Vec<Finding> {
    let root = &config.facts_root;
    let mut findings = vec![store(&config.store), socket(root, &config.socket)];
    // A worker of the configuration may run as somebody else.
    if config.default_runtime.worker.is_empty() && facts.soc.is_some() {
        findings.extend(nodes(root));
    }
    findings
}

fn may(path: &Path, access: Access) -> bool {
    rustix::fs::access(path, access).is_ok()
}

fn store(store: &Path) -> Finding {
    const CHECK: &str = "store";
    const OTHER: &str =
        "run this as the agent's user; or set `store` in the agent's configuration to a folder of its own";
    let write = Access::WRITE_OK | Access::EXEC_OK;
    let path = store.display();
    if store.exists() {
        return match store.is_dir() && may(store, write) {
            true => good(CHECK, format!("{path} can be written")),
            false => problem(CHECK, format!("{path} cannot be written by this user"), OTHER),
        };
    }
    match store.ancestors().find(|path| path.exists()).is_some_and(|parent| may(parent, write)) {
        true => good(CHECK, format!("{path} is not there yet, and can be made")),
        false => problem(CHECK, format!("{path} is not there, and cannot be made by this user"), OTHER),
    }
}

fn socket(root: &Path, socket: &Path) -> Finding {
    const CHECK: &str = "socket";
    let path = socket.display();
    let Ok(meta) = std::fs::metadata(socket) else {
        return advice(
            CHECK,
            format!("no agent listens: {path} is not there"),
            "start it: `sudo systemctl start trt-agent`, or `trt-agent daemon`",
        );
    };
    if meta.mode() & 0o006 != 0 {
        return advice(
            CHECK,
            format!("everybody on this device may deploy: {path} has mode {:o}", meta.mode() & 0o777),
            format!("`chmod o= {path}`; the agent itself makes it for its group only"),
        );
    }
    let group = name_of(root, "etc/group", meta.gid()).unwrap_or_else(|| meta.gid().to_string());
    good(CHECK, format!("members of the group `{group}` may deploy"))
}

/// A line of `/etc/group` or `/etc/passwd` is `name:password:id:…`.
fn name_of(root: &Path, file: &str, id: u32) -> Option<String> {
    let text = files::text(root, file)?;
    let line = text.lines().find(|line| line.split(':').nth(2) == Some(&id.to_string()))?;
    line.split(':').next().map(str::to_owned)
}

fn nodes(root: &Path) -> Option<Finding> {
    let nodes: Vec<PathBuf> = NODES.iter().map(|node| root.join(node)).filter(|node| node.exists()).collect();
    let denied = nodes.iter().find(|node| !may(node, Access::READ_OK | Access::WRITE_OK));
    match denied {
        // A Jetson of the future may have others; `gpu` says whether the driver answers.
        None if nodes.is_empty() => None,
        None => Some(good("gpu access", format!("{} device nodes can be opened", nodes.len()))),
        Some(node) => {
            let group = std::fs::metadata(node).ok().and_then(|meta| name_of(root, "etc/group", meta.gid()));
            let user = name_of(root, "etc/passwd", rustix::process::geteuid().as_raw());
            Some(locked_out(
                node,
                group.as_deref().unwrap_or("video"),
                user.as_deref().unwrap_or("trt-agent"),
            ))
        }
    }
}

fn locked_out(node: &Path, group: &str, user: &str) -> Finding {
    problem(
        "gpu access",
        format!("user `{user}` may not open {}, which is for the group `{group}`", node.display()),
        format!("`sudo usermod -aG {group} {user}`, and start the agent again"),
    )
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::os::unix::fs::PermissionsExt;

    use trt_wire::Health;

    use super::*;

    #[test]
    fn a_store_that_is_a_file_or_cannot_be_made_is_a_problem() {
        let dir = tempfile::tempdir().unwrap();
        fs::write(dir.path().join("file"), "").unwrap();
        for (path, health) in [
            (dir.path().to_owned(), Health::Good),
            (dir.path().join("not/yet/there"), Health::Good),
            (dir.path().join("file"), Health::Problem),
            (dir.path().join("file/below"), Health::Problem),
        ] {
            let finding = store(&path);
            assert_eq!(finding.health, health, "{}", finding.message);
        }
    }

    #[test]
    fn a_socket_for_everybody_is_pointed_out() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("agent.sock");
        assert_eq!(socket(dir.path(), &path).health, Health::Advice, "nobody listens");
        fs::write(&path, "").unwrap();
        for (mode, health) in [(0o666, Health::Advice), (0o660, Health::Good)] {
            fs::set_permissions(&path, fs::Permissions::from_mode(mode)).unwrap();
            assert_eq!(socket(dir.path(), &path).health, health, "{mode:o}");
        }
    }

    #[test]
    fn groups_have_their_names_from_the_devices_own_file() {
        let dir = tempfile::tempdir().unwrap();
        fs::create_dir(dir.path().join("etc")).unwrap();
        fs::write(dir.path().join("etc/group"), "root:x:0:\nvideo:x:44:nvidia\n").unwrap();
        assert_eq!(name_of(dir.path(), "etc/group", 44).as_deref(), Some("video"));
        assert_eq!(name_of(dir.path(), "etc/group", 45), None);
        let finding = locked_out(Path::new("/dev/nvmap"), "video", "trt-agent");
        assert!(finding.hint.unwrap().contains("usermod -aG video trt-agent"));
    }
}
