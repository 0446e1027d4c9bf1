//! What bad input gets.

use super::*;
use trt_dataset::DatasetError;
use trt_inference::SourceError;

fn identity(input: &[i64]) -> trt_onnx::proto::ModelProto {
    model(input, vec![node("Relu", &["x"], &["y"])], vec![])
}

#[test]
fn an_activation_that_is_not_a_number_is_named_with_its_image() {
    // log(x - 2) of pixels up to 1; images are told apart within a batch too.
    let nodes = vec![node("Sub", &["x", "two"], &["below"]), node("Log", &["below"], &["bad"])];
    let mut bench = Bench::new(&model(&[-1, 3, 8, 8], nodes, vec![tensor("two", &[], &[2.0])]), 2);
    for batch in [1, 2] {
        bench.job.recipe.batch = batch;
        let error = bench.error();
        let CalibrateError::Source(SourceError::NotANumber { tensor, samples, .. }) = &error else {
            panic!("{error:?}")
        };
        assert_eq!((tensor.as_str(), samples.len()), ("bad", 1));
        assert!(!bench.at("out").exists());
    }
    // (1 - x) / (1 - x) is 0 / 0 where x is 1: in the white image, which is the first.
    let nodes = vec![node("Sub", &["one", "x"], &["rest"]), node("Div", &["rest", "rest"], &["bad"])];
    let bench = Bench::new(&model(&[-1, 3, 8, 8], nodes, vec![tensor("one", &[], &[1.0])]), 1);
    let error = bench.error().to_string();
    assert!(error.contains("activation `bad` has 192 value(s) that are not a number (NaN)"), "{error}");
    assert!(error.contains("00.png"), "{error}");
}

#[test]
fn a_mask_of_infinities_goes_without_a_scale_and_is_told() {
    // As attention is masked: Softmax(Where(dark, x, -inf)). No row is masked as a whole.
    let less = node("Less", &["x", "limit"], &["dark"]);
    let nodes = vec![
        less,
        node("Where", &["dark", "x", "never"], &["masked"]),
        node("Concat", &["masked", "x"], &["rows"]),
        node("Softmax", &["rows"], &["y"]),
    ];
    let mut nodes = nodes;
    nodes[2].attribute.push(trt_onnx::proto::AttributeProto {
        name: Some("axis".into()),
        i: Some(3),
        r#type: Some(trt_onnx::proto::attr::INT),
        ..Default::default()
    });
    let weights = vec![tensor("limit", &[], &[0.5]), tensor("never", &[], &[f32::NEG_INFINITY])];
    let bench = Bench::new(&model(&[-1, 3, 8, 8], nodes, weights), 3);
    let (table, report) = bench.run().unwrap();
    assert_eq!(names(&table), ["x", "y"]);
    assert_eq!(report.with_infinities.keys().collect::<Vec<_>>(), ["masked", "rows"]);
    let why = &report.without_scale["masked"];
    assert!(report.with_infinities["masked"] >= 192, "the white image is masked all over: {why}");
    assert_eq!(
        *why,
        format!(
            "{} of its 576 values are infinite, as in an attention mask",
            report.with_infinities["masked"]
        )
    );
    let sidecar = store::read(&bench.job.recipe.output).unwrap().sidecar.unwrap();
    assert_eq!(sidecar.without_scale["masked"], *why);
}

#[test]
fn pipes_and_devices_are_refused_instead_of_waited_for() {
    let mut bench = Bench::new(&identity(&[-1, 3, 8, 8]), 1);
    let pipe = |path: &Path| {
        let _ = std::fs::remove_file(path);
        rustix::fs::mknodat(rustix::fs::CWD, path, rustix::fs::FileType::Fifo, 0o600.into(), 0).unwrap();
    };
    let expect = |error: CalibrateError, file: &Path| {
        let source = std::error::Error::source(&error).map(ToString::to_string).unwrap_or_default();
        let text = format!("{error}: {source}");
        assert!(text.contains(file.to_str().unwrap()) && text.contains("not a regular file"), "{text}");
    };
    bench.run().unwrap();
    let sidecar = store::sidecar_path(&bench.job.recipe.output);
    for file in [&sidecar, &bench.job.recipe.output.clone()] {
        pipe(file);
        expect(bench.error(), file);
        std::fs::remove_file(file).unwrap();
    }
    let photo = bench.at("photos/00.png");
    bench.job.recipe.samples = vec![images(&photo)];
    pipe(&photo);
    let error = bench.error().to_string();
    assert!(error.starts_with("this is neither a folder nor a regular file"), "{error}");
    std::fs::remove_file(&photo).unwrap();
    bench.job.onnx = bench.at("pipe.onnx");
    pipe(&bench.job.onnx);
    let error = bench.error();
    let CalibrateError::Model { source: trt_onnx::OnnxError::Read { source, .. }, .. } = &error else {
        panic!("{error:?}")
    };
    assert_eq!(source.to_string(), "it is not a regular file");
}

#[test]
fn an_image_of_absurd_size_is_one_that_cannot_be_decoded() {
    let mut bench = Bench::new(&identity(&[-1, 3, 8, 8]), 3);
    bench.job.recipe.max_undecodable = 0.5;
    // Sparse, so that hashing it takes but a moment.
    let huge = std::fs::File::create(bench.at("photos/01.png")).unwrap();
    huge.set_len((256 << 20) + 1).unwrap();
    let (_, report) = bench.run().unwrap();
    assert_eq!((report.counted.used, report.counted.skipped.len()), (2, 1));
    assert_eq!(report.counted.skipped[0].reason, "the image file is larger than 268435456 bytes: 268435457");
}

#[test]
fn an_operator_that_the_backend_lacks_is_named_with_its_node() {
    for (name, shown) in [(Some("neck/odd"), "`neck/odd` (Frobnicate)"), (None, "Frobnicate #0 (output `y`)")]
    {
        let mut odd = node("Frobnicate", &["x"], &["y"]);
        odd.name = name.map(str::to_owned);
        let bench = Bench::new(&model(&[1, 3, 8, 8], vec![odd], vec![]), 1);
        let error = bench.error();
        assert!(matches!(error, CalibrateError::Source(SourceError::Unsupported { .. })), "{error:?}");
        assert!(error.to_string().contains(shown), "{error}");
        assert!(error.hint().unwrap().contains("onnxslim"));
    }
}

#[test]
fn an_operator_of_a_plugin_needs_a_table_made_elsewhere_and_the_plugin() {
    let mut odd = node("MyNMS", &["x"], &["y"]);
    (odd.name, odd.domain) = (Some("nms".into()), Some("custom".into()));
    let error = Bench::new(&model(&[1, 3, 8, 8], vec![odd], vec![]), 1).error();
    assert!(error.to_string().contains("`nms` (custom.MyNMS)"), "{error}");
    let hint = error.hint().unwrap();
    assert!(hint.contains("`calibration: {table: FILE}`") && hint.contains("`plugins`"), "{hint}");
    assert!(!hint.contains("onnxslim"), "{hint}");
}

#[test]
fn a_keep_that_cannot_be_meant_is_refused_with_what_may_be_meant() {
    let mut sum = node("Relu", &["x"], &["y"]);
    sum.name = Some("act".into());
    let mut bench = Bench::new(&model(&[1, 3, 8, 8], vec![sum], vec![]), 1);
    for (keep, words) in
        [("*", "set `precision: fp32`"), ("act", "`act` is a node; its output is `y`"), ("z", "table show")]
    {
        bench.job.keep = vec![keep.into()];
        let error = bench.error();
        assert!(
            error.to_string().contains("`keep` names") && error.hint().unwrap().contains(words),
            "{error:?}"
        );
    }
}

#[test]
fn a_node_that_fails_on_the_images_is_named() {
    let mut sum = node("Add", &["x", "five"], &["y"]);
    sum.name = Some("sum".into());
    let bench = Bench::new(&model(&[1, 3, 8, 8], vec![sum], vec![tensor("five", &[5], &[0.0; 5])]), 1);
    let error = bench.error();
    assert!(matches!(error, CalibrateError::Source(SourceError::Run { .. })), "{error:?}");
    assert!(error.to_string().starts_with("the model could not be run, at `sum` (Add): "), "{error}");
}

#[test]
fn inputs_that_take_no_images_are_refused() {
    let kind = |input: &[i64], elem_type: i32| {
        let mut proto = identity(input);
        proto.graph.as_mut().unwrap().input = vec![value("x", elem_type, input)];
        Bench::new(&proto, 1).error()
    };
    assert!(matches!(
        kind(&[1, 3, 8, 8], elem::UINT8),
        CalibrateError::Dataset(DatasetError::NotImages { .. })
    ));
    assert!(matches!(kind(&[1, 10], elem::FLOAT), CalibrateError::Dataset(DatasetError::NotImages { .. })));
    assert!(matches!(
        kind(&[1, 4, 8, 8], elem::FLOAT),
        CalibrateError::Dataset(DatasetError::Channels { model: 4, .. })
    ));

    let mut two = identity(&[1, 3, 8, 8]);
    two.graph.as_mut().unwrap().input.push(value("z", elem::FLOAT, &[1]));
    let error = Bench::new(&two, 1).error();
    assert_eq!(error.to_string(), "no samples are given for input: z");
}

#[test]
fn a_shape_that_cannot_be_fixed_names_the_input_and_the_key() {
    let mut bench = Bench::new(&identity(&[-1, 3, -1, 8]), 1);
    let error = bench.error();
    assert_eq!(error.to_string(), "the height of input `x` is open in the model, and no shape fixes it");
    assert!(error.hint().unwrap().contains("models.tiny.shapes.x.opt"));
    bench.job.model.clear();
    assert!(bench.error().hint().unwrap().contains("--shape x:1x3x640x640"));
    bench.job.shapes.insert("x".into(), vec![1, 3, 8, 9]);
    assert_eq!(
        bench.error().to_string(),
        "the shape configured for input `x` does not fit the model's ?x3x?x8: 1x3x8x9"
    );
    bench.job.shapes = Shapes::from([("images".to_owned(), vec![1, 3, 8, 8])]);
    assert!(matches!(bench.error(), CalibrateError::Dataset(DatasetError::UnknownInput { .. })));
}

#[test]
fn broken_images_are_listed_and_fatal_above_the_share() {
    let mut bench = Bench::new(&identity(&[-1, 3, 8, 8]), 10);
    for broken in ["03.png", "07.png"] {
        std::fs::write(bench.at("photos").join(broken), b"no image").unwrap();
    }
    bench.job.recipe.max_undecodable = 0.1;
    let error = bench.error().to_string();
    assert!(
        error.starts_with("2 of 10 samples could not be decoded, more than the share of 0.1: "),
        "{error}"
    );
    assert!(error.contains("03.png: not a JPEG") && error.contains("07.png"), "{error}");
    assert_eq!(bench.error().undecodable().len(), 2);
    bench.job.recipe.max_undecodable = 0.2;
    let (_, report) = bench.run().unwrap();
    assert_eq!((report.counted.used, report.counted.skipped.len()), (8, 2));
    assert_eq!(report.counted.skipped[0].name, "03.png");

    files(&bench.at("photos")).iter().for_each(|file| std::fs::write(file, b"").unwrap());
    bench.job.recipe.max_undecodable = 1.0;
    assert!(matches!(bench.error(), CalibrateError::Dataset(DatasetError::AllUndecodable { count: 10, .. })));
}

#[test]
fn fewer_images_than_a_fixed_batch_are_refused() {
    let bench = Bench::new(&identity(&[4, 3, 8, 8]), 3);
    assert!(matches!(
        bench.error(),
        CalibrateError::Dataset(DatasetError::SmallBatch { batch: 4, samples: 3 })
    ));
}

#[test]
fn a_table_that_was_not_made_here_stays_unless_forced() {
    let mut bench = Bench::new(&identity(&[-1, 3, 8, 8]), 2);
    let foreign = b"TRT-8601-EntropyCalibration2\nx: 3c010204\n";
    std::fs::create_dir(bench.at("out")).unwrap();
    for content in [&foreign[..], b"not a table"] {
        std::fs::write(&bench.job.recipe.output, content).unwrap();
        assert!(matches!(bench.error(), CalibrateError::Foreign { .. }));
        assert_eq!(std::fs::read(&bench.job.recipe.output).unwrap(), content);
    }
    bench.job.force = true;
    bench.run().unwrap();
    bench.job.force = false;

    let mut edited = std::fs::read(&bench.job.recipe.output).unwrap();
    edited.extend_from_slice(b"extra: 3c010204\n");
    std::fs::write(&bench.job.recipe.output, &edited).unwrap();
    assert!(matches!(bench.error(), CalibrateError::Edited { .. }));
    assert_eq!(std::fs::read(&bench.job.recipe.output).unwrap(), edited);
}

#[test]
fn a_table_whose_replacement_was_cut_short_is_made_anew_and_an_edited_one_is_not() {
    let mut bench = Bench::new(&identity(&[-1, 3, 8, 8]), 2);
    bench.run().unwrap();
    let old = std::fs::read(&bench.job.recipe.output).unwrap();
    bench.algorithm(Algorithm::MinMax);
    bench.run().unwrap();
    let new = std::fs::read(&bench.job.recipe.output).unwrap();
    assert_ne!(old, new);
    assert!(matches!(bench.plan().unwrap().state, State::UpToDate(_)));

    // The power goes when the sidecar is written and the table is not.
    std::fs::write(&bench.job.recipe.output, &old).unwrap();
    let State::Stale { reasons, .. } = bench.plan().unwrap().state else { panic!("it is stale") };
    assert!(reasons[0].contains("cut short"), "{reasons:?}");
    bench.run().unwrap();
    assert_eq!(std::fs::read(&bench.job.recipe.output).unwrap(), new);

    // At the first calibration there is no table yet.
    std::fs::remove_file(&bench.job.recipe.output).unwrap();
    assert!(matches!(bench.plan().unwrap().state, State::Missing));
    bench.run().unwrap();

    // Nobody but the user may replace what was edited, not even half-way through.
    std::fs::write(&bench.job.recipe.output, [&old[..], b"extra: 3c010204\n"].concat()).unwrap();
    assert!(matches!(bench.error(), CalibrateError::Edited { .. }));
    let edited = std::fs::read(&bench.job.recipe.output).unwrap();
    bench.job.force = true;
    bench.run().unwrap();
    bench.job.force = false;
    std::fs::write(&bench.job.recipe.output, edited).unwrap();
    assert!(matches!(bench.error(), CalibrateError::Edited { .. }), "it is still the user's");
}

#[test]
fn models_that_cannot_be_calibrated_are_told_apart() {
    let mut bench = Bench::new(&identity(&[-1, 3, 8, 8]), 1);
    std::fs::write(&bench.job.onnx, b"\x08\x08\x12").unwrap();
    assert!(matches!(bench.error(), CalibrateError::Model { .. }));
    bench.job.onnx = bench.at("absent.onnx");
    let error = bench.error().to_string();
    assert!(error.contains("no such model file"), "{error}");

    let nodes =
        vec![node("QuantizeLinear", &["x", "s"], &["q"]), node("DequantizeLinear", &["q", "s"], &["y"])];
    let bench = Bench::new(&model(&[1, 3, 8, 8], nodes, vec![tensor("s", &[], &[0.1])]), 1);
    assert!(matches!(bench.error(), CalibrateError::Quantized { .. }));
}

#[test]
fn a_folder_that_cannot_be_written_is_named() {
    let mut bench = Bench::new(&identity(&[-1, 3, 8, 8]), 1);
    bench.job.recipe.output = bench.at("model.onnx").join("tiny.cache");
    let error = bench.error();
    assert!(matches!(error, CalibrateError::Write { .. } | CalibrateError::Read { .. }), "{error:?}");
    assert!(error.hint().is_some());
}

#[test]
fn samples_that_make_an_activation_not_a_number_can_be_left_out_and_are_named() {
    // (1 - x) / (1 - x) is 0 / 0 where x is 1: in the white image, which is the first.
    let nodes = vec![node("Sub", &["one", "x"], &["rest"]), node("Div", &["rest", "rest"], &["bad"])];
    let mut bench = Bench::new(&model(&[-1, 3, 8, 8], nodes, vec![tensor("one", &[], &[1.0])]), 4);
    bench.job.recipe.running.on_nan = trt_inference::OnNan::SkipImage;
    for batch in [1, 3] {
        bench.job.recipe.batch = batch;
        bench.job.force = true;
        let (_, report) = bench.run().unwrap();
        assert_eq!((report.counted.used, report.counted.skipped.len()), (3, 1), "batch {batch}");
        assert_eq!(report.counted.skipped[0].name, "00.png");
        assert!(report.counted.skipped[0].reason.contains("`bad`"), "{:?}", report.counted.skipped);
    }
}

#[test]
fn an_input_that_never_changes_and_samples_that_are_alike_are_told() {
    let bench = Bench::new(&identity(&[-1, 3, 8, 8]), 1);
    for copy in ["b.png", "c.png"] {
        std::fs::copy(bench.at("photos/00.png"), bench.at("photos").join(copy)).unwrap();
    }
    let remarks = bench.run().unwrap().1.counted.remarks;
    assert_eq!(remarks.unchanging_inputs, ["x"]);
    assert_eq!(remarks.near_duplicates, [["00.png", "b.png", "c.png"]]);
}

#[test]
fn auto_needs_samples_for_three_purposes() {
    let mut bench = Bench::new(&convolution(&[-1, 3, 8, 8]), 2);
    bench.job.recipe.thresholds.algorithm = Chosen::Auto;
    assert!(matches!(bench.error(), CalibrateError::FewForAuto { least: 3, samples: 2 }));
    bench.job.shard = Some("1/2".parse().unwrap());
    assert!(matches!(bench.error(), CalibrateError::AutoShard));
}

#[test]
fn counts_that_do_not_add_up_cannot_be_resumed() {
    let mut bench = Bench::new(&identity(&[-1, 3, 8, 8]), 2);
    bench.job.recipe.running.histogram = trt_calib::Mode::TensorRt;
    bench.run().unwrap();
    bench.job.resume = true;
    assert!(matches!(bench.error(), CalibrateError::Unmergeable { .. }));
    bench.job.recipe.histograms = None;
    assert!(matches!(bench.error(), CalibrateError::NotKept { .. }));
}
