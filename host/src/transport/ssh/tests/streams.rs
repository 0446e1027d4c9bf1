//! Data in both directions, several channels, and every way in which they end early.
use std::fs;
use std::io::{Read, Write};
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use test_support::{eventually, patience};

use super::super::super::{Channel, Exit, Interrupt, RemoteCommand, Transport, TransportError, run};
use super::{SshTransport, assert_works, ok, says, sshd};

const MIB: usize = 1 << 20;

/// Bytes that do not repeat, so that lost or swapped ones show.
fn noise(length: usize) -> Vec<u8> {
    let mut bytes = vec![0; length];
    blake3::Hasher::new().update(b"noise").finalize_xof().fill(&mut bytes);
    bytes
}

fn open(transport: &mut SshTransport, script: &str) -> Channel {
    transport.open(&RemoteCommand::script(script)).expect("opens")
}

/// Fails the test, instead of hanging it, if something takes too long.
fn within<T: Send + 'static>(seconds: u64, what: &str, work: impl FnOnce() -> T + Send + 'static) -> T {
    let (sender, receiver) = std::sync::mpsc::channel();
    let worker = thread::spawn(move || sender.send(work()));
    match receiver.recv_timeout(patience(Duration::from_secs(seconds))) {
        Ok(result) => result,
        Err(std::sync::mpsc::RecvTimeoutError::Timeout) => panic!("{what} hangs"),
        Err(_) => std::panic::resume_unwind(worker.join().expect_err("it panicked")),
    }
}

#[test]
fn a_command_returns_its_output_and_status() {
    let server = sshd!();
    let mut transport = ok(&server);
    let cases = [
        ("echo out; echo err >&2; exit 3", "out\n", "err\n", Exit::Code(3)),
        ("true", "", "", Exit::Code(0)),
        ("cat", "", "", Exit::Code(0)),
        ("printf %s \"it's \\$HOME\"", "it's $HOME", "", Exit::Code(0)),
        ("exec >&-; exec 2>&-; sleep 0.2; exit 5", "", "", Exit::Code(5)),
        ("kill -TERM $$", "", "", Exit::Signal("TERM".into())),
    ];
    for (script, stdout, stderr, exit) in cases {
        let output = says(&mut transport, script);
        assert_eq!(String::from_utf8_lossy(&output.stdout), stdout, "{script}");
        assert_eq!(output.stderr, stderr, "{script}");
        assert_eq!(output.exit, exit, "{script}");
    }
    assert_eq!(transport.describe(), format!("ssh {}@127.0.0.1:{}", super::server::user(), server.port));
}

#[test]
fn much_output_is_refused_rather_than_kept() {
    let server = sshd!();
    let mut transport = ok(&server);
    let error = run(&mut transport, &RemoteCommand::script("yes")).expect_err("too long");
    assert!(matches!(error, TransportError::OutputTooLong { .. }), "{error}");
    assert_works(&mut transport);
}

#[test]
fn bytes_arrive_whole_even_if_keys_are_renewed_meanwhile() {
    for lines in [&[][..], &["RekeyLimit 4M"][..]] {
        let Some(server) = super::Server::start(lines) else { return };
        let mut transport = ok(&server);
        let path = server.path("file");
        let bytes = noise(40 * MIB + 17);
        let expected = bytes.clone();
        let script = format!("cat > {}", path.display());
        within(60, "the upload", move || {
            let Channel { mut writer, control, .. } = open(&mut transport, &script);
            bytes.chunks(512 << 10).for_each(|chunk| writer.write_all(chunk).expect("writes"));
            drop(writer);
            assert_eq!(control.wait().expect("ends"), Exit::Code(0));
        });
        let arrived = fs::read(&path).expect("file");
        assert!(blake3::hash(&arrived) == blake3::hash(&expected), "{lines:?}");
    }
}

#[test]
fn data_flows_both_ways_at_once() {
    let server = sshd!();
    let mut transport = ok(&server);
    let bytes = noise(32 * MIB);
    let Channel { mut reader, mut writer, control } = open(&mut transport, "cat");
    let sent = bytes.clone();
    let writing = thread::spawn(move || writer.write_all(&sent).and_then(|()| writer.flush()));
    let echoed = within(60, "the echo", move || {
        let mut echoed = Vec::new();
        reader.read_to_end(&mut echoed).map(|_| echoed)
    });
    writing.join().expect("writer").expect("writes");
    assert!(echoed.expect("reads") == bytes);
    assert_eq!(control.wait().expect("ends"), Exit::Code(0));
}

#[test]
fn two_channels_do_not_disturb_each_other() {
    let server = sshd!();
    let mut transport = ok(&server);
    let bytes = noise(16 * MIB);
    let echoes: Vec<_> = (0..2).map(|_| open(&mut transport, "cat")).collect();
    // A third one that nobody reads must not stop the others.
    let stuck = open(&mut transport, "cat /dev/zero");
    let threads: Vec<_> = echoes
        .into_iter()
        .flat_map(|Channel { mut reader, mut writer, .. }| {
            let (sent, expected) = (bytes.clone(), bytes.clone());
            let writing = thread::spawn(move || assert!(writer.write_all(&sent).is_ok()));
            let reading = thread::spawn(move || {
                let mut echoed = Vec::new();
                assert!(reader.read_to_end(&mut echoed).is_ok() && echoed == expected);
            });
            [writing, reading]
        })
        .collect();
    for _ in 0..10 {
        assert_works(&mut transport);
    }
    within(60, "the echoes", move || threads.into_iter().for_each(|t| t.join().expect("echoes")));
    drop(stuck);
    assert_works(&mut transport);
}

#[test]
fn a_quiet_stream_answers_quickly_beside_a_busy_one() {
    let server = sshd!();
    let mut transport = ok(&server);
    let Channel { reader: mut zeroes, control, .. } = open(&mut transport, "cat /dev/zero");
    let busy = thread::spawn(move || std::io::copy(&mut zeroes, &mut std::io::sink()));
    let Channel { mut reader, mut writer, .. } = open(&mut transport, "cat");
    let start = Instant::now();
    for _ in 0..200 {
        writer.write_all(b"ping").and_then(|()| writer.flush()).expect("writes");
        reader.read_exact(&mut [0; 4]).expect("reads");
    }
    let mean = start.elapsed() / 200;
    assert!(mean < patience(Duration::from_millis(200)), "an answer takes {mean:?}");
    control.kill();
    assert!(busy.join().expect("no panic").is_err());
}

/// A program that reports on stdout how much it has got on stdin, as the agent reports its build while it is sent to.
const REPORTER: &str = r#"while :; do head -c 65536 > /dev/null; echo event; done"#;

#[test]
fn a_cancelled_upload_ends_at_once_while_events_stream_back() {
    let server = sshd!();
    for how in ["kill", "interrupt"] {
        let interrupt = Interrupt::default();
        let mut transport = SshTransport::connect(&server.options(), None, &interrupt).expect("connects");
        let Channel { mut reader, mut writer, control } = open(&mut transport, REPORTER);
        let events = std::sync::Arc::new(AtomicU64::new(0));
        let seen = events.clone();
        let reading = thread::spawn(move || {
            let mut buffer = [0; 6];
            loop {
                match reader.read_exact(&mut buffer) {
                    Ok(()) => seen.fetch_add(1, Ordering::Relaxed),
                    Err(e) => return e,
                };
            }
        });
        let writing = thread::spawn(move || {
            let chunk = noise(MIB);
            loop {
                if let Err(e) = writer.write_all(&chunk) {
                    return e;
                }
            }
        });
        eventually("events come while the upload runs", || events.load(Ordering::Relaxed) > 20);
        let start = Instant::now();
        if how == "kill" {
            control.kill()
        } else {
            interrupt.raise()
        }
        for side in [reading, writing] {
            let error = within(30, how, move || side.join().expect("no panic"));
            let error = TransportError::from_io(error, "device");
            match how {
                "kill" => assert!(matches!(error, TransportError::ChannelClosed { .. }), "{error}"),
                _ => assert!(matches!(error, TransportError::Interrupted), "{error}"),
            }
        }
        assert!(control.wait().is_err());
        assert!(start.elapsed() < patience(Duration::from_secs(20)), "{how}: {:?}", start.elapsed());
        if how == "kill" {
            assert_works(&mut transport);
        }
        within(30, "dropping the transport", move || drop(transport));
    }
}

#[test]
fn a_slow_reader_stops_the_sender_instead_of_filling_memory() {
    let server = sshd!();
    let mut transport = ok(&server);
    let Channel { mut reader, control, .. } =
        open(&mut transport, "head -c 33554432 /dev/zero; echo done >&2");
    thread::sleep(Duration::from_millis(500));
    assert_eq!(control.stderr(), "", "32 MiB must not fit anywhere");
    let total = within(30, "reading", move || std::io::copy(&mut reader, &mut std::io::sink()));
    assert_eq!(total.expect("reads"), 32 << 20);
    assert_eq!(control.wait().expect("ends"), Exit::Code(0));
    assert_eq!(control.stderr(), "done\n");
}

#[test]
fn a_slow_device_stops_the_writer_instead_of_filling_memory() {
    let server = sshd!();
    let mut transport = ok(&server);
    let Channel { mut writer, control, .. } = open(&mut transport, "sleep 1; cat > /dev/null");
    let written = std::sync::Arc::new(AtomicU64::new(0));
    let count = written.clone();
    let writing = thread::spawn(move || {
        for _ in 0..64 {
            writer.write_all(&[0; MIB]).expect("writes");
            count.fetch_add(1, Ordering::Relaxed);
        }
    });
    thread::sleep(Duration::from_millis(500));
    assert!(written.load(Ordering::Relaxed) < 16, "{written:?} MiB accepted though nobody reads");
    within(30, "writing", move || writing.join().expect("writes"));
    assert_eq!(control.wait().expect("ends"), Exit::Code(0));
}

#[test]
fn a_program_that_stops_reading_breaks_the_pipe() {
    let server = sshd!();
    let mut transport = ok(&server);
    let Channel { mut writer, control, .. } = open(&mut transport, "head -c 10 > /dev/null; exit 4");
    let error = within(30, "writing", move || {
        loop {
            if let Err(e) = writer.write_all(&[0; MIB]) {
                return e;
            }
        }
    });
    assert_eq!(error.kind(), std::io::ErrorKind::BrokenPipe);
    assert_eq!(control.wait().expect("ends"), Exit::Code(4));
}

#[test]
fn a_limit_ends_a_command_that_hangs() {
    let server = sshd!();
    let mut transport = ok(&server);
    let command = RemoteCommand::script("sleep 60").limit(Duration::from_millis(300));
    let start = Instant::now();
    let error = run(&mut transport, &command).expect_err("too long");
    assert!(matches!(error, TransportError::TimedOut { .. }), "{error}");
    assert!(start.elapsed() < patience(Duration::from_secs(30)), "half of what it would take");
    assert_works(&mut transport);
}

#[test]
fn a_server_that_dies_in_mid_stream_is_an_error() {
    let server = sshd!();
    let mut transport = ok(&server);
    let Channel { mut reader, mut writer, control } = open(&mut transport, REPORTER);
    let reading = thread::spawn(move || std::io::copy(&mut reader, &mut std::io::sink()).expect_err("lost"));
    let writing = thread::spawn(move || {
        loop {
            if let Err(e) = writer.write_all(&[0; MIB]) {
                return e;
            }
        }
    });
    thread::sleep(Duration::from_millis(300));
    server.kill_sessions();
    for side in [reading, writing] {
        let error = within(30, "noticing", move || side.join().expect("no panic"));
        let error = TransportError::from_io(error, "device");
        assert!(matches!(error, TransportError::Lost { .. }), "{error}");
    }
    assert!(matches!(control.wait(), Err(TransportError::Lost { .. })));
    assert!(matches!(run(&mut transport, &RemoteCommand::new("true")), Err(TransportError::Lost { .. })));
}

#[test]
fn an_idle_connection_that_dies_is_noticed_by_the_next_command() {
    let server = sshd!();
    let mut transport = ok(&server);
    assert_works(&mut transport);
    server.kill_sessions();
    let error =
        within(30, "noticing", move || run(&mut transport, &RemoteCommand::new("true")).expect_err("lost"));
    assert!(matches!(error, TransportError::Lost { .. }), "{error}");
}

#[test]
fn a_server_that_allows_no_channel_refuses() {
    let server = sshd!("MaxSessions 0");
    let mut transport = ok(&server);
    let error = run(&mut transport, &RemoteCommand::new("true")).expect_err("refused");
    assert!(matches!(error, TransportError::OpenFailed { .. }), "{error}");
}

#[test]
fn keepalives_do_not_disturb_an_idle_connection() {
    let server = sshd!();
    let options = super::SshOptions { keepalive: Some(Duration::from_secs(1)), ..server.options() };
    let mut transport = super::connect(&options).expect("connects");
    let Channel { mut reader, mut writer, .. } = open(&mut transport, "cat");
    thread::sleep(Duration::from_millis(4500));
    writer.write_all(b"still here").and_then(|()| writer.flush()).expect("writes");
    drop(writer);
    let mut echoed = String::new();
    reader.read_to_string(&mut echoed).expect("reads");
    assert_eq!(echoed, "still here");
}
