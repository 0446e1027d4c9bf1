//! What the tests run models with.

use std::path::{Path, PathBuf};

use trt_inference::{Batch, Choice, Content, Opened, Settings, SourceError, Subject, Tensor};
use trt_onnx::Model;

/// ONNX Runtime's library of `TRT_TEST_PYTHON`; says so and gives nothing where it has none.
#[track_caller]
pub fn library() -> Option<PathBuf> {
    let python = test_support::python()?;
    let lib = python.parent()?.parent()?.join("lib");
    let sites = std::fs::read_dir(lib).into_iter().flatten().flatten();
    let mut files = sites
        .flat_map(|site| std::fs::read_dir(site.path().join("site-packages/onnxruntime/capi")))
        .flat_map(|folder| folder.flatten().map(|file| file.path()));
    let found = files.find(|path| path.to_string_lossy().contains("/libonnxruntime.so"));
    if found.is_none() {
        test_support::skip("the tests' Python has its onnxruntime elsewhere than a virtual environment");
    }
    found
}

/// The backends that run on this machine's processor: rten, and ONNX Runtime where it is found.
pub fn backends() -> Vec<(Choice, Settings)> {
    let mut all = vec![(Choice::Rten, Settings::default())];
    if let Some(library) = library() {
        all.push((Choice::OnnxRuntime, Settings { onnxruntime: Some(library), ..Settings::default() }));
    }
    all
}

/// Opens what counts every activation of a model.
pub fn source(
    model: &Model,
    choice: Choice,
    settings: &Settings,
) -> Result<Opened<Box<dyn trt_inference::HistogramSource>>, SourceError> {
    let activations: Vec<String> = model.activations().into_iter().map(|a| a.name).collect();
    let folder = model.folder().unwrap_or(Path::new("."));
    trt_inference::open_source(&Subject { model, folder, activations: &activations }, choice, settings)
}

/// A batch of tensors; its samples are called `0`, `1` and so on.
pub fn batch(tensors: Vec<Tensor>) -> Batch {
    let samples = (0..tensors[0].shape[0]).map(|n| n.to_string()).collect();
    Batch { content: Content::Tensors(tensors), samples }
}
