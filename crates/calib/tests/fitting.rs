//! A table made with known parameters is recognised.

#[path = "support/sets.rs"]
mod sets;
mod support;

use sets::set_of;
use support::Uniform;
use trt_calib::table::{Entry, Header, TableAlgorithm, TableVersion};
use trt_calib::{
    Algorithm, At, CalibrationTable, Counts, EntropyParams, FirstBin, HistogramSet, LevelEdge, Method, Mode,
    Preset, QSource, agreement, fit,
};

/// Tensors of several shapes of distribution, each counted in three batches.
fn set(mode: Mode) -> HistogramSet {
    let mut u = Uniform(17);
    let tensors = (0..8).map(|number| {
        let mut counts = Counts::new(mode);
        for batch in 0..3 {
            let values: Vec<f32> = (0..4000)
                .map(|_| {
                    let x = match number % 4 {
                        0 => u.normal(),
                        1 => u.normal().max(0.0),
                        2 => u.next() * u.next() * u.next() * u.next(),
                        _ => -(u.next() + 1e-7).ln(),
                    };
                    (x * f64::from(number + 1) * (1.0 + 0.3 * f64::from(batch))) as f32
                })
                .collect();
            counts.add(&values);
        }
        (format!("tensor{number}"), counts)
    });
    set_of(mode, tensors.collect())
}

fn table(set: &HistogramSet, method: &Method) -> CalibrationTable {
    let version = TableVersion::from_release(8, 6, 1).unwrap();
    let entries = set
        .tensors
        .iter()
        .map(|tensor| Entry::new(&tensor.name, method.threshold(&tensor.counts).unwrap().scale()).unwrap());
    CalibrationTable::new(Header::new(version, TableAlgorithm::EntropyCalibration2), entries.collect())
        .unwrap()
}

#[test]
fn odd_parameters_are_found_again() {
    let default = EntropyParams::default();
    for (mode, params) in [
        (Mode::Canonical, Preset::PytorchQuantization.params()),
        (
            Mode::Canonical,
            EntropyParams { q_source: QSource::WithTail, first_bin: FirstBin::Keep, ..default },
        ),
        (Mode::Canonical, EntropyParams { levels: 128, stride: 8, level_edge: LevelEdge::Up, ..default }),
        (Mode::Canonical, EntropyParams { bins: 1024, at: At::Edge, ..default }),
        (Mode::TensorRt, EntropyParams { first_bin: FirstBin::Second, ..default }),
    ] {
        let set = set(mode);
        let made = table(&set, &Method { entropy: params, ..Method::default() });
        let ranked = fit(&set, &made);
        let best = ranked[0];
        assert_eq!(best.agreement.equal, 8, "{params:?}: {best:?}");
        assert_eq!((best.agreement.within_a_bin, best.agreement.compared), (8, 8));
        assert!(best.agreement.median_difference < 1e-6);
        // Several sets of parameters may make the same table; those that made it are among the best.
        let perfect = ranked.iter().take_while(|fit| fit.agreement.equal == 8);
        let perfect: Vec<EntropyParams> = perfect.map(|fit| fit.params).collect();
        assert!(perfect.contains(&params), "{params:?} is not among {perfect:#?}");
        assert!(perfect.len() < ranked.len() / 4, "the data tell parameters apart: {}", perfect.len());
    }
}

#[test]
fn other_algorithms_agree_with_their_own_tables_only() {
    let set = set(Mode::Canonical);
    let names = ["minmax", "mse", "percentile:99.9", "entropy"];
    let methods = names.map(|name| Method::from(name.parse::<Algorithm>().unwrap()));
    for made in &methods {
        let made_table = table(&set, made);
        for tried in &methods {
            let equal = agreement(&set, &made_table, tried).unwrap().equal;
            assert_eq!(equal == 8, tried == made, "{tried:?} {made:?} {equal}");
        }
    }
}

#[test]
fn a_table_of_another_model_agrees_with_nothing() {
    let set = set(Mode::Canonical);
    let foreign =
        CalibrationTable::parse(b"TRT-8601-EntropyCalibration2\nother: 3c010204\ntensor1: 0\n").unwrap();
    assert!(fit(&set, &foreign).is_empty());
    assert_eq!(agreement(&set, &foreign, &Method::default()), None);
}
