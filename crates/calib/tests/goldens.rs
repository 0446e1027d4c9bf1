//! Histogram, rebinning and thresholds against a second implementation, `scripts/make-calib-goldens`.

mod support;

use support::Uniform;
use trt_calib::{Algorithm, Counts, EntropyParams, Histogram, entropy_threshold};

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
