//! Builds an engine in this process, or has `trtexec` do it.

use std::fs;
use std::path::Path;
use std::time::Instant;

use nvinfer::{Builder, Error, Typing};
use trt_wire::message::{Event, Phase};
use trt_wire::worker::{BuildJob, Built};
use trt_wire::{Backend, Failure, FailureCode, QuantMode, Retry};

use super::decisions::Decisions;
use super::implicit::Implicit;
use super::log::{Log, Seen};
use super::{
    FREE_SPACE, Output, compose, configure, failure, keep, library, not_written, parse, timing, trtexec,
};

/// Builds with what the plan says; the engine and the builder's log are where the job says.
pub fn run(job: &BuildJob, output: &Output) -> Result<Built, Failure> {
    let log = Log::create(&job.log, output)?;
    let built = match job.plan.backend {
        Backend::Nvinfer => in_process(job, output, &log),
        Backend::Trtexec => trtexec::run(job, output, &log),
    };
    log.end();
    built
}

/// Composes, parses and builds.
fn in_process(job: &BuildJob, output: &Output, log: &Log) -> Result<Built, Failure> {
    let started = Instant::now();
    let mut decisions = Decisions::new(log);
    let library = library::open(job.tensorrt_dir.as_deref(), &job.tensorrt, log)?;
    let lost_plugins = library::load_plugins(&library, &job.plugins, log)?;
    decisions.tell(lost_plugins.clone());
    let version = library.version();

    output.event(Event::Phase { phase: Phase::Compose });
    let composed = compose::run(job)?;
    composed.notes.iter().for_each(|note| log.note(note));
    decisions.tell(composed.decisions);

    output.event(Event::Phase { phase: Phase::Parse });
    let builder = Builder::new(&library).map_err(build_failed)?;
    let typing = if job.plan.strongly_typed { Typing::Strong } else { Typing::Weak };
    let mut network = builder.create_network(typing).map_err(build_failed)?;
    parse::run(&mut network, &composed.model, version, lost_plugins.as_ref(), log)?;
    let layers = network.layer_count().map_err(build_failed)?;

    let (mut config, profile) = configure::run(&builder, &network, &job.plan, output)?;
    let implicit = if job.plan.mode == QuantMode::Implicit {
        let implicit = Implicit::prepare(job, &network, &mut config, profile.as_ref(), version)?;
        implicit.notes().iter().for_each(|note| log.note(note));
        decisions.tell(implicit.decisions());
        Some(implicit)
    } else {
        None
    };
    if !job.plan.strongly_typed {
        decisions.tell(keep::constrain(&network, &mut config, &job.plan.keep, log)?);
    }
    if let Some(path) = &job.timing_cache {
        decisions.tell(timing::start(&mut config, path, version)?);
    }
    output.event(Event::Phase { phase: Phase::Build });
    let result = builder.build(&network, &config);
    let seen = log.seen();
    if let Some(implicit) = &implicit {
        decisions.tell(implicit.judge(result.is_ok(), &seen.proof)?);
    }
    let engine = result.map_err(|error| not_built(error, &seen))?;
    if let Some(path) = &job.timing_cache {
        decisions.tell(timing::keep(&config, path).err());
    }
    write(&job.engine, &engine)?;
    Ok(Built {
        tensorrt: library::describe(version, library.path()),
        engine_bytes: engine.len() as u64,
        wall_ms: started.elapsed().as_millis() as u64,
        peak_rss: peak_rss(),
        layers: layers as u32,
        quantized: composed.quantized,
        decisions: decisions.into_all(),
    })
}

fn write(path: &Path, engine: &[u8]) -> Result<(), Failure> {
    fs::write(path, engine).map_err(|error| failure(not_written(&error), &error, Some(FREE_SPACE.into())))
}

/// A failure of a step before the build.
pub fn build_failed(error: Error) -> Failure {
    failure(FailureCode::BuildFailed, &error, error.hint())
}

/// A build that made no engine; the log may know better why than the error.
fn not_built(error: Error, seen: &Seen) -> Failure {
    let failed = match error {
        Error::Cancelled => {
            return Failure::new(FailureCode::Cancelled, Retry::Now, "the build was cancelled");
        }
        error => build_failed(error),
    };
    match &seen.out_of_memory {
        None => failed,
        Some(line) => {
            let message = format!("{}; memory ran out: {line}", failed.message);
            Failure { message, ..failed }
                .with_hint("set a smaller `workspace`, stop other programs on the device, or add swap (zram)")
        }
    }
}

/// The most memory this process ever had resident, in bytes; 0 where the kernel does not say.
pub fn peak_rss() -> u64 {
    high_water(&fs::read_to_string("/proc/self/status").unwrap_or_default())
}

/// The highest resident memory in bytes that a process's `/proc/<pid>/status` tells of.
pub fn high_water(status: &str) -> u64 {
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"));
    let kib = line.and_then(|line| line.trim().trim_end_matches("kB").trim().parse::<u64>().ok());
    kib.unwrap_or(0) * 1024
}

#[cfg(test)]
mod tests {
    use nvinfer::RecordedError;

    use super::*;

    #[test]
    fn a_failed_build_says_when_memory_ran_out_and_what_helps() {
        let error =
            || Error::Build { recorded: vec![RecordedError { code: 4, description: "no tactic".into() }] };
        let plain = not_built(error(), &Seen::default());
        assert_eq!(plain.message, "TensorRT built no engine: [4] no tactic");
        let seen = Seen { out_of_memory: Some("Cuda Runtime (out of memory)".into()), ..Seen::default() };
        let failure = not_built(error(), &seen);
        assert_eq!(
            failure.message,
            "TensorRT built no engine: [4] no tactic; memory ran out: Cuda Runtime (out of memory)"
        );
        assert!(failure.hint.is_some_and(|hint| hint.contains("`workspace`")));
        assert_eq!(not_built(Error::Cancelled, &seen).code, FailureCode::Cancelled);
    }
}
