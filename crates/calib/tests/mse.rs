//! The threshold of `mse` has the least error on the values themselves, not only on their histogram.

mod support;

use support::Uniform;
use trt_calib::{Algorithm, Counts, Histogram};

fn data(kind: &str) -> Vec<f32> {
    let mut u = Uniform(3);
    let mut one = || match kind {
        "normal" => u.normal(),
        "relu" => (u.normal() - 1.0).max(0.0),
        "laplace" => -(u.next() + 2f64.powi(-25)).ln(),
        "relu6" => (u.normal() * 4.0).clamp(0.0, 6.0),
        "sigmoid" => 1.0 / (1.0 + (-3.0 * u.normal()).exp()),
        "heavy" => u.normal() / (u.next() + 1e-3),
        other => panic!("unknown data: {other}"),
    };
    (0..40_000).map(|_| one() as f32).collect()
}

/// The mean squared error of INT8 at this threshold.
fn error(values: &[f32], threshold: f64) -> f64 {
    let scale = threshold / 127.0;
    let one =
        |x: &f32| (f64::from(*x) - scale * (f64::from(*x) / scale).round().clamp(-127.0, 127.0)).powi(2);
    values.iter().map(one).sum::<f64>() / values.len() as f64
}

#[test]
fn no_threshold_has_less_error_on_the_values() {
    for kind in ["normal", "relu", "laplace", "relu6", "sigmoid", "heavy"] {
        let values = data(kind);
        let mut histogram = Histogram::new();
        histogram.add(&values);
        let counts = Counts::from(histogram);
        let amax = f64::from(counts.amax().unwrap());
        let found = Algorithm::Mse.threshold(&counts).unwrap().value;
        let own = error(&values, found);
        let tried = (1..=1500).map(|step| amax * f64::from(step) / 1500.0);
        let best = tried.map(|tried| error(&values, tried)).fold(f64::INFINITY, f64::min);
        assert!(own <= best * 1.002, "{kind}: {own:e} at {found}, and {best:e} elsewhere");
        // The test can tell: no clipping is worse for tails, and clipping more is worse for all.
        assert!(own < error(&values, found * 0.8) && own <= error(&values, amax), "{kind}");
    }
}

#[test]
fn saturated_values_and_zeros_keep_their_range() {
    for amax in [1.0f32, 6.0, 5.3] {
        let mut histogram = Histogram::new();
        histogram.add(&[0.0; 500]);
        histogram.add(&[amax; 500]);
        histogram.add(&[amax / 2.0, amax / 3.0]);
        let found = Algorithm::Mse.threshold(&histogram.into()).unwrap();
        assert_eq!(found.value, f64::from(amax));
    }
}

#[test]
fn an_outlier_far_out_is_clipped() {
    let mut values = data("normal");
    values.push(300.0);
    let mut histogram = Histogram::new();
    histogram.add(&values);
    let found = Algorithm::Mse.threshold(&histogram.into()).unwrap().value;
    // Its squared error is shared by 40,000: not clipped to the rest's 4 or 5, and far below itself.
    assert!((5.0..290.0).contains(&found), "{found}");
}
