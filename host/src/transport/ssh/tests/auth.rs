//! Keys, passphrases, the SSH agent, and every way of being turned away.
use std::fs;
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};

use super::super::super::{AuthOutcome, Interrupt, KeyProblem, Prompt, Secret, TransportError};
use super::{SshOptions, SshTransport, assert_works, connect, refusal, sshd};
use crate::interrupt::Interrupted;

/// An answer that is none: the user presses Ctrl-C.
const CTRL_C: &str = "^C";

/// Answers in this order, and remembers what it was asked.
#[derive(Default)]
struct Script {
    answers: Vec<&'static str>,
    asked: Vec<(Secret, bool)>,
}

impl Prompt for Script {
    fn secret(&mut self, secret: &Secret, again: bool) -> Result<Option<String>, Interrupted> {
        self.asked.push((secret.clone(), again));
        let next = self.asked.len() - 1;
        match self.answers.get(next) {
            Some(&CTRL_C) => Err(Interrupted),
            answer => Ok(answer.map(|a| (*a).to_owned())),
        }
    }
}

fn asked(options: &SshOptions, answers: &[&'static str]) -> (Result<SshTransport, TransportError>, Script) {
    let mut script = Script { answers: answers.to_vec(), asked: Vec::new() };
    let result = SshTransport::connect(options, Some(&mut script), &Interrupt::default());
    (result, script)
}

#[test]
fn every_kind_of_key_file_works() {
    let server = sshd!();
    for kind in ["ed25519", "ecdsa", "rsa"] {
        let key = server.path(kind);
        super::server::make_key(&key, kind, "");
        server.authorize(&key.with_extension("pub"));
        let options = SshOptions { identity: Some(key.clone()), ..server.options() };
        let mut transport = connect(&options).unwrap_or_else(|e| panic!("{kind}: {e}"));
        assert_eq!(transport.authenticated_by(), format!("key file `{}`", key.display()));
        assert_works(&mut transport);
    }
}

/// Keys with the passphrase "right" in each format that OpenSSH writes.
fn locked_keys(server: &super::Server) -> Vec<PathBuf> {
    let formats = [("ed25519", "RFC4716"), ("rsa", "PEM"), ("rsa", "PKCS8"), ("ecdsa", "RFC4716")];
    let make = |(kind, format): &(&str, &str)| {
        let key = server.path(&format!("{kind}-{format}"));
        super::server::make_key(&key, kind, "right");
        if *format != "RFC4716" {
            let converted = Command::new("ssh-keygen")
                .args(["-q", "-p", "-P", "right", "-N", "right", "-m", format, "-f"])
                .arg(&key)
                .output();
            assert!(converted.is_ok_and(|c| c.status.success()), "{kind} {format}");
        }
        server.authorize(&key.with_extension("pub"));
        key
    };
    formats.iter().map(make).collect()
}

#[test]
fn a_passphrase_is_asked_for_and_asked_again() {
    let server = sshd!();
    for key in locked_keys(&server) {
        let options = SshOptions { identity: Some(key.clone()), ..server.options() };
        let (result, script) = asked(&options, &["wrong", "right"]);
        let mut transport = result.unwrap_or_else(|e| panic!("{}: {e}", key.display()));
        assert_works(&mut transport);
        let secret = Secret::Passphrase { file: key.clone() };
        assert_eq!(script.asked, [(secret.clone(), false), (secret, true)]);

        let (result, script) = asked(&options, &["wrong", "wrong", "wrong"]);
        let error = result.err().expect("wrong passphrase");
        assert!(
            matches!(error, TransportError::KeyFile { source: KeyProblem::WrongPassphrase, .. }),
            "{}: {error:?}",
            key.display()
        );
        assert_eq!(script.asked.len(), 3);

        for error in [asked(&options, &[]).0.err().expect("no answer"), refusal(&options)] {
            let needs = matches!(error, TransportError::KeyFile { source: KeyProblem::NeedsPassphrase, .. });
            assert!(needs && error.hint().is_some_and(|h| h.contains("ssh-add")), "{error}");
        }
    }
}

#[test]
fn ctrl_c_at_a_question_ends_connecting_and_asks_nothing_else() {
    let server = sshd!();
    let key = locked_keys(&server).remove(0);
    let options = SshOptions { identity: Some(key), ..server.options() };
    for answers in [&[CTRL_C][..], &["wrong", CTRL_C]] {
        let (result, script) = asked(&options, answers);
        assert!(matches!(result, Err(TransportError::Interrupted)));
        assert_eq!(script.asked.len(), answers.len());
    }
}

#[test]
fn a_key_that_the_server_does_not_know_is_rejected_and_listed() {
    let server = sshd!();
    let key = server.path("stranger");
    super::server::make_key(&key, "ed25519", "");
    let error = refusal(&SshOptions { identity: Some(key.clone()), ..server.options() });
    let TransportError::AuthRejected { attempts, accepted, .. } = &error else { panic!("{error:?}") };
    assert!(matches!(attempts.as_slice(), [a] if matches!(a.outcome, AuthOutcome::Rejected)), "{attempts:?}");
    assert_eq!(accepted, &["publickey"]);
    assert!(error.to_string().contains(&format!("key file `{}`: rejected", key.display())), "{error}");

    let error = refusal(&SshOptions { user: "no-such-user".into(), ..server.options() });
    assert!(
        matches!(&error, TransportError::AuthRejected { user, .. } if user == "no-such-user"),
        "{error:?}"
    );
    assert!(error.hint().is_some_and(|h| h.contains("no-such-user")));
}

#[test]
fn a_key_file_that_is_none_is_named() {
    let server = sshd!();
    let file = |name: &str, text: &str| {
        fs::write(server.path(name), text).expect("file");
        server.path(name)
    };
    let public = server.options().identity.expect("key").with_extension("pub");
    let broken = "-----BEGIN RSA PRIVATE KEY-----\nAAAA\n-----END RSA PRIVATE KEY-----\n";
    let cases = [
        (server.path("missing"), "file does not exist"),
        (server.folder.path().to_owned(), "cannot be read"),
        (public, "public key"),
        (file("text", "hello\n"), "BEGIN"),
        (file("broken", broken), "not a usable private key"),
    ];
    for (identity, expected) in cases {
        let error = refusal(&SshOptions { identity: Some(identity.clone()), ..server.options() });
        let TransportError::KeyFile { file, source } = &error else { panic!("{expected}: {error:?}") };
        assert_eq!(file, &identity);
        assert!(source.to_string().contains(expected), "{expected}: {source}");
        assert!(error.hint().is_some());
    }
}

/// An `ssh-agent` of the test's own.
struct Agent(Child, PathBuf);

impl Agent {
    fn start(server: &super::Server) -> Self {
        let socket = server.path("agent");
        let child = Command::new("ssh-agent").arg("-D").arg("-a").arg(&socket).stdout(Stdio::null()).spawn();
        let agent = Self(child.expect("ssh-agent"), socket);
        while !agent.1.exists() {
            std::thread::sleep(std::time::Duration::from_millis(10));
        }
        agent
    }

    fn add(&self, key: &std::path::Path) {
        let added = Command::new("ssh-add").arg("-q").arg(key).env("SSH_AUTH_SOCK", &self.1).status();
        assert!(added.is_ok_and(|a| a.success()), "ssh-add");
    }
}

impl Drop for Agent {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

#[test]
fn the_ssh_agents_keys_are_tried() {
    let server = sshd!();
    let agent = Agent::start(&server);
    let stranger = server.path("stranger");
    super::server::make_key(&stranger, "ed25519", "");
    let good = server.options().identity.expect("key");
    let options = SshOptions {
        identity: Some(stranger.clone()),
        use_agent: true,
        agent_socket: Some(agent.1.clone()),
        ..server.options()
    };
    let error = refusal(&options);
    assert!(error.to_string().contains("SSH agent: holds no keys"), "{error}");

    // Two keys, the wrong one first.
    agent.add(&stranger);
    agent.add(&good);
    let mut transport = connect(&options).expect("the agent's key works");
    assert_eq!(transport.authenticated_by(), "SSH agent's key `test key`");
    assert_works(&mut transport);

    let error = refusal(&SshOptions { use_agent: false, ..options.clone() });
    assert!(matches!(error, TransportError::AuthRejected { .. }), "{error}");
    let error = refusal(&SshOptions { agent_socket: Some(server.path("nothing")), ..options });
    assert!(error.to_string().contains("SSH agent: not reachable"), "{error}");
}

#[test]
fn an_encrypted_key_that_the_ssh_agent_holds_needs_no_passphrase() {
    let server = sshd!();
    let agent = Agent::start(&server);
    let open = server.path("key");
    super::server::make_key(&open, "ed25519", "");
    server.authorize(&open.with_extension("pub"));
    agent.add(&open);
    let locked =
        Command::new("ssh-keygen").args(["-q", "-p", "-P", "", "-N", "right", "-f"]).arg(&open).status();
    assert!(locked.is_ok_and(|l| l.success()));
    let options = SshOptions {
        identity: Some(open),
        use_agent: true,
        agent_socket: Some(agent.1.clone()),
        ..server.options()
    };
    assert_works(&mut connect(&options).expect("by the agent"));
}

#[test]
fn a_wrong_password_is_asked_for_three_times() {
    let server = sshd!("PasswordAuthentication yes", "PubkeyAuthentication no");
    let (result, script) = asked(&server.options(), &["a", "b", "c", "d"]);
    let error = result.err().expect("rejected");
    assert!(
        matches!(&error, TransportError::AuthRejected { attempts, .. } if attempts.len() == 3),
        "{error}"
    );
    assert_eq!(script.asked.len(), 3);
    assert!(matches!(&script.asked[0], (Secret::Password { .. }, false)));
    // Nobody to ask: not even tried.
    let error = refusal(&server.options());
    assert!(error.to_string().contains("tried nothing; the server accepts: password"), "{error}");
}

#[test]
fn a_server_that_hangs_up_after_too_many_attempts_has_rejected() {
    let server = sshd!("MaxAuthTries 1");
    let key = server.path("stranger");
    super::server::make_key(&key, "ed25519", "");
    let error = refusal(&SshOptions { identity: Some(key), ..server.options() });
    assert!(matches!(error, TransportError::AuthRejected { .. }), "{error:?}");
}
