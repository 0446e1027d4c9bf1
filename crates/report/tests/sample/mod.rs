//! A made-up report that has something in every section, and names that no page should trust.

use trt_calib::{Counts, Mode};
use trt_imaging::Picture;
use trt_report::*;

/// A name that would run a script, turn the text around and start a line, if anything let it.
pub const HOSTILE: &str = "</code><script>alert('x')</script>\u{202e}\"onload=\u{1b}[31m&\n]]>";

/// A report of as many tensors as asked for.
pub fn report(tensors: usize) -> ReportData {
    ReportData {
        provenance: provenance(),
        notes: vec![
            "`images/broken.jpg` was left out: it is no image".into(),
            "the backend is `rten`: ONNX Runtime was not found, and calibration took longer than it need"
                .into(),
        ],
        results: vec![results("report", "seen by neither calibration nor selection", 500)],
        choice: Some(choice()),
        tensors: (0..tensors).map(tensor).collect(),
        layers: vec![LayerCost {
            name: "/model.24/m.0/Conv".into(),
            operator: "Conv".into(),
            only_db: Some(19.2),
            without_db: Some(23.9),
            kept: None,
        }],
        coverage: Some(coverage()),
        dataset: Some(dataset()),
        side_by_side: vec![side_by_side("street-042.jpg", 3), side_by_side(HOSTILE, 8)],
        propagated: (0..30)
            .map(|at| Propagated {
                tensor: format!("/model.{at}/pool/MaxPool_output_0"),
                from: format!("/model.{at}/cv1/act/Mul_output_0"),
                through: Some("MaxPool".into()),
            })
            .collect(),
    }
}

fn provenance() -> Provenance {
    let fact = |label: &str, value: &str| Fact { label: label.into(), value: value.into() };
    Provenance {
        model: "yolov5s.onnx".into(),
        model_hash: "9c1a7f02b6d1".repeat(4),
        table: "yolov5s.calib".into(),
        algorithm: "auto: mse".into(),
        mode: "canonical".into(),
        backend: "onnxruntime 1.22.0 (8 threads)".into(),
        dataset: "images/coco-street".into(),
        seed: 42,
        tool: "trt-deploy 0.1.0".into(),
        created: "2026-05-04T09:30:00Z".into(),
        more: vec![
            fact("Input `images`", "1x3x640x640"),
            fact("Preprocessing", "letterbox 114, /255, RGB, CHW"),
        ],
    }
}

fn results(split: &str, about: &str, samples: u64) -> Results {
    let output = |group: Option<&str>, cosine, sqnr_db, max_error| OutputFigures {
        output: "output0".into(),
        group: group.map(Into::into),
        cosine: Some(cosine),
        sqnr_db: Some(sqnr_db),
        max_error: Some(max_error),
    };
    let measure = |name: &str, against, fp32, int8, standard_error| Measure {
        name: name.into(),
        against,
        fp32,
        int8: Some(int8),
        standard_error: Some(standard_error),
        unit: Unit::Share,
    };
    Results {
        split: split.into(),
        about: about.into(),
        samples,
        outputs: vec![
            output(None, 0.999_912, 37.3, 14.2),
            output(Some("boxes"), 0.999_97, 41.1, 14.2),
            output(Some("objectness"), 0.991_2, 17.4, 0.31),
            output(Some("classes"), 0.995_1, 20.1, 0.22),
        ],
        measures: vec![
            measure("mAP50", Against::Labels, Some(0.5612), 0.5538, 0.0061),
            measure("box matches at IoU 0.5", Against::Fp32, None, 0.9713, 0.0043),
        ],
        of_classes: "average precision at IoU 0.5".into(),
        classes: vec![
            ClassFigures { name: "person".into(), labelled: 2_310, fp32: Some(0.712), int8: Some(0.705) },
            ClassFigures { name: "<b>kite</b>".into(), labelled: 3, fp32: Some(1.0), int8: None },
        ],
    }
}

fn choice() -> Choice {
    let candidate = |algorithm: &str, chosen, a, b, note: Option<&str>| Candidate {
        algorithm: algorithm.into(),
        chosen,
        values: vec![a, b],
        note: note.map(Into::into),
    };
    Choice {
        because: "`mse` has the most box matches; `percentile:99.99` is within one standard error, with a lower SQNR".into(),
        split: "selection".into(),
        samples: 200,
        columns: vec![
            Column { name: "box matches".into(), unit: Unit::Share },
            Column { name: "SQNR".into(), unit: Unit::Decibel },
        ],
        candidates: vec![
            candidate("mse", true, Some(0.9721), Some(17.9), None),
            candidate("percentile:99.99", false, Some(0.9688), Some(16.2), None),
            candidate("minmax", false, Some(0.9434), Some(13.0), None),
            candidate("entropy", false, Some(0.3127), Some(4.4), Some("clips the boxes")),
            candidate("legacy:0.99999:1", false, None, None, Some("not evaluated: equal to `minmax` throughout")),
        ],
        overrides: vec![Override {
            tensor: "/model.24/Sigmoid_output_0".into(),
            algorithm: "minmax".into(),
            because: "it gains 1.2 dB".into(),
        }],
    }
}

/// Values scattered like a bell: sums of fractional parts of multiples of irrational numbers.
fn bell(at: usize, n: usize) -> f32 {
    let part = |factor: f64| (n as f64 * factor + at as f64 * 0.37).fract();
    (part(0.618_033_98) + part(0.414_213_56) + part(0.732_050_8) + part(0.236_067_97) - 2.0) as f32
}

/// Bells, rectified bells with outliers, sigmoids, a dead tensor, a constant one, one without a scale.
pub fn tensor(at: usize) -> TensorReport {
    let values: Vec<f32> = (0..20_000)
        .map(|n| match at % 12 {
            7 => 0.0,
            3 => 1.0 / (1.0 + (-6.0 * bell(at, n)).exp()),
            5 => 6.0,
            1 | 2 | 8 if n % 4000 == 17 => 9.0 + (n / 4000) as f32,
            1 | 2 | 4 | 8 => (2.0 * bell(at, n)).max(0.0),
            _ => 3.0 * bell(at, n),
        })
        .collect();
    let mut counts = Counts::new(if at == 9 { Mode::TensorRt } else { Mode::Canonical });
    values.chunks(5000).for_each(|batch| counts.add(batch));
    let name = if at == 4 {
        HOSTILE.to_owned()
    } else {
        format!("/model.{}/cv{}/act/Mul_output_0", at / 3, at % 3 + 1)
    };
    let mut tensor = TensorReport::new(name, &counts);
    tensor.operator = (at > 0).then(|| ["Conv", "Mul", "Concat", "Sigmoid"][at % 4].to_owned());
    let Some(amax) = counts.amax().map(f64::from).filter(|amax| *amax > 0.0) else {
        tensor.without_scale =
            Some("every value of the tensor was 0 during calibration; values seen: 20,000".into());
        return tensor;
    };
    let spread = 0.35 + 0.6 * f64::from(bell(at, 5).abs());
    for (algorithm, share, chosen) in [
        ("entropy", spread * 0.7, false),
        ("mse", spread, true),
        ("percentile:99.99", (spread * 1.15).min(0.999), false),
        ("legacy:0.99999:1", 1.0, false),
        ("minmax", 1.0, false),
    ] {
        tensor = tensor.with_threshold(algorithm, amax * share, chosen, &counts);
    }
    tensor.sqnr_db = Some(f64::from(38.0 + 5.0 * bell(at, 7 * at) - if at % 12 == 8 { 24.0 } else { 0.0 }));
    tensor.own_db = tensor.sqnr_db.map(|db| db + 3.0 + 4.0 * f64::from(bell(at, 11)).abs());
    if at == 8 {
        tensor.kept = Some("`--rescue` needs it: with it, objectness reaches 20 dB".into());
    }
    tensor
}

fn coverage() -> Coverage {
    let reason = |name: &str, because: &str| Reason { name: name.into(), because: because.into() };
    let mut without_scale: Vec<Reason> =
        (0..14).map(|at| reason(&format!("/model.24/Shape_{at}_output_0"), "it has integers")).collect();
    without_scale.push(reason("/model.2/cv2/act/Mul_output_0", "every value was 0"));
    Coverage {
        wanted: 168,
        without_scale,
        layers: 142,
        not_int8: vec![Layer {
            name: "/model.24/Reshape".into(),
            operator: "Reshape".into(),
            because: "it runs in whatever precision its input has".into(),
        }],
        dead: vec![reason("/model.2/cv2/act/Mul_output_0", "0 in all 20,000 values")],
        suspicious: vec![reason(HOSTILE, "its greatest magnitude is 40 times its 99.99 % quantile")],
        constant_inputs: Vec::new(),
    }
}

fn dataset() -> DatasetReport {
    let split = |name: &str, samples, fingerprint: &str| Split {
        name: name.into(),
        samples,
        requested: samples,
        fingerprint: fingerprint.into(),
    };
    DatasetReport {
        splits: vec![
            split("calibration", 500, "77aa01c2"),
            split("selection", 200, "0bb871de"),
            split("report", 500, "e1f0c3a9"),
        ],
        near_duplicates: vec![NearDuplicates {
            names: vec!["street-001.jpg".into(), "street-002.jpg".into()],
            because: "2 of 64 bits differ".into(),
        }],
        near_constant: vec![Reason {
            name: "night-007.jpg".into(),
            because: "its brightness varies by 1.1 of 255".into(),
        }],
        skipped: vec![Reason { name: HOSTILE.into(), because: "it is no image".into() }],
        contact_sheet: (0..24)
            .map(|at| Thumbnail {
                name: format!("street-{at:03}.jpg"),
                split: if at % 3 == 0 { "report" } else { "calibration" }.into(),
                image: Embedded::jpeg(&picture(at, 0), 160).unwrap(),
            })
            .collect(),
        not_shown: 1176,
    }
}

fn side_by_side(name: &str, at: u32) -> SideBySide {
    let panel =
        |label: &str, image| Panel { label: label.into(), image: Embedded::jpeg(&image, 640).unwrap() };
    SideBySide {
        name: name.into(),
        finding: "5 boxes in both, 1 only in FP32".into(),
        panels: vec![panel("FP32", picture(at, 3)), panel("INT8", picture(at, 2))],
    }
}

/// A street of sorts with boxes on it.
fn picture(at: u32, boxes: u32) -> Picture {
    let (width, height) = if at.is_multiple_of(5) { (240, 320) } else { (480, 320) };
    let mut pixels = Vec::with_capacity((width * height * 3) as usize);
    for y in 0..height {
        for x in 0..width {
            let edge = (0..boxes).any(|n| {
                let (left, top) = (30 + 90 * n, 120 + 20 * n);
                let inside = |margin: u32| {
                    (left + margin..left + 70 - margin).contains(&x)
                        && (top + margin..top + 100 - margin).contains(&y)
                };
                inside(0) && !inside(3)
            });
            let sky = [120 + (y / 4) as u8, 150 + (at * 4 % 80) as u8, 200];
            let road = [70 + (at * 9 % 60) as u8, 75 + (x / 8 % 20) as u8, 70];
            pixels.extend(if edge {
                [255, 120, 0]
            } else if y < 140 + x / 16 {
                sky
            } else {
                road
            });
        }
    }
    Picture { width, height, pixels }
}
