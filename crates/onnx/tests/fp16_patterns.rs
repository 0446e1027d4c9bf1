//! What networks are made of, converted to FP16 and computed in true float16 arithmetic by ONNX's own interpreter.
//!
//! Needs a Python with `onnx`, `onnxruntime` and `numpy`: `TRT_TEST_PYTHON`, or `.venv/bin/python` in the workspace.

mod common;

use std::fs;
use std::path::Path;
use std::process::Command;

use common::*;
use trt_onnx::{Fp16Options, Model, to_fp16};

fn script(python: &Path, verb: &str, folder: &Path) {
    let script = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/fp16_patterns.py");
    let output = Command::new(python).arg(script).arg(verb).arg(folder).output().unwrap();
    eprintln!("{}", String::from_utf8_lossy(&output.stdout).trim());
    assert!(output.status.success(), "{verb}: {}", String::from_utf8_lossy(&output.stderr));
}

#[test]
fn every_common_part_of_a_network_computes_the_same_in_fp16() {
    let Some(python) = python() else { return };
    let folder = tempfile::tempdir().unwrap();
    script(&python, "make", folder.path());
    let originals: Vec<_> = fs::read_dir(&folder).unwrap().map(|entry| entry.unwrap().path()).collect();
    assert!(originals.len() > 30, "{originals:?}");
    for path in originals {
        let careless = Fp16Options { keep_ops: vec![], ..Fp16Options::default() };
        for (ending, options) in [("fp16.onnx", Fp16Options::default()), ("careless.onnx", careless)] {
            let mut model = Model::load(&path).unwrap();
            let report = to_fp16(&mut model, &options).unwrap();
            if ending == "fp16.onnx" {
                let kept: Vec<&str> = report.kept.iter().map(|kept| kept.op.as_str()).collect();
                eprintln!("{}: kept {kept:?}", path.display());
            }
            model.save(path.with_extension(ending)).unwrap();
        }
    }
    script(&python, "judge", folder.path());
}
