//! Transports on this machine: the agent's Unix socket, and, for tests, a process.
use std::io::{self, Read, Write};
use std::net::Shutdown;
#[cfg(test)]
use std::os::fd::OwnedFd;
use std::os::unix::net::UnixStream;
use std::path::PathBuf;
use std::process::{Child, ChildStderr, ExitStatus};
#[cfg(test)]
use std::process::{Command, Stdio};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use super::guard::Guard;
use super::tail::Tail;
use super::{Channel, Control, Exit, Interrupt, RemoteCommand, Transport, TransportError};

/// How often the end of a process is looked for.
const REAP_TICK: Duration = Duration::from_millis(5);

/// How long a process may take to end by itself.
const GRACE: Duration = Duration::from_millis(200);

/// The agent's socket on this machine.
///
/// Each channel is a connection of its own. The command is not run: there is only the agent's protocol, so [`run`](super::run) has no
/// meaning here.
pub struct LocalSocket {
    path: PathBuf,
    interrupt: Interrupt,
}

impl LocalSocket {
    /// A socket by its path; nothing is connected yet.
    pub fn new(path: impl Into<PathBuf>, interrupt: &Interrupt) -> Self {
        Self { path: path.into(), interrupt: interrupt.clone() }
    }
}

impl Transport for LocalSocket {
    fn open(&mut self, command: &RemoteCommand) -> Result<Channel, TransportError> {
        let failed = |source| TransportError::Socket { path: self.path.clone(), source };
        let stream = UnixStream::connect(&self.path).map_err(failed)?;
        let guard = Guard::new(&self.interrupt, &self.describe(), "the agent", command.time_limit());
        channel(stream, None, guard, self.describe()).map_err(failed)
    }

    fn describe(&self) -> String {
        format!("socket {}", self.path.display())
    }
}

/// A process of this machine that runs command lines: a shell, or a program such as `ssh` that knows a device.
#[cfg(test)]
pub struct ProcessTransport {
    program: Vec<String>,
    interrupt: Interrupt,
}

#[cfg(test)]
impl ProcessTransport {
    /// This machine's own shell.
    pub fn local(interrupt: &Interrupt) -> Self {
        Self::through(["sh", "-c"], interrupt)
    }

    /// A program that takes the command line as its last argument, as in `["ssh", "-T", "jetson", "--"]`.
    pub fn through<S: Into<String>>(program: impl IntoIterator<Item = S>, interrupt: &Interrupt) -> Self {
        Self { program: program.into_iter().map(Into::into).collect(), interrupt: interrupt.clone() }
    }
}

#[cfg(test)]
impl Transport for ProcessTransport {
    fn open(&mut self, command: &RemoteCommand) -> Result<Channel, TransportError> {
        let (program, arguments) =
            self.program.split_first().map_or(("sh", &[][..]), |(p, a)| (p.as_str(), a));
        let failed = |source| TransportError::Spawn { program: program.to_owned(), source };
        // One socket instead of two pipes: it has timeouts, so that waits can be interrupted.
        let (ours, theirs) = UnixStream::pair().map_err(failed)?;
        let stdin = OwnedFd::from(theirs.try_clone().map_err(failed)?);
        let child = Command::new(program)
            .args(arguments)
            .arg(command.line())
            .stdin(Stdio::from(stdin))
            .stdout(Stdio::from(OwnedFd::from(theirs)))
            .stderr(Stdio::piped())
            .spawn()
            .map_err(failed)?;
        let guard = Guard::new(&self.interrupt, &self.describe(), command.line(), command.time_limit());
        channel(ours, Some(child), guard, self.describe()).map_err(failed)
    }

    fn describe(&self) -> String {
        format!("process {}", self.program.join(" "))
    }
}

/// What the three handles share. The last one to go ends the process.
struct Local {
    stream: UnixStream,
    child: Option<Mutex<Child>>,
    stderr: Arc<Mutex<Tail>>,
    collector: Option<thread::JoinHandle<()>>,
    guard: Guard,
    killed: AtomicBool,
    peer: String,
}

fn channel(stream: UnixStream, mut child: Option<Child>, guard: Guard, peer: String) -> io::Result<Channel> {
    stream.set_read_timeout(Some(Duration::from_millis(50)))?;
    stream.set_write_timeout(Some(Duration::from_millis(50)))?;
    let stderr = Arc::new(Mutex::new(Tail::default()));
    let collector = child.as_mut().and_then(|child| child.stderr.take()).map(|pipe| {
        let stderr = stderr.clone();
        thread::spawn(move || collect(pipe, &stderr))
    });
    let killed = AtomicBool::new(false);
    let local =
        Arc::new(Local { stream, child: child.map(Mutex::new), stderr, collector, guard, killed, peer });
    Ok(Channel {
        reader: Box::new(Reader(local.clone())),
        writer: Box::new(Writer(local.clone())),
        control: local,
    })
}

fn collect(mut pipe: ChildStderr, tail: &Mutex<Tail>) {
    let mut buffer = [0; 4096];
    while let Ok(n @ 1..) = pipe.read(&mut buffer) {
        tail.lock().unwrap_or_else(PoisonError::into_inner).push(&buffer[..n]);
    }
}

impl Local {
    /// Repeats an operation that the socket's timeout ended, as long as the guard allows.
    fn patiently<T>(&self, mut operation: impl FnMut() -> io::Result<T>) -> io::Result<T> {
        loop {
            if self.killed.load(Ordering::Acquire) {
                return Err(TransportError::ChannelClosed { peer: self.peer.clone() }.into());
            }
            self.guard.check()?;
            match operation() {
                Err(e) if matches!(e.kind(), io::ErrorKind::WouldBlock | io::ErrorKind::Interrupted) => {}
                done => return done,
            }
        }
    }

    fn reap(&self, child: &Mutex<Child>) -> Result<ExitStatus, TransportError> {
        loop {
            let ended = child.lock().unwrap_or_else(PoisonError::into_inner).try_wait();
            match ended.map_err(|source| TransportError::Stream { peer: self.peer.clone(), source })? {
                Some(status) => return Ok(status),
                None if self.killed.load(Ordering::Acquire) => {}
                None => self.guard.check()?,
            }
            thread::sleep(REAP_TICK);
        }
    }
}

impl Control for Local {
    fn kill(&self) {
        self.killed.store(true, Ordering::Release);
        let _ = self.stream.shutdown(Shutdown::Both);
        if let Some(child) = &self.child {
            end(&mut child.lock().unwrap_or_else(PoisonError::into_inner));
        }
    }

    fn wait(&self) -> Result<Exit, TransportError> {
        let Some(child) = &self.child else { return Ok(Exit::Closed) };
        let status = self.reap(child)?;
        // A grandchild may hold stderr open for ever; the program's own words are here within a moment.
        let patience = Instant::now() + Duration::from_millis(200);
        while self.collector.as_ref().is_some_and(|c| !c.is_finished()) && Instant::now() < patience {
            thread::sleep(REAP_TICK);
        }
        Ok(exit(status))
    }

    fn stderr(&self) -> String {
        self.stderr.lock().unwrap_or_else(PoisonError::into_inner).text()
    }
}

fn exit(status: ExitStatus) -> Exit {
    use std::os::unix::process::ExitStatusExt;
    match (status.code(), status.signal()) {
        (Some(code), _) => Exit::Code(code),
        (None, Some(signal)) => Exit::Signal(signal.to_string()),
        (None, None) => Exit::Closed,
    }
}

impl Drop for Local {
    fn drop(&mut self) {
        let _ = self.stream.shutdown(Shutdown::Both);
        if let Some(child) = &mut self.child {
            end(child.get_mut().unwrap_or_else(PoisonError::into_inner));
        }
    }
}

/// Ends a process: most do so by themselves and clean up, now that their streams are closed.
fn end(child: &mut Child) {
    let patience = Instant::now() + GRACE;
    while Instant::now() < patience {
        if !matches!(child.try_wait(), Ok(None)) {
            return;
        }
        thread::sleep(REAP_TICK);
    }
    let _ = child.kill();
    let _ = child.wait();
}

struct Reader(Arc<Local>);

impl Read for Reader {
    fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        self.0.patiently(|| (&self.0.stream).read(buf))
    }
}

impl Drop for Reader {
    fn drop(&mut self) {
        let _ = self.0.stream.shutdown(Shutdown::Read);
    }
}

struct Writer(Arc<Local>);

impl Write for Writer {
    fn write(&mut self, buf: &[u8]) -> io::Result<usize> {
        self.0.patiently(|| (&self.0.stream).write(buf))
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl Drop for Writer {
    fn drop(&mut self) {
        let _ = self.0.stream.shutdown(Shutdown::Write);
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::net::UnixListener;

    use super::super::run;
    use super::*;

    fn shell() -> ProcessTransport {
        ProcessTransport::local(&Interrupt::default())
    }

    #[test]
    fn a_process_returns_its_output_and_status() {
        let cases = [
            ("echo out; echo err >&2; exit 3", "out\n", "err\n", Exit::Code(3)),
            ("cat", "", "", Exit::Code(0)),
            ("nowhere-at-all 2>/dev/null", "", "", Exit::Code(127)),
        ];
        for (script, stdout, stderr, exit) in cases {
            let output = run(&mut shell(), &RemoteCommand::script(script)).expect(script);
            assert_eq!(
                (String::from_utf8_lossy(&output.stdout).as_ref(), output.stderr.as_str(), output.exit),
                (stdout, stderr, exit),
                "{script}"
            );
        }
        let mut direct = ProcessTransport::through(["sh"], &Interrupt::default());
        let folder = tempfile::tempdir().expect("folder");
        let script = folder.path().join("script");
        std::fs::write(&script, "kill -KILL $$").expect("script");
        let output = run(&mut direct, &RemoteCommand::new(&script.display().to_string())).expect("runs");
        assert_eq!(output.exit, Exit::Signal("9".into()));
        let mut missing = ProcessTransport::through(["no-such-program-here"], &Interrupt::default());
        let error = run(&mut missing, &RemoteCommand::new("true")).expect_err("not there");
        assert!(
            matches!(&error, TransportError::Spawn { program, .. } if program == "no-such-program-here"),
            "{error}"
        );
    }

    #[test]
    fn kill_and_interrupt_end_a_process_at_once() {
        for how in ["kill", "interrupt", "limit"] {
            let interrupt = Interrupt::default();
            let mut command = RemoteCommand::script("exec sleep 60");
            if how == "limit" {
                command = command.limit(Duration::from_millis(100));
            }
            let Channel { mut reader, writer, control } =
                ProcessTransport::local(&interrupt).open(&command).expect("opens");
            let start = Instant::now();
            let reading = thread::spawn(move || reader.read(&mut [0; 8]));
            match how {
                "kill" => control.kill(),
                "interrupt" => interrupt.raise(),
                _ => {}
            }
            let read = reading.join().expect("no panic");
            if how != "kill" {
                let error = TransportError::from_io(read.expect_err(how), "here");
                assert!(
                    matches!(error, TransportError::Interrupted | TransportError::TimedOut { .. }),
                    "{error}"
                );
            }
            drop((writer, control));
            assert!(start.elapsed() < Duration::from_secs(5), "{how}");
        }
    }

    #[test]
    fn a_socket_carries_both_ways() {
        let folder = tempfile::tempdir().expect("folder");
        let path = folder.path().join("agent.sock");
        let listener = UnixListener::bind(&path).expect("binds");
        let echo = thread::spawn(move || {
            let (stream, _) = listener.accept().expect("accepts");
            io::copy(&mut &stream, &mut &stream)
        });
        let mut socket = LocalSocket::new(&path, &Interrupt::default());
        assert_eq!(socket.describe(), format!("socket {}", path.display()));
        let Channel { mut reader, mut writer, control } =
            socket.open(&RemoteCommand::new("ignored")).expect("opens");
        writer.write_all(b"hello").expect("writes");
        drop(writer);
        let mut echoed = String::new();
        reader.read_to_string(&mut echoed).expect("reads");
        assert_eq!((echoed.as_str(), control.wait().expect("ends")), ("hello", Exit::Closed));
        echo.join().expect("no panic").expect("echoes");

        let error = LocalSocket::new(folder.path().join("none"), &Interrupt::default())
            .open(&RemoteCommand::new("ignored"))
            .err();
        assert!(matches!(error, Some(TransportError::Socket { .. })), "{error:?}");
    }
}
