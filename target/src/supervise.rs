//! Runs a worker process: one job in, events out, and a failure for every way it can end otherwise.

use std::io::{BufRead, BufReader, Read, Write};
use std::os::unix::process::{CommandExt, ExitStatusExt};
use std::path::PathBuf;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{self, RecvTimeoutError};
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process_group};
use trt_wire::message::Event;
use trt_wire::worker::{Job, WorkerEvent};
use trt_wire::{Failure, FailureCode, Retry};

use crate::config::Runtime;

/// When to stop a worker that does not stop by itself.
#[derive(Debug, Clone)]
pub struct Limits {
    /// How long it may take.
    pub timeout: Duration,
    /// Raised when somebody wants it to stop.
    pub cancel: Arc<AtomicBool>,
}

impl Limits {
    /// For asking a library its version: slow storage and a cold cache, but no more.
    pub fn probe() -> Self {
        Self { timeout: Duration::from_secs(60), cancel: Arc::default() }
    }
}

const POLL: Duration = Duration::from_millis(100);
const GRACE: Duration = Duration::from_secs(2);
const LONGEST_LINE: u64 = 1 << 20;
const STDERR_TAIL: usize = 2_000;

/// Runs `job` to its end where `runtime` says. Events go to `sink`; the last event, or what went wrong, is the result.
pub fn run(
    runtime: &Runtime,
    job: &Job,
    limits: &Limits,
    mut sink: impl FnMut(Event),
) -> Result<WorkerEvent, Failure> {
    let mut worker =
        spawn(runtime).map_err(|error| died(format!("the worker could not be started: {error}"), ""))?;
    converse(&mut worker, job, limits, &mut sink)
}

/// A child that does not outlive its job, however that ends, nor does anything it started.
struct Worker(Child);

impl Worker {
    /// How it ended. A worker whose output is over has a moment to end by itself, which tells more than a kill.
    fn end(&mut self, by_itself: bool) -> std::io::Result<ExitStatus> {
        let deadline = Instant::now() + if by_itself { GRACE } else { Duration::ZERO };
        while Instant::now() < deadline {
            if let Some(status) = self.0.try_wait()? {
                self.kill();
                return Ok(status);
            }
            std::thread::sleep(Duration::from_millis(5));
        }
        self.kill();
        self.0.wait()
    }

    fn kill(&self) {
        // It leads a process group of its own, which is there until `wait`; a group that is gone needs no killing.
        let _ = kill_process_group(Pid::from_child(&self.0), Signal::KILL);
    }
}

impl Drop for Worker {
    fn drop(&mut self) {
        self.kill();
        let _ = self.0.wait();
    }
}

/// This very program, even if its file was replaced by an upgrade since it started. The link is the last resort, since
/// under user-mode emulation it leads to the emulator.
fn this_program() -> PathBuf {
    std::env::current_exe().ok().filter(|path| path.exists()).unwrap_or_else(|| "/proc/self/exe".into())
}

fn spawn(runtime: &Runtime) -> std::io::Result<Worker> {
    let mut command = match &runtime.worker[..] {
        [] => Command::new(this_program()),
        [program, arguments @ ..] => {
            let mut command = Command::new(program);
            command.args(arguments);
            command
        }
    };
    if runtime.worker.is_empty() {
        command.arg("worker");
    }
    command.process_group(0).stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    command.spawn().map(Worker)
}

fn converse(
    worker: &mut Worker,
    job: &Job,
    limits: &Limits,
    sink: &mut impl FnMut(Event),
) -> Result<WorkerEvent, Failure> {
    let child = &mut worker.0;
    let (Some(mut stdin), Some(stdout), Some(stderr)) =
        (child.stdin.take(), child.stdout.take(), child.stderr.take())
    else {
        return Err(died("the worker has no pipes".into(), ""));
    };
    let talk = std::thread::spawn(move || tail(stderr));
    let lines = read_lines(stdout);

    // The pipe stays open until this function returns: a worker that sees it close knows that its agent is gone.
    let mut text = serde_json::to_vec(job).unwrap_or_default();
    text.push(b'\n');
    let sent = stdin.write_all(&text).and_then(|()| stdin.flush());

    let started = Instant::now();
    let ended = loop {
        match lines.recv_timeout(POLL) {
            Ok(Ok(WorkerEvent::Event { event })) => sink(event),
            Ok(Ok(WorkerEvent::Failed(failure))) => return Err(failure),
            Ok(Ok(last)) => return Ok(last),
            Ok(Err(problem)) => break problem,
            Err(RecvTimeoutError::Disconnected) => break String::new(),
            Err(RecvTimeoutError::Timeout) => {}
        }
        if limits.cancel.load(Ordering::Relaxed) {
            return Err(Failure::new(FailureCode::Cancelled, Retry::Now, "the build was cancelled"));
        }
        if started.elapsed() > limits.timeout {
            let minutes = limits.timeout.as_secs() / 60;
            let message = format!("the worker was stopped after {minutes} minutes without a result");
            return Err(Failure::new(FailureCode::WorkerDied, Retry::AfterFix, message)
                .with_hint("raise `build-timeout-minutes` in the agent's configuration"));
        }
    };
    let status = worker.end(ended.is_empty());
    let stderr = talk.join().unwrap_or_default();
    let how = match (ended.is_empty(), sent, status) {
        (false, ..) => ended,
        (true, Err(error), _) => format!("the worker did not take its job: {error}"),
        (true, _, Ok(status)) => describe(status),
        (true, _, Err(error)) => format!("the worker's end is unknown: {error}"),
    };
    Err(died(how, &stderr))
}

/// Parses stdout on a thread of its own, so that cancelling and time limits work while the worker is silent.
fn read_lines(stdout: impl Read + Send + 'static) -> mpsc::Receiver<Result<WorkerEvent, String>> {
    let (sender, receiver) = mpsc::sync_channel(64);
    std::thread::spawn(move || {
        let mut reader = BufReader::new(stdout);
        loop {
            let mut line = Vec::new();
            match reader.by_ref().take(LONGEST_LINE).read_until(b'\n', &mut line) {
                Ok(0) => return,
                Ok(_) => {
                    let event = serde_json::from_slice(&line)
                        .map_err(|_| format!("the worker said something unexpected: {}", excerpt(&line)));
                    let broken = event.is_err();
                    if sender.send(event).is_err() || broken {
                        return;
                    }
                }
                Err(error) => {
                    let _ = sender.send(Err(format!("the worker could not be read: {error}")));
                    return;
                }
            }
        }
    });
    receiver
}

fn excerpt(line: &[u8]) -> String {
    let text = String::from_utf8_lossy(line);
    text.trim().chars().take(120).collect()
}

/// The end of what the worker said on stderr; the library's last words before a crash are there.
fn tail(mut stderr: impl Read) -> String {
    let mut kept = Vec::new();
    let mut buffer = [0; 4096];
    while let Ok(read @ 1..) = stderr.read(&mut buffer) {
        kept.extend_from_slice(&buffer[..read]);
        let surplus = kept.len().saturating_sub(STDERR_TAIL);
        kept.drain(..surplus);
    }
    String::from_utf8_lossy(&kept).trim().to_owned()
}

fn describe(status: ExitStatus) -> String {
    match (status.signal(), status.code()) {
        (Some(9), _) => {
            "the worker was killed (SIGKILL), which is what the system does when memory runs out".into()
        }
        (Some(signal), _) => format!("the worker crashed with signal {signal}"),
        (None, Some(code)) => format!("the worker exited with code {code} and without a result"),
        (None, None) => "the worker ended without a result".into(),
    }
}

fn died(how: String, stderr: &str) -> Failure {
    let message = if stderr.is_empty() { how } else { format!("{how}; its last words: {stderr}") };
    Failure::new(FailureCode::WorkerDied, Retry::AfterFix, message)
        .with_hint("look at the device's memory and at `dmesg`; a smaller `workspace` needs less memory")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_end_of_a_long_stderr_is_kept() {
        let long = format!("{}the end", "x".repeat(100_000));
        let kept = tail(long.as_bytes());
        assert!(kept.len() <= STDERR_TAIL && kept.ends_with("the end"));
    }

    #[test]
    fn a_kill_is_explained_as_what_it_most_often_is() {
        assert!(describe(ExitStatus::from_raw(9)).contains("memory"));
        assert!(describe(ExitStatus::from_raw(11)).contains("signal 11"));
        assert!(describe(ExitStatus::from_raw(3 << 8)).contains("code 3"));
    }

    #[test]
    fn garbage_on_stdout_is_quoted_and_ends_the_conversation() {
        let lines = read_lines(&b"Segmentation fault\n{}\n"[..]);
        assert!(lines.recv().unwrap().unwrap_err().contains("Segmentation fault"));
        assert!(lines.recv().is_err());
    }
}
