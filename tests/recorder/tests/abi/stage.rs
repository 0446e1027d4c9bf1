//! A folder with the recorder under TensorRT's names, and processes that use it.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use recorder::golden::{self, Version};

/// The versions that our binding is driven in: 8.0.1 to 11.4, RTX 1.4 and 1.7.
pub const VERSIONS: [i32; 14] =
    [8001, 8201, 8403, 8503, 8601, 100001, 100300, 100800, 101303, 101601, 110000, 110400, 10400, 10701];

/// Set in a child process: the folder with the libraries.
const CHILD: &str = "RECORDER_CHILD";

/// The folder of this process, if it is a child.
pub fn child() -> Option<PathBuf> {
    std::env::var_os(CHILD).map(PathBuf::from)
}

/// One version's libraries and log.
pub struct Stage {
    folder: tempfile::TempDir,
    /// The version that they play.
    pub version: Version,
    plants: String,
}

impl Stage {
    /// Libraries of a version, with slots put elsewhere (see the recorder's documentation) if `plants` names some.
    pub fn new(number: i32, plants: &str) -> Stage {
        let version = Version::new(number).expect("a version of the golden text");
        let folder = tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR")).expect("a temporary folder");
        for name in version.file_names() {
            // One file, so that the loader makes one library of all the names; not symbolic, so that each is found beside
            // the others.
            std::fs::hard_link(library(), folder.path().join(name)).expect("a link to the recorder");
        }
        std::fs::write(folder.path().join("log"), "").expect("an empty log");
        std::fs::write(folder.path().join("rows"), rows_of(version).join("\n")).expect("a list of rows");
        Stage { folder, version, plants: plants.into() }
    }

    /// The folder.
    pub fn path(&self) -> &Path {
        self.folder.path()
    }

    /// A process that finds the libraries where the system's loader looks.
    pub fn command(&self, program: impl AsRef<std::ffi::OsStr>) -> Command {
        let mut command = Command::new(program);
        command
            .env(CHILD, self.path())
            .env("LD_LIBRARY_PATH", self.path())
            .env("RECORDER_VERSION", self.version.number.to_string())
            .env("RECORDER_LOG", self.path().join("log"))
            .env("RECORDER_OBJECTS", self.path().join("objects"))
            .env("RECORDER_PLANT", &self.plants);
        command
    }

    /// Runs a test of this program in a child process; `test` is its full name.
    pub fn run(&self, test: &str) -> Output {
        let program = std::env::current_exe().expect("the path of this program");
        let output =
            self.command(program).args(["--exact", test, "--nocapture", "--test-threads=1"]).output();
        let output = output.expect("a child process");
        let text = String::from_utf8_lossy(&output.stdout);
        assert!(text.contains("running 1 test"), "there is no test {test}: {text}");
        output
    }

    /// What was recorded.
    pub fn log(&self) -> String {
        std::fs::read_to_string(self.path().join("log")).expect("the log")
    }

    /// The objects that were the caller's to delete, and those that it did delete, as `IBuilder#1`.
    pub fn objects(&self) -> [BTreeSet<String>; 2] {
        let text = std::fs::read_to_string(self.path().join("objects")).expect("a list of objects");
        ['+', '-']
            .map(|sign| text.lines().filter_map(|line| line.strip_prefix(sign)).map(str::to_string).collect())
    }

    /// The rows that were called, as far as the golden text has them in this version.
    pub fn called(&self) -> BTreeSet<String> {
        let log = self.log();
        let calls: BTreeSet<&str> =
            log.lines().filter_map(|line| line.split_once('(')).map(|(name, _)| name).collect();
        rows_of(self.version).into_iter().filter(|row| calls.contains(row.as_str())).collect()
    }
}

/// The rows that exist in a version.
pub fn rows_of(version: Version) -> Vec<String> {
    let rows = golden::rows().expect("the golden text");
    rows.into_iter().filter(|row| row.slot(version).is_some()).map(|row| row.name).collect()
}

/// The output of a child process as text.
pub fn text(output: &Output) -> String {
    let (out, err) = (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    format!("{}\n{out}\n{err}", output.status)
}

/// The recorder's shared library, which cargo builds beside the tests.
fn library() -> PathBuf {
    let program = std::env::current_exe().expect("the path of this program");
    let library = program.with_file_name("librecorder.so");
    assert!(library.is_file(), "cargo built no {}", library.display());
    library
}
