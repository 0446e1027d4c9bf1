//! Runs of engines, on the recorder that plays TensorRT and on trt-cuda's stub of a driver.
//!
//! The recorder computes nothing, so outputs are what the stub's memory held. The stub is strict: it wants a context, and
//! everything freed before that goes.

use std::fs;
use std::path::Path;
use std::process::Command;

use trt_wire::worker::{Job, Ran, RunJob, TensorFile, WorkerEvent};
use trt_wire::{Failure, FailureCode};

use super::stage::Stage;
use super::work;

/// Compiles trt-cuda's stub of a driver; `None`, with a message, on machines without a C compiler.
fn compile_stub(library: &Path) -> Option<()> {
    let source = concat!(env!("CARGO_MANIFEST_DIR"), "/../crates/cuda/tests/stub/driver.c");
    let mut compiler = Command::new("cc");
    match compiler.args(["-shared", "-fPIC", source, "-lpthread", "-o"]).arg(library).status() {
        Ok(status) => assert!(status.success(), "{source} compiles"),
        Err(error) => {
            e2e::skip(&format!("no C compiler: {error}"));
            return None;
        }
    }
    Some(())
}

/// A run of the recorder's engine with one picture.
struct Setup {
    stage: Stage,
    environment: Vec<(&'static str, String)>,
    job: RunJob,
}

impl Setup {
    fn new(number: u32) -> Option<Self> {
        let stage = Stage::new(number, "");
        let driver = stage.bench.path("driver");
        fs::create_dir(&driver).expect("a folder");
        compile_stub(&driver.join("libcuda.so.1"))?;
        let log = stage.bench.path("cuda");
        let environment = stage.environment(&[
            ("LD_LIBRARY_PATH", driver.display().to_string()),
            ("STUB_CUDA_LOG", log.display().to_string()),
        ]);
        stage.bench.write("engine.plan", b"recorded plan");
        let images = TensorFile {
            element: "float".into(),
            dims: vec![1, 3, 224, 224],
            file: stage.bench.write("images.bin", &vec![0; 3 * 224 * 224 * 4]),
        };
        let job = RunJob {
            tensorrt_dir: Some(stage.dir()),
            plugins: vec![],
            tensorrt: stage.tensorrt(),
            engine: stage.bench.path("engine.plan"),
            dla: None,
            inputs: [("images".into(), images)].into(),
            outputs: stage.dir(),
            warm_up: 2,
            iterations: 3,
        };
        Some(Self { stage, environment, job })
    }

    fn run(&self) -> Result<Ran, Failure> {
        match work(&Job::Run(Box::new(self.job.clone())), &self.environment).last {
            WorkerEvent::Ran(ran) => Ok(ran),
            WorkerEvent::Failed(failure) => Err(failure),
            other => panic!("not run: {other:?}"),
        }
    }

    fn fails(&self, code: FailureCode, words: &str) {
        let failure = self.run().expect_err(words);
        assert_eq!(failure.code, code, "{}", failure.message);
        assert!(failure.message.contains(words), "{}", failure.message);
        assert!(failure.hint.is_some(), "{}", failure.message);
    }
}

#[test]
fn an_engine_runs_by_bindings_and_by_names_and_leaves_nothing_on_the_gpu() {
    for (number, enqueue) in
        [(8201, "enqueueV2"), (8503, "enqueueV3"), (100_300, "enqueueV3"), (110_000, "enqueueV3")]
    {
        let Some(mut setup) = Setup::new(number) else { return };
        setup.job.dla = Some(1);
        let ran = setup.run().unwrap_or_else(|failure| panic!("{number}: {}", failure.message));
        let outputs: Vec<_> = ran
            .outputs
            .iter()
            .map(|(name, tensor)| (name.as_str(), tensor.element.as_str(), &tensor.dims[..]))
            .collect();
        assert_eq!(outputs, [("scores", "float16", &[1, 1000][..]), ("boxes", "int32", &[1, 100, 4][..])]);
        for ((_, tensor), bytes) in ran.outputs.iter().zip([2000, 1600]) {
            assert_eq!(fs::metadata(&tensor.file).expect("an output").len(), bytes);
        }
        assert_eq!(ran.latency_us, [1500; 3], "what the stub says of the time between two events");
        assert!(ran.device_memory > 0);
        let calls = setup.stage.calls();
        let runs =
            calls.lines().filter(|line| line.starts_with(&format!("VExecutionContext::{enqueue}("))).count();
        assert_eq!(runs, 5, "two to warm up and three: {calls}");
        assert!(calls.contains("VRuntime::setDLACore(1)"), "{calls}");
        let cuda = fs::read_to_string(setup.stage.bench.path("cuda")).expect("the driver's log");
        let failed: Vec<&str> = cuda.lines().filter(|line| !line.ends_with(" 0")).collect();
        assert!(failed.is_empty(), "{number}: {failed:?}");
        assert_eq!(cuda.lines().last(), Some("cuDevicePrimaryCtxRelease 0"), "{number}");
    }
}

#[test]
fn what_does_not_fit_the_engine_is_refused_before_it_runs() {
    let Some(mut setup) = Setup::new(100_300) else { return };
    let right = setup.job.clone();
    let image = || right.inputs["images"].clone();
    let cases = [
        (Default::default(), "no data for: `images`"),
        (
            [("images".into(), image()), ("mask".into(), image())].into(),
            "has no input `mask`; it has: `images`",
        ),
        ([("images".into(), TensorFile { element: "uint8".into(), ..image() })].into(), "holds float"),
        (
            [("images".into(), TensorFile { dims: vec![1, 3, 224, 225], ..image() })].into(),
            "[-1, 3, 224, 224]",
        ),
        ([("images".into(), TensorFile { dims: vec![2, 3, 224, 224], ..image() })].into(), "does not fill"),
    ];
    for (inputs, words) in cases {
        setup.job.inputs = inputs;
        setup.fails(FailureCode::BadRequest, words);
    }
    assert!(!setup.stage.calls().contains("enqueue"));
}

#[test]
fn what_cannot_run_here_is_a_failure_with_a_hint() {
    let Some(mut setup) = Setup::new(8201) else { return };
    setup.stage.bench.write("engine.plan", b"an engine of another GPU");
    setup.fails(FailureCode::BuildFailed, "refuses an engine of 24 bytes");
    setup.stage.bench.write("engine.plan", b"recorded plan, boxes on host");
    setup.fails(FailureCode::BuildFailed, "`boxes` in host memory");
    setup.stage.bench.write("engine.plan", b"recorded plan");

    let all = setup.environment.clone();
    setup.environment.push(("STUB_CUDA_FAIL", "cuMemAlloc_v2=2".into()));
    setup.fails(FailureCode::BuildFailed, "CUDA_ERROR_OUT_OF_MEMORY");
    setup.environment = all.clone();
    setup.environment.push(("STUB_CUDA_FAIL", "cuStreamSynchronize=719".into()));
    setup.fails(FailureCode::BuildFailed, "719");
    setup.environment = all.clone();
    setup.environment.push(("STUB_CUDA_FAIL", "cuEventRecord=719".into()));
    setup.fails(FailureCode::BuildFailed, "cuEventRecord");
    setup.environment = all.clone();
    setup.environment.push(("STUB_CUDA_DEVICES", "0".into()));
    setup.fails(FailureCode::NoTensorRt, "no GPU");
    setup.environment = all;

    setup.job.dla = Some(7);
    setup.fails(FailureCode::BuildFailed, "DLA core 7");
    setup.job.dla = None;
    setup.job.tensorrt.version = [8, 6, 1];
    setup.fails(
        FailureCode::PlanChanged,
        "the engine was built by TensorRT 8.6.1, and now there is TensorRT 8.2.1",
    );
}
