//! The second opinion: ONNX Runtime, and the scripts that make models.

use std::collections::BTreeMap;
use std::env;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

/// A Python with `onnx`, `onnxruntime` and `numpy`.
pub struct Python(PathBuf);

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().expect("tests/ lies in the workspace")
}

impl Python {
    /// Says so where there is none.
    pub fn find() -> Option<Self> {
        test_support::python().map(Self)
    }

    /// Runs a script of this workspace, or of the collection beside it.
    pub fn run(&self, script: &Path, arguments: &[&str]) -> Output {
        let output =
            Command::new(&self.0).arg(root().join(script)).args(arguments).output().expect("Python starts");
        let errors = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "{} {arguments:?}: {errors}", script.display());
        output
    }

    /// One of the networks of `scripts/make-models`, in `folder`.
    pub fn make_model(&self, folder: &Path, name: &str) {
        self.run(Path::new("scripts/lib/make_models.py"), &[folder.to_str().expect("plain paths"), name]);
    }

    /// Quantizes `model` with ONNX Runtime in one of the ways of users, on pictures.
    pub fn quantize(&self, model: &Path, out: &Path, style: &str) {
        let [model, out] = [model, out].map(|path| path.to_str().expect("plain paths"));
        self.check(&["qat", model, out, "--style", style, "--count", "4"]);
    }

    /// Runs both models on pictures; of each output the cosine, or the share of integers that agree.
    pub fn compare(&self, original: &Path, other: &Path, options: &[&str]) -> BTreeMap<String, f32> {
        let [original, other] = [original, other].map(|path| path.to_str().expect("plain paths"));
        let output = self.check(&[&["compare", original, other, "--count", "4"], options].concat());
        let text = String::from_utf8_lossy(&output.stdout).into_owned();
        let result = |line: &str| {
            let (name, number) = line.rsplit_once(' ')?;
            Some((name.to_owned(), number.parse().ok()?))
        };
        text.lines().map(|line| result(line).unwrap_or_else(|| panic!("no result: {line}"))).collect()
    }

    fn check(&self, arguments: &[&str]) -> Output {
        let photos =
            env::var("TRT_TEST_PHOTOS").map(|folder| vec!["--photos".to_owned(), folder]).unwrap_or_default();
        let photos: Vec<&str> = photos.iter().map(String::as_str).collect();
        self.run(Path::new("crates/onnx/tests/check_quantized.py"), &[arguments, &photos].concat())
    }
}
