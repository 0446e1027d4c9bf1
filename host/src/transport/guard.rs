//! What ends a wait early: Ctrl-C or a deadline.
use std::time::{Duration, Instant};

use super::TransportError;
use crate::interrupt::Interrupt;

/// How often waits look at the flag. A signal handler can set it but not wake a condition variable.
const TICK: Duration = Duration::from_millis(50);

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
        if self.interrupt.is_raised() {
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
