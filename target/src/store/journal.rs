//! What happened, by whom, when: one JSON document per line, readable with `tail`.

use std::fs::File;
use std::io::Write;

use serde::Serialize;
use trt_wire::{EngineKey, ModelName, ReleaseId};

use super::{Result, Store, StoreError};

/// One line of the journal.
#[derive(Debug, Clone, Serialize)]
pub struct Entry<'a> {
    /// Seconds since 1970 by the device's clock.
    pub time: u64,
    /// Who asked for it.
    pub who: &'a str,
    /// What was done: `build`, `activate`, `rollback`.
    pub what: &'static str,
    /// To which model.
    pub model: &'a ModelName,
    /// Which release, if one was involved.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub release: Option<ReleaseId>,
    /// Which engine, if one was involved.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub engine: Option<EngineKey>,
    /// `ok`, or what went wrong.
    pub result: &'a str,
}

impl Store {
    /// Appends one line and makes it durable.
    pub fn record(&self, entry: &Entry<'_>) -> Result<()> {
        let path = self.root.join("journal.jsonl");
        let append = || {
            let mut line = serde_json::to_vec(entry)?;
            line.push(b'\n');
            let mut file = File::options().create(true).append(true).open(&path)?;
            file.write_all(&line)?;
            file.sync_data()
        };
        append().map_err(StoreError::io(&path))
    }
}
