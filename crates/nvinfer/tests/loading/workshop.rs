//! Libraries of a few lines, compiled for a test.

use std::path::{Path, PathBuf};
use std::process::Command;

use crate::common::{CHILD, on_every};
use nvinfer::{Library, LoadError, SearchPath};

/// An empty folder of this test.
pub fn folder(name: &str) -> PathBuf {
    let dir = PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join(name);
    let _ = std::fs::remove_dir_all(&dir);
    std::fs::create_dir_all(&dir).unwrap();
    dir
}

pub fn compile(source: &str, library: &Path) {
    let file = library.with_extension("c");
    std::fs::write(&file, source).unwrap();
    let soname = format!("-Wl,-soname,{}", library.file_name().unwrap().display());
    let status =
        Command::new("cc").args(["-shared", "-fPIC", &soname, "-o"]).args([library, &file]).status().unwrap();
    assert!(status.success());
}

pub fn open(dir: &Path) -> LoadError {
    Library::open(&SearchPath::only([dir])).unwrap_err()
}

/// The exported functions of a library and its parser, each doing nothing.
pub const STUB: &str = r#"
    int getInferLibVersion(void) { return VERSION; }
    void* createInferRuntime_INTERNAL(void* logger, int version) { return 0; }
    #ifndef LEAN
    void* createInferBuilder_INTERNAL(void* logger, int version) { return 0; }
    #endif
    int getNvOnnxParserVersion(void) { return 100; }
    void* createNvOnnxParser_INTERNAL(void) { return 0; }
"#;

/// Compiles [`STUB`], with these lines before it.
pub fn stub(version: i32, before: &str, library: &Path) {
    compile(&format!("#define VERSION {version}\n{before}\n{STUB}"), library);
}

/// Runs the rest of a test in a child process with a folder of its own; `fill` makes the libraries.
#[track_caller]
pub fn alone(test: &str, fill: impl FnOnce(&Path), body: impl FnOnce(&Path)) {
    let dirs = if std::env::var_os(CHILD).is_none() {
        if !has_compiler(test) {
            return;
        }
        let dir = folder(&test.replace("::", "-"));
        fill(&dir);
        vec![dir]
    } else {
        vec![]
    };
    on_every(test, &dirs, body);
}

/// Compiles a library that needs another one of its folder.
pub fn link(library: &Path, source: &str, needs: &str) {
    let file = library.with_extension("c");
    std::fs::write(&file, format!("#define VERSION 0\n{source}")).unwrap();
    let status = Command::new("cc")
        .args(["-shared", "-fPIC", "-Wl,--no-as-needed,-rpath,$ORIGIN", "-o"])
        .args([library, &file, &library.with_file_name(needs)])
        .status()
        .unwrap();
    assert!(status.success());
}

/// Whether C can be compiled here, else the test is skipped: to link a Rust program, Rust needs one as well.
#[track_caller]
pub fn has_compiler(test: &str) -> bool {
    let is_there = Command::new("cc").arg("--version").output().is_ok_and(|output| output.status.success());
    if !is_there {
        test_support::skip(&format!("{test}: no C compiler `cc`"));
    }
    is_there
}
