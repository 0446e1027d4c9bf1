//! The worker: a process that does one job with TensorRT and ends. The contract is `trt_wire::worker`.

mod build;
pub mod compose;
mod configure;
mod decisions;
mod implicit;
mod keep;
mod layers;
mod library;
mod log;
mod parse;
mod probe;
mod run;
mod timing;
pub mod trtexec;
mod words;

use std::fs::File;
use std::io::{self, BufRead, Read, Write};
use std::process::ExitCode;
use std::sync::{Arc, Mutex, PoisonError};

use trt_wire::message::Event;
use trt_wire::worker::{CONTRACT, Job, WorkerEvent};
use trt_wire::{Failure, FailureCode, Retry};

/// Reads the job, does it, says the result.
pub fn main() -> ExitCode {
    let output = match Output::take_stdout() {
        Ok(output) => output,
        Err(error) => {
            eprintln!("the worker's stdout cannot be used: {error}");
            return ExitCode::FAILURE;
        }
    };
    let agent_version = env!("CARGO_PKG_VERSION").into();
    output.send(&WorkerEvent::Hello { contract: CONTRACT, agent_version });
    let mut line = String::new();
    let job = match io::stdin().lock().read_line(&mut line).map(|_| serde_json::from_str::<Job>(&line)) {
        Ok(Ok(job)) => job,
        Ok(Err(error)) => return refuse(&format!("the job does not parse: {error}")),
        Err(error) => return refuse(&format!("no job came: {error}")),
    };
    std::thread::spawn(end_with_the_agent);
    let result = match job {
        Job::Probe { tensorrt_dir } => WorkerEvent::Probed(probe::run(tensorrt_dir.as_deref())),
        Job::Build(job) => match build::run(&job, &output) {
            Ok(built) => WorkerEvent::Done(built),
            Err(failure) => WorkerEvent::Failed(failure),
        },
        Job::Run(job) => match run::run(&job, &output) {
            Ok(ran) => WorkerEvent::Ran(ran),
            Err(failure) => WorkerEvent::Failed(failure),
        },
    };
    output.send(&result);
    ExitCode::SUCCESS
}

fn refuse(problem: &str) -> ExitCode {
    eprintln!("{problem}");
    ExitCode::FAILURE
}

/// The agent keeps our stdin open for as long as it lives. A build that nobody waits for must not go on.
fn end_with_the_agent() {
    let mut rest = [0; 64];
    while let Ok(1..) = io::stdin().lock().read(&mut rest) {}
    trtexec::kill();
    // Not `exit`: that would run TensorRT's destructors beside its own threads.
    let _ = rustix::process::kill_process(rustix::process::getpid(), rustix::process::Signal::KILL);
}

/// Where events go. Libraries that print to stdout print to stderr instead.
#[derive(Debug, Clone)]
pub struct Output(Arc<Mutex<File>>);

impl Output {
    fn take_stdout() -> io::Result<Self> {
        // Nothing that is started here may hold it: the agent waits until it closes.
        let mine = rustix::io::fcntl_dupfd_cloexec(io::stdout(), 3)?;
        rustix::stdio::dup2_stdout(io::stderr())?;
        Ok(Self(Arc::new(Mutex::new(File::from(mine)))))
    }

    /// For tests: whatever is said is lost.
    #[cfg(test)]
    pub fn nowhere() -> Self {
        Self(Arc::new(Mutex::new(File::create("/dev/null").expect("there is one"))))
    }

    fn send(&self, message: &WorkerEvent) {
        let Ok(mut line) = serde_json::to_vec(message) else { return };
        line.push(b'\n');
        let mut file = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        // Without an agent that listens there is nobody to tell; `end_with_the_agent` ends us.
        let _ = file.write_all(&line);
    }

    /// Tells the agent that something happened.
    pub fn event(&self, event: Event) {
        self.send(&WorkerEvent::Event { event });
    }
}

/// What helps if a file of the agent's store cannot be written.
const FREE_SPACE: &str =
    "free space on the device's file system that holds the agent's store, and check its permissions";

/// The code of a failure to write a file.
fn not_written(error: &io::Error) -> FailureCode {
    match error.kind() {
        io::ErrorKind::StorageFull => FailureCode::DiskFull,
        _ => FailureCode::Store,
    }
}

fn failure(code: FailureCode, error: &dyn std::error::Error, hint: Option<String>) -> Failure {
    let mut message = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        message = format!("{message}: {error}");
        cause = error.source();
    }
    Failure { hint, ..Failure::new(code, Retry::AfterFix, message) }
}
