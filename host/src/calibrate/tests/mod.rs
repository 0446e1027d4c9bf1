//! Whole calibrations of tiny models.

mod bad;
mod foreign;
mod lost;
mod models;
mod own_calibrator;

use std::path::Path;
use std::sync::Mutex;

use tempfile::TempDir;
use trt_calib::Algorithm;
use trt_calib::sidecar::Propagate;
use trt_calib::table::TableVersion;
use trt_dataset::{Pairing, Wanted};
use trt_imaging::Preprocess;
use trt_inference::Choice;
use trt_onnx::proto::{TensorProto, elem};

use super::store::{self, State};
use super::*;
use crate::fleet::{Chosen, Evaluation, Files, Fleet, Recipe, Running, Source, Thresholds};
use models::*;

/// A folder with `model.onnx` and `photos/`, and a wish for it.
struct Bench {
    folder: TempDir,
    job: Job,
}

impl Bench {
    fn new(model: &trt_onnx::proto::ModelProto, photos: u32) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let at = |name: &str| folder.path().join(name);
        photographs(&at("photos"), photos, |n| format!("{n:02}.png"));
        let job = Job {
            model: "tiny".into(),
            onnx: save(model, &at("model.onnx")),
            shapes: Shapes::new(),
            recipe: Recipe {
                samples: vec![images(&at("photos"))],
                pairing: Pairing::default(),
                count: 100,
                seed: 0,
                batch: 1,
                thresholds: Thresholds::default(),
                running: Running { backend: Choice::Rten, ..Running::default() },
                output: at("out/tiny.cache"),
                histograms: Some(at("out/tiny.cache.histograms")),
                max_undecodable: 0.05,
            },
            version: TableVersion::from_raw(TABLE_VERSION).unwrap(),
            keep: Vec::new(),
            evaluation: Evaluation::default(),
            force: false,
            shard: None,
            resume: false,
        };
        Self { folder, job }
    }

    fn at(&self, name: &str) -> std::path::PathBuf {
        self.folder.path().join(name)
    }

    fn plan(&self) -> Result<Plan, CalibrateError> {
        Plan::new(self.job.clone(), &Interrupt::default())
    }

    fn run(&self) -> Result<(CalibrationTable, report::Report), CalibrateError> {
        let made = self.plan()?.execute(&|_| {}, &Interrupt::default())?;
        Ok((made.table, made.report))
    }

    fn algorithm(&mut self, algorithm: Algorithm) {
        self.job.recipe.thresholds.algorithm = Chosen::Of(algorithm);
    }

    fn preprocess(&mut self, preprocess: Preprocess) {
        self.job.recipe.samples[0].preprocess = Some(preprocess);
    }

    fn error(&self) -> CalibrateError {
        self.run().expect_err("this must fail")
    }
}

/// The images in a folder, unchanged but for their range.
fn images(folder: &Path) -> Source {
    let files = Files::of_arguments(Wanted::Images, &[folder.display().to_string()]).unwrap();
    Source { input: None, files, preprocess: Some(Preprocess::default()) }
}

fn files(folder: &Path) -> Vec<std::path::PathBuf> {
    let mut files: Vec<_> = std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()).collect();
    files.sort();
    files
}

fn names(table: &CalibrationTable) -> Vec<String> {
    table.entries().iter().map(|entry| entry.name.to_string()).collect()
}

#[test]
fn every_float_activation_gets_a_scale_under_its_onnx_name() {
    let mut bench = Bench::new(&convolution(&[-1, 3, 8, 8]), 3);
    bench.algorithm(Algorithm::MinMax);
    let (table, report) = bench.run().unwrap();
    // The node `c` does not hide the value `c`; `s` holds integers.
    assert_eq!(names(&table), ["x", "c", "r", "y"]);
    assert_eq!(table.header().to_string(), "TRT-100300-MinMaxCalibration");
    // A white pixel is 1.0, which TensorRT writes like this.
    assert_eq!(table.get(b"x").map(f32::to_bits), Some(0x3c01_0204));
    assert_eq!(table.get(b"r"), table.get(b"y"));
    assert_eq!((report.counted.used, report.with_scale, report.coverage()), (3, 4, 1.0));
}

#[test]
fn activations_to_keep_have_no_scale_and_are_recorded() {
    let mut bench = Bench::new(&convolution(&[-1, 3, 8, 8]), 2);
    bench.job.keep = vec!["r*".into(), "c".into()];
    let (table, report) = bench.run().unwrap();
    assert_eq!(names(&table), ["x", "y"]);
    assert_eq!(report.without_scale["r"], "it is kept in higher precision");
    let sidecar = store::read(&bench.job.recipe.output).unwrap().sidecar.unwrap();
    assert_eq!(sidecar.keep, ["c", "r"]);
    // A table made elsewhere says it through its provenance.
    let outcome = ensure_table(
        &foreign::taker(&bench.job.onnx, &bench.job.recipe.output),
        &Ui::new(true, 0, true),
        &Interrupt::default(),
        false,
    );
    let outcome = outcome.unwrap();
    assert_eq!(
        (&outcome.keep[..], &outcome.summary.warnings[..]),
        (&["c".to_owned(), "r".into()][..], &[][..])
    );
    // The same names in other words are no change.
    bench.job.keep = vec!["c".into(), "r".into(), "c".into()];
    assert!(matches!(bench.plan().unwrap().state, State::UpToDate(_)));
    bench.job.keep = vec!["z*".into()];
    assert!(matches!(bench.error(), CalibrateError::Keep(_)));
}

#[test]
fn scales_are_those_of_the_arithmetic() {
    // y = 3x - 1, over x from 0 to 1 and both ends met: amax is 2.
    let nodes = vec![node("Mul", &["x", "three"], &["m"]), node("Sub", &["m", "one"], &["y"])];
    let weights = vec![tensor("three", &[], &[3.0]), tensor("one", &[], &[1.0])];
    let mut bench = Bench::new(&model(&[1, 3, 8, 8], nodes, weights), 3);
    bench.algorithm(Algorithm::MinMax);
    let (table, _) = bench.run().unwrap();
    assert_eq!(table.get(b"m"), Some(3.0 / 127.0));
    assert_eq!(table.get(b"y"), Some(2.0 / 127.0));
}

#[test]
fn neither_batch_nor_order_nor_threads_change_the_table() {
    let mut bench = Bench::new(&convolution(&[-1, 3, 8, 8]), 11);
    let table = |bench: &Bench| {
        bench.run().unwrap();
        std::fs::read(&bench.job.recipe.output).unwrap()
    };
    let first = table(&bench);
    for batch in [2, 4, 64] {
        bench.job.recipe.batch = batch;
        bench.job.force = true;
        assert_eq!(table(&bench), first, "batch {batch}");
    }
    photographs(&bench.at("shuffled"), 11, |n| format!("{:02}.png", n * 7 % 11));
    bench.job.recipe.samples = vec![images(&bench.at("shuffled"))];
    bench.job.force = false;
    assert!(matches!(bench.plan().unwrap().state, State::Stale { .. }), "other names are another dataset");
    assert_eq!(table(&bench), first, "other names");
}

#[test]
fn an_up_to_date_table_is_reused_and_a_stale_one_explained() {
    let mut bench = Bench::new(&convolution(&[-1, 3, 8, 8]), 6);
    assert!(matches!(bench.plan().unwrap().state, State::Missing));
    bench.run().unwrap();
    assert!(matches!(bench.plan().unwrap().state, State::UpToDate(_)));
    bench.job.recipe.batch = 3;
    assert!(matches!(bench.plan().unwrap().state, State::UpToDate(_)), "the batch size is no reason");

    let reasons = |bench: &Bench| match bench.plan().unwrap().state {
        State::Stale { reasons, .. } => reasons.join("; "),
        state => panic!("{state:?}"),
    };
    let expect = |bench: &Bench, reason: &str| {
        let found = reasons(bench);
        assert!(found.contains(reason), "{found}");
    };
    let fresh = bench.job.clone();
    for count in [6, 7, 5000] {
        bench.job.recipe.count = count;
        bench.job.recipe.seed = u64::from(count);
        assert!(matches!(bench.plan().unwrap().state, State::UpToDate(_)), "all 6 images, as before");
    }
    bench.job = fresh.clone();
    bench.job.recipe.count = 4;
    expect(&bench, "`count` was 100, and is 4");
    bench.job = fresh.clone();
    bench.algorithm(Algorithm::MinMax);
    expect(&bench, "`algorithm` was entropy, and is minmax");
    bench.job = fresh.clone();
    bench.preprocess(Preprocess { mean: Some(vec![0.5]), ..Preprocess::default() });
    expect(&bench, "`mean[0]` was 0.0, and is 0.5");
    bench.job = Job { keep: vec!["r".into()], ..fresh.clone() };
    expect(&bench, "`keep` changed: `r` came to it, and nothing went from it");
    bench.job = fresh.clone();
    save(&convolution(&[-1, 3, 8, 4]), &bench.job.onnx);
    expect(&bench, "the model `model.onnx` changed");
    save(&convolution(&[-1, 3, 8, 8]), &bench.job.onnx);
    assert!(matches!(bench.plan().unwrap().state, State::UpToDate(_)), "back to what it was");
    photographs(&bench.at("photos"), 5, |n| format!("{:02}.png", n + 1));
    expect(&bench, "the images changed");
}

#[test]
fn a_shape_that_the_model_leaves_open_comes_from_the_configuration() {
    let mut bench = Bench::new(&convolution(&[-1, 3, -1, -1]), 2);
    bench.job.shapes.insert("x".into(), vec![4, 3, 8, 16]);
    let (_, report) = bench.run().unwrap();
    assert_eq!(report.counted.used, 2);
    let sidecar = store::read(&bench.job.recipe.output).unwrap().sidecar.unwrap();
    assert_eq!(sidecar.shapes["x"], [1, 3, 8, 16]);

    bench.job.shapes.clear();
    let size = Some(trt_imaging::Size { width: 16, height: 8 });
    bench.preprocess(Preprocess { size, ..Preprocess::default() });
    assert!(matches!(bench.plan().unwrap().state, State::UpToDate(_)), "the same, said in another way");
}

#[test]
fn a_fixed_batch_takes_whole_groups_and_says_what_is_left_over() {
    let mut bench = Bench::new(&convolution(&[2, 3, 8, 8]), 7);
    bench.job.recipe.max_undecodable = 0.5;
    // Breaks the groups (0, 1) and (2, 3): 1 and 3 are put together, 6 remains.
    for broken in ["00.png", "02.png"] {
        std::fs::write(bench.at("photos").join(broken), b"no image").unwrap();
    }
    let (_, report) = bench.run().unwrap();
    assert_eq!((report.counted.used, report.counted.skipped.len()), (4, 3));
    let dataset = store::read(&bench.job.recipe.output).unwrap().sidecar.unwrap().dataset;
    let used: Vec<_> = dataset.images.iter().map(|image| image.name.as_str()).collect();
    assert_eq!(used, ["01.png", "03.png", "04.png", "05.png"]);
    assert_eq!(dataset.skipped.len(), 3);
    assert_eq!(dataset.skipped[2].name, "06.png");
}

#[test]
fn claims_of_the_file_about_inner_values_do_not_matter() {
    let mut proto = convolution(&[-1, 3, 8, 8]);
    let graph = proto.graph.as_mut().unwrap();
    graph.value_info.push(value("c", elem::FLOAT, &[1, 9, 9, 9]));
    graph.output[0] = value("y", elem::FLOAT, &[1, 9, 9, 9]);
    let mut bench = Bench::new(&proto, 4);
    bench.job.recipe.batch = 4;
    assert_eq!(names(&bench.run().unwrap().0), ["x", "c", "r", "y"]);
}

#[test]
fn external_data_is_part_of_the_model() {
    let mut proto = convolution(&[-1, 3, 8, 8]);
    let weights = &mut proto.graph.as_mut().unwrap().initializer[0];
    let bytes: Vec<u8> = weights.float_data.iter().flat_map(|value| value.to_le_bytes()).collect();
    let entry = |key: &str, value: &str| trt_onnx::proto::StringStringEntryProto {
        key: Some(key.into()),
        value: Some(value.into()),
    };
    *weights = TensorProto {
        float_data: vec![],
        data_location: Some(1),
        external_data: vec![entry("location", "data/weights.bin")],
        ..weights.clone()
    };
    let (inside, outside) = (Bench::new(&convolution(&[-1, 3, 8, 8]), 3), Bench::new(&proto, 3));
    std::fs::create_dir(outside.at("data")).unwrap();
    std::fs::write(outside.at("data/weights.bin"), &bytes).unwrap();
    assert_eq!(outside.run().unwrap().0, inside.run().unwrap().0);
    // The `.onnx` stays the same, and still the model is another.
    std::fs::write(outside.at("data/weights.bin"), vec![0; bytes.len()]).unwrap();
    let State::Stale { reasons, .. } = outside.plan().unwrap().state else { panic!("it is stale") };
    assert!(reasons[0].contains("the model's data `data/weights.bin` changed"), "{reasons:?}");
}

#[test]
fn what_onnx_lets_a_file_leave_out_is_known() {
    // Neither `kernel_shape` nor `strides`: a kernel of 1x3 and steps of 1.
    let mut pool = node("MaxPool", &["c"], &["p"]);
    pool.attribute.push(trt_onnx::proto::AttributeProto {
        name: Some("kernel_shape".into()),
        ints: vec![2, 2],
        r#type: Some(trt_onnx::proto::attr::INTS),
        ..Default::default()
    });
    let nodes = vec![node("Conv", &["x", "w"], &["c"]), pool];
    // Sums the three channels of the middle pixel: 3 for white, and the pool keeps it.
    let weights: Vec<f32> = (0..9).map(|n| f32::from(u8::from(n % 3 == 1))).collect();
    let proto = model(&[1, 3, 8, 8], nodes, vec![tensor("w", &[1, 3, 1, 3], &weights)]);
    let mut bench = Bench::new(&proto, 1);
    bench.algorithm(Algorithm::MinMax);
    let (table, _) = bench.run().unwrap();
    assert_eq!([table.get(b"c"), table.get(b"p")], [Some(3.0 / 127.0); 2]);
}

#[test]
fn progress_reaches_the_number_of_images() {
    let bench = Bench::new(&convolution(&[-1, 3, 8, 8]), 9);
    let seen = Mutex::new(Vec::new());
    let events = |event: Event<'_>| match event {
        Event::Images { done, total } => seen.lock().unwrap().push((done, total)),
        Event::Thresholds { tensors } => seen.lock().unwrap().push((tensors, 0)),
        _ => {}
    };
    bench.plan().unwrap().execute(&events, &Interrupt::default()).unwrap();
    let seen = seen.into_inner().unwrap();
    assert!(seen.contains(&(9, 9)));
    assert_eq!(seen.last(), Some(&(4, 0)), "thresholds of four tensors come last");
}

#[test]
fn after_ctrl_c_there_is_no_table_and_what_was_counted_is_kept() {
    let whole = Bench::new(&convolution(&[-1, 3, 8, 8]), 9);
    let expected = whole.run().unwrap().0;
    let mut bench = Bench::new(&convolution(&[-1, 3, 8, 8]), 9);
    let interrupt = Interrupt::default();
    let plan = Plan::new(bench.job.clone(), &interrupt).unwrap();
    let part = plan.checkpoint().unwrap();
    let raise = |event: Event<'_>| {
        if matches!(event, Event::Images { done: 2.., .. }) {
            interrupt.raise();
        }
    };
    let error = plan.execute(&raise, &interrupt).unwrap_err();
    assert!(matches!(error, CalibrateError::Interrupted(_)), "{error:?}");
    assert!(!bench.job.recipe.output.exists() && part.exists());
    bench.job.resume = true;
    let (table, report) = bench.run().unwrap();
    assert_eq!(table, expected);
    assert_eq!(report.counted.used, 9);
    assert!((2..9).contains(&report.counted.remarks.resumed), "{:?}", report.counted.remarks);
    assert!(!part.exists(), "it has served");
    let saved = |bench: &Bench| std::fs::read(bench.job.recipe.histograms.as_ref().unwrap()).unwrap();
    let sets = [&whole, &bench].map(|bench| trt_calib::HistogramSet::parse(&saved(bench)).unwrap());
    assert_eq!(sets[0].tensors, sets[1].tensors);
    assert_eq!(sets[0].provenance.dataset, sets[1].provenance.dataset);
}

#[test]
fn shards_merged_are_the_histograms_of_one_run_and_give_its_table() {
    let mut bench = Bench::new(&convolution(&[-1, 3, 8, 8]), 10);
    let expected = bench.run().unwrap().0;
    let path = bench.job.recipe.histograms.clone().unwrap();
    let single = saved::read(&path).unwrap();
    std::fs::remove_dir_all(bench.at("out")).unwrap();
    let shard = |bench: &mut Bench, text: &str| {
        bench.job.shard = Some(text.parse().unwrap());
        let (path, _) = bench.plan().unwrap().execute_shard(&|_| {}, &Interrupt::default()).unwrap();
        saved::read(&path).unwrap()
    };
    let mut sets = ["3/3", "1/3", "2/3"].map(|text| shard(&mut bench, text)).to_vec();
    bench.job.shard = None;
    let merge = trt_calib::HistogramSet::merge;
    saved::write(&path, &merge(sets.split_off(1)).unwrap()).unwrap();
    let plan = bench.plan().unwrap();
    assert!(plan.summary().because.iter().any(|why| why.contains("shards are missing")));
    let rest = saved::read(&path).unwrap();
    let merged = merge(vec![sets.remove(0), rest]).unwrap();
    assert_eq!((&merged.tensors, &merged.provenance.dataset), (&single.tensors, &single.provenance.dataset));
    saved::write(&path, &merged).unwrap();
    assert_eq!(bench.plan().unwrap().summary().action, "derive");
    let (table, report) = bench.run().unwrap();
    assert_eq!(table, expected);
    assert!(report.counted.remarks.saved);
}

#[test]
fn another_algorithm_is_derived_from_saved_histograms() {
    let mut bench = Bench::new(&convolution(&[-1, 3, 8, 8]), 4);
    bench.run().unwrap();
    let mut other = Bench::new(&convolution(&[-1, 3, 8, 8]), 4);
    for change in 0..4 {
        for bench in [&mut bench, &mut other] {
            let recipe = &mut bench.job.recipe;
            match change {
                0 => recipe.thresholds.algorithm = Chosen::Of(Algorithm::Mse),
                1 => drop(recipe.thresholds.overrides.insert("r".into(), Algorithm::MinMax)),
                2 => bench.job.keep = vec!["c".into()],
                _ => recipe.thresholds.propagate = Propagate::None,
            }
        }
        let (table, report) = bench.run().unwrap();
        assert!(report.counted.remarks.saved, "{change}");
        std::fs::remove_dir_all(other.at("out")).unwrap_or_default();
        let (expected, report) = other.run().unwrap();
        assert!(!report.counted.remarks.saved);
        assert_eq!(table, expected, "{change}");
    }
    // Other samples need the model.
    bench.job.recipe.count = 3;
    let plan = bench.plan().unwrap();
    assert!(plan.summary().because.iter().any(|why| why.contains("the samples are others")));
    assert!(!bench.run().unwrap().1.counted.remarks.saved);
}

#[test]
fn an_override_that_fits_nothing_is_refused() {
    let mut bench = Bench::new(&convolution(&[-1, 3, 8, 8]), 2);
    bench.job.recipe.thresholds.overrides.insert("z*".into(), Algorithm::MinMax);
    let error = bench.error();
    assert!(matches!(&error, CalibrateError::Override { pattern } if pattern == "z*"), "{error:?}");
}

#[test]
fn a_fleet_file_gives_tables_once() {
    let bench = Bench::new(&convolution(&[-1, 3, 8, 8]), 3);
    let yaml = "
models:
  tiny:
    onnx: model.onnx
    precision: int8
    calibration: {images: photos, preprocess: plain}
  other:
    onnx: model.onnx
    precision: int8
    calibration: {table: elsewhere.cache}
devices:
  here: {socket: /tmp/agent.sock}
";
    let file = bench.at("trt-deploy.yaml");
    std::fs::write(&file, yaml).unwrap();
    let fleet = Fleet::load(&file).unwrap();
    let (ui, interrupt) = (Ui::new(true, 0, true), Interrupt::default());
    let ensure = |name: &str| ensure_table(fleet.model(name).unwrap(), &ui, &interrupt, false);
    let first = ensure("tiny").unwrap();
    assert_eq!((first.summary.origin, first.summary.entries), (Origin::Computed, 4));
    assert_eq!(ensure("tiny").unwrap().summary.origin, Origin::Reused);

    // Made elsewhere: nothing is known about it, and it is said.
    let foreign = b"TRT-8601-EntropyCalibration2\nx: 3c010204\nc: 3c010204\n";
    std::fs::write(bench.at("elsewhere.cache"), foreign).unwrap();
    let outcome = ensure("other").unwrap();
    assert_eq!((outcome.summary.origin, outcome.summary.entries), (Origin::Foreign, 2));
    assert!(outcome.summary.warnings.iter().any(|warning| warning.contains("no provenance")));
    assert!(
        outcome.summary.warnings.iter().any(|warning| warning.contains("2 of 4 activations have no scale"))
    );
    std::fs::write(bench.at("elsewhere.cache"), b"TRT-8601-EntropyCalibration2\nimages: 3c010204\n").unwrap();
    assert!(matches!(ensure("other"), Err(CalibrateError::OtherModel { .. })));
}
