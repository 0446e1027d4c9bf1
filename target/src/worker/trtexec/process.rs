//! Runs `trtexec`: every line of both its streams is read, and it does not outlive the worker.

use std::io::{self, BufRead, BufReader, Read};
use std::ops::ControlFlow;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::mpsc::{self, RecvTimeoutError, SyncSender};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};
use std::{fs, thread};

use rustix::process::{Pid, Signal, kill_process};

use crate::worker::build::high_water;

/// The one that runs. It is in the worker's process group, so that the agent's kill takes both.
static RUNNING: Mutex<Option<Pid>> = Mutex::new(None);

const POLL: Duration = Duration::from_millis(100);
/// What a program that has ended may leave unread, because something it started still holds its streams.
const GRACE: Duration = Duration::from_secs(2);
/// More of a line than anything of interest is long; the rest of it is skipped.
const LONGEST_LINE: usize = 64 << 10;

/// Which stream a line came from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Stream {
    /// Standard output: information.
    Out,
    /// Standard error: warnings and errors.
    Err,
}

/// How it ended.
#[derive(Debug)]
pub struct Ended {
    /// The exit status; `None` if the reader had seen enough, or the time was over.
    pub status: Option<ExitStatus>,
    /// The most memory it had resident, in bytes.
    pub peak_rss: u64,
}

/// A command for `trtexec` that loads the TensorRT of `tensorrt_dir`, if there is one.
pub fn command(program: &Path, tensorrt_dir: Option<&Path>) -> Command {
    const VARIABLE: &str = "LD_LIBRARY_PATH";
    let mut command = Command::new(program);
    if let Some(dir) = tensorrt_dir {
        let others = std::env::var_os(VARIABLE).unwrap_or_default();
        let all = std::iter::once(PathBuf::from(dir)).chain(std::env::split_paths(&others));
        // A folder with a `:` in its name cannot be said; then what the system has is loaded, and its version is checked.
        if let Ok(paths) = std::env::join_paths(all.filter(|path| !path.as_os_str().is_empty())) {
            command.env(VARIABLE, paths);
        }
    }
    command
}

/// Runs the command to its end, until `on_line` breaks, or until `limit` is over. Lines are without their ends.
///
/// # Errors
/// When it cannot be started or waited for.
pub fn run(
    mut command: Command,
    limit: Option<Duration>,
    mut on_line: impl FnMut(Stream, &str) -> ControlFlow<()>,
) -> io::Result<Ended> {
    command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = Running::start(command)?;
    let (sender, lines) = mpsc::sync_channel(256);
    let errors = sender.clone();
    if let (Some(stdout), Some(stderr)) = (child.0.stdout.take(), child.0.stderr.take()) {
        thread::spawn(move || send_lines(Stream::Out, stdout, &sender));
        thread::spawn(move || send_lines(Stream::Err, stderr, &errors));
    }
    let started = Instant::now();
    let (mut status, mut ended, mut peak_rss) = (None, None, 0);
    let mut looked = started;
    loop {
        match lines.recv_timeout(POLL) {
            Ok((stream, line)) => {
                if on_line(stream, &line).is_break() {
                    return Ok(Ended { status: None, peak_rss });
                }
                // Lines come by the thousand.
                if looked.elapsed() < POLL {
                    continue;
                }
            }
            Err(RecvTimeoutError::Timeout) => {}
            Err(RecvTimeoutError::Disconnected) => {
                // Streams can be closed long before the end.
                if status.is_some() {
                    return Ok(Ended { status, peak_rss });
                }
                thread::sleep(Duration::from_millis(5));
            }
        }
        looked = Instant::now();
        peak_rss = peak_rss.max(child.peak_rss());
        if status.is_none() {
            status = child.try_wait()?;
            ended = status.map(|_| looked);
        }
        let is_over = limit.is_some_and(|limit| started.elapsed() > limit);
        if is_over || ended.is_some_and(|ended| ended.elapsed() > GRACE) {
            return Ok(Ended { status, peak_rss });
        }
    }
}

/// Kills what runs, if anything does. For the worker's own end.
pub fn kill() {
    if let Some(pid) = *running() {
        let _ = kill_process(pid, Signal::KILL);
    }
}

fn running() -> MutexGuard<'static, Option<Pid>> {
    RUNNING.lock().unwrap_or_else(PoisonError::into_inner)
}

/// A child that is killed when it is dropped.
struct Running(Child);

impl Running {
    fn start(mut command: Command) -> io::Result<Self> {
        let mut running = running();
        let child = command.spawn()?;
        *running = Some(Pid::from_child(&child));
        Ok(Self(child))
    }

    /// The lock keeps [`kill`] from a process id that is no longer the child's.
    fn try_wait(&mut self) -> io::Result<Option<ExitStatus>> {
        let mut running = running();
        let status = self.0.try_wait()?;
        if status.is_some() {
            *running = None;
        }
        Ok(status)
    }

    fn peak_rss(&self) -> u64 {
        let status = fs::read_to_string(format!("/proc/{}/status", self.0.id())).unwrap_or_default();
        high_water(&status)
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        let mut running = running();
        let _ = self.0.kill();
        let _ = self.0.wait();
        *running = None;
    }
}

fn send_lines(stream: Stream, source: impl Read, lines: &SyncSender<(Stream, String)>) {
    let mut reader = BufReader::new(source);
    while let Ok(Some(line)) = read_line(&mut reader) {
        let text = String::from_utf8_lossy(&line);
        if lines.send((stream, text.trim_end_matches('\r').to_owned())).is_err() {
            return;
        }
    }
}

/// The next line, or as much of it as anybody reads; `None` at the end.
fn read_line(reader: &mut impl BufRead) -> io::Result<Option<Vec<u8>>> {
    let mut line = Vec::new();
    let mut any = false;
    loop {
        let buffer = match reader.fill_buf() {
            Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
            other => other?,
        };
        if buffer.is_empty() {
            return Ok(any.then_some(line));
        }
        any = true;
        let end = buffer.iter().position(|&byte| byte == b'\n');
        let part = &buffer[..end.unwrap_or(buffer.len())];
        let room = LONGEST_LINE - line.len();
        line.extend_from_slice(&part[..part.len().min(room)]);
        let used = end.map_or(buffer.len(), |end| end + 1);
        reader.consume(used);
        if end.is_some() {
            return Ok(Some(line));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shell(script: &str) -> Command {
        let mut command = Command::new("sh");
        command.args(["-c", script]);
        command
    }

    #[test]
    fn lines_are_cut_and_none_is_lost() {
        let long = "x".repeat(LONGEST_LINE + 5);
        let text = format!("a\n{long}\n\nb\r\nlast");
        let mut reader = BufReader::with_capacity(7, text.as_bytes());
        let mut lengths = Vec::new();
        while let Some(line) = read_line(&mut reader).unwrap() {
            lengths.push(line.len());
        }
        assert_eq!(lengths, [1, LONGEST_LINE, 0, 2, 4]);
    }

    #[test]
    fn both_streams_are_read_to_their_end_however_much_there_is() {
        let script = "i=0; while [ $i -lt 20000 ]; do echo out $i; echo err $i >&2; i=$((i+1)); done; exit 3";
        let mut counts = [0, 0];
        let ended = run(shell(script), None, |stream, _| {
            counts[stream as usize] += 1;
            ControlFlow::Continue(())
        })
        .unwrap();
        assert_eq!(counts, [20_000, 20_000]);
        assert_eq!(ended.status.and_then(|status| status.code()), Some(3));
    }

    #[test]
    fn it_ends_at_the_limit_and_when_enough_was_read_and_with_a_child_that_holds_the_streams() {
        let started = Instant::now();
        let nothing = |_: Stream, _: &str| ControlFlow::Continue(());
        let ended = run(shell("exec sleep 60"), Some(Duration::from_millis(200)), nothing).unwrap();
        assert!(ended.status.is_none());
        let ended = run(shell("echo a; exec sleep 60"), None, |_, _| ControlFlow::Break(())).unwrap();
        assert!(ended.status.is_none());
        let ended = run(shell("sleep 7 & exit 0"), None, nothing).unwrap();
        assert!(ended.status.is_some_and(|status| status.success()));
        let ended = run(shell("exec >&- 2>&-; sleep 0.3; exit 4"), None, nothing).unwrap();
        assert_eq!(ended.status.and_then(|status| status.code()), Some(4));
        assert!(started.elapsed() < Duration::from_secs(7));
        // Qemu's user-mode emulation starts children by fork, so that a program that is not there ends with 127.
        let missing = run(Command::new("/nonexistent/trtexec"), None, nothing);
        assert!(missing.map_or(true, |ended| ended.status.and_then(|status| status.code()) == Some(127)));
    }

    #[test]
    fn the_folder_of_the_configuration_comes_first_for_the_loader() {
        let command = command(Path::new("trtexec"), Some(Path::new("/opt/trt/lib")));
        let value = command.get_envs().find(|(name, _)| *name == "LD_LIBRARY_PATH").unwrap().1.unwrap();
        assert!(value.to_string_lossy().starts_with("/opt/trt/lib"), "{value:?}");
        assert_eq!(super::command(Path::new("trtexec"), None).get_envs().count(), 0);
    }
}
