//! Engines by key: built once, never changed.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};
use trt_wire::worker::Built;
use trt_wire::{BlobId, BuildPlan, DeviceFacts, EngineKey, ModelName};

use super::{Result, Store, StoreError, document, durable};

/// How an engine came to be; `build.json` beside it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct BuildRecord {
    /// The engine's identity.
    pub key: EngineKey,
    /// The model it was first built for.
    pub model: ModelName,
    /// The hash of `engine.plan`.
    pub engine: BlobId,
    /// The plan it was built by.
    pub plan: BuildPlan,
    /// What the worker reported.
    pub built: Built,
    /// The device at that time.
    pub facts: DeviceFacts,
    /// Seconds since 1970 by the device's clock.
    pub time: u64,
}

impl Store {
    /// The folder of an engine.
    pub fn engine_dir(&self, key: EngineKey) -> PathBuf {
        self.root.join("engines").join(key.full())
    }

    /// The record of a complete engine; `None` if there is no record, or no engine of the recorded length beside it.
    pub fn engine(&self, key: EngineKey) -> Result<Option<BuildRecord>> {
        let dir = self.engine_dir(key);
        let path = dir.join("build.json");
        if !path.exists() {
            return Ok(None);
        }
        let record: BuildRecord = document::read(&path)?;
        let length = fs::metadata(dir.join("engine.plan")).map(|meta| meta.len());
        Ok(length.is_ok_and(|length| length == record.built.engine_bytes).then_some(record))
    }

    /// Takes a finished engine and its log out of `work` into the store. The folder appears complete or not at all.
    pub fn commit_engine(&self, work: &Path, record: &BuildRecord) -> Result<()> {
        let target = self.engine_dir(record.key);
        let staging = work.join("commit");
        let stage = || {
            durable::create_dir(&staging)?;
            for name in ["engine.plan", "log"] {
                fs::rename(work.join(name), staging.join(name))?;
                durable::set_mode(&staging.join(name), 0o644)?;
                fs::File::open(staging.join(name))?.sync_all()?;
            }
            Ok(())
        };
        stage().map_err(StoreError::io(&target))?;
        document::write(&staging.join("build.json"), record)?;
        let commit = || {
            // What is there without being complete (`Store::engine` says no) was damaged by other hands.
            match fs::remove_dir_all(&target) {
                Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
                _ => durable::rename(&staging, &target),
            }
        };
        commit().map_err(StoreError::io(&target))
    }

    /// Wall time of the last successful build of a model here, in milliseconds.
    pub fn last_build_ms(&self, model: &ModelName) -> Option<u64> {
        let engines = fs::read_dir(self.root.join("engines")).ok()?;
        engines
            .filter_map(|entry| document::read::<BuildRecord>(&entry.ok()?.path().join("build.json")).ok())
            .filter(|record| record.model == *model)
            .max_by_key(|record| record.time)
            .map(|record| record.built.wall_ms)
    }
}
