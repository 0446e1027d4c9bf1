//! Builds an engine in this process.

use std::fs::{self, File};
use std::io::Write;
use std::ops::ControlFlow;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Instant;

use nvinfer::{
    Builder, BuilderConfig, BuilderFlag, Library, Network, ProfilingVerbosity, ProgressEvent, Severity,
    ShapeRange, Typing,
};
use trt_wire::message::{Event, Phase};
use trt_wire::worker::{BuildJob, Built};
use trt_wire::{Failure, FailureCode, Precision, QuantMode, Retry};

use super::{Output, compose, failure, probe};

/// Composes, parses and builds; the engine and TensorRT's log are where the job says.
pub fn run(job: &BuildJob, output: &Output) -> Result<Built, Failure> {
    let started = Instant::now();
    let library = Library::open(&probe::search_path(job.tensorrt_dir.as_deref()))
        .map_err(|error| failure(FailureCode::NoTensorRt, &error, error.hint()))?;
    let found = probe::describe(&library);
    if found != job.tensorrt {
        let message = format!("the plan was made for {}, and now there is {found}", job.tensorrt);
        return Err(Failure::new(FailureCode::PlanChanged, Retry::Now, message).with_hint("push again"));
    }
    output.event(Event::Phase { phase: Phase::Compose });
    let composed = compose::run(job, library.version())?;
    log_to(&library, job, &composed.notes, output)?;
    let builder = Builder::new(&library).map_err(build_failed)?;

    output.event(Event::Phase { phase: Phase::Parse });
    let typing = if job.plan.strongly_typed { Typing::Strong } else { Typing::Weak };
    let mut network = builder.create_network(typing).map_err(build_failed)?;
    network
        .parse_file(&composed.model)
        .map_err(|error| failure(FailureCode::BadModel, &error, error.hint()))?;
    let layers = network.layer_count().map_err(build_failed)?;

    output.event(Event::Phase { phase: Phase::Build });
    let config = configure(&builder, &network, job, output)?;
    let engine = builder.build(&network, &config).map_err(build_failed)?;
    fs::write(&job.engine, &*engine).map_err(|error| {
        let code = match error.kind() {
            std::io::ErrorKind::StorageFull => FailureCode::DiskFull,
            _ => FailureCode::Store,
        };
        failure(
            code,
            &error,
            Some("free space on the device's file system that holds the agent's store".into()),
        )
    })?;
    Ok(Built {
        tensorrt: found,
        engine_bytes: engine.len() as u64,
        wall_ms: started.elapsed().as_millis() as u64,
        peak_rss: peak_rss(),
        layers: layers as u32,
        quantized: composed.quantized,
        decisions: composed.decisions,
    })
}

fn configure(
    builder: &Builder,
    network: &Network,
    job: &BuildJob,
    output: &Output,
) -> Result<BuilderConfig, Failure> {
    let plan = &job.plan;
    if plan.mode == QuantMode::Implicit {
        return Err(Failure::new(
            FailureCode::Unplannable,
            Retry::Never,
            "this version of the agent cannot give a calibration table to TensorRT 8 to 10",
        )
        .with_hint("use `precision: fp16` for this device, or deploy a model with Q/DQ nodes"));
    }
    let mut config = builder.create_config().map_err(build_failed)?;
    if !plan.strongly_typed {
        for (flag, on) in [
            (BuilderFlag::Fp16, plan.precision != Precision::Fp32),
            (BuilderFlag::Int8, plan.mode == QuantMode::ModelQdq),
        ] {
            if on {
                config.set_flag(flag, true).map_err(build_failed)?;
            }
        }
    }
    if let Some([major, minor]) = plan.compute_capability {
        config.set_compute_capabilities(&[(major * 10 + minor) as i32]).map_err(build_failed)?;
    }
    if let Some(bytes) = plan.workspace {
        config.set_workspace_limit(bytes as usize).map_err(build_failed)?;
    }
    config.set_profiling_verbosity(ProfilingVerbosity::Detailed).map_err(build_failed)?;
    let is_dynamic = network.inputs().map_err(build_failed)?.iter().any(|input| input.shape.contains(&-1));
    if is_dynamic {
        let mut profile = builder.create_profile().map_err(build_failed)?;
        for (name, range) in &plan.shapes {
            let range = ShapeRange { min: range.min.clone(), opt: range.opt.clone(), max: range.max.clone() };
            profile.set(name, &range).map_err(build_failed)?;
        }
        config.add_profile(&profile).map_err(build_failed)?;
    }
    report_progress(&mut config, output)?;
    Ok(config)
}

/// TensorRT 8 has no progress monitor; its builds show their phase and nothing more.
fn report_progress(config: &mut BuilderConfig, output: &Output) -> Result<(), Failure> {
    let output = output.clone();
    let sink = move |event: ProgressEvent<'_>| {
        if let ProgressEvent::Started { phase, .. } = event {
            output.event(Event::Step { name: phase.to_owned() });
        }
        ControlFlow::Continue(())
    };
    match config.set_progress(sink) {
        Ok(()) | Err(nvinfer::Error::Unsupported(_)) => Ok(()),
        Err(error) => Err(build_failed(error)),
    }
}

/// Everything TensorRT says goes to the log file, after our own notes; warnings and errors go to the host as well.
fn log_to(library: &Library, job: &BuildJob, notes: &[String], output: &Output) -> Result<(), Failure> {
    let failed = |error| failure(FailureCode::Store, &error, None);
    let mut file = File::create(&job.log).map_err(failed)?;
    for note in notes {
        writeln!(file, "[agent] {note}").map_err(failed)?;
    }
    let file = Arc::new(Mutex::new(file));
    let output = output.clone();
    library.set_logger(move |severity, text| {
        let word = match severity {
            Severity::InternalError | Severity::Error => "error",
            Severity::Warning => "warning",
            Severity::Info => "info",
            Severity::Verbose => "verbose",
        };
        let mut file = file.lock().unwrap_or_else(PoisonError::into_inner);
        // A full disk shows when the engine is written; losing log lines before that is no reason to stop.
        let _ = writeln!(file, "[{word}] {text}");
        if matches!(word, "error" | "warning") {
            output.event(Event::Log { severity: word.into(), text: text.to_owned() });
        }
    });
    Ok(())
}

fn build_failed(error: nvinfer::Error) -> Failure {
    failure(FailureCode::BuildFailed, &error, error.hint())
}

/// The most memory this process ever had resident, in bytes; 0 where the kernel does not say.
fn peak_rss() -> u64 {
    let status = fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"));
    let kib = line.and_then(|line| line.trim().trim_end_matches("kB").trim().parse::<u64>().ok());
    kib.unwrap_or(0) * 1024
}
