//! Files of histograms: read as they were written, damaged ones refused, and shards merged to what one run counts.

#[path = "support/sets.rs"]
mod sets;
mod support;

use proptest::prelude::*;
use sets::{image, set_of};
use support::Uniform;
use trt_calib::set::{SetError, Shard, Uncounted};
use trt_calib::{Algorithm, Counts, Digest, HistogramSet, Mode};

/// Values of three tensors for one sample; now and then a sample has NaN, infinities, or nothing but zeros.
fn sample(seed: u64) -> [Vec<f32>; 3] {
    let mut u = Uniform(seed.wrapping_mul(977) + 1);
    let spread = 0.1 + 10.0 * u.next();
    let mut first: Vec<f32> = (0..200).map(|_| (u.normal() * spread) as f32).collect();
    if seed % 5 == 1 {
        first[7] = f32::NAN;
        first[8] = f32::NEG_INFINITY;
    }
    let second = first.iter().map(|x| if seed.is_multiple_of(3) { 0.0 } else { x.max(0.0) }).collect();
    let third =
        if seed.is_multiple_of(4) { vec![f32::NAN] } else { vec![u.next() as f32; (seed % 7) as usize] };
    [first, second, third]
}

/// One run over some samples, in this order and so many at a time.
fn run(samples: &[u64], batch: usize, shard: Option<Shard>, all: &[u64]) -> HistogramSet {
    let mut tensors = ["x", "relu", "späte: [1]"].map(|name| (name.to_owned(), Counts::new(Mode::Canonical)));
    for batch in samples.chunks(batch) {
        let batch: Vec<[Vec<f32>; 3]> = batch.iter().map(|&seed| sample(seed)).collect();
        for (number, (_, counts)) in tensors.iter_mut().enumerate() {
            let values: Vec<f32> = batch.iter().flat_map(|sample| sample[number].clone()).collect();
            if batch.len().is_multiple_of(2) { counts.add_parallel(&values) } else { counts.add(&values) }
        }
    }
    let mut set = set_of(Mode::Canonical, tensors.to_vec());
    let name = |seed: &u64| format!("{seed:04}.jpg");
    let dataset = &mut set.provenance.dataset;
    dataset.images = samples.iter().map(|seed| image(&name(seed))).collect();
    dataset.count = samples.len() as u64;
    dataset.requested = all.len() as u64;
    dataset.fingerprint =
        trt_calib::sidecar::fingerprint(&all.iter().map(|s| image(&name(s))).collect::<Vec<_>>());
    set.provenance.shards.extend(shard);
    set.omitted.push(Uncounted { name: "mask".to_owned(), why: "it is boolean".to_owned() });
    set
}

fn shuffled<T: Clone>(items: &[T], seed: u64) -> Vec<T> {
    let (mut items, mut random) = (items.to_vec(), Uniform(seed));
    for i in (1..items.len()).rev() {
        items.swap(i, (random.next() * (i + 1) as f64) as usize);
    }
    items
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(60))]

    /// The file of merged shards is, byte for byte, that of one run, but for who counted which part.
    #[test]
    fn shards_in_any_order_make_the_file_of_one_run(
        samples in 1usize..40, shards in 1u32..6, batch in 1usize..9, seed in any::<u64>(),
    ) {
        let all: Vec<u64> = (0..samples as u64).collect();
        let whole = run(&all, 1, None, &all);
        let order = shuffled(&all, seed);
        let parts: Vec<HistogramSet> = (1..=shards)
            .map(|index| {
                let own = order.iter().copied().skip(index as usize - 1).step_by(shards as usize);
                run(&own.collect::<Vec<_>>(), batch, Some(Shard { index, of: shards }), &all)
            })
            .collect();
        let mut merged = HistogramSet::merge(shuffled(&parts, seed ^ 1)).unwrap();
        prop_assert_eq!(merged.provenance.missing_shards(), []);
        merged.provenance.shards.clear();
        prop_assert_eq!(merged.write().unwrap(), whole.write().unwrap());

        // Merging in two steps is the same.
        if parts.len() > 2 {
            let (left, right) = parts.split_at(1 + seed as usize % (parts.len() - 1));
            let halves = [right, left].map(|half| HistogramSet::merge(half.to_vec()).unwrap());
            let mut again = HistogramSet::merge(halves.to_vec()).unwrap();
            again.provenance.shards.clear();
            prop_assert_eq!(again, merged);
        }
    }

    #[test]
    fn a_file_is_read_as_it_was_written(seeds in prop::collection::vec(any::<u64>(), 0..4), tensorrt in any::<bool>()) {
        let mode = if tensorrt { Mode::TensorRt } else { Mode::Canonical };
        let tensor = |seed: u64| {
            let mut counts = Counts::new(mode);
            sample(seed >> 8).iter().for_each(|values| counts.add(values));
            (format!("{seed}"), counts)
        };
        let seeds: std::collections::BTreeSet<u64> = seeds.into_iter().collect();
        let set = set_of(mode, seeds.into_iter().map(tensor).collect());
        let bytes = set.write().unwrap();
        prop_assert_eq!(HistogramSet::parse(&bytes).unwrap(), set);
    }

    /// Whatever the bytes are, reading them ends, and what is taken is whole.
    #[test]
    fn damaged_files_do_no_harm(at in any::<prop::sample::Index>(), to in any::<u8>(), cut in any::<prop::sample::Index>()) {
        let good = run(&[1, 2, 3], 2, None, &[1, 2, 3]).write().unwrap();
        let mut changed = good.clone();
        // Most of the file is counts: half of the cases hit the description.
        let within = if to % 2 == 0 { good.len() } else { good.len().min(2000) };
        changed[at.index(within)] ^= to;
        for bytes in [&changed[..], &good[..cut.index(good.len())]] {
            if let Ok(set) = HistogramSet::parse(bytes) {
                set.tensors.iter().for_each(|tensor| drop(Algorithm::default().threshold(&tensor.counts)));
                prop_assert!(set.write().is_ok());
            }
        }
    }

    #[test]
    fn any_bytes_are_read_without_a_panic(bytes in prop::collection::vec(any::<u8>(), 0..300)) {
        prop_assert!(HistogramSet::parse(&bytes).is_err());
    }
}

#[test]
fn counts_beyond_32_bits_are_kept() {
    let mut parts = trt_calib::Histogram::new();
    parts.add(&[0.5, 1.0]);
    let mut parts = parts.into_parts();
    parts.bins[3] = 1 << 40;
    let counts = Counts::from(trt_calib::Histogram::from_parts(parts).unwrap());
    let set = set_of(Mode::Canonical, vec![("x".to_owned(), counts)]);
    assert_eq!(HistogramSet::parse(&set.write().unwrap()).unwrap(), set);
}

/// Reads a safetensors file with nothing but numpy, and prints what it finds.
const NUMPY: &str = r#"
import json, struct, sys
import numpy
data = sys.stdin.buffer.read()
(length,) = struct.unpack("<Q", data[:8])
header = json.loads(data[8 : 8 + length])
description = json.loads(header.pop("__metadata__")["trt-deploy"])
found = {}
for tensor in description["tensors"]:
    place = header[tensor["name"]]
    start, end = (8 + length + at for at in place["data_offsets"])
    counts = numpy.frombuffer(data[start:end], {"U32": "<u4", "U64": "<u8"}[place["dtype"]])
    assert list(counts.shape) == place["shape"]
    found[tensor["name"]] = [int(counts.sum()), tensor.get("min"), tensor["nan"]]
print(json.dumps(found))
"#;

#[test]
fn numpy_reads_the_file() {
    use std::io::Write as _;
    use std::process::{Command, Stdio};
    let Some(python) = test_support::python() else { return };
    let set = run(&[1, 2, 3], 1, None, &[1, 2, 3]);
    let mut child = Command::new(python)
        .args(["-c", NUMPY])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    child.stdin.take().unwrap().write_all(&set.write().unwrap()).unwrap();
    let output = child.wait_with_output().unwrap();
    let found: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
    for tensor in &set.tensors {
        let wanted = serde_json::json!([
            tensor.counts.count(),
            tensor.counts.min().map(f64::from),
            tensor.counts.nan()
        ]);
        assert_eq!(found[&tensor.name], wanted, "{}", tensor.name);
    }
}

#[test]
fn other_files_are_refused_by_what_they_are() {
    let set = run(&[1, 2], 2, None, &[1, 2]);
    let bytes = set.write().unwrap();
    let text = String::from_utf8_lossy(&bytes[8..4000]).into_owned();
    let edited = |from: &str, to: &str| {
        assert_eq!(from.len(), to.len());
        let at = text.find(from).unwrap_or_else(|| panic!("{from} in {text}")) + 8;
        [&bytes[..at], to.as_bytes(), &bytes[at + from.len()..]].concat()
    };
    type Check = fn(&SetError) -> bool;
    let cases: [(Vec<u8>, Check); 8] = [
        (vec![], |e| matches!(e, SetError::Container { .. })),
        (b"TRT-8601-EntropyCalibration2\na: 3c010204\n".to_vec(), |e| {
            matches!(e, SetError::Container { .. })
        }),
        (bytes[..bytes.len() - 1].to_vec(), |e| matches!(e, SetError::Container { .. })),
        (edited("trt-deploy\"", "trt-depldy\""), |e| matches!(e, SetError::Foreign)),
        (edited(r#"format\":1"#, r#"format\":2"#), |e| matches!(e, SetError::Newer { found: 2 })),
        (edited("provenance", "provenancE"), |e| matches!(e, SetError::Description { .. })),
        (edited(r#"name\":\"x"#, r#"name\":\"y"#), |e| matches!(e, SetError::Contents { .. })),
        (edited("canonical", "tensorrt\\"), |e| {
            matches!(e, SetError::Container { .. } | SetError::Description { .. })
        }),
    ];
    for (number, (bytes, expected)) in cases.into_iter().enumerate() {
        let error = HistogramSet::parse(&bytes).unwrap_err();
        assert!(expected(&error), "{number}: {error:?}");
    }
}

#[test]
fn names_that_the_file_cannot_hold_are_refused() {
    let counts = || Counts::new(Mode::Canonical);
    for names in [vec!["__metadata__"], vec!["x", "x"]] {
        let set = set_of(Mode::Canonical, names.iter().map(|name| ((*name).to_owned(), counts())).collect());
        assert!(matches!(set.write(), Err(SetError::Name { .. })), "{names:?}");
    }
    let mixed = set_of(Mode::TensorRt, vec![("x".to_owned(), counts())]);
    assert!(matches!(mixed.write(), Err(SetError::Mode { .. })));
}

#[test]
fn what_does_not_belong_together_is_not_merged() {
    let all = [1, 2, 3, 4];
    let shard = |index| Some(Shard { index, of: 2 });
    let first = || run(&all[..2], 1, shard(1), &all);
    let second = || run(&all[2..], 1, shard(2), &all);
    let with = |change: fn(&mut HistogramSet)| {
        let mut other = second();
        change(&mut other);
        other
    };
    type Check = fn(&SetError) -> bool;
    let cases: [(HistogramSet, Check); 10] = [
        (first(), |e| matches!(e, SetError::SampleTwice { name } if name == "0001.jpg")),
        (with(|s| s.provenance.shards[0].index = 1), |e| matches!(e, SetError::ShardTwice { .. })),
        (with(|s| s.provenance.shards[0].of = 3), |e| matches!(e, SetError::Differ { .. })),
        (with(|s| s.provenance.model.hash = Digest::of(b"other")), |e| {
            matches!(e, SetError::Differ { what: "models", .. })
        }),
        (
            with(|s| s.provenance.preprocessing["mean"][1] = 0.5.into()),
            |e| matches!(e, SetError::Differ { what: "preprocessing", first, .. } if first == "`mean[1]` = 0.25"),
        ),
        (with(|s| s.provenance.shapes.clear()), |e| matches!(e, SetError::Differ { what: "shapes", .. })),
        (with(|s| drop(s.tensors.pop())), |e| matches!(e, SetError::Differ { what: "tensors", .. })),
        (with(|s| s.tensors.swap(0, 1)), |e| matches!(e, SetError::Differ { what: "tensors", .. })),
        (with(|s| s.mode = Mode::TensorRt), |e| matches!(e, SetError::Differ { what: "modes", .. })),
        (with(|s| s.tensors[0].counts = Counts::new(Mode::TensorRt)), |e| {
            matches!(e, SetError::Counts { .. })
        }),
    ];
    for (number, (other, expected)) in cases.into_iter().enumerate() {
        let error = HistogramSet::merge(vec![first(), other]).unwrap_err();
        assert!(expected(&error), "{number}: {error:?}");
    }
    assert!(matches!(HistogramSet::merge(vec![]), Err(SetError::Nothing)));
    let linear = || set_of(Mode::TensorRt, vec![("x".to_owned(), Counts::new(Mode::TensorRt))]);
    let mut other = linear();
    other.provenance.dataset.images.clear();
    let refused = HistogramSet::merge(vec![linear(), other]).unwrap_err();
    assert!(refused.to_string().contains("the first batch of each decides"), "{refused}");
}

#[test]
fn sets_of_two_selections_make_a_new_one() {
    let merged = HistogramSet::merge(vec![run(&[5, 6], 1, None, &[5, 6]), run(&[1], 1, None, &[1])]).unwrap();
    let dataset = &merged.provenance.dataset;
    assert_eq!((dataset.count, dataset.requested, dataset.images[0].name.as_str()), (3, 3, "0001.jpg"));
    assert_eq!(dataset.fingerprint, trt_calib::sidecar::fingerprint(&dataset.images));
    assert_eq!(merged.tensors, run(&[1, 5, 6], 3, None, &[]).tensors);
    let missing = run(&[1], 1, Some(Shard { index: 2, of: 3 }), &[1]).provenance.missing_shards();
    assert_eq!(missing, [Shard { index: 1, of: 3 }, Shard { index: 3, of: 3 }]);
}
