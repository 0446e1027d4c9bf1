//! A run through a source that writes down what it gets.

use std::cell::Cell;
use std::collections::BTreeSet;
use std::path::Path;
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use crate::common::*;
use trt_dataset::{Checkpoint, Dataset, DatasetError, Hooks, Rules, run};
use trt_imaging::{Decoded, ImagingError};
use trt_inference::{Backend, Batch, Content, HistogramSource, Histograms, OnNan, SourceError, Wants};

/// Writes down the first value of each sample, batch by batch; NaN is an error.
struct Diary {
    lanes: usize,
    wants: Wants,
    batches: Mutex<Vec<Vec<f32>>>,
    running: AtomicUsize,
    /// How many batches ran at the same time.
    most: AtomicUsize,
}

impl Diary {
    fn new(lanes: usize) -> Self {
        let (running, most) = Default::default();
        Self { lanes, wants: Wants::Tensors, batches: Mutex::default(), running, most }
    }

    fn batches(&self) -> Vec<Vec<f32>> {
        self.batches.lock().unwrap().clone()
    }

    /// All values, sorted.
    fn values(&self) -> Vec<f32> {
        let mut all = self.batches().concat();
        all.sort_by(f32::total_cmp);
        all
    }
}

impl HistogramSource for Diary {
    fn backend(&self) -> Backend {
        Backend { name: "diary", version: "0".to_owned(), settings: vec![] }
    }

    fn wants(&self) -> Wants {
        self.wants
    }

    fn lanes(&self) -> usize {
        self.lanes
    }

    fn accumulate(&self, batch: Batch) -> Result<(), SourceError> {
        self.most.fetch_max(self.running.fetch_add(1, Ordering::SeqCst) + 1, Ordering::SeqCst);
        let firsts: Vec<f32> = match &batch.content {
            Content::Tensors(tensors) => {
                let values = tensors[0].values.as_f32().unwrap();
                assert_eq!(values.len(), tensors[0].shape.iter().product::<usize>());
                assert_eq!(tensors[0].shape[0], batch.samples.len());
                values.chunks(values.len() / batch.samples.len()).map(|sample| sample[0]).collect()
            }
            Content::Pictures(pictures) => {
                pictures.iter().map(|picture| f32::from(picture.pixels[0])).collect()
            }
        };
        assert_eq!(firsts.len(), batch.samples.len());
        std::thread::sleep(Duration::from_millis(1));
        self.running.fetch_sub(1, Ordering::SeqCst);
        if firsts.iter().any(|value| value.is_nan()) {
            return Err(SourceError::NotANumber { tensor: "x".into(), count: 1, samples: batch.samples });
        }
        self.batches.lock().unwrap().push(firsts);
        Ok(())
    }

    fn snapshot(&self) -> Result<Histograms, SourceError> {
        Ok(Histograms::default())
    }

    fn finish(self: Box<Self>) -> Result<Histograms, SourceError> {
        self.snapshot()
    }
}

/// Samples 0.0, 1.0 and so on; those of `broken` cannot be read.
fn numbers(folder: &Path, count: usize, batch: i64, broken: &[usize]) -> Dataset {
    let content = |at: usize| if broken.contains(&at) { vec![] } else { npy(&[1], &[at as f32]) };
    let files: Vec<_> = (0..count).map(|at| file(folder, &format!("{at:03}.npy"), &content(at))).collect();
    dataset(&model(&[("x", FLOAT, &[batch, 1])]), vec![arrays(&files)])
}

fn rules(batch: usize, threads: usize) -> Rules {
    Rules { batch, threads, max_undecodable: 0.5, ..Rules::default() }
}

#[test]
fn every_sample_is_counted_once_however_many_threads_and_lanes_there_are() {
    let folder = tempfile::tempdir().unwrap();
    let dataset = numbers(folder.path(), 50, 0, &[7, 8, 30]);
    let expected: Vec<f32> = (0..50).filter(|at| ![7, 8, 30].contains(at)).map(|at| at as f32).collect();
    for (lanes, threads) in [(1, 1), (4, 1), (4, 4), (1, 6), (2, 3), (100, 2)] {
        let diary = Diary::new(lanes);
        let most = AtomicUsize::new(0);
        let progress = |done, total| {
            assert_eq!(total, 50);
            most.fetch_max(done, Ordering::SeqCst);
        };
        let hooks = Hooks { progress: &progress, ..Hooks::default() };
        let tally = run(&diary, &dataset, &rules(4, threads), hooks).unwrap();
        assert_eq!(diary.values(), expected, "{lanes} lanes, {threads} threads");
        assert!(diary.most.load(Ordering::SeqCst) <= lanes, "{lanes} lanes, {threads} threads");
        assert_eq!(tally.used, expected.iter().map(|at| *at as usize).collect::<Vec<_>>());
        assert_eq!(tally.undecodable.keys().copied().collect::<Vec<_>>(), [7, 8, 30]);
        assert_eq!(most.into_inner(), 50);
        assert_eq!(tally.skipped(&dataset)[2].name, "030.npy");
        if lanes == 1 {
            assert_eq!(diary.batches().concat(), expected, "one lane gets them in order");
        }
    }
}

#[test]
fn fixed_batches_are_full_and_the_same_ones_with_and_without_decoders() {
    let folder = tempfile::tempdir().unwrap();
    let dataset = numbers(folder.path(), 23, 4, &[1, 9, 10]);
    for (lanes, threads) in [(1, 1), (3, 1), (1, 4), (2, 4)] {
        let diary = Diary::new(lanes);
        let tally = run(&diary, &dataset, &rules(1, threads), Hooks::default()).unwrap();
        assert!(diary.batches().iter().all(|batch| batch.len() == 4));
        // Whole ones: 4 to 7, 12 to 15, 16 to 19. Of the rest, 0 2 3 8 and 11 20 21 22.
        assert_eq!((tally.used.len(), tally.left_over.as_slice()), (20, &[][..]));
        assert!(diary.batches().contains(&vec![0.0, 2.0, 3.0, 8.0]), "{:?}", diary.batches());
    }
    let dataset = numbers(folder.path(), 22, 4, &[1, 9, 10]);
    let tally = run(&Diary::new(2), &dataset, &rules(1, 2), Hooks::default()).unwrap();
    assert_eq!((tally.used.len(), tally.left_over.as_slice()), (16, &[11, 20, 21][..]));
    let small = numbers(folder.path(), 3, 4, &[]);
    let error = run(&Diary::new(1), &small, &rules(1, 1), Hooks::default()).unwrap_err();
    assert!(matches!(error, DatasetError::SmallBatch { batch: 4, samples: 3 }), "{error}");
}

#[test]
fn one_sample_will_do_and_no_more_are_used_than_there_are() {
    let folder = tempfile::tempdir().unwrap();
    let dataset = numbers(folder.path(), 1, 0, &[]);
    assert_eq!((dataset.len(), dataset.available()), (1, 1));
    assert_eq!(run(&Diary::new(2), &dataset, &rules(8, 2), Hooks::default()).unwrap().used, [0]);
}

#[test]
fn too_many_broken_samples_are_an_error_that_lists_all_of_them() {
    let folder = tempfile::tempdir().unwrap();
    let dataset = numbers(folder.path(), 6, 0, &[1, 3]);
    let strict = Rules { max_undecodable: 0.2, ..rules(2, 2) };
    let error = run(&Diary::new(2), &dataset, &strict, Hooks::default()).unwrap_err();
    assert!(
        error.undecodable().len() == 2 && error.undecodable()[1].contains("003.npy: the array file is empty")
    );
    let none = numbers(folder.path(), 2, 0, &[0, 1]);
    let error = run(&Diary::new(2), &none, &rules(2, 2), Hooks::default()).unwrap_err();
    assert!(matches!(error, DatasetError::AllUndecodable { count: 2, .. }), "{error}");
}

/// A decoder with a defect that one image brings out.
fn defective(bytes: &[u8]) -> Result<Decoded, ImagingError> {
    assert_ne!(bytes, b"strange", "index out of bounds");
    trt_imaging::decode(bytes)
}

#[test]
fn a_panic_of_the_decoder_costs_one_image() {
    let folder = tempfile::tempdir().unwrap();
    let files = [
        image(folder.path(), "a.png", 1),
        file(folder.path(), "b.png", b"strange"),
        image(folder.path(), "c.png", 3),
    ];
    let dataset = dataset(&model(&[("x", FLOAT, &[0, 3, 4, 4])]), vec![images(&files)]);
    for (threads, wants) in [(1, Wants::Tensors), (4, Wants::Tensors), (4, Wants::Pictures)] {
        let diary = Diary { wants, ..Diary::new(1) };
        let rules = Rules { decode: defective, ..rules(1, threads) };
        let tally = run(&diary, &dataset, &rules, Hooks::default()).unwrap();
        assert_eq!(tally.used, [0, 2]);
        let scale = if wants == Wants::Pictures { 1.0 } else { 255.0 };
        assert_eq!(diary.values(), [1.0 / scale, 3.0 / scale]);
        let why = tally.undecodable[&1].to_string();
        assert!(why.contains("the decoder failed") && why.contains("index out of bounds"), "{why}");
    }
}

thread_local! {
    /// How many pictures this thread has decoded.
    static DECODED: Cell<usize> = const { Cell::new(0) };
}

fn counting(bytes: &[u8]) -> Result<Decoded, ImagingError> {
    DECODED.set(DECODED.get() + 1);
    trt_imaging::decode(bytes)
}

/// Wants the pictures of each batch to be decoded by the thread that brings them.
struct Own(Diary);

impl HistogramSource for Own {
    fn backend(&self) -> Backend {
        self.0.backend()
    }

    fn wants(&self) -> Wants {
        Wants::Pictures
    }

    fn lanes(&self) -> usize {
        self.0.lanes()
    }

    fn accumulate(&self, batch: Batch) -> Result<(), SourceError> {
        assert_eq!(DECODED.take(), batch.samples.len());
        self.0.accumulate(batch)
    }

    fn snapshot(&self) -> Result<Histograms, SourceError> {
        self.0.snapshot()
    }

    fn finish(self: Box<Self>) -> Result<Histograms, SourceError> {
        self.snapshot()
    }
}

#[test]
fn a_thread_decodes_all_of_a_batch_where_there_are_several_lanes() {
    let folder = tempfile::tempdir().unwrap();
    let files: Vec<_> = (0..30).map(|at| image(folder.path(), &format!("{at:02}.png"), at)).collect();
    let dataset = dataset(&model(&[("x", FLOAT, &[0, 3, 4, 4])]), vec![images(&files)]);
    let expected: Vec<Vec<f32>> =
        (0..30).map(|at| at as f32).collect::<Vec<_>>().chunks(4).map(<[f32]>::to_vec).collect();
    for (lanes, threads) in [(2, 1), (2, 8), (6, 4), (4, 4)] {
        let source = Own(Diary::new(lanes));
        let rules = Rules { decode: counting, ..rules(4, threads) };
        assert_eq!(run(&source, &dataset, &rules, Hooks::default()).unwrap().used.len(), 30);
        assert!(source.0.most.load(Ordering::SeqCst) <= lanes);
        let mut batches = source.0.batches();
        batches.sort_by(|one, other| one[0].total_cmp(&other[0]));
        assert_eq!(batches, expected, "{lanes} lanes, {threads} threads: always the same batches");
    }
}

#[test]
fn only_the_guilty_samples_are_left_out_for_nan() {
    let folder = tempfile::tempdir().unwrap();
    let stack = |batch| {
        let values: Vec<f32> = (0..9).map(|at| if at == 4 { f32::NAN } else { at as f32 }).collect();
        let path = file(folder.path(), "a.npy", &npy(&[9, 1], &values));
        dataset(&model(&[("x", FLOAT, &[batch, 1])]), vec![arrays(&[path])])
    };
    let error = run(&Diary::new(1), &stack(0), &rules(3, 1), Hooks::default()).unwrap_err();
    assert!(matches!(error, DatasetError::Source(SourceError::NotANumber { .. })), "{error}");
    let skip = |batch, threads| Rules { on_nan: OnNan::SkipImage, ..rules(batch, threads) };
    for (lanes, threads) in [(1, 1), (1, 3), (3, 1), (2, 5)] {
        let diary = Diary::new(lanes);
        let tally = run(&diary, &stack(0), &skip(3, threads), Hooks::default()).unwrap();
        assert_eq!((tally.used.len(), tally.not_a_number.keys().copied().collect::<Vec<_>>()), (8, vec![4]));
        assert_eq!(diary.values(), [0.0, 1.0, 2.0, 3.0, 5.0, 6.0, 7.0, 8.0]);
        let skipped = &tally.skipped(&stack(0))[0];
        assert!(skipped.name == "a.npy#4" && skipped.reason.contains("NaN"), "{skipped:?}");
    }
    // A model that takes three at once cannot be asked which one it is.
    let tally = run(&Diary::new(1), &stack(3), &skip(3, 1), Hooks::default()).unwrap();
    assert_eq!(tally.not_a_number.keys().copied().collect::<Vec<_>>(), [3, 4, 5]);
}

#[test]
fn a_cancelled_run_keeps_what_it_has_and_another_one_goes_on() {
    let folder = tempfile::tempdir().unwrap();
    for (batch, broken) in [(0, &[][..]), (4, &[2, 9, 17])] {
        let dataset = numbers(folder.path(), 43, batch, broken);
        let whole = run(&Diary::new(1), &dataset, &rules(4, 1), Hooks::default()).unwrap();
        for (lanes, threads, limit) in [(1, 1, 3), (2, 4, 5), (3, 1, 9)] {
            let asked = AtomicUsize::new(0);
            let first = Diary::new(lanes);
            let kept = Mutex::new(None);
            let save = |tally: &trt_dataset::Tally| {
                assert_eq!(first.running.load(Ordering::SeqCst), 0, "no batch runs meanwhile");
                assert_eq!(first.values().len(), tally.used.len(), "the tally is that of the source");
                *kept.lock().unwrap() = Some((tally.used.clone(), first.values()));
                Ok(())
            };
            let cancelled = || asked.fetch_add(1, Ordering::SeqCst) >= limit;
            let every = Duration::from_secs(3600);
            let checkpoint = Checkpoint { every, samples: 6, save: &save };
            let hooks = Hooks { cancelled: &cancelled, checkpoint: Some(checkpoint), ..Hooks::default() };
            let error = run(&first, &dataset, &rules(4, threads), hooks).unwrap_err();
            assert!(matches!(error, DatasetError::Interrupted));
            let (used, before) = kept.into_inner().unwrap().expect("it was kept");
            assert!(!used.is_empty() && used.len() < whole.used.len());
            let second = Diary::new(lanes);
            let rest = Rules { done: used.iter().copied().collect::<BTreeSet<_>>(), ..rules(4, threads) };
            let tally = run(&second, &dataset, &rest, Hooks::default()).unwrap();
            assert_eq!((&tally.used, &tally.left_over), (&whole.used, &whole.left_over));
            let mut all = [before, second.values()].concat();
            all.sort_by(f32::total_cmp);
            assert_eq!(all, whole.used.iter().map(|at| *at as f32).collect::<Vec<_>>());
        }
    }
}

#[test]
fn a_checkpoint_that_fails_ends_the_run() {
    let folder = tempfile::tempdir().unwrap();
    let save = |_: &trt_dataset::Tally| Err("no space".into());
    let checkpoint = Some(Checkpoint { every: Duration::ZERO, samples: usize::MAX, save: &save });
    let hooks = Hooks { checkpoint, ..Hooks::default() };
    let error = run(&Diary::new(1), &numbers(folder.path(), 9, 0, &[]), &rules(1, 3), hooks).unwrap_err();
    assert_eq!(error.to_string(), "the checkpoint cannot be kept: no space");
}

/// A source with a defect, and so many lanes.
struct Defective(usize);

impl HistogramSource for Defective {
    fn backend(&self) -> Backend {
        Diary::new(1).backend()
    }

    fn lanes(&self) -> usize {
        self.0
    }

    fn accumulate(&self, _: Batch) -> Result<(), SourceError> {
        panic!("out of its mind")
    }

    fn snapshot(&self) -> Result<Histograms, SourceError> {
        Ok(Histograms::default())
    }

    fn finish(self: Box<Self>) -> Result<Histograms, SourceError> {
        self.snapshot()
    }
}

#[test]
fn a_panic_of_the_source_is_an_error_and_nobody_waits_for_it() {
    let folder = tempfile::tempdir().unwrap();
    for (lanes, threads) in [(1, 1), (1, 4), (3, 4), (4, 2)] {
        let dataset = numbers(folder.path(), 200, 0, &[]);
        let error = run(&Defective(lanes), &dataset, &rules(1, threads), Hooks::default());
        assert!(error.unwrap_err().to_string().contains("out of its mind"));
    }
}
