//! The recorder library under TensorRT's names: it plays a version, writes down every call, and builds nothing.

use std::path::PathBuf;

use trt_wire::worker::BuildJob;
use trt_wire::{ShapeRange, TensorRt, TensorRtProduct};

use super::Bench;

/// What the scripted network of the recorder reads and writes.
pub const ACTIVATIONS: [&str; 4] = ["images", "stem/out", "body/out", "scores"];

/// A folder with the libraries of one version.
pub struct Stage {
    pub bench: Bench,
    number: u32,
}

impl Stage {
    /// The libraries of this version (8201, 100300), and a model whose text says what becomes of it.
    pub fn new(number: u32, model: &str) -> Self {
        let stage = Self { bench: Bench::new(model.as_bytes()), number };
        let major = stage.version()[0];
        let test = std::env::current_exe().expect("a test knows its own file");
        let recorder = test.with_file_name("librecorder.so");
        for name in ["libnvinfer", "libnvonnxparser", "libnvinfer_plugin"] {
            // One file under all names, so that the loader makes one library of them.
            let link = stage.bench.path(&format!("{name}.so.{major}"));
            std::fs::hard_link(&recorder, link).expect("a link to the recorder");
        }
        stage
    }

    fn version(&self) -> [u32; 3] {
        let unit = if self.number < 10_000 { 1_000 } else { 10_000 };
        [self.number / unit, self.number % unit / 100, self.number % 100]
    }

    /// What the agent knows of it.
    pub fn tensorrt(&self) -> TensorRt {
        let library = self.dir().join(format!("libnvinfer.so.{}", self.version()[0]));
        let library = library.canonicalize().expect("a library").display().to_string();
        TensorRt { product: TensorRtProduct::TensorRt, version: self.version(), library, is_known: true }
    }

    /// The folder.
    pub fn dir(&self) -> PathBuf {
        self.bench.path("")
    }

    /// A build of the model, at the shapes that its dynamic input needs.
    pub fn job(&self) -> BuildJob {
        let mut job = self.bench.job(&self.dir(), &self.tensorrt());
        let dims = |batch| vec![batch, 3, 224, 224];
        let range = ShapeRange { min: dims(1), opt: dims(2), max: dims(4) };
        job.plan.shapes.insert("images".into(), range);
        job
    }

    /// The variables that the recorder needs, and `more`.
    pub fn environment<'a>(&self, more: &[(&'a str, String)]) -> Vec<(&'a str, String)> {
        let calls = self.bench.path("calls").display().to_string();
        let mut all = vec![("RECORDER_VERSION", self.number.to_string()), ("RECORDER_LOG", calls)];
        all.extend(more.iter().cloned());
        all
    }

    /// What was called, a line for each call.
    pub fn calls(&self) -> String {
        std::fs::read_to_string(self.bench.path("calls")).unwrap_or_default()
    }
}
