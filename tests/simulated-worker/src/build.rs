//! A SIMULATED build: everything that a plan says is checked against what the TensorRT can do, and nothing is compiled.

use std::fs;
use std::time::Instant;

use trt_calib::CalibrationTable;
use trt_onnx::{Model, QuantOptions, quantize, strip_qdq};
use trt_plan::has_fast_int8;
use trt_wire::message::{Event, Phase};
use trt_wire::worker::{BuildJob, Built};
use trt_wire::{Backend, BuildPlan, CalibratorClass, Decision, Failure, FailureCode, Precision, QuantMode};

use crate::device::Device;
use crate::engine::{self, Header};
use crate::misbehave::{Misbehaviour, Stage};
use crate::say::{event, failure, io_failure, phase};
use crate::{calibrator, say, selfcontained};

/// Checks, composes and "builds"; the engine, the log and the timing cache are where the job says.
pub fn run(job: &BuildJob, device: &Device, misbehaviour: &Misbehaviour) -> Result<Built, Failure> {
    let mut log = vec![format!("SIMULATED: this is no TensorRT, but {} for tests", env!("CARGO_PKG_NAME"))];
    let built = build(job, device, misbehaviour, &mut log);
    if let Err(failure) = &built {
        log.push(failure.message.clone());
    }
    let text: String = log.iter().map(|line| format!("[SIMULATED] {line}\n")).collect();
    fs::write(&job.log, text).map_err(io_failure(&job.log))?;
    built
}

fn build(
    job: &BuildJob,
    device: &Device,
    misbehaviour: &Misbehaviour,
    log: &mut Vec<String>,
) -> Result<Built, Failure> {
    let (started, plan) = (Instant::now(), &job.plan);
    if device.library() != job.tensorrt {
        let message =
            format!("the plan was made for {}, and now there is {}", job.tensorrt, device.library());
        return Err(failure(FailureCode::PlanChanged, message, "push again"));
    }
    possible(plan, device)?;
    for plugin in &job.plugins {
        fs::metadata(plugin).map_err(io_failure(plugin))?;
        log.push(format!("Loaded plugin library {}", plugin.display()));
    }
    let mut decisions = vec![Decision {
        what: "the engine is SIMULATED and holds the model itself".into(),
        because: "a simulated worker builds on this device".into(),
    }];
    decisions.extend(read_timing_cache(job, device));

    phase(Phase::Compose);
    let mut model = Model::load(&job.model)
        .map_err(|error| Failure { hint: error.hint(), ..failure(FailureCode::BadModel, &error, "") })?;
    let quantized = compose(&mut model, job, device, misbehaviour, &mut decisions, log)?;

    phase(Phase::Parse);
    let layers = model.operators().values().sum::<usize>();
    phase(Phase::Build);
    event(Event::Step { name: "SIMULATED build".into() });
    misbehaviour.act(Stage::Build);
    if plan.mode == QuantMode::Implicit {
        calibrator::prove(log)?;
    }
    let header = Header::new(device, plan.dla, plan.precision, plan.mode);
    let engine_bytes = engine::write(&job.engine, &header, &selfcontained::bytes(&model, &job.model)?)?;
    write_timing_cache(job, device)?;
    Ok(Built {
        tensorrt: device.library(),
        engine_bytes,
        wall_ms: started.elapsed().as_millis() as u64,
        peak_rss: peak_rss(),
        layers: layers as u32,
        quantized,
        decisions,
    })
}

/// Refuses what this TensorRT cannot do on this module. A planner that asks for it has a defect.
fn possible(plan: &BuildPlan, device: &Device) -> Result<(), Failure> {
    let [major, minor, _] = device.version();
    let library = device.library();
    let refuse = |message: String| {
        let hint =
            "the plan asks for what this device does not have: change the model's keys in the fleet file";
        Err(failure(FailureCode::Unplannable, message, hint))
    };
    let int8 = plan.precision == Precision::Int8;
    if plan.backend == Backend::Trtexec {
        return refuse("there is no trtexec here".into());
    }
    if plan.compute_capability.is_some() {
        return refuse(format!("{library} builds only for the GPU it runs on"));
    }
    if plan.strongly_typed != device.is_strongly_typed() {
        let typed = if device.is_strongly_typed() { "only" } else { "no" };
        return refuse(format!("{library} has {typed} strongly typed networks"));
    }
    if plan.mode == QuantMode::Implicit && device.is_strongly_typed() {
        return refuse(format!("{library} has no calibrators"));
    }
    if plan.mode == QuantMode::Explicit && !device.is_strongly_typed() {
        return refuse(format!("the table goes to {library} through a calibrator"));
    }
    if int8 != (plan.mode != QuantMode::None)
        || plan.calibrator.is_some() != (plan.mode == QuantMode::Implicit)
    {
        return refuse(format!(
            "precision {}, scales {:?} and calibrator {:?}",
            plan.precision, plan.mode, plan.calibrator
        ));
    }
    if plan.optimization_level.is_some() && (major, minor) < (8, 6) {
        return refuse(format!("{library} has no optimization levels"));
    }
    if let Some(core) = plan.dla {
        if core >= device.dla_cores() {
            return refuse(format!("there is no DLA core {core}, but {} of them", device.dla_cores()));
        }
        if int8 && plan.calibrator.is_some_and(|class| class != CalibratorClass::EntropyCalibration2) {
            return refuse("a DLA takes scales from EntropyCalibration2 only".into());
        }
    }
    if matches!(plan.mode, QuantMode::Explicit | QuantMode::ModelQdq)
        && !has_fast_int8(device.compute_capability())
    {
        return refuse(format!(
            "{} has no INT8, and Q/DQ layers have no other implementation",
            device.gpu_name()
        ));
    }
    Ok(())
}

/// Puts the scales where the plan wants them; returns how many nodes got Q/DQ by that.
///
/// Implicit INT8 computes with Q/DQ nodes too: they are what a calibrator's scales mean.
fn compose(
    model: &mut Model,
    job: &BuildJob,
    device: &Device,
    misbehaviour: &Misbehaviour,
    decisions: &mut Vec<Decision>,
    log: &mut Vec<String>,
) -> Result<u32, Failure> {
    let plan = &job.plan;
    let bad = |error: trt_onnx::OnnxError| Failure {
        hint: error.hint(),
        ..failure(FailureCode::BadModel, &error, "")
    };
    if plan.strip_qdq {
        strip_qdq(model).map_err(bad)?;
    }
    let options = || QuantOptions { keep: plan.keep.clone(), ..QuantOptions::default() };
    match plan.mode {
        QuantMode::None | QuantMode::ModelQdq => Ok(0),
        QuantMode::Explicit => {
            let table = table(job)?;
            let scale = |name: &str| table.get(name.as_bytes());
            Ok(quantize(model, &scale, &options()).map_err(bad)?.quantized.len() as u32)
        }
        QuantMode::Implicit => {
            let class = plan.calibrator.expect("`possible` has seen one");
            let mut table = calibrator::with_own_version(table(job)?, device);
            if let Some(algorithm) = calibrator::algorithm(class) {
                table = table.clone().with_algorithm(algorithm).unwrap_or(table);
            }
            if !has_fast_int8(device.compute_capability()) {
                let text = "Int8 support requested on hardware without native Int8 support, performance will be \
                            negatively affected.";
                log.push(text.into());
                say::event(Event::Log { severity: "warning".into(), text: text.into() });
            }
            calibrator::hand_over(&table, class, device, misbehaviour.ignore_table, log);
            let missing = calibrator::missing(model, &table, log);
            if !missing.is_empty() {
                decisions.push(Decision {
                    what: format!("{} tensors are not INT8 ({})", missing.len(), missing.join(", ")),
                    because: "the calibration table has no scale for them".into(),
                });
            }
            let scale = |name: &str| table.get(name.as_bytes());
            if let Err(error) = quantize(model, &scale, &options()) {
                decisions.push(Decision { what: "nothing runs in INT8".into(), because: error.to_string() });
            }
            Ok(0)
        }
    }
}

fn table(job: &BuildJob) -> Result<CalibrationTable, Failure> {
    let Some(path) = &job.table else {
        return Err(failure(
            FailureCode::BadRequest,
            "the plan needs a table and came without",
            "push again",
        ));
    };
    let bytes = fs::read(path).map_err(io_failure(path))?;
    CalibrationTable::parse(&bytes)
        .map_err(|error| Failure { hint: error.hint(), ..failure(FailureCode::BadModel, &error, "") })
}

/// What a timing cache of this TensorRT and GPU starts with.
fn cache_tag(device: &Device) -> String {
    format!("SIMULATED timing cache of {} on {}\n", device.library(), device.gpu_name())
}

/// TensorRT refuses a cache of another version or GPU, and the worker does as if there were none.
fn read_timing_cache(job: &BuildJob, device: &Device) -> Option<Decision> {
    let bytes = fs::read(job.timing_cache.as_ref()?).ok()?;
    let fits = bytes.is_empty() || bytes.starts_with(cache_tag(device).as_bytes());
    (!fits).then(|| Decision {
        what: "every layer is measured afresh".into(),
        because: "TensorRT refuses the timing cache, as it does if the library or GPU is another".into(),
    })
}

fn write_timing_cache(job: &BuildJob, device: &Device) -> Result<(), Failure> {
    let Some(path) = &job.timing_cache else { return Ok(()) };
    fs::write(path, cache_tag(device)).map_err(io_failure(path))
}

/// The largest resident size of this process so far, in bytes; 0 if the system does not say.
fn peak_rss() -> u64 {
    let status = fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"));
    let kib = line.and_then(|line| line.trim().trim_end_matches("kB").trim().parse::<u64>().ok());
    kib.unwrap_or(0) * 1024
}
