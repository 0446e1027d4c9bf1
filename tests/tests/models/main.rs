//! Whole networks through every step: calibrated, quantized, converted, built by the real TensorRT-RTX through the
//! worker, and what the worker had composed compared with the original in ONNX Runtime.
//!
//! `TRT_RTX_OLDER` names folders of older versions, separated by colons; `TRT_RTX_TABLE` a file to add the results
//! to as lines of a table. `scripts/check-rtx` sets both.

mod builder;
mod coverage;
mod matrix;
mod python;
mod qat;

use std::io::Write;
use std::path::{Path, PathBuf};
use std::{env, fs};

use builder::{Kind, Rtx};
use e2e::Host;
use python::Python;
use trt_wire::worker::Built;

/// A network, and how its pictures are prepared.
struct Case {
    name: &'static str,
    /// The input's name and shape.
    input: (&'static str, [i64; 4]),
    /// As `trt-deploy calibrate --preprocess` takes it.
    preprocess: &'static str,
    /// The same for the check in Python, as `--mean` and `--std`.
    normal: [&'static str; 2],
    /// What is compared: only what differs between pictures, unless that is nothing.
    varying: bool,
    /// The least cosine of any output, of each kind in the order of [`Kind::ALL`].
    least: [f32; 4],
}

const IMAGENET: [&str; 2] = ["0.485,0.456,0.406", "0.229,0.224,0.225"];
const PLAIN: [&str; 2] = ["0,0,0", "1,1,1"];
const HALVED: [&str; 2] = ["0.498,0.498,0.498", "0.502,0.502,0.502"];

impl Case {
    fn dims(&self) -> String {
        self.input.1.map(|extent| extent.to_string()).join("x")
    }

    /// The calibration table that `trt-deploy calibrate` makes on a few pictures.
    fn calibrate(&self, model: &Path) -> PathBuf {
        let host = Host::new();
        let images = match env::var_os("TRT_TEST_PHOTOS") {
            Some(photos) => PathBuf::from(photos),
            None => {
                e2e::models::photographs(&host.path("photos"), 8);
                host.path("photos")
            }
        };
        let table = model.with_extension("cache");
        let shape = format!("{}:{}", self.input.0, self.dims());
        let [model, images, out] = [model, &images, &table].map(|path| path.to_str().expect("plain paths"));
        let command = ["calibrate", "--onnx", model, "--images", images, "--output", out, "--count", "8"];
        let is_open = trt_onnx::Model::load(model).expect("a model").inputs()[0]
            .dims
            .iter()
            .any(|dim| !matches!(dim, trt_onnx::Dim::Fixed(_)));
        let shape = if is_open { vec!["--shape", &shape] } else { vec![] };
        host.run(&[&command[..], &["--preprocess", self.preprocess], &shape].concat()).ok();
        table
    }

    /// Builds that kind, and compares what was composed with `model`; the cosine is absent for what is not composed.
    fn build(
        &self,
        rtx: &Rtx,
        python: Option<&Python>,
        model: &Path,
        table: &Path,
        kind: Kind,
    ) -> (Built, Option<f32>) {
        let folder = tempfile::tempdir().expect("a folder");
        let copy = folder.path().join("model.onnx");
        fs::copy(model, &copy).expect("a copy");
        for file in trt_onnx::Model::load(model).expect("a model").external_files() {
            fs::copy(model.with_file_name(&file.path), folder.path().join(&file.path)).expect("a copy");
        }
        let built = rtx.build(&copy, self.input, kind, table).unwrap_or_else(|failure| {
            panic!("{} as {kind} in {}: {failure:?}", self.name, rtx.version());
        });
        let composed = folder.path().join(".composed.onnx");
        assert_eq!(composed.exists(), kind != Kind::Fp32, "{} as {kind}", self.name);
        assert_eq!(built.quantized > 0, kind.is_int8(), "{} as {kind}", self.name);
        let cosine = python.filter(|_| composed.exists()).map(|python| {
            let shape = self.dims().replace('x', ",");
            let [mean, std] = self.normal;
            let options = ["--shape", &shape, "--mean", mean, "--std", std, "--varying"];
            let options = &options[..options.len() - usize::from(!self.varying)];
            python.compare(model, &composed, options).into_values().reduce(f32::min).expect("an output")
        });
        if let Some(cosine) = cosine {
            let least = self.least[Kind::ALL.iter().position(|&other| other == kind).expect("all kinds")];
            assert!(
                cosine >= least,
                "{} as {kind}: cosine {cosine}, which should be at least {least}",
                self.name
            );
        }
        (built, cosine)
    }
}

/// The folders of TensorRT-RTX: the newest, then older ones.
fn versions() -> Option<Vec<Rtx>> {
    let folders = test_support::rtx();
    (!folders.is_empty()).then(|| folders.into_iter().map(Rtx::probe).collect())
}

/// Says these lines, and adds them to the table.
fn report(lines: &[String]) {
    lines.iter().for_each(|line| eprintln!("{line}"));
    let Some(table) = env::var_os("TRT_RTX_TABLE") else { return };
    let mut table = fs::OpenOptions::new().create(true).append(true).open(table).expect("the table opens");
    lines.iter().for_each(|line| writeln!(table, "{line}").expect("the table can be written"));
}

/// One line of the table.
fn row(case: &Case, rtx: &Rtx, kind: Kind, built: &Built, cosine: Option<f32>) -> String {
    format!(
        "| {} | {} | {kind} | {:.2} | {:.1} | {:.0} | {} |",
        case.name,
        rtx.version(),
        built.engine_bytes as f64 / 1e6,
        built.wall_ms as f64 / 1e3,
        built.peak_rss as f64 / 1e6,
        cosine.map_or("–".to_owned(), |cosine| format!("{cosine:.4}")),
    )
}
