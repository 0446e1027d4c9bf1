//! Rates of a model, in images a second: its forward pass, the same with every activation kept in the GPU's memory (the floor
//! for calibration), calibration on preprocessed batches, and from JPEG files with decoding on all cores.

use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::{Duration, Instant};

use onnxruntime::{
    BoundFeed, Cuda, Device, Element, Elements, Feed, Kind, ModelSource, Optimization, Options, Runtime,
    Session,
};
use serde_json::{Value, json};
use trt_calib::{Counts, Histogram};
use trt_cuda::{Buffer, Context, Stream};
use trt_imaging::{Picture, Preprocess, Preset, Size};
use trt_inference::cuda::CudaSource;
use trt_inference::{Batch, Content, HistogramSource, Observed, Settings, Subject, Tensor};
use trt_onnx::Model;

use crate::{Failure, Random};

/// Batches before the clock starts.
const WARM: usize = 6;

pub fn run(file: &Path, batch: usize, jpeg: Option<&str>, seconds: f64) -> Result<Value, Failure> {
    let model = Model::load(file)?;
    let activations: Vec<String> =
        model.activations().into_iter().filter(|it| it.known_float).map(|it| it.name).collect();
    let side = if model.inputs()[0].dims.contains(&trt_onnx::Dim::Fixed(640)) { 640 } else { 224 };
    let job = Job { name: model.inputs()[0].name.clone(), model, activations, batch, side, seconds };
    let mut result = json!({ "batch": batch, "side": side });
    let plain = job.session(false)?;
    result["forward"] = json!(job.forward(&plain)?);
    drop(plain);
    let floor = job.session(true)?;
    let kept = job.forward(&floor)?;
    result["kept"] = json!(kept);
    result["tensors"] = json!(floor.0.outputs().len());
    let expected = job.count_on_host(&floor.0)?;
    drop(floor);
    job.tensors(&expected, &mut result)?;
    result["calibrate / kept"] = json!(result["calibrate"].as_f64().unwrap_or(0.0) / kept);
    if let Some(folder) = jpeg {
        job.jpeg(folder.as_ref(), &mut result)?;
    }
    Ok(result)
}

struct Job {
    model: Model,
    name: String,
    activations: Vec<String>,
    batch: usize,
    side: usize,
    seconds: f64,
}

impl Job {
    fn shape(&self) -> [usize; 4] {
        [self.batch, 3, self.side, self.side]
    }

    /// Normally distributed, as preprocessed pictures about are.
    fn input(&self, seed: u64) -> Vec<f32> {
        let mut random = Random::new(seed);
        (0..self.shape().iter().product()).map(|_| random.normal()).collect()
    }

    fn settings(&self) -> Settings {
        Settings { threads: thread::available_parallelism().map_or(1, |n| n.get()), ..Settings::default() }
    }

    /// The model on the GPU, as it is or with every activation as an output.
    fn session(&self, all: bool) -> Result<(Session, Arc<Stream>), Failure> {
        let runtime = Runtime::load(None)?;
        let stream = Arc::new(Stream::new(&Context::primary(0)?)?);
        let mut model = self.model.clone();
        if all {
            trt_onnx::expose(&mut model, &self.activations);
        }
        let device = Device::Cuda(Cuda { device: 0, tf32: true, stream: Some(Arc::clone(&stream)) });
        let options = Options { device, optimization: Optimization::All };
        let bytes = model.to_bytes()?;
        Ok((Session::new(runtime, ModelSource::Bytes(&bytes, &[]), &options)?, stream))
    }

    /// Images a second of runs that follow each other; nobody waits in between, and nothing is read.
    fn forward(&self, (session, stream): &(Session, Arc<Stream>)) -> Result<f64, Failure> {
        let values: Vec<u8> = crate::kernels::bytes(&self.input(1));
        let mut buffer = Buffer::new(&Context::primary(0)?, values.len())?;
        buffer.write(&values)?;
        let wanted: Vec<usize> = (0..session.outputs().len()).collect();
        let shape = self.shape();
        let feed =
            BoundFeed::Device { name: &self.name, element: Element::F32, shape: &shape, buffer: &buffer };
        let run = || -> Result<(), Failure> { Ok(session.run_bound(&[feed], &wanted, |_| ())?) };
        for _ in 0..WARM {
            run()?;
        }
        stream.synchronize()?;
        let start = Instant::now();
        let mut runs = 0;
        while start.elapsed().as_secs_f64() < self.seconds {
            for _ in 0..4 {
                run()?;
            }
            // The host must not run away, or the clock would only see it.
            stream.synchronize()?;
            runs += 4;
        }
        Ok((runs * self.batch) as f64 / start.elapsed().as_secs_f64())
    }

    /// The histograms of one batch, by copying every activation to the host.
    fn count_on_host(&self, session: &Session) -> Result<Vec<(String, Histogram)>, Failure> {
        let values = self.input(1);
        let shape = self.shape();
        let feed = Feed { name: &self.name, shape: &shape, elements: Elements::F32(&values) };
        let float = |kind: &Kind| matches!(kind, Kind::Tensor { element: Element::F32, .. });
        let ports = session.outputs().iter().enumerate();
        let wanted: Vec<usize> = ports.filter(|(_, port)| float(&port.kind)).map(|(at, _)| at).collect();
        Ok(session.run(&[feed], &wanted, |outputs| {
            thread::scope(|scope| {
                let tasks: Vec<_> = outputs
                    .iter()
                    .map(|output| {
                        scope.spawn(move || {
                            let mut histogram = Histogram::new();
                            if let Ok(Elements::F32(values)) = output.elements {
                                histogram.add(values);
                            }
                            (output.name.to_owned(), histogram)
                        })
                    })
                    .collect();
                tasks.into_iter().filter_map(|task| task.join().ok()).collect()
            })
        })?)
    }

    /// Calibration on preprocessed batches.
    fn tensors(&self, expected: &[(String, Histogram)], result: &mut Value) -> Result<(), Failure> {
        let subject = Subject { model: &self.model, folder: Path::new("."), activations: &self.activations };
        let begin = Instant::now();
        let source = CudaSource::open(&subject, &self.settings())?;
        result["open_s"] = json!(begin.elapsed().as_secs_f64());
        let batch = |seed| Batch {
            content: Content::Tensors(vec![Tensor::f32(&self.name, self.shape(), self.input(seed))]),
            samples: (0..self.batch).map(|number| number.to_string()).collect(),
        };
        source.accumulate(batch(1))?;
        let found = source.snapshot()?.observed;
        result["histograms"] = compare(&found, expected);

        // As many batches as fit the time, by the rate of a few.
        let template = batch(2);
        let copy = || {
            let Content::Tensors(tensors) = &template.content else { unreachable!("made of tensors") };
            Batch { content: Content::Tensors(tensors.clone()), samples: template.samples.clone() }
        };
        let rate = feed(&source, (0..WARM + 10).map(|_| copy()).collect())?;
        let count = ((self.seconds * rate) as usize).clamp(20, 400);
        let rate = feed(&source, (0..count).map(|_| copy()).collect())?;
        result["calibrate"] = json!(rate * self.batch as f64);
        result["batches"] = json!(count);
        result["backend"] = json!(format!("{:?}", source.backend()));
        let begin = Instant::now();
        Box::new(source).finish()?;
        result["finish_s"] = json!(begin.elapsed().as_secs_f64());
        Ok(())
    }

    /// Calibration from files, and what decoding alone gives.
    fn jpeg(&self, folder: &Path, result: &mut Value) -> Result<(), Failure> {
        let mut paths: Vec<PathBuf> =
            std::fs::read_dir(folder)?.map(|entry| Ok(entry?.path())).collect::<Result<_, Failure>>()?;
        paths.sort();
        let files: Vec<Vec<u8>> = paths.iter().map(std::fs::read).collect::<Result<_, _>>()?;
        let cores = thread::available_parallelism()?.get();
        let decode = |at: usize| -> Picture {
            let file = &files[at % files.len()];
            trt_imaging::decode(file).map(|decoded| decoded.picture).expect("a photograph")
        };
        let duration = Duration::from_secs_f64(self.seconds);

        let done = AtomicUsize::new(0);
        let start = Instant::now();
        thread::scope(|scope| {
            for _ in 0..cores {
                scope.spawn(|| {
                    while start.elapsed() < duration {
                        drop(decode(done.fetch_add(1, Ordering::Relaxed)));
                    }
                });
            }
        });
        let decoding = done.into_inner() as f64 / start.elapsed().as_secs_f64();
        result["decode"] = json!(decoding);

        let preset = if self.side == 640 { Preset::Yolo } else { Preset::Imagenet };
        let pipeline = Preprocess::preset(preset).resolve(Some(Size::square(self.side as u32)))?;
        let settings = Settings { pipeline: Some(pipeline), ..self.settings() };
        let subject = Subject { model: &self.model, folder: Path::new("."), activations: &self.activations };
        let source = CudaSource::open(&subject, &settings)?;
        let warm = |count: usize| Batch {
            content: Content::Pictures((0..count).map(decode).collect()),
            samples: (0..count).map(|number| number.to_string()).collect(),
        };
        for _ in 0..WARM {
            source.accumulate(warm(self.batch))?;
        }
        // Each thread decodes a batch and hands it over: a picture's memory goes back to the thread that took it, and the
        // threads that wait for the GPU leave the cores to others.
        let counted = AtomicUsize::new(0);
        let start = Instant::now();
        thread::scope(|scope| {
            for _ in 0..cores + source.lanes() / 2 {
                scope.spawn(|| {
                    while start.elapsed() < duration {
                        let first = counted.fetch_add(self.batch, Ordering::Relaxed);
                        let pictures = (first..first + self.batch).map(decode).collect();
                        let samples = (0..self.batch).map(|number| number.to_string()).collect();
                        source
                            .accumulate(Batch { content: Content::Pictures(pictures), samples })
                            .expect("a batch");
                    }
                });
            }
        });
        let rate = counted.into_inner() as f64 / start.elapsed().as_secs_f64();
        result["from jpeg"] = json!(rate);
        let best = decoding.min(result["calibrate"].as_f64().unwrap_or(0.0));
        result["from jpeg / lesser of decode, calibrate"] = json!(rate / best);
        Ok(())
    }
}

/// Runs batches on all lanes of a source; batches a second.
fn feed(source: &CudaSource, batches: Vec<Batch>) -> Result<f64, Failure> {
    let count = batches.len();
    let queue = Mutex::new(batches);
    let failure = Mutex::new(None);
    let start = Instant::now();
    thread::scope(|scope| {
        for _ in 0..source.lanes() {
            scope.spawn(|| {
                loop {
                    let Some(batch) = queue.lock().expect("nobody panics").pop() else { return };
                    if let Err(error) = source.accumulate(batch) {
                        *failure.lock().expect("nobody panics") = Some(error);
                        return;
                    }
                }
            });
        }
    });
    match failure.into_inner()? {
        Some(error) => Err(error.into()),
        None => Ok(count as f64 / start.elapsed().as_secs_f64()),
    }
}

/// How many histograms are those that the host has counted, bit by bit.
fn compare(found: &[Observed], expected: &[(String, Histogram)]) -> Value {
    let mut differ = Vec::new();
    let mut equal = 0;
    for (name, expected) in expected {
        match found.iter().find(|observed| observed.name == *name).map(|observed| &observed.counts) {
            Some(Counts::Canonical(histogram)) if histogram == expected => equal += 1,
            _ => differ.push(name.clone()),
        }
    }
    json!({ "compared": expected.len(), "equal": equal, "differ": differ })
}
