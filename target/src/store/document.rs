//! JSON documents of the store. Each says in which format it is written, since the next to read it may be the agent of
//! another version: after an upgrade, or after going back.
//!
//! An older format is read: what it lacks has a default where the type is defined, and the documents in `format-1/`
//! prove that. A newer one, or one with words that this agent does not know, is [`StoreError::OtherVersion`]: nothing
//! is wrong with it, and nobody is told to remove it.

use std::fs;
use std::path::Path;

use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use serde_json::error::Category;
use trt_wire::message::VerifyOutcome;
use trt_wire::{BuildPlan, Manifest};

use super::{Activation, BuildRecord, Result, StoreError, durable};

/// What is stored as a JSON document.
///
/// A new field needs a default for documents without it and no other format. The format is raised if older agents
/// must not read what is written now, because they would take it for something else.
pub trait Document: Serialize + DeserializeOwned {
    /// The format that is written.
    const FORMAT: u32;
}

impl Document for Manifest {
    const FORMAT: u32 = Self::FORMAT;
}

impl Document for BuildRecord {
    const FORMAT: u32 = 2;
}

impl Document for BuildPlan {
    const FORMAT: u32 = 2;
}

impl Document for VerifyOutcome {
    const FORMAT: u32 = 1;
}

impl Document for Activation {
    const FORMAT: u32 = 1;
}

/// The beginning of every document but the manifest, which has its own `format`.
#[derive(Serialize)]
struct Written<'a, T> {
    format: u32,
    #[serde(flatten)]
    document: &'a T,
}

/// As much of a document as must be understood before the rest.
#[derive(Deserialize)]
struct Head {
    /// The first documents had none.
    #[serde(default = "first")]
    format: u32,
}

fn first() -> u32 {
    1
}

/// Replaces the document at `path`, durably.
pub fn write<T: Document>(path: &Path, document: &T) -> Result<()> {
    durable::write_json(path, &Written { format: T::FORMAT, document }).map_err(StoreError::io(path))
}

/// Replaces the manifest at `path`, durably.
pub fn write_manifest(path: &Path, manifest: &Manifest) -> Result<()> {
    durable::write_json(path, manifest).map_err(StoreError::io(path))
}

/// Reads the document at `path`.
pub fn read<T: Document>(path: &Path) -> Result<T> {
    let text = fs::read(path).map_err(StoreError::io(path))?;
    let damaged = |source| StoreError::Damaged { path: path.to_owned(), source };
    let Head { format } = serde_json::from_slice(&text).map_err(damaged)?;
    let other_version = |source| StoreError::OtherVersion { path: path.to_owned(), format, source };
    if format > T::FORMAT {
        return Err(other_version(None));
    }
    serde_json::from_slice(&text).map_err(|source| match source.classify() {
        // It is whole: somebody else knows what it says.
        Category::Data => other_version(Some(source)),
        Category::Io | Category::Syntax | Category::Eof => damaged(source),
    })
}

#[cfg(test)]
mod tests {
    use trt_wire::{Failure, Precision};

    use super::*;

    const RECORD: &str = include_str!("format-1/build.json");
    const MANIFEST: &str = include_str!("format-1/manifest.json");

    fn read_text<T: Document>(text: &str) -> Result<T> {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("document.json");
        fs::write(&path, text).unwrap();
        read(&path)
    }

    #[test]
    fn what_the_first_agents_wrote_is_read() {
        let manifest: Manifest = read_text(MANIFEST).unwrap();
        assert_eq!((manifest.format, manifest.build.precision), (1, Precision::Int8));
        assert!(manifest.build.keep.is_empty() && manifest.build.plugins.is_empty());
        let record: BuildRecord = read_text(RECORD).unwrap();
        assert_eq!(record.plan.decisions.len(), 1);
        assert!(record.built.tensorrt.is_known);
        assert_eq!((record.facts.hostname.as_str(), record.facts.dla_cores), ("desk", 0));
        read_text::<VerifyOutcome>(include_str!("format-1/verify.json")).unwrap();
        assert_eq!(read_text::<Activation>(include_str!("format-1/activation.json")).unwrap().previous, None);
    }

    #[test]
    fn what_is_written_names_its_format_and_is_read_again() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("build.json");
        let record: BuildRecord = read_text(RECORD).unwrap();
        write(&path, &record).unwrap();
        let text = fs::read_to_string(&path).unwrap();
        assert!(text.starts_with(&format!("{{\n  \"format\": {},\n", BuildRecord::FORMAT)), "{text}");
        assert_eq!(read::<BuildRecord>(&path).unwrap(), record);
        let verify: VerifyOutcome = read_text(include_str!("format-1/verify.json")).unwrap();
        write(&path, &verify).unwrap();
        assert_eq!(read::<VerifyOutcome>(&path).unwrap(), verify);
    }

    #[test]
    fn documents_of_other_agents_are_told_from_damaged_ones_and_never_to_be_removed() {
        let newer = MANIFEST.replacen("\"format\": 1", "\"format\": 77, \"news\": []", 1);
        let unknown_word = RECORD.replacen("\"explicit\"", "\"int4\"", 1);
        assert!(newer != MANIFEST && unknown_word != RECORD);
        for error in
            [read_text::<Manifest>(&newer).unwrap_err(), read_text::<BuildRecord>(&unknown_word).unwrap_err()]
        {
            assert!(matches!(error, StoreError::OtherVersion { .. }), "{error:?}");
            let failure = Failure::from(error);
            let hint = failure.hint.unwrap();
            assert!(failure.message.contains("another version of the agent"), "{}", failure.message);
            assert!(hint.contains("push the model again") && !hint.contains("remove"), "{hint}");
        }
        for text in ["", "{\"key\": \"", "\0\0\0\0", &RECORD[..RECORD.len() / 2]] {
            let error = read_text::<BuildRecord>(text).unwrap_err();
            assert!(matches!(error, StoreError::Damaged { .. }), "{text:?}: {error:?}");
        }
    }

    #[test]
    fn an_engine_is_read_whatever_is_known_about_devices_then_or_now() {
        let fewer = |field: &str| {
            let mut record: serde_json::Value = serde_json::from_str(RECORD).unwrap();
            record["facts"].as_object_mut().unwrap().remove(field).unwrap();
            read_text::<BuildRecord>(&record.to_string()).unwrap()
        };
        let record: serde_json::Value = serde_json::from_str(RECORD).unwrap();
        for field in record["facts"].as_object().unwrap().keys() {
            assert_eq!(fewer(field).built.engine_bytes, 4, "{field}");
        }
    }
}
