//! The table and its sidecar on disk.

use std::fs::{self, File};
use std::io::{self, Write as _};
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};
use tempfile::NamedTempFile;
use trt_calib::sidecar::{self, Stale, Wanted};
use trt_calib::table::{self, TableError};
use trt_calib::{CalibrationTable, Digest, Sidecar};

use super::error::CalibrateError;
use trt_files::{ReadError, read_capped};

/// `<table>.json`.
pub fn sidecar_path(table: &Path) -> PathBuf {
    let mut name = table.as_os_str().to_owned();
    name.push(".json");
    name.into()
}

/// What lies at a table's path.
#[derive(Debug)]
pub struct Found {
    /// The table.
    pub table: CalibrationTable,
    /// The hash of its bytes.
    pub digest: Digest,
    /// Its sidecar, or why there is none.
    pub sidecar: Result<Sidecar, String>,
    /// The hash of the table that was there when the sidecar was written, if it was one of ours.
    replaces: Option<Digest>,
}

/// A sidecar as it lies on disk: what [`Sidecar`] says, and which table its own was to replace.
#[derive(Serialize)]
struct Written<'a> {
    #[serde(flatten)]
    sidecar: &'a Sidecar,
    #[serde(skip_serializing_if = "Option::is_none")]
    replaces: Option<Digest>,
}

/// The part of [`Written`] that [`Sidecar`] does not know.
#[derive(Default, Deserialize)]
struct Replaces {
    #[serde(default)]
    replaces: Option<Digest>,
}

/// Reads a table and its sidecar.
///
/// # Errors
/// [`CalibrateError::Read`], [`CalibrateError::Table`].
pub fn read(path: &Path) -> Result<Found, CalibrateError> {
    let unreadable = |path: &Path, source| CalibrateError::Read { path: path.to_owned(), source };
    let unusable = |source| CalibrateError::Table { path: path.to_owned(), source };
    let bytes = read_capped(path, table::MAX_BYTES as u64).map_err(|error| match error {
        ReadError::TooLarge { bytes, .. } => unusable(TableError::TooLarge { bytes: bytes as usize }),
        ReadError::Io(source) => unreadable(path, source),
    })?;
    let table = CalibrationTable::parse(&bytes).map_err(unusable)?;
    let beside = sidecar_path(path);
    let mut replaces = None;
    let sidecar = match read_capped(&beside, sidecar::MAX_BYTES as u64) {
        Ok(bytes) => {
            replaces = serde_json::from_slice::<Replaces>(&bytes).unwrap_or_default().replaces;
            Sidecar::parse(&bytes).map_err(|error| match std::error::Error::source(&error) {
                Some(source) => format!("{error}: {source}"),
                None => error.to_string(),
            })
        }
        Err(error @ ReadError::TooLarge { .. }) => Err(format!("{}: {error}", beside.display())),
        Err(ReadError::Io(error)) if error.kind() == io::ErrorKind::NotFound => {
            Err("it has no provenance".to_owned())
        }
        Err(ReadError::Io(source)) => return Err(unreadable(&beside, source)),
    };
    Ok(Found { table, digest: Digest::of(&bytes), sidecar, replaces })
}

/// What is to be done about a table.
#[derive(Debug)]
pub enum State {
    /// There is none yet.
    Missing,
    /// It is what would be made now.
    UpToDate(Box<Found>),
    /// It was made by this tool from something else, or belongs to a calibration whose writing was cut short.
    Stale {
        /// Why it is made anew.
        reasons: Vec<String>,
        /// The hash of the table that is there.
        table: Digest,
        /// What was rescued for it.
        rescued: Vec<String>,
    },
    /// It is replaced, since the user said so: why it would not have been.
    Forced(String),
}

impl State {
    /// The table that goes: one of ours, and not one that only the user's word allows to replace.
    pub fn replaced(&self) -> Option<Digest> {
        match self {
            Self::Stale { table, .. } => Some(*table),
            Self::Missing | Self::UpToDate(_) | Self::Forced(_) => None,
        }
    }
}

/// Looks at the table at `path`.
///
/// # Errors
/// [`CalibrateError::Edited`] and [`CalibrateError::Foreign`]: what this tool cannot make again is not replaced
/// without `force`. [`CalibrateError::Read`].
pub fn state(path: &Path, mut wanted: Wanted, force: bool) -> Result<State, CalibrateError> {
    if !path.try_exists().map_err(|source| CalibrateError::Read { path: path.to_owned(), source })? {
        return Ok(State::Missing);
    }
    let refused = |why: &str, error| if force { Ok(State::Forced(why.to_owned())) } else { Err(error) };
    let foreign =
        |why: String| refused(&why, CalibrateError::Foreign { path: path.to_owned(), why: why.clone() });
    let found = match read(path) {
        Ok(found) => found,
        Err(CalibrateError::Table { source, .. }) => return foreign(source.to_string()),
        Err(error) => return Err(error),
    };
    let sidecar = match &found.sidecar {
        Ok(sidecar) => sidecar,
        Err(why) => return foreign(why.clone()),
    };
    let table = found.digest;
    if sidecar.table != table {
        if found.replaces == Some(table) {
            let reasons = vec!["it is the table from before; writing the new one was cut short".to_owned()];
            return Ok(State::Stale { reasons, table, rescued: Vec::new() });
        }
        return refused("the table was edited by hand", CalibrateError::Edited { path: path.to_owned() });
    }
    wanted.table = table;
    let mut reasons = sidecar.staleness(&wanted);
    // Asking for more images than there are, or for others of them all, changes nothing as long as the same ones come
    // of it.
    if wanted.dataset.is_some_and(|dataset| dataset.fingerprint == sidecar.dataset.fingerprint) {
        reasons.retain(|reason| !matches!(reason, Stale::Count { .. } | Stale::Seed { .. }));
    }
    match reasons.is_empty() {
        true if force => Ok(State::Forced("the table is up to date".to_owned())),
        true => Ok(State::UpToDate(Box::new(found))),
        false => Ok(State::Stale {
            reasons: reasons.iter().map(ToString::to_string).collect(),
            table,
            rescued: sidecar.rescued.clone(),
        }),
    }
}

/// Writes a table and its sidecar, each whole or not at all.
///
/// The sidecar comes first. If the power goes between the two, the old table has a sidecar that names another one, as
/// if it had been edited; so the sidecar also says which table of ours it `replaces`, and [`state`] makes that one
/// anew. A table that really was edited is neither.
///
/// # Errors
/// [`CalibrateError::Write`], [`CalibrateError::Provenance`].
pub fn write(
    path: &Path,
    table: &[u8],
    sidecar: &Sidecar,
    replaces: Option<Digest>,
) -> Result<(), CalibrateError> {
    let beside = sidecar_path(path);
    let failed = |path: &Path| {
        let path = path.to_owned();
        move |source| CalibrateError::Write { path, source }
    };
    let folder = super::folder_of(path);
    let mut record = serde_json::to_vec_pretty(&Written { sidecar, replaces })
        .map_err(|source| CalibrateError::Provenance { source })?;
    record.push(b'\n');
    fs::create_dir_all(folder).map_err(failed(folder))?;
    // Both are complete on disk before either gets its name.
    let record = prepare(folder, &record).map_err(failed(&beside))?;
    let table = prepare(folder, table).map_err(failed(path))?;
    let sync = || File::open(folder).and_then(|folder| folder.sync_all()).map_err(failed(folder));
    record.persist(&beside).map_err(|error| failed(&beside)(error.error))?;
    // Or else the disk might get to know the second name first.
    sync()?;
    table.persist(path).map_err(|error| failed(path)(error.error))?;
    sync()
}

/// Removes a file, if it is there.
///
/// # Errors
/// [`CalibrateError::Write`].
pub fn remove(path: &Path) -> Result<(), CalibrateError> {
    match fs::remove_file(path) {
        Err(source) if source.kind() != io::ErrorKind::NotFound => {
            Err(CalibrateError::Write { path: path.to_owned(), source })
        }
        _ => Ok(()),
    }
}

/// Writes a file, whole or not at all.
///
/// # Errors
/// [`CalibrateError::Write`].
pub fn replace(path: &Path, bytes: &[u8]) -> Result<(), CalibrateError> {
    let failed = |source| CalibrateError::Write { path: path.to_owned(), source };
    let folder = super::folder_of(path);
    fs::create_dir_all(folder).map_err(failed)?;
    let file = prepare(folder, bytes).map_err(failed)?;
    file.persist(path).map_err(|error| failed(error.error))?;
    File::open(folder).and_then(|folder| folder.sync_all()).map_err(failed)
}

/// A file in `folder` without its final name; gone if it never gets one.
fn prepare(folder: &Path, bytes: &[u8]) -> io::Result<NamedTempFile> {
    use std::os::unix::fs::PermissionsExt as _;
    let readable = fs::Permissions::from_mode(0o644);
    let mut file =
        tempfile::Builder::new().prefix(".trt-deploy-").permissions(readable).tempfile_in(folder)?;
    file.write_all(bytes)?;
    file.as_file().sync_all()?;
    Ok(file)
}
