//! Histogram, rebinning and thresholds against a second implementation, `scripts/make-calib-goldens`.

mod support;

use support::Uniform;
use trt_calib::{Algorithm, Counts, EntropyParams, Histogram, Method, Mode, entropy_threshold};

fn values(kind: &str, seed: u64, count: usize) -> Vec<f32> {
    let mut u = Uniform(seed);
    let mut one = || match kind {
        "normal" | "outlier" => u.normal(),
        "relu" => u.normal().max(0.0),
        "heavy" => {
            let magnitude = u.next() * u.next() * u.next();
            if u.next() < 0.5 { magnitude } else { -magnitude }
        }
        "saturated" => (u.normal() * 0.4 + 0.5).clamp(0.0, 1.0),
        "bytes" => (u.next() * 256.0).floor() / 255.0,
        "small" => u.normal() * 1e-6,
        "constant" => -6.0,
        "single" => u.next(),
        other => panic!("unknown data: {other}"),
    };
    let mut values: Vec<f32> = (0..count).map(|_| one() as f32).collect();
    if kind == "outlier" {
        values[count / 2] = 40.0;
    }
    values
}

fn checksum(counts: &[u64]) -> u64 {
    counts.iter().fold(0, |sum: u64, &count| sum.wrapping_mul(1_099_511_628_211).wrapping_add(count))
}

#[test]
fn thresholds_are_those_of_the_plain_implementation() {
    let goldens = include_str!("data/thresholds.tsv");
    let mut compared = 0;
    for row in goldens.lines().skip(1) {
        let columns: Vec<&str> = row.split('\t').collect();
        let [kind, seed, count, params, amax, minmax, counts, kept, divergence, scale] = columns[..] else {
            panic!("ten columns: {row}");
        };
        let params: EntropyParams = serde_json::from_str(params).unwrap();
        let mut histogram = Histogram::new();
        histogram.add(&values(kind, seed.parse().unwrap(), count.parse().unwrap()));

        assert_eq!(format!("{:08x}", histogram.amax().unwrap().to_bits()), amax, "{row}");
        assert_eq!(format!("{:016x}", checksum(&histogram.rebin(params.bins))), counts, "{row}");
        let counted = Counts::from(histogram);
        let found = Algorithm::MinMax.threshold(&counted).unwrap();
        assert_eq!(format!("{:08x}", found.scale().to_bits()), minmax, "{row}");

        let found = entropy_threshold(&counted, &params).unwrap();
        let divergence: f64 = divergence.parse().unwrap();
        assert!((found.divergence.unwrap() - divergence).abs() < 1e-9, "{row}: {found:?}");
        assert_eq!(found.bin.unwrap().to_string(), kept, "{row}");
        assert_eq!(format!("{:08x}", found.scale().to_bits()), scale, "{row}");
        compared += 1;
    }
    assert_eq!(compared, 55);
}

/// Every algorithm, preset and mode.
#[test]
fn every_algorithm_finds_what_the_plain_implementation_finds() {
    let (mut compared, mut different) = (0, Vec::new());
    for row in include_str!("data/algorithms.tsv").lines().skip(1) {
        let columns: Vec<&str> = row.split('\t').collect();
        let [kind, seed, count, mode, algorithm, params, threshold] = columns[..] else {
            panic!("seven columns: {row}");
        };
        let values = values(kind, seed.parse().unwrap(), count.parse().unwrap());
        let mode = serde_json::from_value(mode.into()).unwrap();
        let mut counts = Counts::new(mode);
        if mode == Mode::Canonical {
            counts.add(&values);
        } else {
            thirds(&values).for_each(|batch| counts.add(batch));
        }
        let method =
            Method { algorithm: algorithm.parse().unwrap(), entropy: serde_json::from_str(params).unwrap() };
        let (found, wanted) = (method.threshold(&counts).unwrap().value, threshold.parse::<f64>().unwrap());
        if (found - wanted).abs() > 1e-9 * wanted {
            different.push(format!("{row}: {found:e}"));
        }
        compared += 1;
    }
    assert!(different.is_empty(), "{different:#?}");
    assert_eq!(compared, 11 * 2 * 16);
}

/// Three batches, the first ones longer by one where there is a rest.
fn thirds(values: &[f32]) -> impl Iterator<Item = &[f32]> {
    let (size, rest) = (values.len() / 3, values.len() % 3);
    (0..3).map(move |batch| {
        let start = batch * size + batch.min(rest);
        &values[start..start + size + usize::from(batch < rest)]
    })
}
