//! A histogram depends on the multiset of values and on nothing else.

mod support;

use proptest::prelude::*;
use support::Uniform;
use trt_calib::{FINE, Histogram, HistogramParts};

fn histogram(values: &[f32]) -> Histogram {
    let mut histogram = Histogram::new();
    histogram.add(values);
    histogram
}

/// The definition, value by value, once all values are known.
fn plainly(values: &[f32]) -> HistogramParts {
    let finite: Vec<f32> = values.iter().copied().filter(|x| x.is_finite()).collect();
    let amax = finite.iter().fold(0f64, |amax, x| amax.max(f64::from(*x).abs()));
    let mut exponent = -100;
    while 2f64.powi(exponent) <= amax {
        exponent += 1;
    }
    let mut bins = if finite.is_empty() { Vec::new() } else { vec![0; FINE] };
    for x in &finite {
        bins[(f64::from(*x).abs() * 2f64.powi(14 - exponent)).floor() as usize] += 1;
    }
    let nan = values.iter().filter(|x| x.is_nan()).count();
    HistogramParts {
        exponent,
        bins,
        min: finite.iter().fold(f32::INFINITY, |min, x| min.min(*x + 0.0)),
        max: finite.iter().fold(f32::NEG_INFINITY, |max, x| max.max(*x + 0.0)),
        nan: nan as u64,
        infinite: (values.len() - finite.len() - nan) as u64,
    }
}

/// Any bits, and values as activations have them.
fn value() -> impl Strategy<Value = f32> {
    prop_oneof![
        4 => -10f32..10.0,
        2 => any::<u32>().prop_map(f32::from_bits),
        1 => Just(0.0),
        1 => Just(-0.0),
        1 => (-20i32..20).prop_map(|e| 2f32.powi(e)),
        1 => (-20i32..20).prop_map(|e| 2f32.powi(e).next_down()),
    ]
}

fn values() -> impl Strategy<Value = Vec<f32>> {
    prop::collection::vec(value(), 0..400)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(200))]

    #[test]
    fn it_has_the_counts_of_its_definition(values in values()) {
        prop_assert_eq!(histogram(&values).into_parts(), plainly(&values));
    }

    #[test]
    fn order_does_not_matter(values in values(), seed in any::<u64>()) {
        let mut shuffled = values.clone();
        let mut random = Uniform(seed);
        for i in (1..shuffled.len()).rev() {
            shuffled.swap(i, (random.next() * (i + 1) as f64) as usize);
        }
        prop_assert_eq!(histogram(&values), histogram(&shuffled));
    }

    #[test]
    fn batches_and_shards_do_not_matter(values in values(), batch in 1usize..50) {
        let whole = histogram(&values);
        let (mut batched, mut merged) = (Histogram::new(), Histogram::new());
        for part in values.chunks(batch) {
            batched.add(part);
            merged.merge(&histogram(part));
        }
        prop_assert_eq!(&batched, &whole);
        prop_assert_eq!(&merged, &whole);
        let mut reversed = Histogram::new();
        values.chunks(batch).rev().for_each(|part| reversed.merge(&histogram(part)));
        prop_assert_eq!(&reversed, &whole);
    }

    #[test]
    fn every_value_is_counted_once_whatever_the_bins(values in values(), bins in 1usize..5000) {
        let histogram = histogram(&values);
        prop_assert_eq!(histogram.count() + histogram.nan() + histogram.infinite(), values.len() as u64);
        let counts = histogram.rebin(bins);
        prop_assert_eq!(counts.iter().sum::<u64>(), histogram.count());
        prop_assert!(counts.last().is_none_or(|&last| last > 0));
    }

    #[test]
    fn parts_are_taken_back(values in values()) {
        let histogram = histogram(&values);
        let again = Histogram::from_parts(histogram.clone().into_parts());
        prop_assert_eq!(again, Ok(histogram));
    }
}

/// Long slices take another way through the code, with scratch counts, blocks and a range that grows.
#[test]
fn long_slices_are_counted_like_short_ones() {
    let mut random = Uniform(7);
    let mut values: Vec<f32> = (0..100_000).map(|i| (random.normal() * f64::from(i) * 1e-3) as f32).collect();
    values.iter_mut().step_by(3).for_each(|x| *x = x.max(0.0));
    for (at, odd) in [(10, f32::NAN), (50_000, f32::INFINITY), (50_001, f32::NEG_INFINITY), (99_999, -0.0)] {
        values[at] = odd;
    }
    let whole = histogram(&values);
    assert_eq!((whole.nan(), whole.infinite()), (1, 2));
    assert_eq!(whole.clone().into_parts(), plainly(&values));
    let mut small = Histogram::new();
    values.chunks(1000).for_each(|part| small.add(part));
    assert_eq!(small, whole);
}

#[test]
fn threads_count_like_one() {
    let mut random = Uniform(8);
    let mut values: Vec<f32> = (0..700_001).map(|_| (random.next() * random.next()) as f32 - 0.1).collect();
    values[600_000] = f32::NAN;
    values[600_001] = 77.0;
    let mut found = histogram(&[5.0, f32::INFINITY]);
    let mut wanted = found.clone();
    found.add_parallel(&values);
    found.add_parallel(&[]);
    wanted.add(&values);
    assert_eq!(found, wanted);
    assert_eq!((found.nan(), found.infinite(), found.amax()), (1, 1, Some(77.0)));
}

#[test]
fn extremes_are_exact_and_signed() {
    let seen = histogram(&[-3.5, 0.25, 1.0, f32::NAN, f32::NEG_INFINITY]);
    assert_eq!((seen.min(), seen.max(), seen.amax()), (Some(-3.5), Some(1.0), Some(3.5)));
    let nothing = histogram(&[f32::NAN, f32::INFINITY]);
    assert_eq!((nothing.min(), nothing.max(), nothing.amax(), nothing.count()), (None, None, None, 0));
    assert_eq!(histogram(&[]), Histogram::new());
}

#[test]
fn values_none_of_which_is_finite_are_taken_back_however_many_they_are() {
    for count in [1, 8_192, 8_193, 40_000, 300_000] {
        let values: Vec<f32> =
            (0..count).map(|at| [f32::INFINITY, f32::NEG_INFINITY, f32::NAN][at % 3]).collect();
        let mut parallel = Histogram::new();
        parallel.add_parallel(&values);
        for mut histogram in [histogram(&values), parallel] {
            assert_eq!(histogram.clone().into_parts(), plainly(&values), "{count}");
            assert_eq!(Histogram::from_parts(histogram.clone().into_parts()).unwrap(), histogram, "{count}");
            // And it goes on from there.
            histogram.add(&[0.5; 9_000]);
            let all = [&values[..], &[0.5; 9_000]].concat();
            assert_eq!(histogram.into_parts(), plainly(&all), "{count}");
        }
    }
}

#[test]
fn damaged_parts_are_refused() {
    let good = histogram(&[0.5, 1.0]).into_parts();
    assert!(Histogram::from_parts(good.clone()).is_ok());
    let damage: [fn(&mut HistogramParts); 10] = [
        |p| p.bins.truncate(100),
        |p| p.bins.clear(),
        |p| p.exponent += 1,
        |p| p.max = f32::NAN,
        |p| p.max = f32::INFINITY,
        |p| p.min = 2.0,
        |p| p.max = 1.5,
        |p| p.bins[FINE - 1] = 1,
        |p| p.bins[0] = u64::MAX,
        |p| p.nan = u64::MAX,
    ];
    for (number, damage) in damage.into_iter().enumerate() {
        let mut parts = good.clone();
        damage(&mut parts);
        assert!(Histogram::from_parts(parts).is_err(), "{number}");
    }
}
