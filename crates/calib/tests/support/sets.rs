//! A set of histograms with provenance.

use std::collections::BTreeMap;

use trt_calib::set::{Counted, Provenance};
use trt_calib::sidecar::{Backend, Dataset, Image, ModelSource, fingerprint};
use trt_calib::{Counts, Digest, HistogramSet, Mode};

pub fn image(name: &str) -> Image {
    Image { name: name.to_owned(), size: 3, hash: Digest::of(name.as_bytes()) }
}

pub fn set_of(mode: Mode, tensors: Vec<(String, Counts)>) -> HistogramSet {
    let images = vec![image("a.jpg"), image("b.jpg")];
    let provenance = Provenance {
        tool_versions: vec!["0.1.0".to_owned()],
        created: "2026-01-02T03:04:05Z".to_owned(),
        model: ModelSource {
            file: "net.onnx".to_owned(),
            hash: Digest::of(b"model"),
            external: BTreeMap::new(),
        },
        preprocessing: serde_json::json!({"mean": [0.5, 0.25]}),
        shapes: BTreeMap::from([("x".to_owned(), vec![1, 3, 8, 8])]),
        dataset: Dataset {
            count: 2,
            requested: 2,
            seed: 0,
            fingerprint: fingerprint(&images),
            images,
            skipped: Vec::new(),
        },
        shards: Vec::new(),
        batch: 1,
        backends: vec![Backend {
            name: "rten".to_owned(),
            version: "0.27.0".to_owned(),
            settings: BTreeMap::new(),
        }],
    };
    let tensors = tensors.into_iter().map(|(name, counts)| Counted { name, counts }).collect();
    HistogramSet { provenance, mode, tensors, omitted: Vec::new() }
}
