//! Runs an engine on inputs from files, and times it.

mod tensor;

use std::fs;
use std::path::Path;

use nvinfer::{DeviceMemory, Engine, Error, ExecutionContext, IoMode, IoTensor, Runtime};
use trt_cuda::{Buffer, Context, DriverError, Event, Stream};
use trt_wire::worker::{Ran, RunJob, TensorFile};
use trt_wire::{Failure, FailureCode, Retry};

use super::log::Log;
use super::words::few_quoted;
use super::{FREE_SPACE, Output, failure, library, not_written};
use tensor::bad_input;

/// More would not fit in the one line that a worker answers with.
const MOST_ITERATIONS: u32 = 100_000;

/// Loads the engine, runs it `warm_up` and then `iterations` times, and writes the outputs of the last run.
///
/// # Errors
/// By their code: [`FailureCode::PlanChanged`] for another library, [`FailureCode::NoTensorRt`] without a library or a
/// GPU, [`FailureCode::BadRequest`] for inputs that do not fit, [`FailureCode::BuildFailed`] for an engine that does not
/// load or run, [`FailureCode::Store`] and [`FailureCode::DiskFull`] for files.
pub fn run(job: &RunJob, output: &Output) -> Result<Ran, Failure> {
    if !(1..=MOST_ITERATIONS).contains(&job.iterations) {
        let message = format!("the runs to time must be from 1 to {MOST_ITERATIONS}: {}", job.iterations);
        return Err(Failure::new(FailureCode::BadRequest, Retry::Never, message));
    }
    let log = Log::without_file(output);
    let ran = run_logged(job, &log);
    log.end();
    ran
}

fn run_logged(job: &RunJob, log: &Log) -> Result<Ran, Failure> {
    let library = library::open_to_run(job.tensorrt_dir.as_deref(), &job.tensorrt, log)?;
    let lost_plugins = library::load_plugins(&library, &job.plugins, log)?;
    // What TensorRT makes must be gone before the CUDA context that it lives in, so that is made first.
    let cuda = Context::primary(0).map_err(no_gpu)?;
    let stream = Stream::new(&cuda).map_err(no_gpu)?;

    let mut runtime = Runtime::new(&library).map_err(not_run)?;
    if let Some(core) = job.dla {
        runtime.set_dla_core(core).map_err(not_run)?;
    }
    let engine = load(&runtime, &job.engine).map_err(|failure| match &lost_plugins {
        Some(lost) => Failure { message: format!("{}; {lost}", failure.message), ..failure },
        None => failure,
    })?;
    known_inputs(&engine, job)?;
    let mut context = engine.create_context().map_err(not_run)?;
    let (inputs, outputs): (Vec<&IoTensor>, Vec<&IoTensor>) =
        engine.io_tensors().iter().partition(|tensor| tensor.mode == IoMode::Input);

    let fed =
        inputs.iter().map(|input| feed(&mut context, input, job, &cuda)).collect::<Result<Vec<_>, _>>()?;
    let results =
        outputs.iter().map(|tensor| receive(&context, tensor, &cuda)).collect::<Result<Vec<_>, _>>()?;
    let of_inputs = inputs.iter().zip(&fed).map(|(input, buffer)| (input.name.as_str(), buffer));
    let of_outputs = results.iter().map(|result| (result.name.as_str(), &result.buffer));
    let memory: Vec<(&str, &dyn DeviceMemory)> =
        of_inputs.chain(of_outputs).map(|(name, buffer)| (name, buffer as &dyn DeviceMemory)).collect();

    let (start, end) = (Event::new(&cuda).map_err(on_gpu)?, Event::new(&cuda).map_err(on_gpu)?);
    let mut latency_us = Vec::with_capacity(job.iterations as usize);
    for run in 0..u64::from(job.warm_up) + u64::from(job.iterations) {
        start.record(&stream).map_err(on_gpu)?;
        let running = context.enqueue(&stream, &memory).map_err(not_run)?;
        end.record(&stream).map_err(on_gpu)?;
        running.wait().map_err(not_run)?;
        if run >= u64::from(job.warm_up) {
            latency_us.push(end.since(&start).map_err(on_gpu)?.as_micros() as u64);
        }
    }
    let written = results.iter().enumerate().map(|(index, result)| {
        let file = job.outputs.join(format!("{index}.bin"));
        result.write(&file)?;
        let tensor = TensorFile { element: result.element.to_owned(), dims: result.dims.clone(), file };
        Ok((result.name.clone(), tensor))
    });
    Ok(Ran {
        outputs: written.collect::<Result<_, Failure>>()?,
        latency_us,
        device_memory: engine.device_memory().map_err(not_run)?,
    })
}

/// Every input that the job brings must be one of the engine's.
fn known_inputs(engine: &Engine, job: &RunJob) -> Result<(), Failure> {
    let names = engine.io_tensors().iter().filter(|tensor| tensor.mode == IoMode::Input);
    let names: Vec<&str> = names.map(|tensor| tensor.name.as_str()).collect();
    match job.inputs.keys().find(|name| !names.contains(&name.as_str())) {
        None => Ok(()),
        Some(unknown) => {
            Err(bad_input(format!("the engine has no input `{unknown}`; it has: {}", few_quoted(&names))))
        }
    }
}

fn load(runtime: &Runtime, path: &Path) -> Result<Engine, Failure> {
    let plan = fs::read(path).map_err(|error| {
        let message = format!("the engine cannot be read from `{}`: {error}", path.display());
        Failure::new(FailureCode::Store, Retry::AfterFix, message)
    })?;
    runtime.deserialize(&plan).map_err(|error| {
        let hint = "build it again for this device: `trt-deploy push --rebuild`";
        failure(FailureCode::BuildFailed, &error, Some(hint.into()))
    })
}

/// Puts one input's data on the GPU.
fn feed(
    context: &mut ExecutionContext,
    input: &IoTensor,
    job: &RunJob,
    cuda: &Context,
) -> Result<Buffer, Failure> {
    let name = &input.name;
    let Some(file) = job.inputs.get(name) else {
        return Err(bad_input(format!("the engine has an input that there is no data for: `{name}`")));
    };
    let data = tensor::read(name, file, input.data_type, &input.shape)?;
    if input.shape.contains(&-1) {
        context.set_input_shape(name, &file.dims).map_err(|error| {
            bad_input(format!(
                "the engine's profile does not allow {:?} for its input `{name}`: {error}",
                file.dims
            ))
        })?;
    }
    let mut buffer = Buffer::new(cuda, data.len()).map_err(on_gpu)?;
    buffer.write(&data).map_err(on_gpu)?;
    Ok(buffer)
}

/// An output on the GPU.
struct Received {
    name: String,
    element: &'static str,
    dims: Vec<i64>,
    buffer: Buffer,
}

/// Makes room for one output at the input shapes that are set.
fn receive(context: &ExecutionContext, tensor: &IoTensor, cuda: &Context) -> Result<Received, Failure> {
    let name = &tensor.name;
    let dims = context.shape(name).map_err(not_run)?;
    let Some(element) = tensor::element(tensor.data_type) else {
        return Err(cannot_run(format!(
            "output `{name}` has a type that no file can hold: {:?}",
            tensor.data_type
        )));
    };
    let Some(size) = tensor::size(tensor.data_type, &dims) else {
        return Err(cannot_run(format!("the size of output `{name}` depends on the data: {dims:?}")));
    };
    let buffer = Buffer::new(cuda, size).map_err(on_gpu)?;
    Ok(Received { name: name.clone(), element, dims, buffer })
}

impl Received {
    fn write(&self, file: &Path) -> Result<(), Failure> {
        let mut data = vec![0; self.buffer.len()];
        self.buffer.read(&mut data).map_err(on_gpu)?;
        fs::write(file, data).map_err(|error| {
            let message =
                format!("output `{}` cannot be written to `{}`: {error}", self.name, file.display());
            Failure::new(not_written(&error), Retry::AfterFix, message).with_hint(FREE_SPACE)
        })
    }
}

fn no_gpu(error: DriverError) -> Failure {
    failure(FailureCode::NoTensorRt, &error, error.hint())
}

/// The driver's word on memory that runs out, or on work that crashed.
fn on_gpu(error: DriverError) -> Failure {
    failure(FailureCode::BuildFailed, &error, error.hint())
}

fn not_run(error: Error) -> Failure {
    failure(FailureCode::BuildFailed, &error, error.hint())
}

fn cannot_run(message: String) -> Failure {
    Failure::new(FailureCode::BuildFailed, Retry::Never, format!("the engine cannot be run here: {message}"))
        .with_hint("engines with such outputs can be built and used, but not verified: set `verify: {required: false}`")
}
