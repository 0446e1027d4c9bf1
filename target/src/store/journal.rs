//! What happened, by whom, when: one JSON document per line, readable with `tail`.

use std::fs::File;
use std::io::{self, Read, Seek, SeekFrom, Write};

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
    /// [`Store::record`], for callers whose own result matters more: a failure goes to the daemon's log.
    pub fn record_or_log(&self, entry: &Entry<'_>) {
        if let Err(error) = self.record(entry) {
            eprintln!("the journal could not be written: {error}: {}", serde_json::json!(entry));
        }
    }

    /// Appends one line and makes it durable.
    pub fn record(&self, entry: &Entry<'_>) -> Result<()> {
        let path = self.root.join("journal.jsonl");
        let append = || {
            let mut file = File::options().create(true).read(true).append(true).open(&path)?;
            let mut line = Vec::new();
            if !ends_with_newline(&mut file)? {
                // A power cut tore the last entry; this one gets a line of its own.
                line.push(b'\n');
            }
            line.extend(serde_json::to_vec(entry)?);
            line.push(b'\n');
            file.write_all(&line)?;
            file.sync_data()
        };
        append().map_err(StoreError::io(&path))
    }
}

/// Whether the next entry would begin a line.
fn ends_with_newline(file: &mut File) -> io::Result<bool> {
    if file.metadata()?.len() == 0 {
        return Ok(true);
    }
    let mut last = [0];
    file.seek(SeekFrom::End(-1))?;
    file.read_exact(&mut last)?;
    Ok(last == *b"\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_entry_after_a_torn_one_has_a_line_of_its_own() {
        let dir = tempfile::tempdir().unwrap();
        let store = Store::open(dir.path()).unwrap();
        let model = "m".parse().unwrap();
        let entry = Entry {
            time: 0,
            who: "me",
            what: "build",
            model: &model,
            release: None,
            engine: None,
            result: "ok",
        };
        store.record(&entry).unwrap();
        let path = dir.path().join("journal.jsonl");
        let whole = std::fs::read_to_string(&path).unwrap();
        std::fs::write(&path, &whole[..whole.len() / 2]).unwrap();
        store.record(&entry).unwrap();
        assert!(std::fs::read_to_string(&path).unwrap().ends_with(&format!("\n{whole}")));
    }
}
