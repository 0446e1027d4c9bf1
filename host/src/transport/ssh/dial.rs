//! From a host name to a TCP connection.
use std::io;
use std::net::{TcpStream, ToSocketAddrs};
use std::sync::mpsc::{self, RecvTimeoutError};
use std::thread;
use std::time::{Duration, Instant};

use super::super::TransportError;
use super::super::guard::Guard;

/// Connects to the first address that answers.
///
/// Resolving and connecting block, so they have a thread of their own, which is left behind if the guard ends the wait
/// and ends itself soon after.
pub fn dial(host: &str, port: u16, limit: Duration, guard: &Guard) -> Result<TcpStream, TransportError> {
    let (sender, receiver) = mpsc::channel();
    let name = host.to_owned();
    thread::spawn(move || {
        // Nobody listens any more if the wait was interrupted.
        let _ = sender.send(connect(&name, port, limit));
    });
    loop {
        match receiver.recv_timeout(guard.tick()) {
            Ok(connected) => return connected,
            Err(RecvTimeoutError::Timeout) => guard.check()?,
            Err(RecvTimeoutError::Disconnected) => {
                return Err(failure(host, port, io::ErrorKind::Other.into()));
            }
        }
    }
}

fn connect(host: &str, port: u16, limit: Duration) -> Result<TcpStream, TransportError> {
    let unresolved = |source| TransportError::NameUnresolved { host: host.to_owned(), source };
    let addresses: Vec<_> = (host, port).to_socket_addrs().map_err(unresolved)?.collect();
    let start = Instant::now();
    let mut last = unresolved(io::Error::new(io::ErrorKind::NotFound, "the name has no address"));
    for (index, address) in addresses.iter().enumerate() {
        // A silent address must leave time for the others.
        let share = limit.saturating_sub(start.elapsed()) / (addresses.len() - index) as u32;
        match TcpStream::connect_timeout(address, share.max(Duration::from_millis(1))) {
            Ok(stream) => return Ok(stream),
            Err(e) if e.kind() == io::ErrorKind::TimedOut => {
                let (peer, stage) = (format!("{host} port {port}"), "connecting".to_owned());
                last = TransportError::TimedOut { peer, stage, limit };
            }
            Err(e) => last = failure(host, port, e),
        }
    }
    Err(last)
}

fn failure(host: &str, port: u16, source: io::Error) -> TransportError {
    let host = host.to_owned();
    match source.kind() {
        io::ErrorKind::ConnectionRefused => TransportError::Refused { host, port, source },
        io::ErrorKind::HostUnreachable | io::ErrorKind::NetworkUnreachable => {
            TransportError::NoRoute { host, port, source }
        }
        _ => TransportError::Dial { host, port, source },
    }
}
