//! From an address in the fleet file to a transport.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use super::DeviceError;
use super::prompt::Terminal;
use crate::commands::Context;
use crate::fleet::{Address, Device};
use crate::interrupt::Interrupt;
use crate::transport::{LocalSocket, Prompt, SshOptions, SshTransport, Transport};

/// How connecting may go.
#[derive(Debug, Clone, Copy, Default, clap::Args)]
pub struct Access {
    /// Record the key of a host that is seen for the first time; a changed key is always refused
    #[arg(long)]
    pub accept_new: bool,
}

/// Opens the way to a device. Ctrl-C ends connecting; afterwards the conversation itself decides how to stop.
pub fn reach(device: &Device, access: Access, context: &Context) -> Result<Box<dyn Transport>, DeviceError> {
    let stop = Interrupt::default();
    let address = match &device.address {
        Address::Local(socket) => return Ok(Box::new(LocalSocket::new(socket, &stop))),
        Address::Ssh(address) => address,
    };
    let user = address.user.clone().or_else(|| std::env::var("USER").ok()).unwrap_or_else(|| "root".into());
    let mut options = SshOptions::new(&address.host, &user);
    options.port = address.port;
    options.identity.clone_from(&address.identity);
    options.accept_new = access.accept_new;
    if let Some(file) = &address.known_hosts {
        options.known_hosts = vec![file.clone()];
    }
    let _relay = Relay::start(&context.interrupt, &stop);
    let mut terminal = Terminal::if_present(&context.ui);
    let prompt = terminal.as_mut().map(|terminal| terminal as &mut dyn Prompt);
    let transport = SshTransport::connect(&options, prompt, &stop)?;
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
    Ok(Box::new(transport))
}

/// Passes Ctrl-C on to a transport, for as long as it lives.
struct Relay(Arc<AtomicBool>);

impl Relay {
    fn start(from: &Interrupt, to: &Interrupt) -> Self {
        let done = Arc::new(AtomicBool::new(false));
        let (from, to, over) = (from.clone(), to.clone(), Arc::clone(&done));
        std::thread::spawn(move || {
            while !over.load(Ordering::Relaxed) {
                if from.is_raised() {
                    return to.raise();
                }
                std::thread::sleep(Duration::from_millis(50));
            }
        });
        Self(done)
    }
}

impl Drop for Relay {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
    }
}
