//! What the agent keeps, as plain files that an engineer can read over SSH.
//!
//! ```text
//! blobs/ab/abcdef…              immutable, verified, by BLAKE3
//! partial/abcdef…               an upload that has not arrived whole
//! engines/<engine-key>/         engine.plan, build.json, log
//! models/<name>/releases/<id>/  manifest.json, plan.json, engine -> ../../../../engines/<key>, verify.json, activation.json
//! models/<name>/current         symlink, replaced by rename: the only switch there is
//! models/<name>/last-failure.log  TensorRT's words about the last build that failed
//! timing/<TensorRT>-<gpu>.cache  what TensorRT measured in earlier builds
//! work/                         builds under way; emptied at start
//! journal.jsonl                 what happened, by whom, when
//! lock                          held by the one daemon that writes here
//! ```

mod blobs;
mod document;
pub mod durable;
mod engines;
mod journal;
mod releases;
mod timing;

use std::fs::{self, File};
use std::io;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use rustix::fs::{FlockOperation, flock};
use trt_wire::{Failure, FailureCode, Retry};

pub use engines::BuildRecord;
pub use journal::Entry;
use releases::Activation;
pub use releases::NewRelease;

/// How long the lock of a store may outlive the agent that held it: what that agent was just starting holds it, too,
/// until it has become another program.
const SETTLES: Duration = Duration::from_millis(500);

/// The agent's files. Only one process writes to a store.
#[derive(Debug)]
pub struct Store {
    root: PathBuf,
    _lock: File,
}

/// The store cannot be used or does not hold what it should.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// The file system refused.
    #[error("the store failed at {}", path.display())]
    Io {
        /// Where.
        path: PathBuf,
        /// The system's reason.
        source: io::Error,
    },
    /// Another daemon holds the store.
    #[error("another agent uses the store {}", path.display())]
    Locked {
        /// The store.
        path: PathBuf,
    },
    /// A file of ours does not parse.
    #[error("a file of the store is damaged: {}", path.display())]
    Damaged {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        source: serde_json::Error,
    },
    /// A file of ours says what this agent does not know.
    #[error("a file of the store was written by another version of the agent, in format {format}: {}", path.display())]
    OtherVersion {
        /// The file.
        path: PathBuf,
        /// The format it names.
        format: u32,
        /// What this agent does not know, if the format is one that it does.
        source: Option<serde_json::Error>,
    },
    /// An upload had other bytes than announced.
    #[error("the uploaded bytes do not have the announced hash: {got} instead of {want}")]
    Hash {
        /// What arrived.
        got: trt_wire::BlobId,
        /// What was announced.
        want: trt_wire::BlobId,
    },
    /// An upload was continued at another place than where it stopped.
    #[error("an upload continues at byte {offset}, but {have} bytes are here")]
    Offset {
        /// Where the host continues.
        offset: u64,
        /// What is here.
        have: u64,
    },
    /// More or fewer bytes than announced.
    #[error("an upload has {got} bytes instead of the announced {want}")]
    Size {
        /// What arrived.
        got: u64,
        /// What was announced.
        want: u64,
    },
}

impl StoreError {
    fn io(path: &Path) -> impl FnOnce(io::Error) -> Self {
        let path = path.to_owned();
        move |source| Self::Io { path, source }
    }
}

impl From<StoreError> for Failure {
    fn from(error: StoreError) -> Self {
        use std::error::Error;
        let message = match error.source() {
            Some(source) => format!("{error}: {source}"),
            None => error.to_string(),
        };
        match error {
            StoreError::Io { source, .. }
                if matches!(source.kind(), io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded) =>
            {
                Self::new(FailureCode::DiskFull, Retry::AfterFix, message)
                    .with_hint("free space on the device's file system that holds the agent's store")
            }
            StoreError::Hash { .. } => Self::new(FailureCode::HashMismatch, Retry::Now, message)
                .with_hint("the damaged upload was discarded; push again"),
            StoreError::Offset { .. } | StoreError::Size { .. } => {
                Self::new(FailureCode::BadRequest, Retry::Now, message)
                    .with_hint("push again; the upload continues with what the device has")
            }
            StoreError::Damaged { .. } => Self::new(FailureCode::Store, Retry::AfterFix, message)
                .with_hint("remove the named file or its folder on the device and push again"),
            StoreError::OtherVersion { .. } => Self::new(FailureCode::Store, Retry::AfterFix, message)
                .with_hint("push the model again to renew it; applications can use its engine until then"),
            StoreError::Io { .. } | StoreError::Locked { .. } => {
                Self::new(FailureCode::Store, Retry::AfterFix, message)
                    .with_hint("look at the device's file system and at the permissions of the agent's store")
            }
        }
    }
}

type Result<T> = std::result::Result<T, StoreError>;

impl Store {
    /// Opens the store, makes its folders, and removes what an interrupted build left behind.
    pub fn open(root: &Path) -> Result<Self> {
        for dir in ["blobs", "partial", "engines", "models"] {
            let dir = root.join(dir);
            durable::create_dir(&dir).map_err(StoreError::io(&dir))?;
        }
        let lock_path = root.join("lock");
        let lock = File::options().create(true).truncate(false).write(true).open(&lock_path);
        let lock = lock.map_err(StoreError::io(&lock_path))?;
        let deadline = Instant::now() + SETTLES;
        while flock(&lock, FlockOperation::NonBlockingLockExclusive).is_err() {
            if Instant::now() >= deadline {
                return Err(StoreError::Locked { path: root.to_owned() });
            }
            std::thread::sleep(Duration::from_millis(10));
        }
        let store = Self { root: root.to_owned(), _lock: lock };
        let work = store.work_dir();
        match fs::remove_dir_all(&work) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => {
                return Err(StoreError::io(&work)(error));
            }
            _ => durable::create_dir(&work).map_err(StoreError::io(&work))?,
        }
        Ok(store)
    }

    /// Where builds under way have their files; on the same file system as everything else here.
    pub fn work_dir(&self) -> PathBuf {
        self.root.join("work")
    }
}

/// Seconds since 1970 by the device's clock, which on a Jetson without network time may be wrong.
pub fn now() -> u64 {
    std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).map_or(0, |time| time.as_secs())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_store_has_one_writer() {
        let dir = tempfile::tempdir().unwrap();
        let first = Store::open(dir.path()).unwrap();
        assert!(matches!(Store::open(dir.path()), Err(StoreError::Locked { .. })));
        drop(first);
        Store::open(dir.path()).unwrap();
    }

    #[test]
    fn what_an_interrupted_build_left_is_gone_at_the_next_start() {
        let dir = tempfile::tempdir().unwrap();
        drop(Store::open(dir.path()).unwrap());
        fs::write(dir.path().join("work/half-an-engine"), b"x").unwrap();
        let store = Store::open(dir.path()).unwrap();
        assert_eq!(fs::read_dir(store.work_dir()).unwrap().count(), 0);
    }
}
