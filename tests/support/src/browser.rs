//! A browser that looks at pages.
//!
//! It is what `TRT_TEST_BROWSER` names, else Chromium where `PATH` has one (Debian: `chromium-headless-shell`).

use std::path::PathBuf;
use std::process::Command;
use std::{env, fs};

use tempfile::TempDir;

/// What a page did.
#[derive(Debug)]
pub struct Visit {
    /// The document after its script ran.
    pub dom: String,
    /// What it said on the console: errors and violations of its policy.
    pub console: Vec<String>,
    /// What it asked the network for.
    pub requests: Vec<String>,
}

/// A browser without a window, with a folder of its own.
#[derive(Debug)]
pub struct Browser {
    program: PathBuf,
    folder: TempDir,
}

impl Browser {
    /// The browser, or a reason to skip.
    pub fn find() -> Option<Self> {
        let names = ["chromium", "chromium-headless-shell", "google-chrome"];
        let path = env::var_os("PATH").unwrap_or_default();
        let mut places = env::split_paths(&path).flat_map(|folder| names.map(|name| folder.join(name)));
        let named = env::var_os("TRT_TEST_BROWSER").map(PathBuf::from);
        let Some(program) = named.or_else(|| places.find(|place| place.is_file())) else {
            crate::skip("no Chromium in PATH, and `TRT_TEST_BROWSER` names none");
            return None;
        };
        Some(Self { program, folder: tempfile::tempdir().unwrap() })
    }

    /// A file in its folder.
    pub fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// Writes a page; gives its address.
    pub fn page(&self, name: &str, html: &str) -> String {
        let path = self.folder.path().join(name);
        fs::write(&path, html).unwrap();
        format!("file://{}", path.display())
    }

    /// Runs the browser; gives what it printed and what it logged.
    ///
    /// # Panics
    /// If it fails.
    #[track_caller]
    pub fn run(&self, args: &[&str]) -> (String, String) {
        let path = |name: &str| self.folder.path().join(name).display().to_string();
        let output = Command::new(&self.program)
            .args([
                "--headless",
                "--no-sandbox",
                "--disable-gpu",
                "--hide-scrollbars",
                "--enable-logging=stderr",
            ])
            .args(["--disable-background-networking", "--no-first-run", "--force-device-scale-factor=1"])
            .arg(format!("--user-data-dir={}", path("profile")))
            .arg(format!("--log-net-log={}", path("network.json")))
            .args(args)
            .output()
            .unwrap();
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        assert!(output.status.success(), "{}", text(&output.stderr));
        (text(&output.stdout), text(&output.stderr))
    }

    /// Looks at a page.
    ///
    /// # Panics
    /// If the browser fails.
    #[track_caller]
    pub fn visit(&self, address: &str) -> Visit {
        let (dom, log) = self.run(&["--dump-dom", address]);
        let network = fs::read_to_string(self.folder.path().join("network.json")).unwrap();
        let requests =
            network.match_indices("\"url\":\"http").map(|(at, _)| network[at..].chars().take(80).collect());
        Visit {
            dom,
            console: log.lines().filter(|line| line.contains(":CONSOLE")).map(str::to_owned).collect(),
            requests: requests.collect(),
        }
    }
}
