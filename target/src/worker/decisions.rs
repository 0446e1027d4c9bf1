//! What is decided on the way, told when it is decided: a build may take an hour after it.

use trt_wire::Decision;

use super::log::Log;

/// Everything decided so far.
#[derive(Debug)]
pub struct Decisions {
    all: Vec<Decision>,
    log: Log,
}

impl Decisions {
    /// None yet; they will be told to the host and noted in the log.
    pub fn new(log: &Log) -> Self {
        Self { all: Vec::new(), log: log.clone() }
    }

    /// Adds these, and tells them.
    pub fn tell(&mut self, decisions: impl IntoIterator<Item = Decision>) {
        for decision in decisions {
            self.log.decided(&decision);
            self.all.push(decision);
        }
    }

    /// All of them, in the order in which they were told.
    pub fn into_all(self) -> Vec<Decision> {
        self.all
    }
}
