//! Builds with the `trtexec` of the device: for library versions whose interface is in no table, and where the user wants it.
//!
//! It is a program for people. Its exit code tells nothing about the table: a wrong header, a missing file and a forgotten
//! option all end in an engine with other ranges. So a build counts only if its log says that it passed and that the table
//! was used, and its file is an engine.

mod arguments;
mod engine;
mod error;
pub mod find;
mod model;
mod parser;
mod process;
mod transcript;

use std::fs;
use std::ops::ControlFlow;
use std::os::unix::process::ExitStatusExt;
use std::path::{Path, PathBuf};
use std::process::ExitStatus;
use std::time::{Duration, Instant};

use trt_calib::table::{TableError, TableVersion};
use trt_wire::message::{Event, Phase};
use trt_wire::worker::{BuildJob, Built};
use trt_wire::{CalibratorClass, Decision, Failure, FailureCode, QuantMode, Retry, Trtexec};

use self::arguments::{Request, arguments};
use self::error::TrtexecError;
use self::model::Outline;
use self::transcript::Transcript;
use super::build::peak_rss;
use super::decisions::Decisions;
use super::implicit::coverage::Coverage;
use super::implicit::proof::Proof;
use super::implicit::table;
use super::log::Log;
use super::{Output, compose, failure, library, parse};

pub use process::kill;

/// What printing its help may take.
const HELP: Duration = Duration::from_secs(60);

/// Has the engine built where the job says.
///
/// # Errors
/// Whatever the log, the file or the table's proof holds against the build.
pub fn run(job: &BuildJob, output: &Output, log: &Log) -> Result<Built, Failure> {
    let started = Instant::now();
    let mut decisions = Decisions::new(log);
    let trtexec = the_planned(job)?;

    output.event(Event::Phase { phase: Phase::Compose });
    let composed = compose::run(job)?;
    composed.notes.iter().for_each(|note| log.note(note));
    decisions.tell(composed.decisions);
    let outline = Outline::read(&composed.model)?;
    let mut job = job.clone();
    let mut table = None;
    if job.plan.mode == QuantMode::Implicit {
        let (file, told) = TableFile::write(&job, &outline)?;
        decisions.tell(told);
        if file.is_none() {
            // Without a table it would make ranges up.
            job.plan.mode = QuantMode::None;
        }
        table = file;
    }
    let job = &job;
    let (held, lost) = match job.plan.strongly_typed {
        true => Default::default(),
        false => outline.held(&job.tensorrt, &job.plan.keep),
    };
    decisions.tell(lost);

    output.event(Event::Phase { phase: Phase::Parse });
    let help = if job.tensorrt.is_known { None } else { help(job, &trtexec)? };
    let request = Request {
        tensorrt: &job.tensorrt,
        help: help.as_deref(),
        plan: &job.plan,
        model: &composed.model,
        engine: &job.engine,
        table: table.as_ref().map(|table| table.path.as_path()),
        timing_cache: job.timing_cache.as_deref(),
        plugins: &job.plugins,
        shapes: outline.shapes(&job.plan),
        held: &held,
    };
    let attempt = Attempt { job, trtexec: &trtexec, log, output };
    let mut done = attempt.run(&request)?;
    if let (Some(cache), Some(blamed)) = (&job.timing_cache, done.blames_timing_cache()) {
        decisions.tell([Decision { what: "every layer is measured afresh".into(), because: blamed }]);
        engine::clear(cache).map_err(|source| TrtexecError::Prepare { path: cache.clone(), source })?;
        done = Attempt { log: &log.afresh(), ..attempt }.run(&request)?;
    }
    let engine_bytes = done.judge(job)?;
    if let Some(table) = &table {
        decisions.tell(table.judge(&done.proof)?);
    }
    decisions.tell(done.said.not_held(&held));
    decisions.tell(done.oddity());
    Ok(Built {
        tensorrt: job.tensorrt.clone(),
        engine_bytes,
        wall_ms: started.elapsed().as_millis() as u64,
        peak_rss: done.peak_rss.max(peak_rss()),
        layers: done.said.layers.unwrap_or(0),
        quantized: composed.quantized,
        decisions: decisions.into_all(),
    })
}

/// The program, if it and the library are still those that the plan was made for.
fn the_planned(job: &BuildJob) -> Result<Trtexec, Failure> {
    let found = library::identify(job.tensorrt_dir.as_deref())?;
    if found != job.tensorrt {
        let message = format!("the plan was made for {}, and now there is {found}", job.tensorrt);
        return Err(Failure::new(FailureCode::PlanChanged, Retry::Now, message).with_hint("push again"));
    }
    let trtexec = find::find(job.tensorrt_dir.as_deref(), Some(&job.tensorrt)).ok_or(TrtexecError::Gone)?;
    let who = format!("`{}`", trtexec.path);
    trtexec.version.map_or(Ok(()), |version| same_version(who, version, job))?;
    Ok(trtexec)
}

fn same_version(who: String, version: [u32; 3], job: &BuildJob) -> Result<(), TrtexecError> {
    if version == job.tensorrt.version {
        return Ok(());
    }
    let [major, minor, patch] = version;
    let (version, expected) = (format!("{major}.{minor}.{patch}"), job.tensorrt.to_string());
    Err(TrtexecError::OtherVersion { who, version, expected })
}

/// Its options, in its own words; `None` if it prints none.
fn help(job: &BuildJob, trtexec: &Trtexec) -> Result<Option<String>, TrtexecError> {
    let mut text = String::new();
    let mut command = process::command(Path::new(&trtexec.path), job.tensorrt_dir.as_deref());
    command.arg("--help");
    process::run(command, Some(HELP), |_, line| {
        text.push_str(line);
        text.push('\n');
        if text.len() < 1 << 20 { ControlFlow::Continue(()) } else { ControlFlow::Break(()) }
    })
    .map_err(|source| TrtexecError::Start { path: trtexec.path.clone(), source })?;
    Ok(text.contains("--onnx").then_some(text))
}

/// The calibration table as a file that `trtexec` reads.
struct TableFile {
    path: PathBuf,
    coverage: Coverage,
}

impl TableFile {
    /// Writes it, and reads it back: from a path that it cannot read, `trtexec` goes on with a random batch. There is none if
    /// there is nothing to calibrate.
    fn write(job: &BuildJob, outline: &Outline) -> Result<(Option<Self>, Vec<Decision>), Failure> {
        let bad_table = |error: TableError| failure(FailureCode::BadModel, &error, error.hint());
        let [major, minor, patch] = job.tensorrt.version;
        let version = TableVersion::from_release(major, minor, patch)
            .ok_or_else(|| bad_table(TableError::HeaderVersion { found: job.tensorrt.to_string() }))?;
        // Its calibrator is of this class, whatever made the scales.
        let class = CalibratorClass::EntropyCalibration2;
        let original = compose::table(job)?;
        let table::Prepared { table, mut decisions } =
            table::prepare(&original, class, version.raw(), &job.plan.keep).map_err(bad_table)?;
        let coverage = outline.coverage(&table, &job.plan.keep);
        if let Some(nothing) = coverage.nothing(&original)? {
            decisions.push(nothing);
            return Ok((None, decisions));
        }
        decisions.extend(coverage.decisions());
        let path = job.engine.with_file_name("calibration.table");
        let bytes = table.write();
        fs::write(&path, &bytes).map_err(|source| TrtexecError::Prepare { path: path.clone(), source })?;
        match fs::read(&path) {
            Ok(read) if read == bytes => Ok((Some(Self { path, coverage }), decisions)),
            read => {
                let source = read.err().unwrap_or_else(|| std::io::ErrorKind::InvalidData.into());
                Err(TrtexecError::TableUnreadable { path, source }.into())
            }
        }
    }

    /// Whether it was used, and what TensorRT missed in it beyond what was foreseen.
    fn judge(&self, proof: &Proof) -> Result<Vec<Decision>, Failure> {
        proof.used()?;
        Ok(self.coverage.surprises(proof.missing()))
    }
}

/// One run of `trtexec`.
#[derive(Clone, Copy)]
struct Attempt<'a> {
    job: &'a BuildJob,
    trtexec: &'a Trtexec,
    log: &'a Log,
    output: &'a Output,
}

impl Attempt<'_> {
    fn run(&self, request: &Request<'_>) -> Result<Done, Failure> {
        let Self { job, trtexec, log, output } = *self;
        engine::clear(&job.engine)
            .map_err(|source| TrtexecError::Prepare { path: job.engine.clone(), source })?;
        let mut command = process::command(Path::new(&trtexec.path), job.tensorrt_dir.as_deref());
        command.args(arguments(request)?);
        command.current_dir(job.engine.parent().unwrap_or(Path::new("/")));
        log.note(&format!("{command:?}"));
        let mut said = Transcript::default();
        let ended = process::run(command, None, |stream, line| {
            said.see(stream, line, log, output);
            ControlFlow::Continue(())
        })
        .map_err(|source| TrtexecError::Start { path: trtexec.path.clone(), source })?;
        let seen = log.seen();
        Ok(Done {
            said,
            status: ended.status,
            peak_rss: ended.peak_rss,
            proof: seen.proof,
            out_of_memory: seen.out_of_memory,
        })
    }
}

/// A run that is over, and all that is known about it.
struct Done {
    said: Transcript,
    status: Option<ExitStatus>,
    peak_rss: u64,
    proof: Proof,
    out_of_memory: Option<String>,
}

impl Done {
    /// The engine's size in bytes, if there is one that can be trusted as far as this can be known without the table.
    fn judge(&self, job: &BuildJob) -> Result<u64, Failure> {
        if let Some(version) = self.said.version {
            same_version("the `trtexec` that ran".into(), version, job)?;
        }
        if self.said.passed && !self.said.failed {
            return Ok(engine::check(&job.engine, job.tensorrt.version, self.said.engine_mib)?);
        }
        Err(self.failure(job))
    }

    /// Why there is no engine, the most telling reason first.
    fn failure(&self, job: &BuildJob) -> Failure {
        let is_implicit = job.plan.mode == QuantMode::Implicit;
        if let Some(ignored) = self.proof.contradicted().filter(|_| is_implicit) {
            return ignored.into();
        }
        let parser_errors = self.said.parser_errors();
        if !parser_errors.is_empty() {
            return parse::refused(&parser_errors, &job.tensorrt);
        }
        if let Some(line) = &self.out_of_memory {
            return TrtexecError::NoMemory { line: line.clone() }.into();
        }
        let last = self.said.errors().last().cloned();
        match self.status.and_then(|status| status.signal()) {
            Some(9) => TrtexecError::Killed.into(),
            Some(signal) => TrtexecError::Crashed { signal, last }.into(),
            None if self.said.failed && last.is_some() => {
                TrtexecError::Failed { errors: self.said.errors().to_vec() }.into()
            }
            None if self.said.failed => {
                TrtexecError::Failed { errors: vec!["its log says only that it failed".into()] }.into()
            }
            None => TrtexecError::NoVerdict { how: self.how(), last }.into(),
        }
    }

    /// Why the timing cache is to blame for a failure, if it is.
    fn blames_timing_cache(&self) -> Option<String> {
        let is_failure = !self.said.passed || self.said.failed;
        self.said.timing_cache.as_ref().filter(|_| is_failure).map(|line| format!("`trtexec` said: {line}"))
    }

    /// An end that does not go with a success.
    fn oddity(&self) -> Option<Decision> {
        (!self.status.is_some_and(|status| status.success())).then(|| Decision {
            what: "the engine is kept".into(),
            because: format!(
                "`trtexec` says that it passed and left a whole engine, although it ended with {}",
                self.how()
            ),
        })
    }

    fn how(&self) -> String {
        match self.status {
            None => "an unknown status".into(),
            Some(status) => match (status.signal(), status.code()) {
                (Some(signal), _) => format!("signal {signal}"),
                (None, Some(code)) => format!("exit code {code}"),
                (None, None) => "an unknown status".into(),
            },
        }
    }
}
