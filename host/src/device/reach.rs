//! From an address in the fleet file to a transport.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use super::prompt::Terminal;
use super::{Agent, DeviceError};
use crate::commands::Context;
use crate::fleet::{Address, Device, SshAddress};
use crate::interrupt::Interrupt;
use crate::transport::{LocalSocket, Prompt, SshOptions, SshTransport, Transport};

/// How often the relay looks at Ctrl-C.
const TICK: Duration = Duration::from_millis(50);

/// How connecting may go.
#[derive(Debug, Clone, Copy, Default, clap::Args)]
pub struct Access {
    /// Record the key of a host that is seen for the first time; a changed key is always refused
    #[arg(long)]
    pub accept_new: bool,
}

/// A way to a device. Ctrl-C ends whatever its transport waits for, for as long as the relay lives.
pub struct Way {
    /// Runs programs on the device, or opens its agent's socket.
    pub transport: Box<dyn Transport>,
    /// Where the agent listens on the device, if not at its default place.
    pub socket: Option<String>,
    /// What passes Ctrl-C on to the transport.
    pub relay: Relay,
}

/// Reaches a device and greets its agent.
pub fn connect(device: &Device, access: Access, context: &Context) -> Result<Agent, DeviceError> {
    Agent::greet(reach(device, access, context)?, &context.interrupt)
}

/// Opens the way to a device.
pub fn reach(device: &Device, access: Access, context: &Context) -> Result<Way, DeviceError> {
    let stop = Interrupt::default();
    let relay = Relay::start(&context.interrupt, &stop);
    let (transport, socket): (Box<dyn Transport>, _) = match &device.address {
        Address::Local(socket) => (Box::new(LocalSocket::new(socket, &stop)), None),
        Address::Ssh(address) => {
            (Box::new(dial(device, address, access, context, &stop)?), address.agent_socket.clone())
        }
    };
    Ok(Way { transport, socket, relay })
}

fn dial(
    device: &Device,
    address: &SshAddress,
    access: Access,
    context: &Context,
    stop: &Interrupt,
) -> Result<SshTransport, DeviceError> {
    let user = address.user.clone().or_else(|| std::env::var("USER").ok()).unwrap_or_else(|| "root".into());
    let mut options = SshOptions::new(&address.host, &user);
    options.port = address.port;
    options.identity.clone_from(&address.identity);
    options.accept_new = access.accept_new;
    if let Some(file) = &address.known_hosts {
        options.known_hosts = vec![file.clone()];
    }
    let mut terminal = Terminal::if_present(context);
    let prompt = terminal.as_mut().map(|terminal| terminal as &mut dyn Prompt);
    let transport = SshTransport::connect(&options, prompt, stop)?;
    let key = transport.host_key();
    if let Some(file) = &key.recorded_in {
        let (kind, fingerprint) = (&key.kind, &key.fingerprint);
        context.ui.say(format_args!(
            "{}: recorded host key {kind} {fingerprint} in {}",
            device.name,
            file.display()
        ));
    }
    context.ui.detail(format_args!("{}: authenticated by {}", device.name, transport.authenticated_by()));
    Ok(transport)
}

/// Passes Ctrl-C on to a transport, for as long as it lives.
pub struct Relay(Arc<State>);

#[derive(Default)]
struct State {
    over: AtomicBool,
    patience_ms: AtomicU64,
}

impl Relay {
    fn start(from: &Interrupt, to: &Interrupt) -> Self {
        let state = Arc::new(State::default());
        let (from, to, shared) = (from.clone(), to.clone(), Arc::clone(&state));
        std::thread::spawn(move || {
            let mut since = None;
            while !shared.over.load(Ordering::Relaxed) {
                if from.is_raised() {
                    let patience = Duration::from_millis(shared.patience_ms.load(Ordering::Relaxed));
                    if since.get_or_insert_with(Instant::now).elapsed() >= patience {
                        return to.raise();
                    }
                }
                std::thread::sleep(TICK);
            }
        });
        Self(state)
    }

    /// From now on the transport goes on for this long after Ctrl-C, so that the conversation can end in words.
    pub fn set_patience(&self, patience: Duration) {
        self.0.patience_ms.store(patience.as_millis() as u64, Ordering::Relaxed);
    }
}

impl Drop for Relay {
    fn drop(&mut self) {
        self.0.over.store(true, Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Whether `to` is raised within this time.
    fn arrives(to: &Interrupt, within: Duration) -> bool {
        let since = Instant::now();
        while !to.is_raised() && since.elapsed() < within {
            std::thread::sleep(Duration::from_millis(5));
        }
        to.is_raised()
    }

    #[test]
    fn ctrl_c_arrives_while_the_relay_lives_and_after_its_patience() {
        let (from, to) = (Interrupt::default(), Interrupt::default());
        let relay = Relay::start(&from, &to);
        relay.set_patience(Duration::from_secs(3600));
        from.raise();
        assert!(!arrives(&to, TICK * 4), "it is patient");
        relay.set_patience(Duration::ZERO);
        assert!(arrives(&to, Duration::from_secs(10)), "its patience is over");

        let (from, to) = (Interrupt::default(), Interrupt::default());
        drop(Relay::start(&from, &to));
        std::thread::sleep(TICK * 2);
        from.raise();
        assert!(!arrives(&to, TICK * 4), "it is gone");
    }
}
