//! `backend: tensorrt`, as far as it goes without one.

use trt_calib::EntropyParams;
use trt_calib::sidecar::Propagate;
use trt_inference::OnNan;

use super::*;

fn by_tensorrt() -> Bench {
    let mut bench = Bench::new(&convolution(&[-1, 3, 8, 8]), 3);
    bench.job.recipe.running.backend = Choice::TensorRt;
    bench
}

#[test]
fn what_tensorrts_own_calibrator_has_not_got_is_refused() {
    type Change = fn(&mut Job);
    let cases: [(Change, &str); 10] = [
        (|job| job.recipe.thresholds.algorithm = Chosen::Auto, "`algorithm: auto`"),
        (|job| job.recipe.thresholds.algorithm = Chosen::Of(Algorithm::Mse), "`algorithm: mse`"),
        (
            |job| job.recipe.thresholds.algorithm = Chosen::Of(Algorithm::PERCENTILE),
            "`algorithm: percentile:99.99`",
        ),
        (|job| job.recipe.thresholds.overrides = [("r".into(), Algorithm::MinMax)].into(), "`overrides`"),
        (
            |job| job.recipe.thresholds.entropy = EntropyParams { stride: 7, ..EntropyParams::default() },
            "parameters of `entropy`",
        ),
        (|job| job.recipe.thresholds.propagate = Propagate::All, "`propagate: all`"),
        (|job| job.recipe.running.on_nan = OnNan::SkipImage, "`on-nan: skip-image`"),
        (|job| job.recipe.running.devices = vec![0, 1], "more than one of `devices`"),
        (|job| job.shard = Some("1/2".parse().unwrap()), "`--shard`"),
        (|job| job.resume = true, "`--resume`"),
    ];
    for (change, words) in cases {
        let mut bench = by_tensorrt();
        change(&mut bench.job);
        let error = bench.error();
        assert!(matches!(error, CalibrateError::OwnCalibrator { .. }), "{error:?}");
        assert!(error.to_string().ends_with(&format!("has no {words}")), "{error}");
    }
    for algorithm in ["entropy", "entropy1", "minmax", "legacy:0.999:0.5"] {
        let mut bench = by_tensorrt();
        bench.algorithm(algorithm.parse().unwrap());
        assert!(bench.plan().is_ok(), "{algorithm}");
    }
}

#[test]
fn without_a_tensorrt_the_names_that_were_tried_are_told_and_nothing_is_written() {
    let mut bench = by_tensorrt();
    bench.job.recipe.running.tensorrt_dir = Some(bench.at("nowhere"));
    let error = bench.error();
    assert!(matches!(error, CalibrateError::NoTensorRt { .. }), "{error:?}");
    let text = error.to_string();
    assert!(text.starts_with("no TensorRT can calibrate here: no TensorRT library found"), "{text}");
    assert!(text.contains("libnvinfer.so.10") && text.contains("nowhere"), "{text}");
    assert!(error.hint().unwrap().contains("tensorrt-dir"));
    assert!(!bench.at("out").exists());
}

#[test]
fn a_table_of_another_calibrator_is_stale() {
    let mut bench = Bench::new(&convolution(&[-1, 3, 8, 8]), 3);
    bench.job.recipe.running.histogram = trt_calib::Mode::TensorRt;
    bench.run().unwrap();
    bench.job.recipe.running.backend = Choice::TensorRt;
    let State::Stale { reasons, .. } = bench.plan().unwrap().state else { panic!("it is stale") };
    assert!(reasons.iter().any(|why| why.contains("`backend` was rten, and is tensorrt")), "{reasons:?}");
}
