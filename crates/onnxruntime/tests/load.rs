//! What is said of libraries that are not there, or not the right ones.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use onnxruntime::{OrtError, Place, Runtime};

/// Compiles a library from C; says so and gives nothing where there is no compiler.
#[track_caller]
fn library(folder: &Path, source: &str) -> Option<PathBuf> {
    let (c, so) = (folder.join("stub.c"), folder.join("libonnxruntime.so"));
    fs::write(&c, source).unwrap();
    let compiled = Command::new("cc").args(["-shared", "-fPIC", "-o"]).args([&so, &c]).status();
    if !compiled.is_ok_and(|status| status.success()) {
        test_support::skip("there is no C compiler `cc`");
        return None;
    }
    Some(so)
}

/// What comes of loading the library `named`.
fn refusal(named: &Path) -> OrtError {
    Runtime::load(Some(named)).unwrap_err()
}

#[test]
fn a_library_that_is_nowhere_is_reported_with_the_place() {
    let error = refusal(Path::new("/nowhere/libonnxruntime.so"));
    let OrtError::NotFound { tried } = &error else { panic!("{error}") };
    assert_eq!(*tried, [Place::Named("/nowhere/libonnxruntime.so".into())]);
    assert_eq!(error.to_string(), "ONNX Runtime was not found; looked in: `/nowhere/libonnxruntime.so`");
    assert!(error.hint().unwrap().contains("pip install onnxruntime"));
}

#[test]
fn a_text_file_is_not_loadable() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("libonnxruntime.so");
    fs::write(&file, "this is a note about libraries, and no library\n".repeat(20)).unwrap();
    let error = refusal(&file);
    assert!(
        matches!(&error, OrtError::NotLoadable { reason, .. } if reason == "invalid ELF header"),
        "{error}"
    );
}

#[test]
fn another_library_is_told_from_onnx_runtime() {
    let folder = tempfile::tempdir().unwrap();
    for source in ["int nothing;", "const void *OrtGetApiBase(void) { return 0; }"] {
        let Some(file) = library(folder.path(), source) else { return };
        assert!(matches!(refusal(&file), OrtError::NotOnnxRuntime { .. }));
        fs::remove_file(file).unwrap();
    }
}

#[test]
fn an_old_onnx_runtime_is_named_with_the_version_that_is_needed() {
    const OLD: &str = "static const void *get(unsigned version) { return 0; }\n\
                       static const char *version(void) { return \"1.16.3\"; }\n\
                       static const void *base[] = { (void *)get, (void *)version };\n\
                       const void *OrtGetApiBase(void) { return base; }";
    let folder = tempfile::tempdir().unwrap();
    let Some(file) = library(folder.path(), OLD) else { return };
    let error = refusal(&file);
    assert!(error.to_string().ends_with("is too old: 1.16.3, and at least 1.20 is needed"), "{error}");
    assert_eq!(error.hint().unwrap(), "upgrade it: `pip install --upgrade 'onnxruntime>=1.20'`");
}

#[test]
fn a_library_that_is_missing_behind_it_is_named() {
    let folder = tempfile::tempdir().unwrap();
    let Some(behind) = library(folder.path(), "int behind(void) { return 1; }") else { return };
    let behind_name = folder.path().join("libbehind.so.9");
    fs::rename(behind, &behind_name).unwrap();
    let (c, so) = (folder.path().join("stub.c"), folder.path().join("libonnxruntime.so"));
    fs::write(&c, "int behind(void); int front(void) { return behind(); }").unwrap();
    let linked = Command::new("cc").args(["-shared", "-fPIC", "-o"]).args([&so, &c, &behind_name]).status();
    assert!(linked.unwrap().success());
    fs::remove_file(&behind_name).unwrap();
    let error = refusal(&so);
    assert!(
        matches!(&error, OrtError::NotLoadable { reason, .. } if reason.contains("libbehind.so.9")),
        "{error}"
    );
}
