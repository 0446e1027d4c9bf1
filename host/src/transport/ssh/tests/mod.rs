//! Against a real OpenSSH server on loopback; without one the tests say so.
mod auth;
mod hosts;
mod server;
mod streams;

use super::super::command::Output;
use super::super::{Exit, Interrupt, RemoteCommand, TransportError, run};
use super::{SshOptions, SshTransport};
use server::Server;

/// Starts a server, or leaves the test.
macro_rules! sshd {
    ($($line:expr),*) => {
        match $crate::transport::ssh::tests::server::Server::start(&[$($line),*]) {
            Some(server) => server,
            None => return,
        }
    };
}
use sshd;

fn connect(options: &SshOptions) -> Result<SshTransport, TransportError> {
    SshTransport::connect(options, None, &Interrupt::default())
}

fn ok(server: &Server) -> SshTransport {
    connect(&server.options()).expect("connects")
}

/// The error of a connection that must fail.
fn refusal(options: &SshOptions) -> TransportError {
    match connect(options) {
        Ok(_) => panic!("connected to {options:?}"),
        Err(error) => error,
    }
}

fn says(transport: &mut SshTransport, script: &str) -> Output {
    run(transport, &RemoteCommand::script(script)).expect("runs")
}

fn assert_works(transport: &mut SshTransport) {
    let output = says(transport, "echo works");
    assert_eq!((output.stdout.as_slice(), output.exit), (&b"works\n"[..], Exit::Code(0)));
}
