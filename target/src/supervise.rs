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
use trt_wire::worker::{CONTRACT, Job, WorkerEvent};
use trt_wire::{Failure, FailureCode, Retry};

use crate::config::Runtime;

/// When to stop a worker that does not stop by itself.
#[derive(Debug, Clone)]
pub struct Limits {
    timeout: Duration,
    cancel: Arc<AtomicBool>,
    /// What helps if the time is over.
    late: &'static str,
}

impl Limits {
    /// For a build: as long as the configuration allows, and until `cancel` is raised.
    pub fn build(timeout: Duration, cancel: Arc<AtomicBool>) -> Self {
        Self { timeout, cancel, late: "raise `build-timeout-minutes` in the agent's configuration" }
    }

    /// For asking a library its version: slow storage and a cold cache, but no more. A worker of the configuration may
    /// have to start a container first, whose image is read from that same storage.
    pub fn probe(runtime: &Runtime) -> Self {
        let (seconds, late) = if runtime.worker.is_empty() {
            (
                60,
                "TensorRT or the CUDA driver hangs while it is loaded: look at `dmesg`, and start the device anew",
            )
        } else {
            (
                240,
                "run the command on the device by hand: it must start the worker, pull nothing and wait for nobody",
            )
        };
        Self { timeout: Duration::from_secs(seconds), cancel: Arc::default(), late }
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
    let mut worker = spawn(runtime).map_err(|error| End::NotStarted(error).into_failure(runtime, ""))?;
    converse(&mut worker, runtime, job, limits, &mut sink)
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
    runtime: &Runtime,
    job: &Job,
    limits: &Limits,
    sink: &mut impl FnMut(Event),
) -> Result<WorkerEvent, Failure> {
    let child = &mut worker.0;
    let (Some(mut stdin), Some(stdout), Some(stderr)) =
        (child.stdin.take(), child.stdout.take(), child.stderr.take())
    else {
        return Err(End::NotStarted(std::io::Error::other("it has no pipes")).into_failure(runtime, ""));
    };
    let talk = std::thread::spawn(move || tail(stderr));
    let lines = read_lines(stdout);

    // The pipe stays open until this function returns: a worker that sees it close knows that its agent is gone.
    let mut text = serde_json::to_vec(job).unwrap_or_default();
    text.push(b'\n');
    let sent = stdin.write_all(&text).and_then(|()| stdin.flush());

    let started = Instant::now();
    let mut is_known = false;
    let talked_wrong = loop {
        match lines.recv_timeout(POLL) {
            Ok(Ok(WorkerEvent::Hello { contract: CONTRACT, .. })) => is_known = true,
            Ok(Ok(WorkerEvent::Hello { contract, agent_version })) => {
                return Err(stranger(runtime, Some((contract, &agent_version))));
            }
            Ok(Ok(_)) if !is_known => return Err(stranger(runtime, None)),
            Ok(Ok(WorkerEvent::Event { event })) => sink(event),
            Ok(Ok(WorkerEvent::Failed(failure))) => return Err(failure),
            Ok(Ok(last)) => return Ok(last),
            Ok(Err(problem)) => break Some(problem),
            Err(RecvTimeoutError::Disconnected) => break None,
            Err(RecvTimeoutError::Timeout) => {}
        }
        if limits.cancel.load(Ordering::Relaxed) {
            return Err(Failure::new(FailureCode::Cancelled, Retry::Now, "the build was cancelled"));
        }
        if started.elapsed() > limits.timeout {
            let seconds = limits.timeout.as_secs();
            let span = if seconds.is_multiple_of(60) {
                format!("{} minutes", seconds / 60)
            } else {
                format!("{seconds} seconds")
            };
            let message = format!("{} was stopped after {span} without a result", name(runtime));
            return Err(
                Failure::new(FailureCode::WorkerDied, Retry::AfterFix, message).with_hint(limits.late)
            );
        }
    };
    let status = worker.end(talked_wrong.is_none());
    let stderr = talk.join().unwrap_or_default();
    let end = match (talked_wrong, sent, status) {
        (Some(problem), ..) => End::TalkedWrong(problem),
        (None, _, Ok(status)) if !status.success() => End::Status(status),
        (None, Err(error), _) => End::TookNoJob(error),
        (None, _, Ok(status)) => End::Status(status),
        (None, _, Err(error)) => End::Unknown(error),
    };
    Err(end.into_failure(runtime, &stderr))
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
                        .map_err(|_| format!("said something unexpected: {}", excerpt(&line)));
                    let broken = event.is_err();
                    if sender.send(event).is_err() || broken {
                        return;
                    }
                }
                Err(error) => {
                    let _ = sender.send(Err(format!("could not be listened to: {error}")));
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

/// How a worker ended that gave no result.
#[derive(Debug)]
enum End {
    /// It never was.
    NotStarted(std::io::Error),
    /// Its stdout holds something else than events.
    TalkedWrong(String),
    /// It closed its stdin.
    TookNoJob(std::io::Error),
    /// It ended by itself or was ended by the system.
    Status(ExitStatus),
    /// The system does not say.
    Unknown(std::io::Error),
}

/// The agent and its worker are of different versions: nothing that it says is taken.
fn stranger(runtime: &Runtime, said: Option<(u32, &str)>) -> Failure {
    let name = name(runtime);
    let message = match said {
        Some((contract, version)) => {
            format!("{name} (trt-agent {version}) keeps contract {contract}, this agent keeps {CONTRACT}")
        }
        None => format!("{name} names no contract: it is older than this agent, which keeps {CONTRACT}"),
    };
    let hint = if runtime.worker.is_empty() {
        "restart the agent: its program was replaced while it ran"
    } else {
        "put the agent's own program in the container, or build its image anew with this version of trt-agent; the \
         agent's configuration names it under `worker`"
    };
    Failure::new(FailureCode::WorkerDied, Retry::AfterFix, message).with_hint(hint)
}

/// What the user calls the worker. One of the configuration is named by the beginning of its command.
fn name(runtime: &Runtime) -> String {
    const LONGEST: usize = 80;
    if runtime.worker.is_empty() {
        return "the worker".into();
    }
    let command = runtime.worker.join(" ");
    let mut short: String = command.chars().filter(|c| !c.is_control()).take(LONGEST).collect();
    if short.len() < command.len() {
        short.push('…');
    }
    format!("the worker `{short}`")
}

impl End {
    fn into_failure(self, runtime: &Runtime, stderr: &str) -> Failure {
        let how = format!("{} {}", name(runtime), self.how(runtime));
        let message = if stderr.is_empty() { how } else { format!("{how}; its last words: {stderr}") };
        Failure::new(FailureCode::WorkerDied, Retry::AfterFix, message).with_hint(self.hint(runtime))
    }

    /// The signal that ended it, also if a shell or a container stands between and makes an exit code of it.
    fn signal(&self) -> Option<i32> {
        match self {
            Self::Status(status) => status
                .signal()
                .or_else(|| status.code().filter(|code| (129..=159).contains(code)).map(|code| code - 128)),
            _ => None,
        }
    }

    /// The exit code by which a container's program says that the worker never ran. Shells have the last two as well.
    fn not_run(&self, runtime: &Runtime) -> Option<&'static str> {
        let Self::Status(status) = self else { return None };
        match status.code().filter(|_| !runtime.worker.is_empty())? {
            125 => Some("the container was not started"),
            126 => Some("the program in the container cannot be run"),
            127 => Some("the program is not in the container"),
            _ => None,
        }
    }

    fn how(&self, runtime: &Runtime) -> String {
        if let Some(why) = self.not_run(runtime) {
            return format!("did not run: {why}");
        }
        match (self, self.signal()) {
            (_, Some(9)) => "was killed (SIGKILL), which is what the system does when memory runs out".into(),
            (_, Some(signal)) => format!("crashed with signal {signal}"),
            (Self::NotStarted(error), _) => format!("could not be started: {error}"),
            (Self::TalkedWrong(problem), _) => problem.clone(),
            (Self::TookNoJob(error), _) => format!("did not take its job: {error}"),
            (Self::Status(status), _) => match status.code() {
                Some(code) => format!("exited with code {code} and without a result"),
                None => "ended without a result".into(),
            },
            (Self::Unknown(error), _) => format!("ended nobody knows how: {error}"),
        }
    }

    fn hint(&self, runtime: &Runtime) -> &'static str {
        let is_own = runtime.worker.is_empty();
        match self {
            _ if self.signal().is_some() => {
                "look at the device's memory and at `dmesg`; a smaller `workspace` needs less memory"
            }
            Self::NotStarted(_) if is_own => {
                "install the agent again with `trt-deploy agent install`: its program cannot be run"
            }
            _ if is_own => "look at `dmesg` and at the agent's log on the device, and push again",
            Self::NotStarted(_) => {
                "mend `worker` in the agent's configuration: its program must be on the device, and the agent's user must \
                 be allowed to run it"
            }
            _ => {
                "mend `worker` in the agent's configuration: run as the agent's user, the command must start `trt-agent \
                 worker` and give it stdin and stdout"
            }
        }
    }
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

    /// A place to build in with a worker of its own, which is this script.
    fn shell(script: &str) -> Runtime {
        let worker = ["sh", "-c", script].map(str::to_owned).to_vec();
        Runtime { tensorrt_dir: None, worker }
    }

    /// What comes of a probe there.
    fn probe(runtime: &Runtime) -> Result<WorkerEvent, Failure> {
        run(runtime, &Job::Probe { tensorrt_dir: None }, &Limits::probe(runtime), |_| {})
    }

    #[test]
    fn every_end_without_a_result_is_explained_and_has_the_hint_that_belongs_to_it() {
        let missing = Runtime { tensorrt_dir: None, worker: vec!["/nowhere/docker".into()] };
        // Qemu's user-mode emulation starts children by fork, so that a program that is not there ends with 127.
        let emulated = Command::new("/nowhere/docker").status().is_ok();
        let (words, hint) = match emulated {
            true => ("not in the container", "`worker` in the agent's configuration"),
            false => ("`/nowhere/docker` could not be started: No such file", "must be on the device"),
        };
        for (runtime, words, hint) in [
            (missing, words, hint),
            (shell("exit 125"), "did not run: the container was not started", "stdin and stdout"),
            (shell("exit 126"), "cannot be run", "`worker` in the agent's configuration"),
            (shell("exit 127"), "not in the container", "`worker` in the agent's configuration"),
            (shell("exit 137"), "killed (SIGKILL)", "memory"),
            (shell("exit 139"), "crashed with signal 11", "memory"),
            (shell("kill -9 $$"), "killed (SIGKILL)", "memory"),
            (shell("read job; exit 3"), "exited with code 3", "stdin and stdout"),
            (shell("read job"), "exited with code 0", "stdin and stdout"),
            (shell("echo hello"), "said something unexpected: hello", "stdin and stdout"),
            (shell("echo no such image >&2; exit 125"), "its last words: no such image", "worker"),
        ] {
            let failure = probe(&runtime).unwrap_err();
            let command = format!("the worker `{}", runtime.worker[0]);
            assert!(failure.message.starts_with(&command), "{failure}");
            assert!(failure.message.contains(words), "{words}: {failure}");
            assert!(
                failure.hint.as_ref().is_some_and(|text| text.contains(hint)),
                "{failure}: {:?}",
                failure.hint
            );
        }
    }

    #[test]
    fn the_agents_own_worker_needs_no_mending_of_the_configuration() {
        let own = Runtime::default();
        for (end, words, hint) in [
            (
                End::NotStarted(std::io::ErrorKind::NotFound.into()),
                "the worker could not be started",
                "agent install",
            ),
            (End::Status(ExitStatus::from_raw(9)), "memory", "memory"),
            (End::Status(ExitStatus::from_raw(11)), "the worker crashed with signal 11", "memory"),
            (End::Status(ExitStatus::from_raw(127 << 8)), "exited with code 127", "dmesg"),
        ] {
            let failure = end.into_failure(&own, "");
            assert!(failure.message.contains(words), "{failure}");
            assert!(failure.hint.as_ref().is_some_and(|text| text.contains(hint)), "{:?}", failure.hint);
        }
    }

    #[test]
    fn nothing_is_taken_from_a_worker_of_another_contract() {
        let probed = r#"{"worker":"probed","tensorrt":{"Err":"x"},"gpu":{"Err":"x"}}"#;
        let event = r#"{"worker":"event","event":{"event":"phase","phase":"build"}}"#;
        let hello =
            |contract| format!(r#"{{"worker":"hello","contract":{contract},"agent_version":"0.0.9"}}"#);
        let say = |lines: &[&str]| shell(&format!("read job\ncat <<'END'\n{}\nEND", lines.join("\n")));
        assert!(probe(&say(&[&hello(CONTRACT), probed])).is_ok());
        for (lines, words) in [
            (&[&*hello(CONTRACT + 1), probed][..], "trt-agent 0.0.9"),
            (&[&*hello(CONTRACT - 1), probed], "keeps contract 0"),
            (&[probed], "older than this agent"),
            (&[event, probed], "older than this agent"),
        ] {
            let mut events = 0;
            let runtime = say(lines);
            let job = Job::Probe { tensorrt_dir: None };
            let failure = run(&runtime, &job, &Limits::probe(&runtime), |_| events += 1).unwrap_err();
            assert!(failure.message.contains(words), "{failure}");
            assert!(failure.hint.unwrap().contains("image"));
            assert_eq!(events, 0);
        }
    }

    #[test]
    fn who_takes_too_long_is_told_the_limit_that_was_reached() {
        let container = shell("sleep 60");
        let limits = |late: Limits| Limits { timeout: Duration::from_millis(200), ..late };
        for (limits, hint) in [
            (limits(Limits::probe(&container)), "by hand"),
            (limits(Limits::probe(&Runtime::default())), "dmesg"),
            (limits(Limits::build(Duration::ZERO, Arc::default())), "build-timeout-minutes"),
        ] {
            let job = Job::Probe { tensorrt_dir: None };
            let failure = run(&container, &job, &limits, |_| {}).unwrap_err();
            assert!(failure.message.contains("`sh -c sleep 60` was stopped after 0 minutes"), "{failure}");
            assert!(failure.hint.unwrap().contains(hint));
        }
        assert!(Limits::probe(&container).timeout > Limits::probe(&Runtime::default()).timeout);
    }

    #[test]
    fn garbage_on_stdout_is_quoted_and_ends_the_conversation() {
        let lines = read_lines(&b"Segmentation fault\n{}\n"[..]);
        assert!(lines.recv().unwrap().unwrap_err().contains("Segmentation fault"));
        assert!(lines.recv().is_err());
    }
}
