//! Host keys: known, unknown, changed, revoked, of several types; and servers that are not there.
use std::fs;
use std::io::Write;
use std::net::TcpListener;
use std::os::unix::fs::PermissionsExt;
use std::process::Command;
use std::time::{Duration, Instant};

use test_support::patience;
use trt_wire::Retry;

use super::super::super::{Interrupt, TransportError};
use super::{SshOptions, SshTransport, assert_works, connect, ok, refusal, sshd};

fn with_known_hosts(server: &super::Server, text: &str) -> SshOptions {
    let options = server.options();
    fs::write(&options.known_hosts[0], text).expect("known_hosts");
    options
}

#[test]
fn an_unknown_host_is_refused_with_its_fingerprint() {
    let server = sshd!();
    let error = refusal(&with_known_hosts(&server, "# nobody\n"));
    let shown = Command::new("ssh-keyscan")
        .args(["-t", "ed25519", "-p", &server.port.to_string(), "127.0.0.1"])
        .output();
    let scanned = server.path("scanned");
    fs::write(&scanned, shown.expect("ssh-keyscan").stdout).expect("file");
    let fingerprint =
        Command::new("ssh-keygen").arg("-lf").arg(&scanned).output().expect("ssh-keygen").stdout;
    let fingerprint =
        String::from_utf8_lossy(&fingerprint).split(' ').nth(1).map(str::to_owned).expect("fingerprint");
    assert!(matches!(error, TransportError::HostKeyUnknown { .. }), "{error}");
    assert!(error.to_string().contains(&format!("ssh-ed25519 {fingerprint}")), "{error}");
    assert!(error.hint().is_some_and(|h| h.contains("--accept-new")));
    assert_eq!(error.retry(), Retry::AfterFix);
}

#[test]
fn an_unknown_host_is_recorded_if_asked_and_known_from_then_on() {
    let server = sshd!();
    let file = server.path("home/.ssh/known_hosts");
    let options = SshOptions { known_hosts: vec![file.clone()], accept_new: true, ..server.options() };
    let mut transport = connect(&options).expect("accepts");
    assert_eq!(transport.host_key().recorded_in.as_ref(), Some(&file));
    assert_works(&mut transport);
    let mode = |path: &std::path::Path| fs::metadata(path).expect("made").permissions().mode() & 0o777;
    assert_eq!((mode(file.parent().expect("folder")), mode(&file)), (0o700, 0o600));
    assert_eq!(fs::read_to_string(&file).expect("file"), server.known_host_line("ed25519"));

    let strict = SshOptions { accept_new: false, ..options };
    assert_eq!(connect(&strict).expect("known now").host_key().recorded_in, None);
    // OpenSSH must be able to read what was written.
    let found = Command::new("ssh-keygen")
        .args(["-F", &format!("[127.0.0.1]:{}", server.port), "-f"])
        .arg(&file)
        .output();
    assert!(found.expect("ssh-keygen").status.success());
}

#[test]
fn a_changed_key_is_refused_whatever_the_options() {
    let server = sshd!();
    let imposter = server.path("other");
    super::server::make_key(&imposter, "ed25519", "");
    let other = fs::read_to_string(imposter.with_extension("pub")).expect("key");
    let text = format!("# comment\n\n[127.0.0.1]:{} {other}", server.port);
    for accept_new in [false, true] {
        let options = SshOptions { accept_new, ..with_known_hosts(&server, &text) };
        let error = refusal(&options);
        let TransportError::HostKeyChanged { fingerprint, recorded, .. } = &error else { panic!("{error}") };
        assert_eq!((recorded.line, &recorded.file), (3, &options.known_hosts[0]));
        assert_ne!(fingerprint, &recorded.fingerprint);
        assert!(error.to_string().contains(&recorded.fingerprint), "{error}");
        let file = &recorded.file;
        assert_eq!(fs::read_to_string(file).expect("file"), text, "nothing is recorded");
    }
}

#[test]
fn a_host_that_only_shows_a_type_never_recorded_has_changed() {
    let Some(server) = super::Server::start_with(&["ed25519"], &[]) else {
        return;
    };
    let error = refusal(&with_known_hosts(&server, &server.known_host_line("rsa")));
    assert!(
        matches!(&error, TransportError::HostKeyChanged { recorded, .. } if recorded.kind == "ssh-rsa"),
        "{error}"
    );
}

#[test]
fn the_recorded_key_type_is_asked_for_whatever_the_server_prefers() {
    let server = sshd!();
    for (kind, name) in [("rsa", "ssh-rsa"), ("ecdsa", "ecdsa-sha2-nistp256"), ("ed25519", "ssh-ed25519")] {
        let mut transport = connect(&with_known_hosts(&server, &server.known_host_line(kind))).expect(kind);
        assert_eq!(transport.host_key().kind, name);
        assert_works(&mut transport);
    }
}

#[test]
fn hashed_names_patterns_and_markers_are_understood() {
    let server = sshd!();
    let (key, port) = (server.host_key("ecdsa"), server.port);
    // Hashed by OpenSSH itself.
    let options = with_known_hosts(&server, &format!("elsewhere {key}\n{}", server.known_host_line("ecdsa")));
    let hashed = Command::new("ssh-keygen").args(["-q", "-H", "-f"]).arg(&options.known_hosts[0]).output();
    assert!(hashed.expect("ssh-keygen").status.success());
    assert!(fs::read_to_string(&options.known_hosts[0]).expect("file").starts_with("|1|"));
    assert_eq!(connect(&options).expect("hashed").host_key().kind, "ecdsa-sha2-nistp256");

    for accepted in [format!("elsewhere,[127.0.0.*]:{port} {key}"), format!("127.0.0.1 {key}")] {
        connect(&with_known_hosts(&server, &accepted)).unwrap_or_else(|e| panic!("{accepted}: {e}"));
    }
    let known = server.known_host_line("ecdsa");
    let cases = [
        (format!("@revoked * {key}\n{known}"), "HostKeyRevoked"),
        (format!("@cert-authority * {key}\n"), "HostKeyCertificate"),
        (format!("[127.0.0.1]:{},127.0.0.2 {key}\n", port.wrapping_add(1)), "HostKeyUnknown"),
        (format!("!127.0.0.1,127.0.0.* {key}\n"), "HostKeyUnknown"),
    ];
    for (text, expected) in cases {
        let mut options = with_known_hosts(&server, &text);
        if expected == "HostKeyRevoked" {
            options.accept_new = true;
        }
        let error = refusal(&options);
        assert!(format!("{error:?}").starts_with(expected), "{text}: {error:?}");
    }
}

#[test]
fn known_hosts_that_cannot_be_read_are_an_error() {
    let server = sshd!();
    let options = SshOptions { known_hosts: vec![server.folder.path().to_owned()], ..server.options() };
    assert!(matches!(refusal(&options), TransportError::KnownHosts { .. }));
}

#[test]
fn servers_that_are_not_there_are_told_apart() {
    let closed = TcpListener::bind("127.0.0.1:0").and_then(|l| l.local_addr()).expect("port").port();
    let options = |host: &str, port| SshOptions {
        port,
        connect_timeout: Duration::from_millis(700),
        known_hosts: Vec::new(),
        ..SshOptions::new(host, "nobody")
    };
    let error = refusal(&options("127.0.0.1", closed));
    assert!(matches!(error, TransportError::Refused { .. }), "{error}");
    let error = refusal(&SshOptions {
        connect_timeout: Duration::from_secs(20),
        ..options("no-such-host.invalid", 22)
    });
    assert!(matches!(error, TransportError::NameUnresolved { .. }), "{error}");

    // One that hangs up, one that says nothing, one that speaks another language.
    let listener = TcpListener::bind("127.0.0.1:0").expect("port");
    let port = listener.local_addr().expect("port").port();
    let clients = std::thread::spawn(move || {
        drop(listener.accept());
        let silent = listener.accept();
        let (mut web, _) = listener.accept().expect("third");
        let _ = web.write_all(b"HTTP/1.1 400 Bad Request\r\n\r\n");
        drop(web);
        silent
    });
    let error = refusal(&options("127.0.0.1", port));
    assert!(matches!(error, TransportError::ClosedInHandshake { .. }), "{error:?}");
    let error = refusal(&options("127.0.0.1", port));
    assert!(matches!(error, TransportError::TimedOut { .. }), "{error:?}");
    let error = refusal(&options("127.0.0.1", port));
    assert!(matches!(error, TransportError::ClosedInHandshake { .. }), "{error:?}");
    drop(clients.join());
}

#[test]
fn an_interrupt_ends_connecting() {
    let listener = TcpListener::bind("127.0.0.1:0").expect("port");
    let options = SshOptions {
        port: listener.local_addr().expect("port").port(),
        known_hosts: Vec::new(),
        connect_timeout: patience(Duration::from_secs(100)),
        ..SshOptions::new("127.0.0.1", "nobody")
    };
    let interrupt = Interrupt::default();
    let flag = interrupt.clone();
    std::thread::spawn(move || {
        std::thread::sleep(Duration::from_millis(200));
        flag.raise();
    });
    let start = Instant::now();
    let error = SshTransport::connect(&options, None, &interrupt).err();
    assert!(matches!(error, Some(TransportError::Interrupted)), "{error:?}");
    assert!(start.elapsed() < patience(Duration::from_secs(20)), "{:?}", start.elapsed());
}

#[test]
fn a_server_with_nothing_in_common_is_told_apart() {
    let server = sshd!("Ciphers aes256-cbc", "KexAlgorithms sntrup761x25519-sha512@openssh.com");
    let error = refusal(&server.options());
    assert!(matches!(error, TransportError::NoCommonAlgorithm { .. }), "{error:?}");
}

#[test]
fn usual_servers_are_spoken_to_with_each_cipher() {
    for cipher in ["aes128-gcm@openssh.com", "chacha20-poly1305@openssh.com", "aes256-ctr"] {
        let line = format!("Ciphers {cipher}");
        let server = sshd!(&line);
        assert_works(&mut ok(&server));
    }
}
