//! What goes to the agent, and the failures among it.

use std::io::{self, Write};

use trt_wire::message::{Event, Phase};
use trt_wire::worker::WorkerEvent;
use trt_wire::{Failure, FailureCode, Retry};

/// One event as a line on stdout.
pub fn line(event: &WorkerEvent) {
    let mut line = serde_json::to_vec(event).expect("plain data with string keys serialises");
    line.push(b'\n');
    // Without an agent that listens there is nobody to tell.
    let _ = io::stdout().lock().write_all(&line);
}

/// Something that happens on the way.
pub fn event(event: Event) {
    line(&WorkerEvent::Event { event });
}

/// A phase begins.
pub fn phase(phase: Phase) {
    event(Event::Phase { phase });
}

/// A failure of this simulation, marked as one.
pub fn failure(code: FailureCode, message: impl std::fmt::Display, hint: &str) -> Failure {
    Failure::new(code, Retry::AfterFix, format!("SIMULATED: {message}")).with_hint(hint)
}

/// What the files of a job can do wrong.
pub fn io_failure(path: &std::path::Path) -> impl FnOnce(io::Error) -> Failure {
    move |error| {
        let code = match error.kind() {
            io::ErrorKind::StorageFull => FailureCode::DiskFull,
            _ => FailureCode::Store,
        };
        failure(
            code,
            format_args!("{}: {error}", path.display()),
            "check the agent's store: space and permissions",
        )
    }
}
