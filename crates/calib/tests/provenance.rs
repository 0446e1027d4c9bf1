//! Sidecars: written, read by other versions, and compared with what is wanted.

use std::collections::BTreeMap;

use proptest::prelude::*;
use serde_json::{Value, json};
use trt_calib::sidecar::{
    Backend, Dataset, FORMAT, Image, ModelSource, Propagate, Propagated, Sidecar, SidecarError, Skipped,
    Stale, TensorRecord, Wanted, WantedAlgorithm, WantedDataset, fingerprint,
};
use trt_calib::{Algorithm, Digest, Mode};

fn image(name: &str) -> Image {
    Image { name: name.to_owned(), size: 3, hash: Digest::of(name.as_bytes()) }
}

fn sidecar() -> Sidecar {
    let images = vec![image("a.jpg"), image("b/c.png")];
    let record = TensorRecord {
        amax: 2.5,
        min: -2.5,
        max: 1.0,
        threshold: 2.25,
        beyond: 0.0,
        nan: 0,
        infinite: 0,
        zero_range: false,
    };
    Sidecar {
        format: FORMAT,
        tool_version: "0.1.0".to_owned(),
        created: "2026-01-02T03:04:05Z".to_owned(),
        table: Digest::of(b"table"),
        model: ModelSource {
            file: "detector.onnx".to_owned(),
            hash: Digest::of(b"model"),
            external: BTreeMap::from([("detector.data".to_owned(), Digest::of(b"weights"))]),
        },
        dataset: Dataset {
            count: 2,
            requested: 3,
            seed: 7,
            fingerprint: fingerprint(&images),
            images,
            skipped: vec![Skipped { name: "d.jpg".to_owned(), reason: "truncated".to_owned() }],
        },
        preprocessing: json!({"size": [640, 640], "mean": [0.485, 0.5], "order": "rgb", "crop": null}),
        shapes: BTreeMap::from([("images".to_owned(), vec![1, 3, 640, 640])]),
        batch: 8,
        algorithm: Algorithm::EntropyCalibration2,
        overrides: BTreeMap::from([("images".to_owned(), Algorithm::MinMax)]),
        params: json!({"bins": 2048, "levels": 127}),
        mode: Mode::Canonical,
        propagate: Propagate::Copies,
        propagated: vec![Propagated { tensor: "pooled".to_owned(), from: "relu".to_owned() }],
        backend: Backend {
            name: "rten".to_owned(),
            version: "0.27.0".to_owned(),
            settings: BTreeMap::from([("threads".to_owned(), "2".to_owned())]),
        },
        tensors: BTreeMap::from([("images".to_owned(), record)]),
        without_scale: BTreeMap::from([("mask".to_owned(), "no value was finite".to_owned())]),
        keep: vec!["head".to_owned()],
        rescued: vec!["softmax".to_owned()],
        auto: Value::Null,
        evaluation: json!({"top1": 0.75}),
        histograms: Some("detector.table.histograms".to_owned()),
    }
}

fn wanted() -> Wanted {
    let made = sidecar();
    Wanted {
        table: made.table,
        model: made.model,
        dataset: Some(WantedDataset {
            requested: made.dataset.requested,
            seed: made.dataset.seed,
            fingerprint: made.dataset.fingerprint,
        }),
        preprocessing: made.preprocessing,
        shapes: made.shapes,
        algorithm: made.algorithm.into(),
        overrides: made.overrides,
        params: made.params,
        mode: made.mode,
        propagate: made.propagate,
        by_tensorrt: false,
        keep: made.keep,
    }
}

#[test]
fn a_sidecar_is_read_as_it_was_written() {
    let bytes = sidecar().write();
    assert_eq!(bytes.last(), Some(&b'\n'));
    assert_eq!(Sidecar::parse(&bytes).unwrap(), sidecar());
}

/// Of two neighbours JSON text must not make one number: the table would count as stale for ever.
#[test]
fn numbers_that_differ_in_the_last_bit_stay_apart() {
    let scale = 0.018_018_018_018_018_014_f64;
    for scale in [scale, scale.next_up(), scale.next_up().next_up()] {
        let made = Sidecar { preprocessing: json!({ "scale": scale }), ..sidecar() };
        let read = Sidecar::parse(&made.write()).unwrap();
        assert_eq!(read.preprocessing["scale"].as_f64().map(f64::to_bits), Some(scale.to_bits()));
        let wanted = Wanted { preprocessing: json!({ "scale": scale }), ..wanted() };
        assert_eq!(read.staleness(&wanted), []);
    }
}

proptest! {
    #[test]
    fn any_sidecar_is_read_as_it_was_written(
        numbers in prop::collection::vec(any::<f64>().prop_filter("JSON has no others", |n| n.is_finite()), 1..20),
        [amax, min, max] in prop::array::uniform3(any::<f32>().prop_filter("as above", |n| n.is_finite())),
        seed in any::<u64>(),
        name in any::<String>(),
    ) {
        let mut made = sidecar();
        made.preprocessing = json!({ "scale": numbers[0], "mean": numbers, "deep": { &name: numbers } });
        made.params = json!({ "percentile": numbers[0], "seed": seed, &name: [numbers] });
        made.dataset.seed = seed;
        let record = TensorRecord { amax, min, max, threshold: numbers[0], beyond: 0.25, nan: seed, infinite: 0, zero_range: true };
        made.tensors.insert(name, record);
        let read = Sidecar::parse(&made.write()).unwrap();
        prop_assert_eq!(&read, &made);
        let wanted = Wanted {
            preprocessing: made.preprocessing,
            params: made.params,
            dataset: None,
            ..wanted()
        };
        prop_assert_eq!(read.staleness(&wanted), []);
    }
}

#[test]
fn other_versions_may_add_fields_and_leave_lists_out() {
    let mut json: Value = serde_json::from_slice(&sidecar().write()).unwrap();
    json["new"] = json!({"deep": [1, 2]});
    json["tensors"]["images"]["kurtosis"] = json!(3.0);
    json["dataset"].as_object_mut().unwrap().remove("images");
    json.as_object_mut().unwrap().remove("without_scale");
    json.as_object_mut().unwrap().remove("keep");
    let read = Sidecar::parse(json.to_string().as_bytes()).unwrap();
    assert!(read.dataset.images.is_empty() && read.without_scale.is_empty());
    // What knew of no tensors to keep kept none.
    assert_eq!(read.staleness(&Wanted { keep: vec![], ..wanted() }), []);
}

#[test]
fn a_later_format_is_refused_even_if_it_cannot_be_read() {
    assert!(matches!(Sidecar::parse(br#"{"format": 2}"#), Err(SidecarError::Newer { found: 2 })));
    for bytes in [&b""[..], b"{", b"[]", b"{\"format\": 1}", b"{\"format\": -1}", b"\xff"] {
        assert!(matches!(Sidecar::parse(bytes), Err(SidecarError::Unreadable { .. })));
    }
}

#[test]
fn what_is_wanted_again_is_not_stale() {
    assert_eq!(sidecar().staleness(&wanted()), []);
    let mut same = wanted();
    same.model.file = "renamed.onnx".to_owned();
    same.dataset = None;
    same.preprocessing = json!({"order": "rgb", "mean": [0.485, 0.5], "size": [640.0, 640]});
    assert_eq!(sidecar().staleness(&same), []);
}

#[test]
fn each_change_is_named_with_both_values() {
    let other = Digest::of(b"other");
    type Change = fn(&mut Wanted, Digest);
    let cases: [(Change, &str); 21] = [
        (|w, d| w.table = d, "the table was edited by hand: its hash was "),
        (|w, d| w.model.hash = d, "the model `detector.onnx` changed: its hash was "),
        (
            |w, d| w.model.external.extend([("detector.data".to_owned(), d)]),
            "the model's data `detector.data` changed: its hash was ",
        ),
        (|w, _| w.model.external.clear(), "the model no longer has external data: `detector.data`"),
        (
            |w, d| w.model.external.extend([("more.data".to_owned(), d)]),
            "the model has new external data: `more.data`",
        ),
        (|w, _| w.dataset.as_mut().unwrap().requested = 512, "`count` was 3, and is 512"),
        (|w, _| w.dataset.as_mut().unwrap().seed = 8, "`seed` was 7, and is 8"),
        (|w, d| w.dataset.as_mut().unwrap().fingerprint = d, "the images changed: their fingerprint was "),
        (
            |w, _| w.preprocessing["mean"][1] = json!(0.25),
            "preprocessing changed: `mean[1]` was 0.5, and is 0.25",
        ),
        (|w, _| w.preprocessing["crop"] = json!(9), "preprocessing changed: `crop` was absent, and is 9"),
        (
            |w, _| w.shapes.extend([("images".to_owned(), vec![1, 3, 320, 320])]),
            "the calibration shape of `images` was 1x3x640x640, and is 1x3x320x320",
        ),
        (|w, _| w.algorithm = Algorithm::MinMax.into(), "`algorithm` was entropy, and is minmax"),
        (|w, _| w.algorithm = WantedAlgorithm::Auto, "`algorithm` was entropy, and is auto"),
        (
            |w, _| w.overrides.extend([("images".to_owned(), Algorithm::Mse)]),
            "the algorithm of `images` was minmax, and is mse",
        ),
        (|w, _| w.overrides.clear(), "the algorithm of `images` was minmax, and is that of all tensors"),
        (
            |w, _| w.overrides.extend([("new".to_owned(), Algorithm::Mse)]),
            "the algorithm of `new` was that of all tensors, and is mse",
        ),
        (|w, _| w.mode = Mode::TensorRt, "`histogram` was canonical, and is tensorrt"),
        (|w, _| w.propagate = Propagate::All, "`propagate` was copies, and is all"),
        (|w, _| w.by_tensorrt = true, "`backend` was rten, and is tensorrt, whose own calibrator decides"),
        (|w, _| w.params["levels"] = json!(128), "the algorithm's `levels` was 127, and is 128"),
        (
            |w, _| w.keep = ["a", "b"].map(str::to_owned).to_vec(),
            "`keep` changed: `a` and 1 more came to it, and `head` went from it",
        ),
    ];
    for (change, message) in cases {
        let mut wanted = wanted();
        change(&mut wanted, other);
        let reasons = sidecar().staleness(&wanted);
        assert_eq!(reasons.len(), 1, "{message}");
        assert!(reasons[0].to_string().starts_with(message), "{}", reasons[0]);
        assert_eq!(reasons[0].only_the_file(), matches!(reasons[0], Stale::TableEdited { .. }));
    }
    let old = Sidecar { format: 0, ..sidecar() };
    assert_eq!(old.staleness(&wanted()), [Stale::Format { found: 0 }]);
}

#[test]
fn what_auto_chose_is_not_stale_while_auto_is_asked_for() {
    let chosen = Sidecar { auto: json!({"candidates": ["entropy", "mse"]}), ..sidecar() };
    let asked = Wanted { algorithm: WantedAlgorithm::Auto, overrides: BTreeMap::new(), ..wanted() };
    assert_eq!(chosen.staleness(&asked), []);
    let pinned = BTreeMap::from([("images".to_owned(), Algorithm::Mse)]);
    assert_eq!(chosen.staleness(&Wanted { overrides: pinned, ..asked }).len(), 1);
}

/// As the first version wrote it: nothing that came later is in it.
#[test]
fn a_sidecar_of_before_is_read() {
    let mut json: Value = serde_json::from_slice(&sidecar().write()).unwrap();
    let fields = json.as_object_mut().unwrap();
    for later in ["overrides", "propagate", "propagated", "rescued", "evaluation", "histograms"] {
        assert!(fields.remove(later).is_some(), "{later}");
    }
    fields["backend"].as_object_mut().unwrap().remove("settings");
    let read = Sidecar::parse(json.to_string().as_bytes()).unwrap();
    assert!(read.overrides.is_empty() && read.histograms.is_none() && read.mode == Mode::Canonical);
    let then = Wanted { overrides: BTreeMap::new(), propagate: Propagate::None, ..wanted() };
    assert_eq!(read.staleness(&then), []);
    let (recorded, now) = (Propagate::None, Propagate::Copies);
    assert_eq!(read.staleness(&Wanted { propagate: now, ..then }), [Stale::Propagate { recorded, now }]);
    // Then came yes and no; yes meant what is called `all` now.
    for (written, meant) in [(json!(true), Propagate::All), (json!(false), Propagate::None)] {
        json["propagate"] = written;
        assert_eq!(Sidecar::parse(json.to_string().as_bytes()).unwrap().propagate, meant);
    }
    json["propagate"] = json!("some");
    let error = Sidecar::parse(json.to_string().as_bytes()).unwrap_err();
    let why = std::error::Error::source(&error).unwrap().to_string();
    assert!(why.contains("want `none`, `copies` or `all`, and not: `some`"), "{why}");
}

#[test]
fn the_fingerprint_depends_on_the_images_and_not_on_their_order() {
    let (a, b) = (image("a"), image("b"));
    assert_eq!(fingerprint([&a, &b]), fingerprint([&b, &a]));
    let renamed = Image { name: "c".to_owned(), ..a.clone() };
    let grown = Image { size: 4, ..a.clone() };
    let edited = Image { hash: Digest::of(b"other"), ..a.clone() };
    for other in [&renamed, &grown, &edited] {
        assert_ne!(fingerprint([&a, &b]), fingerprint([other, &b]));
    }
    assert_ne!(fingerprint([&a]), fingerprint([&a, &a]));
}

#[test]
fn every_sidecar_error_has_a_hint() {
    let source = serde_json::from_str::<u32>("x").unwrap_err();
    for error in [
        SidecarError::TooLarge { bytes: 1 },
        SidecarError::Newer { found: 2 },
        SidecarError::Unreadable { source },
    ] {
        let message = error.to_string();
        assert!(message.starts_with(char::is_lowercase) && !message.ends_with('.'), "{message}");
        assert!(error.hint().is_some_and(|hint| !hint.is_empty()), "{message}");
    }
}
