//! Runs a SIMULATED engine on this machine's processor.

use std::fs;
use std::time::Instant;

use rten::{ModelOptions, NodeId, Value, ValueOrView};
use rten_tensor::prelude::*;
use trt_onnx::Model;
use trt_onnx::proto::elem;
use trt_wire::worker::{Ran, RunJob, TensorFile};
use trt_wire::{Failure, FailureCode};

use crate::device::Device;
use crate::engine;
use crate::misbehave::{Misbehaviour, Stage};
use crate::say::{failure, io_failure};

/// Runs the engine and writes its outputs as the job says. Latencies are measured, of this processor.
pub fn run(job: &RunJob, device: &Device, misbehaviour: &Misbehaviour) -> Result<Ran, Failure> {
    if device.library() != job.tensorrt {
        let message =
            format!("the engine was built by {}, and now there is {}", job.tensorrt, device.library());
        return Err(failure(FailureCode::PlanChanged, message, "push the model again"));
    }
    let (header, bytes) = engine::read(&job.engine, device)?;
    if header.dla != job.dla {
        let message = format!("the engine was built for DLA core {:?}, not for {:?}", header.dla, job.dla);
        return Err(failure(FailureCode::BadRequest, message, "push the model again"));
    }
    misbehaviour.act(Stage::Run);
    let wrong = |error: &dyn std::fmt::Display| {
        failure(FailureCode::BuildFailed, error, "the simulation cannot run this model: use a simpler one")
    };
    let onnx = Model::from_bytes(bytes.clone(), None).map_err(|error| wrong(&error))?;
    let mut options = ModelOptions::with_all_ops();
    let model = options.enable_optimization(false).load(bytes).map_err(|error| wrong(&error))?;
    let node = |name: &str| {
        let unknown =
            || failure(FailureCode::BadRequest, format_args!("no such tensor: `{name}`"), "push again");
        model.find_node(name).ok_or_else(unknown)
    };
    let inputs: Vec<(NodeId, Value)> = job
        .inputs
        .iter()
        .map(|(name, file)| Ok((node(name)?, read(file)?)))
        .collect::<Result<_, Failure>>()?;
    let infos = onnx.outputs();
    let outputs = infos.iter().map(|output| node(&output.name)).collect::<Result<Vec<_>, Failure>>()?;
    let once = || {
        let inputs = inputs.iter().map(|(id, value)| (*id, ValueOrView::from(value.as_view()))).collect();
        let started = Instant::now();
        let values = model.run(inputs, &outputs, None).map_err(|error| wrong(&error))?;
        Ok((values, started.elapsed().as_micros() as u64))
    };
    for _ in 0..job.warm_up {
        once()?;
    }
    let (mut last, mut latency_us) = (Vec::new(), Vec::new());
    for _ in 0..job.iterations.max(1) {
        let (values, micros) = once()?;
        latency_us.push(micros);
        last = values;
    }
    let mut written = Vec::new();
    for (index, (info, value)) in infos.iter().zip(last).enumerate() {
        let file = job.outputs.join(format!("{index}.bin"));
        let (element, bytes) = bytes_of(&value, info.elem_type, misbehaviour.wrong_numbers)
            .ok_or_else(|| wrong(&format_args!("output `{}` has a type that is not simulated", info.name)))?;
        fs::write(&file, bytes).map_err(io_failure(&file))?;
        let dims = value.shape().iter().map(|&side| side as i64).collect();
        written.push((info.name.clone(), TensorFile { element: element.into(), dims, file }));
    }
    let device_memory = fs::metadata(&job.engine).map_or(0, |engine| engine.len());
    Ok(Ran { outputs: written, latency_us, device_memory })
}

/// An input, in the types that the backend has.
fn read(file: &TensorFile) -> Result<Value, Failure> {
    let bytes = fs::read(&file.file).map_err(io_failure(&file.file))?;
    let dims: Vec<usize> = file.dims.iter().map(|&side| side.max(0) as usize).collect();
    let value = match file.element.as_str() {
        "float" => Value::from_shape(&dims, numbers(&bytes, f32::from_le_bytes)).ok(),
        "int32" => Value::from_shape(&dims, numbers(&bytes, i32::from_le_bytes)).ok(),
        "int64" => Value::from_shape(&dims, numbers(&bytes, |bytes| i64::from_le_bytes(bytes) as i32)).ok(),
        "int8" => Value::from_shape(&dims, numbers(&bytes, i8::from_le_bytes)).ok(),
        "uint8" => Value::from_shape(&dims, bytes).ok(),
        _ => None,
    };
    value.ok_or_else(|| {
        let message = format!(
            "{} does not hold {:?} elements of type {}",
            file.file.display(),
            file.dims,
            file.element
        );
        failure(FailureCode::BadRequest, message, "give a file with as many elements as the shape has")
    })
}

fn numbers<const N: usize, T>(bytes: &[u8], number: impl Fn([u8; N]) -> T) -> Vec<T> {
    bytes.as_chunks().0.iter().map(|bytes| number(*bytes)).collect()
}

/// An output's ONNX type and bytes; wrong numbers are the right ones with the other sign, and one more.
fn bytes_of(value: &Value, elem_type: i32, wrong: bool) -> Option<(&'static str, Vec<u8>)> {
    let sign = if wrong { -1 } else { 1 };
    let more = i32::from(wrong);
    Some(match value {
        Value::FloatTensor(tensor) => {
            let all = tensor.iter().flat_map(|x| (x * sign as f32 + more as f32).to_le_bytes());
            ("float", all.collect())
        }
        Value::Int32Tensor(tensor) if elem_type == elem::INT64 => {
            let all =
                tensor.iter().flat_map(|x| i64::from(x.wrapping_mul(sign).wrapping_add(more)).to_le_bytes());
            ("int64", all.collect())
        }
        Value::Int32Tensor(tensor) => {
            let all = tensor.iter().flat_map(|x| x.wrapping_mul(sign).wrapping_add(more).to_le_bytes());
            ("int32", all.collect())
        }
        _ => return None,
    })
}
