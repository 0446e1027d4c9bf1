//! The `preprocess` key, from YAML to numbers.

use trt_imaging::{Channels, ImagingError, Layout, Picture, Pipeline, Preprocess, Resize, Size};

fn parse(yaml: &str) -> Preprocess {
    serde_yaml::from_str(yaml).unwrap_or_else(|error| panic!("{yaml}: {error}"))
}

fn resolve(yaml: &str, model: Option<Size>) -> Result<Pipeline, ImagingError> {
    parse(yaml).resolve(model)
}

/// Two columns, three rows, every value different.
fn picture() -> Picture {
    Picture { width: 2, height: 3, pixels: (0..18).map(|value| value * 14).collect() }
}

fn run(pipeline: &Pipeline, picture: &Picture) -> Vec<f32> {
    let mut out = vec![f32::NAN; pipeline.output_len()];
    pipeline.run(picture, &mut out).expect("the picture and the buffer fit");
    out
}

#[test]
fn presets_are_the_recipes_they_are_named_after() {
    let cases = [
        (
            "imagenet",
            r#"{"size":{"width":224,"height":224},"resize":{"crop":{"shorter-side":256}},"channels":"rgb","scale":0.00392156862745098,"mean":[0.485,0.456,0.406],"std":[0.229,0.224,0.225],"layout":"nchw"}"#,
        ),
        (
            "yolo",
            r#"{"size":{"width":640,"height":640},"resize":{"letterbox":{"pad":114}},"channels":"rgb","scale":0.00392156862745098,"mean":[0.0,0.0,0.0],"std":[1.0,1.0,1.0],"layout":"nchw"}"#,
        ),
    ];
    for (name, json) in cases {
        let pipeline = resolve(name, None).unwrap_or_else(|error| panic!("{name}: {error}"));
        assert_eq!(serde_json::to_string(&pipeline).expect("a pipeline is plain data"), json);
        assert_eq!(serde_json::from_str::<Pipeline>(json).expect("it reads its own JSON"), pipeline);
    }
    let size = Size { width: 960, height: 544 };
    let plain = resolve("plain", Some(size)).expect("the model gives the size");
    assert_eq!((plain.size, plain.resize, plain.shape()), (size, Resize::Stretch, [1, 3, 544, 960]));
}

#[test]
fn every_key_can_be_written_in_each_of_its_forms() {
    let written = parse(
        "{preset: yolo, size: {width: 96, height: 64}, resize: letterbox, pad: 0, channels: bgr, \
         scale: 1/255, mean: 0.5, std: [1, 2.5, 3], layout: nhwc}",
    );
    let pipeline = written.resolve(None).expect("the keys are valid");
    assert_eq!(pipeline.size, Size { width: 96, height: 64 });
    assert_eq!(pipeline.resize, Resize::Letterbox { pad: 0 });
    assert_eq!((pipeline.channels, pipeline.layout), (Channels::Bgr, Layout::Nhwc));
    assert_eq!(pipeline.scale, 1.0 / 255.0);
    assert_eq!((pipeline.mean.as_slice(), pipeline.std.as_slice()), (&[0.5; 3][..], &[1.0, 2.5, 3.0][..]));
    assert_eq!(pipeline.shape(), [1, 64, 96, 3]);
    let again = parse(&serde_yaml::to_string(&written).expect("keys are plain data"));
    assert_eq!(again, written);

    let crop = resolve("{size: 300, resize: crop, shorter-side: 320, scale: 1}", None).expect("valid");
    assert_eq!((crop.size, crop.resize), (Size::square(300), Resize::Crop { shorter_side: 320 }));
    let grey = resolve("{size: 28, channels: grey, mean: 0.1307, std: 0.3081}", None).expect("valid");
    assert_eq!((grey.shape(), grey.mean), ([1, 1, 28, 28], vec![0.1307]));
}

#[test]
fn what_cannot_be_read_names_the_key_and_the_known_ones() {
    let cases = [
        ("imagnet", "unknown variant `imagnet`, expected one of `imagenet`, `yolo`, `plain`"),
        ("{preset: imagnet}", "unknown variant `imagnet`, expected one of `imagenet`, `yolo`, `plain`"),
        ("{presets: yolo}", "unknown field `presets`, expected one of `preset`, `size`, `resize`, `pad`"),
        ("{shorter_side: 1}", "unknown field `shorter_side`"),
        ("{size: {widht: 1, height: 1}}", "unknown field `widht`, expected `width` or `height`"),
        ("{size: [1, 2]}", "expected a number of pixels for a square, or {width: …, height: …}"),
        ("{size: -1}", "expected a number of pixels for a square, or {width: …, height: …}"),
        ("{scale: 1:255}", "expected a number or a fraction such as 1/255"),
        ("{scale: 1/x}", "expected a number or a fraction such as 1/255"),
        ("{mean: half}", "expected a number or a list of numbers, one for each channel"),
        ("{pad: 300}", "300"),
        ("{resize: squash}", "expected one of `stretch`, `letterbox`, `crop`"),
        ("7", "expected a preset (imagenet, yolo, plain) or a map of preprocessing keys"),
    ];
    for (yaml, expected) in cases {
        let error = serde_yaml::from_str::<Preprocess>(yaml).expect_err(yaml).to_string();
        assert!(error.contains(expected), "{yaml}: {error}");
    }
}

#[test]
fn an_unknown_key_inside_a_file_is_located() {
    let yaml = "models:\n  detector:\n    size: 640\n    resise: crop\n";
    type Models = std::collections::BTreeMap<String, std::collections::BTreeMap<String, Preprocess>>;
    let error = serde_yaml::from_str::<Models>(yaml).expect_err("`resise` is no key");
    let location = error.location().expect("the error has a place");
    assert_eq!((location.line(), location.column()), (4, 5), "{error}");
}

#[test]
fn what_makes_no_sense_is_refused_with_the_reason() {
    let model = Some(Size::square(224));
    let cases = [
        ("plain", None, "the preprocessed image has no size: neither `size` nor the model's input fixes it"),
        ("{size: 256}", model, "`size` is 256x256 but the model's input is 224x224"),
        ("{size: 0}", None, "sides of a preprocessed image go from 1 to 16384: 0x0"),
        ("{size: 20000}", None, "sides of a preprocessed image go from 1 to 16384: 20000x20000"),
        ("{resize: crop, shorter-side: 200}", model, "`shorter-side` must be from 224 to 32768: 200"),
        ("{pad: 1}", model, "`pad` has no meaning without `resize: letterbox`"),
        ("{preset: yolo, shorter-side: 9}", model, "`shorter-side` has no meaning without `resize: crop`"),
        ("{mean: [1, 2]}", model, "`mean` needs one value or one for each of 3 channel(s): 2"),
        ("{std: []}", model, "`std` needs one value or one for each of 3 channel(s): 0"),
        (
            "{channels: grey, std: [1, 1, 1]}",
            model,
            "`std` needs one value or one for each of 1 channel(s): 3",
        ),
        (
            "{preset: imagenet, channels: bgr}",
            model,
            "preset `imagenet` lists its mean and std for `rgb`, which does not fit: `bgr`",
        ),
        ("{std: [1, 0, 1]}", model, "`std` must be finite and not zero: 0"),
        ("{scale: 1/0}", model, "`scale` must be finite and not zero: inf"),
        ("{scale: 1e-60}", model, "`scale` must be finite and not zero: 0.0000"),
        ("{mean: .nan}", model, "`mean` must be finite: NaN"),
        ("{scale: 1e38, std: 1e-3}", model, "`std` must be finite and not zero: 0.001"),
    ];
    for (yaml, model, expected) in cases {
        let error = resolve(yaml, model).expect_err(yaml).to_string();
        assert!(error.starts_with(expected), "{yaml}: {error}");
    }
}

#[test]
fn a_check_needs_no_model_but_finds_what_is_wrong_anyway() {
    for yaml in
        ["plain", "imagenet", "yolo", "{resize: crop, shorter-side: 256}", "{size: 9, channels: grey}"]
    {
        assert!(parse(yaml).check().is_ok(), "{yaml}");
    }
    for yaml in ["{std: 0}", "{pad: 1}", "{size: 300, resize: crop, shorter-side: 256}"] {
        assert!(parse(yaml).check().is_err(), "{yaml}");
    }
}

#[test]
fn a_model_of_another_size_changes_the_presets_size_and_crop() {
    let pipeline = resolve("imagenet", Some(Size::square(299))).expect("the preset has no size of its own");
    assert_eq!((pipeline.size, pipeline.resize), (Size::square(299), Resize::Crop { shorter_side: 341 }));
}

#[test]
fn the_output_is_pixel_times_scale_minus_mean_over_std() {
    let pipeline = resolve(
        "{size: {width: 2, height: 3}, mean: [0.485, 0.456, 0.406], std: [0.229, 0.224, 0.225]}",
        None,
    )
    .expect("the keys are valid");
    let picture = picture();
    let values = run(&pipeline, &picture);
    let (mean, std) = ([0.485, 0.456, 0.406], [0.229, 0.224, 0.225]);
    for (index, &pixel) in picture.pixels.iter().enumerate() {
        let (at, channel) = (index / 3, index % 3);
        let expected = ((f64::from(pixel) / 255.0 - mean[channel]) / std[channel]) as f32;
        let found = values[channel * 6 + at];
        assert!((found - expected).abs() <= expected.abs() * f32::EPSILON, "{index}: {found} {expected}");
    }
}

#[test]
fn layouts_and_channel_orders_are_permutations_of_each_other() {
    let keys = "size: {width: 2, height: 3}, scale: 1";
    let picture = picture();
    let pixels: Vec<f32> = picture.pixels.iter().map(|&pixel| f32::from(pixel)).collect();
    let planes = |order: [usize; 3]| -> Vec<f32> {
        order.iter().flat_map(|&channel| pixels.iter().skip(channel).step_by(3).copied()).collect()
    };
    let swapped: Vec<f32> = pixels.chunks_exact(3).flat_map(|pixel| [pixel[2], pixel[1], pixel[0]]).collect();
    let cases = [
        ("rgb", "nhwc", pixels.clone()),
        ("bgr", "nhwc", swapped),
        ("rgb", "nchw", planes([0, 1, 2])),
        ("bgr", "nchw", planes([2, 1, 0])),
    ];
    for (channels, layout, expected) in cases {
        let pipeline = resolve(&format!("{{{keys}, channels: {channels}, layout: {layout}}}"), None)
            .expect("the keys are valid");
        assert_eq!(run(&pipeline, &picture), expected, "{channels} {layout}");
    }
}

#[test]
fn letterboxes_have_the_same_values_in_both_layouts_and_a_normalised_border() {
    let keys = "preset: yolo, size: {width: 5, height: 7}, pad: 51, mean: [0.1, 0.2, 0.3], std: [1, 2, 4]";
    let planes = run(&resolve(&format!("{{{keys}}}"), None).expect("valid"), &picture());
    let pixels = run(&resolve(&format!("{{{keys}, layout: nhwc}}"), None).expect("valid"), &picture());
    for (index, value) in pixels.iter().enumerate() {
        assert_eq!(*value, planes[index % 3 * 35 + index / 3]);
    }
    // The picture of 2 x 3 becomes 5 x 7 (4.67 rounded): shrink the canvas to see a border.
    let wide = run(
        &resolve("{preset: yolo, size: {width: 9, height: 3}, pad: 51, mean: 0.1}", None).expect("valid"),
        &picture(),
    );
    let border = ((51.0 / 255.0 - 0.1) / 1.0) as f32;
    for plane in wide.chunks_exact(27) {
        for row in plane.chunks_exact(9) {
            // (9 - 2) / 2 = 3.5: three columns before, four behind.
            assert!(row[..3].iter().chain(&row[5..]).all(|&value| value == border), "{row:?}");
        }
    }
}

#[test]
fn a_runner_gives_each_picture_the_result_of_a_fresh_one() {
    let pipeline = resolve("{preset: yolo, size: 32}", None).expect("valid");
    let mut runner = pipeline.runner().expect("a resolved pipeline is valid");
    let sizes: [(u32, u32); 5] = [(50, 40), (3, 2), (40, 50), (32, 32), (1, 1)];
    for (width, height) in sizes {
        let pixels = (0..width * height * 3).map(|index| (index * 31 % 251) as u8).collect();
        let picture = Picture { width, height, pixels };
        let mut out = vec![f32::NAN; pipeline.output_len()];
        runner.run(&picture, &mut out).expect("the picture is whole");
        assert_eq!(out, run(&pipeline, &picture), "{width}x{height}");
        assert!(out.iter().all(|value| (0.0..=1.0).contains(value)), "{width}x{height}");
    }
}

#[test]
fn buffers_and_pictures_of_the_wrong_length_are_errors() {
    let pipeline = resolve("{size: 4}", None).expect("valid");
    let error = pipeline.run(&picture(), &mut [0.0; 47]).expect_err("47 is not 48").to_string();
    assert_eq!(error, "the preprocessed image needs 48 values of room: 47");
    let mut short = picture();
    short.pixels.pop();
    let error = pipeline.run(&short, &mut [0.0; 48]).expect_err("17 is not 18").to_string();
    assert_eq!(error, "the picture needs 18 bytes of pixels: 17");
    let none = Picture { width: 0, height: 3, pixels: Vec::new() };
    assert!(matches!(pipeline.run(&none, &mut [0.0; 48]), Err(ImagingError::ZeroSize { .. })));
}

#[test]
fn a_pipeline_from_elsewhere_is_checked_before_it_runs() {
    let good = resolve("{size: 4}", None).expect("valid");
    let bad = [
        Pipeline { size: Size { width: 0, height: 4 }, ..good.clone() },
        Pipeline { mean: vec![0.0], ..good.clone() },
        Pipeline { std: vec![1.0, 0.0, 1.0], ..good.clone() },
        Pipeline { resize: Resize::Crop { shorter_side: 3 }, ..good.clone() },
        Pipeline { scale: f64::NAN, ..good },
    ];
    for pipeline in bad {
        assert!(pipeline.runner().is_err(), "{pipeline:?}");
    }
}
