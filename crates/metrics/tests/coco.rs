//! Average precision against pycocotools 2.0, on random boxes with crowds and equal scores (`data/make_coco.py`).

use std::collections::BTreeMap;

use serde::Deserialize;
use trt_metrics::{AveragePrecision, BBox, Detection, Truth};

#[derive(Deserialize)]
struct File {
    samples: Vec<Sample>,
    /// By IoU, the average precision of each class.
    expected: BTreeMap<String, Vec<f64>>,
}

#[derive(Deserialize)]
struct Sample {
    truths: Vec<Labelled>,
    found: Vec<Found>,
}

#[derive(Deserialize)]
struct Labelled {
    bbox: [f32; 4],
    class: u32,
    crowd: bool,
}

#[derive(Deserialize)]
struct Found {
    bbox: [f32; 4],
    class: u32,
    score: f32,
}

fn corners([left, top, width, height]: [f32; 4]) -> BBox {
    BBox { left, top, right: left + width, bottom: top + height }
}

#[test]
fn average_precision_is_that_of_pycocotools() {
    let file: File = serde_json::from_str(include_str!("data/coco.json")).unwrap();
    assert_eq!(file.expected.len(), 3);
    for (iou, expected) in &file.expected {
        let mut precision = AveragePrecision::new(iou.parse().unwrap());
        for sample in &file.samples {
            let found: Vec<Detection> = (sample.found.iter())
                .map(|found| Detection { bbox: corners(found.bbox), class: found.class, score: found.score })
                .collect();
            let truths: Vec<Truth> = (sample.truths.iter())
                .map(|truth| Truth { bbox: corners(truth.bbox), class: truth.class, crowd: truth.crowd })
                .collect();
            precision.add(&found, &truths);
        }
        let classes = precision.by_class();
        for (class, expected) in expected.iter().enumerate() {
            let found = classes[&(class as u32)];
            assert!((found - expected).abs() < 1e-9, "IoU {iou}, class {class}: {found} is not {expected}");
        }
        let mean = expected.iter().sum::<f64>() / expected.len() as f64;
        assert!((precision.mean().unwrap() - mean).abs() < 1e-9);
    }
}
