//! What a user sees for each way in which a fleet file can be wrong, and that the reference is complete.

use std::path::{Path, PathBuf};

use insta::assert_snapshot;
use proptest::prelude::*;
use trt_wire::{OnUnsupported, Precision};

use super::*;

/// Loads `text` from a file of its own; the folder lives as long as the fleet is looked at.
fn load(text: impl AsRef<[u8]>) -> Result<Fleet, FleetError> {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join(FILE_NAME);
    std::fs::write(&file, text).unwrap();
    Fleet::load(&file)
}

/// The error and the hint, without the folder.
fn fails(text: impl AsRef<[u8]>) -> String {
    let error = load(text).expect_err("this must not load");
    let hint = error.hint().expect("every error has a hint");
    let text = format!("{error}\n  hint: {hint}");
    let Some(start) = text.find(FILE_NAME) else { return text };
    let before = text[..start].rfind(' ').map_or(0, |space| space + 1);
    format!("{}{}", &text[..before], &text[start..])
}

const MODEL: &str = "models:\n  yolo: {onnx: yolo.onnx, precision: fp16}\n";

#[test]
fn unknown_keys_have_a_place_and_the_nearest_known_key() {
    assert_snapshot!(fails("models:\n  yolo:\n    onxx: yolo.onnx\n    precision: fp16\n"), @"");
    assert_snapshot!(fails("modles: {}\n"), @"");
    assert_snapshot!(fails("models: {m: {onnx: a, precision: int8, zzz: 1}}"), @"");
    assert_snapshot!(fails("models: {m: {onnx: a, precision: int8, shapes: {x: {min: [1], optt: [1], max: [1]}}}}"), @"");
    assert_snapshot!(fails("models: {m: {onnx: a, precision: int8, calibration: {images: a, preprocess: {sise: 3}}}}"), @"");
}

#[test]
fn unknown_words_and_missing_keys_have_a_place() {
    assert_snapshot!(fails("models:\n  yolo: {onnx: a, precision: int4}\n"), @"");
    assert_snapshot!(fails("models: {m: {onnx: a, precision: int8, calibration: {images: a, preprocess: yollo}}}"), @"");
    assert_snapshot!(fails("models: {m: {onnx: a, precision: int8, calibration: {images: a, algorithm: entropi}}}"), @"");
    assert_snapshot!(fails("models:\n  yolo: {precision: int8}\n"), @"");
}

#[test]
fn the_merge_key_is_refused_everywhere() {
    assert_snapshot!(fails("devices:\n  a: &a {user: ada}\n  b:\n    <<: *a\n"), @"");
    for text in [
        "<<: {}",
        "devices: {<<: {}}",
        "devices: {a: {labels: {<<: {a: b}}}}",
        "groups: {<<: {a: []}}",
        "models: {m: {onnx: a, precision: fp16, shapes: {<<: {}}}}",
        "models: {m: {onnx: a, precision: int8, calibration: {images: a, preprocess: {\"<<\": {}}}}}",
    ] {
        assert!(fails(text).contains("the merge key `<<` is refused"), "{text}");
    }
}

#[test]
fn duplicate_keys_and_tags_are_refused() {
    assert_snapshot!(fails("devices:\n  nano: {}\n  orin: {}\n  nano: {}\n"), @"");
    assert_snapshot!(fails("models: {}\nmodels: {}\n"), @"");
    assert_snapshot!(fails("devices: !include devices.yaml\n"), @"");
}

#[test]
fn shapes_that_tensorrt_would_refuse_are_refused_with_their_path() {
    let shape = |shape: &str| {
        fails(format!(
            "models:\n  yolo:\n    onnx: a\n    precision: fp16\n    shapes:\n      images: {shape}\n"
        ))
    };
    assert_snapshot!(shape("{min: [1, 3], opt: [1, 3, 9], max: [1, 3, 9]}"), @"");
    assert_snapshot!(shape("{min: [1, 640], opt: [1, 320], max: [1, 640]}"), @"");
    assert_snapshot!(shape("[1, 3, -1, -1]"), @"");
    assert_snapshot!(shape("{min: [1], opt: [1]}"), @"");
    assert_snapshot!(shape("640"), @"");
}

#[test]
fn values_beyond_their_limits_are_refused_with_their_path() {
    let calibration = |key: &str| {
        fails(format!("models: {{m: {{onnx: a, precision: int8, calibration: {{images: a, {key}}}}}}}"))
    };
    assert_snapshot!(calibration("count: 0"), @"");
    assert_snapshot!(calibration("batch: -1"), @"");
    assert_snapshot!(calibration("max-undecodable: 5"), @"");
    assert_snapshot!(calibration("images: []").replace(", images", ""), @"");
    assert_snapshot!(fails("models: {m: {onnx: a, precision: fp16, workspace: 512M}}"), @"");
    assert_snapshot!(fails("models: {m: {onnx: a, precision: fp16, workspace: 99999999999GiB}}"), @"");
    assert_snapshot!(fails("devices: {a: {port: 70000}}"), @"");
    assert_snapshot!(fails("models: {m: {onnx: '', precision: fp16}}"), @"");
    assert_snapshot!(fails("models: {m: {onnx: ~bob/a.onnx, precision: fp16}}"), @"");
}

#[test]
fn sections_that_make_no_sense_are_refused() {
    let calibration = |keys: &str| {
        fails(format!("models:\n  m:\n    onnx: a\n    precision: int8\n    calibration: {{{keys}}}\n"))
    };
    assert_snapshot!(calibration(""), @"");
    assert_snapshot!(calibration("images: photos"), @"");
    assert_snapshot!(calibration("images: photos, preprocess: yolo, table: t.cache"), @"");
    assert_snapshot!(fails("devices:\n  here:\n    socket: /run/a.sock\n    user: ada\n"), @"");
}

#[test]
fn names_that_refer_to_nothing_come_with_the_nearest_one() {
    assert_snapshot!(fails(format!("{MODEL}devices:\n  nano:\n    models: [yolo, yollo]\n")), @"");
    assert_snapshot!(fails("devices: {nano: {}}\ngroups:\n  north:\n    - nano\n    - nanno\n"), @"");
    assert_snapshot!(fails("groups: {north: [zzz]}"), @"");
    assert_snapshot!(fails("devices: {nano: {}}\ngroups: {north: [nano, nano]}"), @"");
}

#[test]
fn names_that_cannot_be_used_are_refused_where_they_stand() {
    assert_snapshot!(fails("models:\n  my model: {onnx: a, precision: fp16}\n"), @"");
    assert_snapshot!(fails("devices:\n  a: {}\n  -rf: {}\n"), @"");
    assert_snapshot!(fails("devices:\n  a:\n    host: ada@nano\n"), @"");
    assert_snapshot!(fails("devices:\n  a:\n    labels: {site: north pole}\n"), @"");
    assert_snapshot!(fails("devices:\n  a:\n    agent-socket: agent.sock\n"), @"");
    assert_snapshot!(fails("defaults: {user: a b}\ndevices:\n  nano: {}\n"), @"");
    assert_snapshot!(fails(format!("{MODEL}    \n  b: {{onnx: b, precision: fp16, hook: a/b}}")), @"");
}

#[test]
fn groups_are_neither_circles_nor_devices() {
    assert_snapshot!(fails("groups:\n  z: [a]\n  a: [b]\n  b: [c, d]\n  c: []\n  d: [a]\n"), @"");
    assert_snapshot!(fails("groups: {a: [a]}\n"), @"");
    assert_snapshot!(fails("devices: {nano: {}}\ngroups:\n  nano: [nano]\n"), @"");
}

#[test]
fn a_long_chain_of_groups_is_no_problem() {
    let chain: String = (0..20_000).map(|n| format!("  g{n}: [g{}]\n", n + 1)).collect();
    let fleet = load(format!("devices: {{last: {{}}}}\ngroups:\n{chain}  g20000: [last]\n")).unwrap();
    assert_eq!(fleet.select(&["g0".into()], &[]).unwrap().len(), 1);
}

#[test]
fn files_that_are_no_fleet_file_are_told_apart() {
    assert_snapshot!(fails(""), @"");
    assert_snapshot!(fails("# nothing yet\n"), @"");
    assert_snapshot!(fails("---\n"), @"");
    assert_snapshot!(fails("devices:\n\tnano: {}\n"), @"");
    assert_snapshot!(fails(b"devices:\n  n\xe4: {}\n"), @"");
    assert_snapshot!(fails("- a\n"), @"");
    assert_snapshot!(fails("models: [\n"), @"");
    assert_snapshot!(fails("a: b: c\n"), @"");
    assert_snapshot!(fails("devices: {}\n---\ndevices: {}\n"), @"");
    assert_snapshot!(fails("devices: *nobody\n"), @"");
    assert_snapshot!(fails("devices: {[a]: {}}\n"), @"");
    assert_snapshot!(fails(" ".repeat((1 << 20) + 1)), @"");
    let missing = Fleet::load(Path::new("none.yaml")).unwrap_err();
    assert_snapshot!(format!("{missing}\n{}", missing.hint().unwrap()), @"");
    assert!(matches!(Fleet::load(Path::new("/")).unwrap_err(), FleetError::Read { .. }));
}

#[test]
fn aliases_repeat_values_but_cannot_blow_a_file_up() {
    let fleet = load("devices:\n  a: &all {user: ada, labels: {x: y}}\n  b: *all\n").unwrap();
    assert_eq!(fleet.devices["a"].labels, fleet.devices["b"].labels);
    assert_eq!(ssh(&fleet, "b").host, "b");

    let laughs: String = (1..12)
        .map(|n| format!("  l{n}: &l{n} [{}]\n", vec![format!("*l{}", n - 1); 9].join(", ")))
        .collect();
    assert!(fails(format!("groups:\n  l0: &l0 [lol]\n{laughs}")).contains("aliases expand the file"));
    let wide = format!("groups:\n  a: &a [{}]\n  b: [{}]\n", "x, ".repeat(50_000), "*a, ".repeat(50_000));
    assert!(fails(wide).contains("aliases expand the file"));
    assert!(fails("groups:\n  a: &a [*a]\n").contains("recursion"));
    let deep = format!("groups: {}", "[".repeat(100_000));
    assert!(fails(deep).starts_with(FILE_NAME));
}

fn ssh<'a>(fleet: &'a Fleet, device: &str) -> &'a SshAddress {
    match &fleet.devices[device].address {
        Address::Ssh(ssh) => ssh,
        Address::Local(_) => panic!("{device} is local"),
    }
}

fn reference() -> (PathBuf, String) {
    let path = Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/../configs/fleet.yaml"));
    (path.to_owned(), std::fs::read_to_string(path).unwrap())
}

#[test]
fn the_reference_loads_and_means_what_it_says() {
    let (path, _) = reference();
    let fleet = Fleet::load(&path).unwrap_or_else(|error| panic!("{error}"));
    let folder = path.parent().unwrap();
    let detector = fleet.model("detector").unwrap();
    assert_eq!(detector.onnx, folder.join("models/detector.onnx"));
    assert_eq!(detector.workspace, Some(512 << 20));
    assert_eq!((detector.precision, detector.on_unsupported), (Precision::Int8, OnUnsupported::Fp16));
    assert_eq!(detector.shapes["scale"], ShapeRange { min: vec![1, 2], opt: vec![1, 2], max: vec![1, 2] });
    let Some(Calibration::Table(table)) = &fleet.model("classifier").unwrap().calibration else {
        panic!("a table made elsewhere")
    };
    assert_eq!(*table, folder.join("tables/classifier.cache"));
    assert_eq!((ssh(&fleet, "nano-1").user.as_deref(), ssh(&fleet, "nano-1").port), (Some("deploy"), 22));
    assert_eq!((ssh(&fleet, "orin-1").user.as_deref(), ssh(&fleet, "orin-1").port), (Some("ada"), 2222));
    assert_eq!(ssh(&fleet, "nano-1").host, "nano-1");
    assert_eq!(fleet.devices["here"].address, Address::Local("/run/trt-agent/agent.sock".into()));
    assert_eq!(fleet.devices["here"].models.len(), 3);
    assert_eq!(fleet.models_of(&fleet.devices["nano-1"])[0].name.as_str(), "classifier");
}

#[test]
fn the_defaults_are_those_that_the_reference_names() {
    let (_, text) = reference();
    let model = "models: {m: {onnx: a, precision: int8, calibration: {images: a, preprocess: plain}}}\ndevices: {d: {}}";
    let fleet = load(model).unwrap();
    let model = fleet.model("m").unwrap();
    let Some(Calibration::Images(calibration)) = &model.calibration else { panic!("images") };
    assert!(calibration.output.ends_with("calibration/m.cache"));
    let algorithm = format!("{:?}", serde_json::to_value(calibration.algorithm).unwrap().as_str().unwrap());
    for (key, default) in [
        ("count", calibration.count.to_string()),
        ("seed", calibration.seed.to_string()),
        ("batch", calibration.batch.to_string()),
        ("algorithm", algorithm.trim_matches('"').to_owned()),
        ("max-undecodable", calibration.max_undecodable.to_string()),
        ("output", "calibration/<model>.cache".to_owned()),
        ("required", model.verification.required.to_string()),
        ("port", ssh(&fleet, "d").port.to_string()),
        ("on-unsupported", serde_json::to_value(model.on_unsupported).unwrap().as_str().unwrap().to_owned()),
    ] {
        // The comment above the key ends with its default.
        let lines: Vec<&str> = text.lines().map(str::trim).collect();
        let documented = lines.iter().enumerate().any(|(at, line)| {
            line.starts_with(&format!("{key}:"))
                && lines[..at].last().is_some_and(|comment| comment.ends_with(&format!("Default: {default}")))
        });
        assert!(documented, "configs/fleet.yaml does not say that `{key}` is `{default}` by default");
    }
}

#[test]
fn no_key_is_undocumented() {
    let (_, text) = reference();
    // The parser itself lists the keys of a section when it meets an unknown one.
    for section in [
        "zzz: 1",
        "models: {m: {zzz: 1}}",
        "models: {m: {calibration: {zzz: 1}}}",
        "models: {m: {calibration: {preprocess: {zzz: 1}}}}",
        "models: {m: {verify: {zzz: 1}}}",
        "models: {m: {shapes: {x: {zzz: 1}}}}",
        "defaults: {zzz: 1}",
        "devices: {d: {zzz: 1}}",
    ] {
        let FleetError::At { problem: Problem::UnknownKey { known, .. }, .. } = load(section).unwrap_err()
        else {
            panic!("{section}: not an unknown key")
        };
        assert!(!known.is_empty());
        for key in known {
            let starts =
                |line: &str| line.trim_start_matches([' ', '#', '{']).starts_with(&format!("{key}:"));
            assert!(text.lines().any(starts), "configs/fleet.yaml does not document `{key}` of {section}");
        }
    }
}

#[test]
fn targets_are_devices_groups_and_labels_in_the_order_of_their_mention() {
    let fleet = load(
        "devices:\n  a: {labels: {site: north, board: nano}}\n  b: {labels: {site: south}}\n  c: {}\n\
         groups: {north: [a], all: [c, north, b, north2], north2: [a, c]}\n",
    )
    .unwrap();
    let select = |targets: &[&str], selectors: &[&str]| {
        let targets: Vec<_> = targets.iter().map(|&target| target.to_owned()).collect();
        let selectors: Vec<_> = selectors.iter().map(|selector| selector.parse().unwrap()).collect();
        match fleet.select(&targets, &selectors) {
            Ok(devices) => devices.iter().map(|device| device.name.as_str()).collect::<Vec<_>>().join(" "),
            Err(error) => format!("{error}; {}", error.hint().unwrap()),
        }
    };
    for (targets, selectors, chosen) in [
        (&["b", "a", "b"][..], &[][..], "b a"),
        (&["all"], &[], "c a b"),
        (&["north", "all"], &[], "a c b"),
        (&[], &["site=north"], "a"),
        (&[], &["site!=north"], "b c"),
        (&["all"], &["site!=south", "board!=nano"], "c"),
        (&[], &["site=north,board=nano"], "a"),
    ] {
        assert_eq!(select(targets, selectors), chosen, "{targets:?} {selectors:?}");
    }
    let filters = [(r"in \S+:", "in trt-deploy.yaml:")];
    insta::with_settings!({filters => filters}, {
        assert_snapshot!(select(&["nort"], &[]), @"");
        assert_snapshot!(select(&[], &[]), @"");
        assert_snapshot!(select(&["a"], &["site=south"]), @"");
    });
    for bad in ["", "a", "=b", "a=", "a=b,", "a==b", "a=b c"] {
        assert!(bad.parse::<Selector>().is_err(), "{bad}");
    }
    assert_eq!("a = b, c!=d".parse::<Selector>().unwrap().to_string(), "a=b,c!=d");
}

#[test]
fn images_are_folders_globs_lists_and_files() {
    let folder = tempfile::tempdir().unwrap();
    let root = folder.path().join("a[1]");
    for file in ["p/1.jpg", "p/2.PNG", "p/note.md", "p/deep/3.webp", "odd", "p/.x.jpg", "star*.jpg"] {
        let file = root.join(file);
        std::fs::create_dir_all(file.parent().unwrap()).unwrap();
        std::fs::write(file, "").unwrap();
    }
    std::fs::write(root.join("list.txt"), "# some\n\np/1.jpg\n odd \n").unwrap();
    std::fs::write(root.join("bad.txt"), "p/1.jpg\nnone.jpg\n").unwrap();
    std::fs::create_dir(root.join("empty")).unwrap();
    let fleet_file = root.join(FILE_NAME);
    let list = |text: &str| match images_at(text, &fleet_file) {
        Ok(files) => {
            let names = files.iter().map(|file| file.strip_prefix(&root).unwrap().display().to_string());
            names.collect::<Vec<_>>().join(" ")
        }
        Err(error) => format!("{error}; {}", error.hint().unwrap()).replace(root.to_str().unwrap(), "ROOT"),
    };
    for (text, files) in [
        ("p", "p/.x.jpg p/1.jpg p/2.PNG"),
        ("p/*", "p/1.jpg p/2.PNG"),
        ("p/**/*", "p/1.jpg p/2.PNG p/deep/3.webp"),
        ("list.txt", "odd p/1.jpg"),
        ("odd", "odd"),
        ("star*.jpg", "star*.jpg"),
    ] {
        assert_eq!(list(text), files, "{text}");
    }
    assert_snapshot!(list("none"), @"");
    assert_snapshot!(list("empty"), @"");
    assert_snapshot!(list("none/*.jpg"), @"");
    assert_snapshot!(list("p/***"), @"");
    assert_snapshot!(list("bad.txt"), @"");
    assert_snapshot!(list("~bob/p"), @"");
}

#[test]
fn findings_are_files_that_are_missing_and_parts_that_do_nothing() {
    let fleet = load(
        "models:\n  a: {onnx: /none/a.onnx, precision: fp16, calibration: {table: /none/t}}\n  \
         b: {onnx: /none/b.onnx, precision: int8, calibration: {images: /none/p, preprocess: yolo}}\n\
         devices: {d: {models: [a], identity: /none/key}, e: {models: []}}\ngroups: {g: []}\n",
    )
    .unwrap();
    let findings: Vec<_> = fleet.findings().iter().map(ToString::to_string).collect();
    assert_snapshot!(findings.join("\n"), @"");
}

#[test]
fn every_problem_of_names_is_found_at_once() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join(FILE_NAME);
    std::fs::write(&file, "devices:\n  a: {models: [x]}\n  b: {models: [y]}\ngroups: {g: [c]}\n").unwrap();
    let (_, problems) = Fleet::load_all(&file).unwrap();
    let lines: Vec<_> = problems.iter().map(|problem| problem.place().unwrap().line).collect();
    assert_eq!(lines, [2, 3, 4]);
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 512, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn arbitrary_text_never_panics(text in "\\PC*") {
        let _ = load(text);
    }

    #[test]
    fn text_made_of_yaml_never_panics(words in prop::collection::vec(
        prop::sample::select(vec![
            "models", "devices", "groups", "m", "onnx", "precision", "int8", "shapes", "labels", "calibration",
            "images", ": ", ":", "\n", "\n  ", "\n    ", "- ", "{", "}", "[", "]", ", ", "&a ", "*a", "<<", "!x ", "~",
            "'", "\"", "0", "-1", "1.5", "\t", "#", "---\n", "? ", "| ", "%", "\u{0}", "\u{feff}",
        ]), 0..60)) {
        let _ = load(words.concat());
    }

    #[test]
    fn a_reference_with_a_line_missing_never_panics(line in 0usize..200) {
        let (_, text) = reference();
        let lines = text.lines().enumerate().filter(|(at, _)| *at != line).map(|(_, line)| line);
        let _ = load(lines.collect::<Vec<_>>().join("\n"));
    }
}
