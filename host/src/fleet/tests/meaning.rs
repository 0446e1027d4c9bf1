//! What a fleet file means, and that the reference says so.

use insta::assert_snapshot;
use trt_calib::sidecar::Propagate;
use trt_wire::{BackendChoice, ModelSummary, OnUnsupported, Precision, ShapeRange, TensorInfo};

use super::*;

#[test]
fn the_reference_loads_and_means_what_it_says() {
    let (path, _) = reference();
    let fleet = Fleet::load(&path).unwrap_or_else(|error| panic!("{error}"));
    let folder = path.parent().unwrap();
    let detector = fleet.model("detector").unwrap();
    assert_eq!(detector.onnx, folder.join("models/detector.onnx"));
    let build = &detector.build;
    assert_eq!(build.workspace, Some(512 << 20));
    assert_eq!((build.precision, build.on_unsupported), (Precision::Int8, OnUnsupported::Fp16));
    assert_eq!((build.other_layers, build.backend), (Precision::Fp32, BackendChoice::Nvinfer));
    assert_eq!(build.keep, ["/model.22/*", "*/Sigmoid_output_0"]);
    assert_eq!((build.dla, build.optimization_level), (None, Some(4)));
    assert_eq!(build.plugins, ["yolo-layer".parse().unwrap()]);
    assert_eq!(build.runtime, Some("deepstream".parse().unwrap()));
    assert_eq!(fleet.model("segmenter").unwrap().build.dla, Some(0));
    let classifier = fleet.model("classifier").unwrap();
    let build = &classifier.build;
    assert_eq!((build.dla, build.optimization_level, &build.runtime), (None, None, &None));
    assert!(build.keep.is_empty() && build.plugins.is_empty());
    assert_eq!(build.shapes["scale"], ShapeRange { min: vec![1, 2], opt: vec![1, 2], max: vec![1, 2] });
    let Some(Calibration::Table(table)) = &classifier.calibration else { panic!("a table made elsewhere") };
    assert_eq!(*table, folder.join("tables/classifier.cache"));
    let Some(Calibration::Recipe(recipe)) = &detector.calibration else { panic!("a recipe") };
    let Recipe { thresholds, running, .. } = &**recipe;
    assert_eq!(thresholds.algorithm, Chosen::Auto);
    assert_eq!(thresholds.overrides["/model.22/dfl/*"].to_string(), "percentile:99.9");
    assert_eq!(
        (thresholds.entropy, thresholds.propagate),
        (Thresholds::default().entropy, Propagate::Copies)
    );
    assert_eq!((&running.devices[..], running.tf32), (&[0, 1][..], true));
    assert_eq!(running.onnxruntime, Some("/usr/local/lib/libonnxruntime.so".into()));
    let evaluation = detector.evaluation.as_ref().unwrap();
    assert_eq!(evaluation.labels, Some(Labels::Coco(folder.join("photos/labelled/instances.json"))));
    let described = evaluation.detector.as_ref().unwrap().described();
    assert_eq!((described.sigmoid, described.boxes.output.as_deref()), (true, Some("boxes")));
    let Some(Calibration::Recipe(recipe)) = &fleet.model("tracker").unwrap().calibration else { panic!() };
    let keys = recipe.samples.iter().map(|source| (source.input.as_deref(), source.key()));
    assert_eq!(keys.collect::<Vec<_>>(), [(Some("frame"), "images"), (Some("state"), "arrays")]);
    assert_eq!((ssh(&fleet, "nano-1").user.as_deref(), ssh(&fleet, "nano-1").port), (Some("deploy"), 22));
    assert_eq!((ssh(&fleet, "orin-1").user.as_deref(), ssh(&fleet, "orin-1").port), (Some("ada"), 2222));
    assert_eq!(ssh(&fleet, "nano-1").host, "nano-1");
    assert_eq!(fleet.devices["here"].address, Address::Local("/run/trt-agent/agent.sock".into()));
    assert_eq!(fleet.devices["here"].models.len(), 4);
    assert_eq!(fleet.devices["nano-1"].models[0].as_str(), "classifier");
}

/// A model that fits the shapes: dynamic where they are.
fn fitting(build: &trt_wire::BuildSpec) -> ModelSummary {
    let dim = |(min, max): (&i64, &i64)| if min == max { *min } else { -1 };
    let input = |(name, range): (&String, &ShapeRange)| TensorInfo {
        name: name.clone(),
        element: "float".into(),
        dims: range.min.iter().zip(&range.max).map(dim).collect(),
    };
    ModelSummary {
        opset: 17,
        has_qdq: false,
        inputs: build.shapes.iter().map(input).collect(),
        outputs: vec![],
        operators: BTreeMap::new(),
    }
}

#[test]
fn the_models_of_the_reference_could_be_built_somewhere() {
    let (path, _) = reference();
    let fleet = Fleet::load(&path).unwrap_or_else(|error| panic!("{error}"));
    for (name, model) in &fleet.models {
        let checked = trt_plan::check(&fitting(&model.build), model.calibration.is_some(), &model.build);
        assert_eq!(checked, Ok(()), "{name}");
    }
}

#[test]
fn the_defaults_are_those_that_the_reference_names() {
    let (_, text) = reference();
    let model = "models: {m: {onnx: a, precision: int8, calibration: {images: a, preprocess: plain}}}\ndevices: {d: {}}";
    let fleet = load(model).unwrap();
    let model = fleet.model("m").unwrap();
    let Some(Calibration::Recipe(calibration)) = &model.calibration else { panic!("images") };
    assert!(calibration.output.ends_with("calibration/m.cache"));
    assert!(calibration.histograms.as_ref().unwrap().ends_with("calibration/m.cache.histograms"));
    assert_eq!(calibration.running, Running::default());
    assert_eq!(calibration.thresholds, Thresholds::default());
    let word = |value: serde_json::Value| value.as_str().unwrap().to_owned();
    for (key, default) in [
        ("count", calibration.count.to_string()),
        ("seed", calibration.seed.to_string()),
        ("batch", calibration.batch.to_string()),
        ("algorithm", calibration.thresholds.algorithm.to_string()),
        ("propagate", calibration.thresholds.propagate.to_string()),
        ("histogram", word(serde_json::to_value(calibration.running.histogram).unwrap())),
        ("tf32", calibration.running.tf32.to_string()),
        ("on-nan", word(serde_json::to_value(calibration.running.on_nan).unwrap())),
        ("max-undecodable", calibration.max_undecodable.to_string()),
        ("output", "calibration/<model>.cache".to_owned()),
        ("required", model.verification.required.to_string()),
        ("port", ssh(&fleet, "d").port.to_string()),
        ("other-layers", model.build.other_layers.to_string()),
        ("backend", word(serde_json::to_value(model.build.backend).unwrap())),
        ("on-unsupported", word(serde_json::to_value(model.build.on_unsupported).unwrap())),
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
        "models: {m: {calibration: {entropy: {zzz: 1}}}}",
        "models: {m: {calibration: {inputs: {x: {zzz: 1}}}}}",
        "models: {m: {evaluate: {zzz: 1}}}",
        "models: {m: {evaluate: {labels: {zzz: 1}}}}",
        "models: {m: {evaluate: {groups: {o: {zzz: 1}}}}}",
        "models: {m: {shapes: {x: {zzz: 1}}}}",
        "defaults: {zzz: 1}",
        "devices: {d: {zzz: 1}}",
    ] {
        let FleetError::At { problem, .. } = load(section).unwrap_err() else {
            panic!("{section}: no place")
        };
        let Problem::UnknownKey { known, .. } = *problem else { panic!("{section}: not an unknown key") };
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
        assert_snapshot!(select(&["nort"], &[]), @"there is no such device or group in trt-deploy.yaml: `nort`; did you mean `north`?");
        assert_snapshot!(select(&[], &[]), @"no device was chosen; name devices or groups, or select with `-l key=value`: `a`, `b`, `c`, `all`, `north`, `north2`");
        assert_snapshot!(select(&["a"], &["site=south"]), @"no device fits what was chosen: a -l site=south; labels there are: `board=nano`, `site=north`, `site=south`");
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
    assert_snapshot!(list("none"), @"there is no such folder, file or list: ROOT/none; name a folder, a glob such as `photos/**/*.jpg`, or a list file `.txt`, relative to the fleet file");
    assert_snapshot!(list("empty"), @"there are no images in: ROOT/empty; images are told by their extension: `.jpg`, `.png`, `.bmp` or `.webp`; `photos/**/*.jpg` also looks in the folders below");
    assert_snapshot!(list("none/*.jpg"), @"there are no images in: ROOT/none/*.jpg; images are told by their extension: `.jpg`, `.png`, `.bmp` or `.webp`; `photos/**/*.jpg` also looks in the folders below");
    assert_snapshot!(list("p/***"), @"the pattern is wrong: `p/***`; put a literal bracket into brackets: `[[]`");
    assert_snapshot!(list("bad.txt"), @"ROOT/bad.txt:2: there is no such file: ROOT/none.jpg; paths in a list are relative to the list; one path a line");
    let pipe = root.join("pipe.jpg");
    rustix::fs::mknodat(rustix::fs::CWD, &pipe, rustix::fs::FileType::Fifo, 0o600.into(), 0).unwrap();
    assert_snapshot!(list("pipe.jpg"), @"this is neither a folder nor a regular file: ROOT/pipe.jpg; save it to a file: pipes and devices cannot be read twice");
    assert_snapshot!(list("~bob/p"), @"the path of the samples is wrong: `~bob/p`; paths are absolute, relative to the fleet file, or start with `~/`");
}

#[test]
fn findings_are_files_that_are_missing_and_parts_that_do_nothing() {
    let fleet = load(
        "models:\n  a: {onnx: /none/a.onnx, precision: fp16, calibration: {table: /none/t}}\n  \
         b: {onnx: /none/b.onnx, precision: int8, calibration: {images: /none/p, preprocess: yolo}}\n\
         devices: {d: {models: [a], identity: /none/key, known-hosts: /none/hosts}, e: {models: [], known-hosts: /}}\n\
         groups: {g: []}\n",
    )
    .unwrap();
    let findings: Vec<_> = fleet.findings().iter().map(ToString::to_string).collect();
    assert_snapshot!(findings.join("\n"), @r#"
        error: models.a.onnx: there is no such file: /none/a.onnx
          hint: paths are relative to the fleet file, absolute, or start with `~/`
        warning: models.a.verify: engines must be verified on the device, which this version cannot do: a push is refused
          hint: set `verify: {required: false}` to activate engines unverified
        error: models.a.calibration.table: there is no such file: /none/t
          hint: paths are relative to the fleet file, absolute, or start with `~/`
        warning: models.a.calibration: a model of precision `fp16` is not calibrated
          hint: set `precision: int8`, or remove `calibration`
        error: models.b.onnx: there is no such file: /none/b.onnx
          hint: paths are relative to the fleet file, absolute, or start with `~/`
        warning: models.b.verify: engines must be verified on the device, which this version cannot do: a push is refused
          hint: set `verify: {required: false}` to activate engines unverified
        error: models.b.calibration.images: there is no such folder, file or list: /none/p
          hint: name a folder, a glob such as `photos/**/*.jpg`, or a list file `.txt`, relative to the fleet file
        warning: models.b: no device gets it
          hint: add it to the `models` of a device, or remove it
        error: devices.d.identity: there is no such file: /none/key
          hint: paths are relative to the fleet file, absolute, or start with `~/`
        warning: devices.d.known-hosts: there is no such file yet: /none/hosts
          hint: `--accept-new` makes it when a device is reached for the first time
        warning: devices.e.models: the device gets no model
          hint: name models, or remove `models` so that it gets all
        error: devices.e.known-hosts: there is no such file: /
          hint: paths are relative to the fleet file, absolute, or start with `~/`
        warning: groups.g: the group is empty
          hint: name devices, or remove it
        "#);
}

#[test]
fn keys_that_change_nothing_at_a_precision_are_told_wherever_they_are_given() {
    for (precision, ignored) in [
        ("fp32", &["on-unsupported", "other-layers", "keep"][..]),
        ("fp16", &["on-unsupported", "other-layers"]),
        ("int8", &[]),
    ] {
        let keys = "on-unsupported: fail, other-layers: fp16, keep: [a]";
        let fleet =
            load(format!("models: {{m: {{onnx: /none, precision: {precision}, {keys}}}}}\n")).unwrap();
        let findings: Vec<_> = fleet.findings().iter().map(ToString::to_string).collect();
        for key in ["on-unsupported", "other-layers", "keep"] {
            let is_told =
                findings.iter().any(|finding| finding.starts_with(&format!("warning: models.m.{key}: ")));
            assert_eq!(is_told, ignored.contains(&key), "{precision} {key}: {findings:?}");
        }
    }
    // What the defaults say is nobody's word.
    assert_eq!(load("models: {m: {onnx: /none, precision: fp32}}\n").unwrap().findings().len(), 2);
}
