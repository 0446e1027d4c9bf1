//! What ends a wait early: Ctrl-C or a deadline.
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use super::TransportError;

/// How often waits look at the flag. A signal handler can set it but not wake a condition variable.
const TICK: Duration = Duration::from_millis(50);

/// A flag that makes every wait of a transport end within 50 ms.
///
/// `signal_hook::flag::register(SIGINT, interrupt.flag())` ties it to Ctrl-C.
#[derive(Debug, Clone, Default)]
pub struct Interrupt(Arc<AtomicBool>);

impl Interrupt {
    /// Ends the waits.
    pub fn trip(&self) {
        self.0.store(true, Ordering::Relaxed);
    }

    /// Whether somebody wants the waits to end.
    pub fn is_tripped(&self) -> bool {
        self.0.load(Ordering::Relaxed)
    }

    /// The flag itself, for a signal handler.
    pub fn flag(&self) -> Arc<AtomicBool> {
        self.0.clone()
    }
}

/// An interrupt together with a deadline and the words for the error.
#[derive(Debug, Clone)]
pub(super) struct Guard {
    interrupt: Interrupt,
    deadline: Option<(Instant, Duration)>,
    peer: String,
    stage: String,
}

impl Guard {
    /// A guard over `stage` (as in "connecting") that lasts `limit`, counted from now.
    pub fn new(interrupt: &Interrupt, peer: &str, stage: &str, limit: Option<Duration>) -> Self {
        Self {
            interrupt: interrupt.clone(),
            deadline: limit.and_then(|limit| Some((Instant::now().checked_add(limit)?, limit))),
            peer: peer.to_owned(),
            stage: stage.to_owned(),
        }
    }

    /// Fails if the wait shall end.
    pub fn check(&self) -> Result<(), TransportError> {
        if self.interrupt.is_tripped() {
            return Err(TransportError::Interrupted);
        }
        match self.deadline {
            Some((at, limit)) if Instant::now() >= at => {
                Err(TransportError::TimedOut { peer: self.peer.clone(), stage: self.stage.clone(), limit })
            }
            _ => Ok(()),
        }
    }

    /// The longest time to wait before checking again.
    pub fn tick(&self) -> Duration {
        match self.deadline {
            Some((at, _)) => at.saturating_duration_since(Instant::now()).min(TICK),
            None => TICK,
        }
    }
}
