//! A device on this machine: a real daemon with a store of its own.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use tempfile::TempDir;

use crate::{SmallDisk, module_root, program};

/// How a device differs from the usual one.
#[derive(Debug, Clone, Default)]
pub struct Options {
    /// More lines for the agent's configuration.
    pub config: String,
    /// Do not name TensorRT-RTX in the configuration.
    pub without_tensorrt: bool,
    /// A program and its arguments in place of the agent's own worker; see [`crate::worker`].
    pub worker: Vec<String>,
    /// Read facts from the files of this device; see [`crate::module_root`].
    pub module: Option<String>,
    /// Keep the store on a file system of this many MiB. Needs the right to mount, as root has.
    pub disk_mib: Option<u32>,
}

/// A running agent. It is stopped when dropped.
#[derive(Debug)]
pub struct Device {
    dir: TempDir,
    child: Child,
    _disk: Option<SmallDisk>,
}

impl Device {
    /// An agent that builds with TensorRT-RTX for compute capability 8.6.
    pub fn start() -> Self {
        Self::with(&Options::default())
    }

    /// An agent that differs from that.
    pub fn with(options: &Options) -> Self {
        let dir = tempfile::Builder::new().prefix("trt-e2e-").tempdir().expect("a temporary folder");
        let mut config = format!("store: {0}/store\nsocket: {0}/agent.sock\n", dir.path().display());
        if !options.without_tensorrt {
            let dir =
                test_support::newest_rtx().map_or("/nonexistent".into(), |dir| dir.display().to_string());
            config.push_str(&format!("tensorrt-dir: \"{dir}\"\nbuild-for: \"8.6\"\n"));
        }
        if !options.worker.is_empty() {
            // JSON is YAML.
            config.push_str(&format!("worker: {}\n", serde_json::json!(options.worker)));
        }
        if let Some(module) = &options.module {
            config.push_str(&format!("facts-root: {}\n", module_root(module).display()));
        }
        config.push_str(&options.config);
        fs::write(dir.path().join("agent.yaml"), config).expect("a configuration");
        let mut disk = None;
        if let Some(mib) = options.disk_mib {
            disk = Some(SmallDisk::mount(dir.path().join("store"), mib << 10));
        }
        let child = spawn(dir.path());
        Self { dir, child, _disk: disk }
    }

    /// Kills the agent as a power cut would, and starts it again on the same store.
    pub fn kill_and_restart(&mut self) {
        self.kill();
        self.child = spawn(self.dir.path());
    }

    /// Kills the agent with SIGKILL.
    pub fn kill(&mut self) {
        self.child.kill().expect("the agent can be killed");
        self.child.wait().expect("the agent ended");
    }

    /// The agent's process id.
    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    /// The agent's socket.
    pub fn socket(&self) -> PathBuf {
        self.dir.path().join("agent.sock")
    }

    /// How many processes the agent has started that still run.
    pub fn workers(&self) -> usize {
        let tasks = fs::read_dir(format!("/proc/{}/task", self.pid())).expect("the agent runs");
        let children =
            tasks.flatten().map(|task| fs::read_to_string(task.path().join("children")).unwrap_or_default());
        children.map(|list| list.split_whitespace().count()).sum()
    }

    /// A path in the agent's store.
    pub fn store(&self, path: &str) -> PathBuf {
        self.dir.path().join("store").join(path)
    }

    /// The journal's lines.
    pub fn journal(&self) -> String {
        fs::read_to_string(self.store("journal.jsonl")).unwrap_or_default()
    }

    /// The file that applications of `model` would open.
    pub fn engine(&self, model: &str) -> PathBuf {
        self.store(&format!("models/{model}/current/engine/engine.plan"))
    }
}

fn spawn(dir: &Path) -> Child {
    let log = fs::File::create(dir.join("agent.log")).expect("a log");
    let mut child = Command::new(program("trt-agent"))
        .arg("--config")
        .arg(dir.join("agent.yaml"))
        .arg("daemon")
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(log)
        .spawn()
        .expect("the agent starts");
    let deadline = Instant::now() + test_support::patience(Duration::from_secs(60));
    while std::os::unix::net::UnixStream::connect(dir.join("agent.sock")).is_err() {
        let log = || fs::read_to_string(dir.join("agent.log")).unwrap_or_default();
        assert!(child.try_wait().expect("a child").is_none(), "the agent ended: {}", log());
        assert!(Instant::now() < deadline, "the agent does not listen: {}", log());
        std::thread::sleep(Duration::from_millis(10));
    }
    child
}

impl Drop for Device {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
