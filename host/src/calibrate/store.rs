//! The table and its sidecar on disk.

use std::fs::{self, File};
use std::io::{self, Write as _};
use std::path::{Path, PathBuf};

use tempfile::NamedTempFile;
use trt_calib::sidecar::{Stale, Wanted};
use trt_calib::{CalibrationTable, Digest, Sidecar};

use super::error::CalibrateError;

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
}

/// Reads a table and its sidecar.
///
/// # Errors
/// [`CalibrateError::Read`], [`CalibrateError::Table`].
pub fn read(path: &Path) -> Result<Found, CalibrateError> {
    let bytes = fs::read(path).map_err(|source| CalibrateError::Read { path: path.to_owned(), source })?;
    let table = CalibrationTable::parse(&bytes)
        .map_err(|source| CalibrateError::Table { path: path.to_owned(), source })?;
    let beside = sidecar_path(path);
    let sidecar = match fs::read(&beside) {
        Ok(bytes) => Sidecar::parse(&bytes).map_err(|error| match std::error::Error::source(&error) {
            Some(source) => format!("{error}: {source}"),
            None => error.to_string(),
        }),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Err("it has no provenance".to_owned()),
        Err(source) => return Err(CalibrateError::Read { path: beside, source }),
    };
    Ok(Found { table, digest: Digest::of(&bytes), sidecar })
}

/// What is to be done about a table.
#[derive(Debug)]
pub enum State {
    /// There is none yet.
    Missing,
    /// It is what would be made now.
    UpToDate(Box<Found>),
    /// It was made by this tool from something else: why it is made anew.
    Stale(Vec<Stale>),
    /// It is replaced, since the user said so: why it would not have been.
    Forced(String),
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
    wanted.table = found.digest;
    let reasons = sidecar.staleness(&wanted);
    if reasons.iter().any(|reason| matches!(reason, Stale::TableEdited { .. })) {
        return refused("the table was edited by hand", CalibrateError::Edited { path: path.to_owned() });
    }
    match reasons.is_empty() {
        true if force => Ok(State::Forced("the table is up to date".to_owned())),
        true => Ok(State::UpToDate(Box::new(found))),
        false => Ok(State::Stale(reasons)),
    }
}

/// Writes a table and its sidecar, each whole or not at all.
///
/// The sidecar comes first. If the power goes between the two, the old table has a sidecar with another hash, which
/// [`state`] takes for an edited table: it is said, and nothing is used that does not belong together.
///
/// # Errors
/// [`CalibrateError::Write`].
pub fn write(path: &Path, table: &[u8], sidecar: &Sidecar) -> Result<(), CalibrateError> {
    let beside = sidecar_path(path);
    let failed = |path: &Path| {
        let path = path.to_owned();
        move |source| CalibrateError::Write { path, source }
    };
    let folder = match path.parent() {
        Some(parent) if !parent.as_os_str().is_empty() => parent,
        _ => Path::new("."),
    };
    fs::create_dir_all(folder).map_err(failed(folder))?;
    // Both are complete on disk before either gets its name.
    let sidecar = prepare(folder, &sidecar.write()).map_err(failed(&beside))?;
    let table = prepare(folder, table).map_err(failed(path))?;
    sidecar.persist(&beside).map_err(|error| failed(&beside)(error.error))?;
    table.persist(path).map_err(|error| failed(path)(error.error))?;
    File::open(folder).and_then(|folder| folder.sync_all()).map_err(failed(folder))
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
