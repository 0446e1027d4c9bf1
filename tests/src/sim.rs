//! A simulated device behind a real OpenSSH server on loopback: `scripts/jetson-sim`.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use tempfile::TempDir;

use crate::{Host, host::run, module_root, program};

/// An SSH server with keys and a home folder of its own. It is stopped when dropped, with the agent installed in it.
#[derive(Debug)]
pub struct Sim {
    dir: TempDir,
    user: String,
    agent: PathBuf,
}

impl Sim {
    /// Starts it with this machine's processor and agent, or says why this machine cannot.
    pub fn up() -> Option<Self> {
        if !Path::new("/usr/sbin/sshd").exists() {
            crate::skip("no OpenSSH server; scripts/test installs it");
            return None;
        }
        let mut id = Command::new("id");
        id.arg("-un");
        Some(Self::start(&[], run(id).stdout.trim(), program("trt-agent")))
    }

    /// Starts it with a Jetson's processor, emulated by qemu, for the agent built by `scripts/build-agent`; or says why
    /// this machine cannot.
    pub fn up_arm64() -> Option<Self> {
        let Some(agent) = std::env::var_os("TRT_AARCH64_AGENT") else {
            crate::skip_without(
                "arm64",
                "no agent for aarch64 in TRT_AARCH64_AGENT; scripts/test builds it, as root on Linux 6.7 or newer",
            );
            return None;
        };
        Some(Self::start(&["--arch", "aarch64"], "nvidia", agent.into()))
    }

    fn start(options: &[&str], user: &str, agent: PathBuf) -> Self {
        let dir = tempfile::Builder::new().prefix("trt-sim-").tempdir().expect("a temporary folder");
        let sim = Self { dir, user: user.to_owned(), agent };
        let up = run({
            let mut up = sim.script("up");
            up.args(options);
            up
        });
        assert_eq!(up.code, 0, "{}{}", up.stdout, up.stderr);
        sim
    }

    fn script(&self, verb: &str) -> Command {
        let mut command = Command::new(Path::new(env!("CARGO_MANIFEST_DIR")).join("../scripts/jetson-sim"));
        command.arg(verb).arg("--dir").arg(self.dir.path());
        command
    }

    /// What a shell command prints there.
    pub fn shell(&self, script: &str) -> String {
        let mut ssh = Command::new("ssh");
        ssh.arg("-F").arg(self.path("ssh_config")).args(["jetson-sim", script]);
        run(ssh).stdout
    }

    /// A file of the simulation.
    pub fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    /// A path in the store of the agent installed for the user.
    pub fn store(&self, path: &str) -> PathBuf {
        self.path("home/.local/share/trt-agent").join(path)
    }

    /// The device as a fleet file has it; `changes` replaces or adds keys.
    pub fn device(&self, name: &str, changes: &[(&str, &str)]) -> String {
        let file = |name: &str| self.path(name).display().to_string();
        let port = fs::read_to_string(self.path("port")).expect("a port");
        let (identity, known_hosts) = (file("client_key"), file("known_hosts"));
        let mut keys = vec![
            ("host", "127.0.0.1"),
            ("port", port.trim()),
            ("user", &self.user),
            ("identity", &identity),
            ("known-hosts", &known_hosts),
        ];
        for change in changes {
            keys.retain(|(key, _)| key != &change.0);
            keys.push(*change);
        }
        let lines: Vec<String> = keys.iter().map(|(key, value)| format!("    {key}: {value}\n")).collect();
        format!("  {name}:\n{}", lines.concat())
    }

    /// Writes a fleet file with these models and this one device.
    pub fn fleet(&self, host: &Host, models: &str, changes: &[(&str, &str)]) {
        host.write(
            "trt-deploy.yaml",
            format!("models:\n{models}devices:\n{}", self.device("jetson-nano", changes)),
        );
    }

    /// Installs the agent there, configured to build with TensorRT-RTX.
    pub fn install(&self, host: &Host) {
        let library =
            test_support::newest_rtx().map_or("/nonexistent".into(), |dir| dir.display().to_string());
        self.install_with(host, &format!("tensorrt-dir: \"{library}\"\nbuild-for: \"8.6\"\n"));
    }

    /// Installs the agent there with this configuration. The device is called `jetson-nano` in the fleet file.
    pub fn install_with(&self, host: &Host, config: &str) {
        self.install_and(host, config, &[]);
    }

    fn install_and(&self, host: &Host, config: &str, more: &[&str]) {
        let path = self.path("agent.yaml");
        fs::write(&path, config).expect("a configuration");
        let (agent, config) = (self.agent.display().to_string(), path.display().to_string());
        let verb = ["agent", "install", "jetson-nano", "--no-service"];
        host.run(&[&verb[..], &["--binary", &agent, "--device-config", &config], more].concat()).ok();
    }

    /// Installs an agent, replaces it by one that is configured otherwise, and removes that: each time the process
    /// before must be over. `between` happens before the second one comes.
    ///
    /// # Panics
    /// If it is not so.
    pub fn replace_and_remove_agent(&self, host: &Host, between: impl FnOnce()) {
        let home = self.shell("cd && pwd -P").trim().to_owned();
        let runs = |pid: &str| !self.shell(&format!("tr -d '\\0' </proc/{pid}/cmdline")).is_empty();
        let install = |module: &str, more: &[&str]| {
            let copy = Command::new("cp")
                .arg("-r")
                .arg(module_root(module))
                .arg(self.path("home").join(module))
                .status();
            assert!(copy.expect("cp").success());
            self.install_and(host, &format!("facts-root: {home}/{module}\n"), more);
            let pid = self.shell("cat ~/.local/share/trt-agent/agent.pid").trim().to_owned();
            let facts = host.run(&["probe", "jetson-nano", "--json"]).ok().json()[0]["facts"].clone();
            (pid, facts["module"].clone())
        };
        let (first, module) = install("orin-nano", &[]);
        assert_eq!(module, "Orin Nano");
        assert!(runs(&first));
        between();
        let (second, module) = install("xavier-nx", &["--force-config"]);
        assert_eq!(module, "Xavier NX", "the new configuration is in effect");
        assert!(!runs(&first) && runs(&second), "another process took over");

        let status = host.run(&["agent", "status", "jetson-nano", "--json"]).ok().json();
        assert_eq!(status[0]["agents"][0]["running"], true);
        host.run(&["agent", "uninstall", "jetson-nano"]).ok();
        assert!(!runs(&second), "the daemon is over");
    }
}

impl Drop for Sim {
    fn drop(&mut self) {
        let _ = self.script("down").output();
    }
}
