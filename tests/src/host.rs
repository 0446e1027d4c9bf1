//! The host's side: a folder with a fleet file, and `trt-deploy` run in it.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use serde_json::Value;
use tempfile::TempDir;

use crate::{Device, program};

/// A folder with a fleet file.
#[derive(Debug)]
pub struct Host {
    dir: TempDir,
}

/// What a command did.
#[derive(Debug)]
pub struct Run {
    /// The exit code; -1 for a signal.
    pub code: i32,
    /// What it printed.
    pub stdout: String,
    /// What it said.
    pub stderr: String,
}

impl Run {
    /// The JSON document on stdout.
    #[track_caller]
    pub fn json(&self) -> Value {
        serde_json::from_str(&self.stdout)
            .unwrap_or_else(|error| panic!("{error} in:\n{}\n{}", self.stdout, self.stderr))
    }

    /// Asserts success.
    #[track_caller]
    pub fn ok(self) -> Self {
        assert_eq!(self.code, 0, "stdout:\n{}\nstderr:\n{}", self.stdout, self.stderr);
        self
    }

    /// Asserts failure with this exit code, an error that has all these words, and a hint.
    #[track_caller]
    pub fn fails(self, code: i32, words: &[&str]) -> Self {
        assert_eq!(self.code, code, "stdout:\n{}\nstderr:\n{}", self.stdout, self.stderr);
        for word in words {
            assert!(self.stderr.contains(word), "`{word}` is not in:\n{}", self.stderr);
        }
        assert!(self.stderr.contains("hint: "), "no hint in:\n{}", self.stderr);
        self
    }
}

impl Default for Host {
    fn default() -> Self {
        Self::new()
    }
}

impl Host {
    /// An empty folder.
    pub fn new() -> Self {
        Self { dir: tempfile::Builder::new().prefix("trt-host-").tempdir().expect("a temporary folder") }
    }

    /// A path in the folder.
    pub fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    /// Writes a file in the folder.
    pub fn write(&self, name: &str, content: impl AsRef<[u8]>) -> PathBuf {
        let path = self.path(name);
        fs::create_dir_all(path.parent().expect("below the folder")).expect("a folder");
        fs::write(&path, content).expect("a file");
        path
    }

    /// Writes a fleet file with these models and one device called `here`.
    pub fn fleet(&self, models: &str, device: &Device) -> PathBuf {
        let devices = format!("devices:\n  here:\n    socket: {}\n", device.socket().display());
        self.write("trt-deploy.yaml", format!("models:\n{models}{devices}"))
    }

    /// `trt-deploy` with these arguments, in the folder, cut off from the user's own configuration.
    pub fn command(&self, args: &[&str]) -> Command {
        let mut command = Command::new(program("trt-deploy"));
        command.args(args).current_dir(self.dir.path()).env("HOME", self.dir.path()).env("USER", "tester");
        command.env_remove("SSH_AUTH_SOCK").env_remove("TRT_DEPLOY_CONFIG").stdin(Stdio::null());
        command
    }

    /// Runs `trt-deploy` to its end.
    pub fn run(&self, args: &[&str]) -> Run {
        run(self.command(args))
    }

    /// Starts `trt-deploy`, with its stderr to be read.
    pub fn start(&self, args: &[&str]) -> Child {
        let mut command = self.command(args);
        command.stdout(Stdio::null()).stderr(Stdio::piped()).spawn().expect("trt-deploy starts")
    }

    /// Every file in the folder, for checking that nothing half-written stays.
    pub fn files(&self) -> Vec<String> {
        let mut found = Vec::new();
        walk(self.dir.path(), self.dir.path(), &mut found);
        found.sort();
        found
    }
}

fn walk(root: &Path, dir: &Path, found: &mut Vec<String>) {
    for entry in fs::read_dir(dir).expect("a folder").flatten() {
        let path = entry.path();
        if path.is_dir() {
            walk(root, &path, found);
        } else {
            found.push(path.strip_prefix(root).expect("below").display().to_string());
        }
    }
}

/// Runs any command to its end.
pub fn run(mut command: Command) -> Run {
    let output = command.output().expect("the program starts");
    Run {
        code: output.status.code().unwrap_or(-1),
        stdout: String::from_utf8_lossy(&output.stdout).into_owned(),
        stderr: String::from_utf8_lossy(&output.stderr).into_owned(),
    }
}
