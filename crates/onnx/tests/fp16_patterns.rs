//! What networks are made of, converted to FP16: computed in true float16 arithmetic by ONNX's own interpreter, and each
//! operator's types judged by ONNX's schemas and ONNX Runtime.
//!
//! Needs a Python with `onnx`, `onnxruntime` and `numpy`: `TRT_TEST_PYTHON`, or `.venv/bin/python` in the workspace.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use test_support::python;
use trt_onnx::{Fp16Options, Model, OnnxError, to_fp16};

/// Runs `name` with a verb on a folder.
fn script(python: &Path, name: &str, verb: &str, folder: &Path) {
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests").join(name);
    let output = Command::new(python).arg(script).arg(verb).arg(folder).output().unwrap();
    eprintln!("{}", String::from_utf8_lossy(&output.stdout).trim());
    assert!(output.status.success(), "{verb}: {}", String::from_utf8_lossy(&output.stderr));
}

/// Writes `path`, converted, beside it, with that ending.
fn convert(path: &Path, options: &Fp16Options, ending: &str) -> Result<(), OnnxError> {
    let mut model = Model::load(path)?;
    to_fp16(&mut model, options)?;
    model.save(path.with_extension(ending))
}

fn files(folder: &Path) -> Vec<PathBuf> {
    fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()).collect()
}

#[test]
fn every_common_part_of_a_network_computes_the_same_in_fp16() {
    let Some(python) = python() else { return };
    let folder = tempfile::tempdir().unwrap();
    script(&python, "fp16_patterns.py", "make", folder.path());
    for path in files(folder.path()) {
        convert(&path, &Fp16Options::default(), "fp16.onnx").unwrap();
        let careless = Fp16Options { keep_ops: vec![], ..Fp16Options::default() };
        convert(&path, &careless, "careless.onnx").unwrap();
    }
    script(&python, "fp16_patterns.py", "judge", folder.path());
}

#[test]
fn every_operator_gets_types_that_it_has() {
    let Some(python) = python() else { return };
    let folder = tempfile::tempdir().unwrap();
    script(&python, "fp16_operators.py", "make", folder.path());
    for path in files(folder.path()) {
        match convert(&path, &Fp16Options::default(), "fp16.onnx") {
            // A refusal is an answer: a type that is not known, an operator set that cannot be raised.
            Ok(()) | Err(OnnxError::CannotHalve { .. } | OnnxError::CannotRaise { .. }) => {}
            Err(error) => panic!("{}: {error}", path.display()),
        }
    }
    script(&python, "fp16_operators.py", "judge", folder.path());
}
