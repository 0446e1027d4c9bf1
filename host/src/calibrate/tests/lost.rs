//! A GPU that is lost or runs out of memory in mid-run, and a disk that is full: played by a source with a script.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use trt_calib::{Counts, Histogram};
use trt_inference::{Backend, Batch, Content, HistogramSource, Histograms, Observed, SourceError, Values};

use super::*;

/// What fails, from its reason.
type Failure = fn(String) -> SourceError;

/// Counts the input alone, and fails from its n-th batch on.
struct Scripted {
    fails: Option<(usize, Failure)>,
    batches: AtomicUsize,
    seen: Mutex<Histogram>,
}

impl Scripted {
    fn new(fails: Option<(usize, Failure)>) -> Self {
        Self { fails, batches: AtomicUsize::new(0), seen: Mutex::default() }
    }
}

impl HistogramSource for Scripted {
    fn backend(&self) -> Backend {
        Backend { name: "scripted", version: "1".to_owned(), settings: Vec::new() }
    }

    fn lanes(&self) -> usize {
        1
    }

    fn accumulate(&self, batch: Batch) -> Result<(), SourceError> {
        let at = self.batches.fetch_add(1, Ordering::Relaxed);
        if let Some((first, error)) = self.fails
            && at >= first
        {
            return Err(error("as the script says".to_owned()));
        }
        let Content::Tensors(tensors) = batch.content else { panic!("tensors") };
        let Values::F32(values) = &tensors[0].values else { panic!("floats") };
        self.seen.lock().unwrap().add(values);
        Ok(())
    }

    fn snapshot(&self) -> Result<Histograms, SourceError> {
        let counts = Counts::from(self.seen.lock().unwrap().clone());
        Ok(Histograms { observed: vec![Observed { name: "x".to_owned(), counts }], omitted: vec![] })
    }

    fn finish(self: Box<Self>) -> Result<Histograms, SourceError> {
        self.snapshot()
    }
}

/// Counts with a checkpoint after every batch.
fn count(bench: &Bench, source: &Scripted) -> Result<run::Counting, CalibrateError> {
    let plan = bench.plan()?;
    let earlier = match &plan.counts {
        plan::Counts::Resume(set) => Some(set.as_ref().clone()),
        _ => None,
    };
    let counting =
        plan.run(source, vec![], earlier.as_ref(), Duration::ZERO, &|_| {}, &Interrupt::default())?;
    plan.keep(counting)
}

#[test]
fn what_was_counted_before_the_gpu_was_lost_is_kept_and_resumed() {
    let failures: [Failure; 2] =
        [|reason| SourceError::GpuLost { reason }, |reason| SourceError::OutOfMemory { reason }];
    for failure in failures {
        let mut bench = Bench::new(&convolution(&[-1, 3, 8, 8]), 9);
        let whole = count(&bench, &Scripted::new(None)).unwrap().set;
        std::fs::remove_dir_all(bench.at("out")).unwrap();

        let error = count(&bench, &Scripted::new(Some((4, failure)))).unwrap_err();
        assert!(matches!(error, CalibrateError::Source(_)), "{error:?}");
        assert!(error.to_string().ends_with("as the script says"), "{error}");
        assert!(error.hint().is_some());
        let part = bench.plan().unwrap().checkpoint().unwrap();
        assert_eq!(saved::read(&part).unwrap().provenance.dataset.count, 4);

        // A run without `--resume` begins anew; one with it counts the rest.
        bench.job.resume = true;
        let source = Scripted::new(None);
        let counting = count(&bench, &source).unwrap();
        assert_eq!((counting.remarks.resumed, source.batches.into_inner()), (4, 5));
        assert_eq!(counting.set.tensors, whole.tensors);
        assert_eq!(counting.set.provenance.dataset, whole.provenance.dataset);
        assert!(!part.exists(), "it has served");
    }
}

#[test]
fn a_checkpoint_that_cannot_be_written_costs_a_warning_and_not_the_run() {
    let mut bench = Bench::new(&convolution(&[-1, 3, 8, 8]), 3);
    // A file where a folder would have to be, as root may write anywhere else.
    bench.job.recipe.histograms = Some(bench.at("model.onnx").join("histograms"));
    let remarks = count(&bench, &Scripted::new(None)).unwrap().remarks;
    for why in [remarks.not_checkpointed, remarks.not_kept] {
        let why = why.expect("it is told");
        assert!(why.starts_with("cannot write ") && why.contains("model.onnx"), "{why}");
    }
    let told = bench.run().unwrap().1.counted.remarks;
    assert!(told.not_kept.is_some(), "there is a table all the same");
}

#[test]
fn a_table_that_cannot_be_written_leaves_the_old_one() {
    let mut bench = Bench::new(&convolution(&[-1, 3, 8, 8]), 3);
    bench.run().unwrap();
    let old = std::fs::read(&bench.job.recipe.output).unwrap();
    bench.algorithm(Algorithm::MinMax);
    let plan = bench.plan().unwrap();
    // The sidecar's name is taken by a folder when the time comes to write it.
    let sidecar = store::sidecar_path(&bench.job.recipe.output);
    std::fs::remove_file(&sidecar).unwrap();
    std::fs::create_dir(&sidecar).unwrap();
    let error = plan.execute(&|_| {}, &Interrupt::default()).unwrap_err();
    assert!(matches!(error, CalibrateError::Write { .. }), "{error:?}");
    assert_eq!(std::fs::read(&bench.job.recipe.output).unwrap(), old);
    let left = files(&bench.at("out"));
    assert_eq!(left.len(), 3, "no temporary file stays: {left:?}");
}
