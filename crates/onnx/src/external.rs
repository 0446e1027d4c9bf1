//! Tensor data in files beside the model: where it is, whether it is there, and reading it.
//!
//! A model is untrusted input, so a reference may not leave the model's folder, neither by its text nor through a
//! symbolic link, and every size is checked before anything is read.

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io::{self, Read as _, Seek as _, SeekFrom};
use std::path::{Component, Path, PathBuf};

use prost::bytes::Bytes;
use serde::Serialize;

use crate::error::OnnxError;
use crate::graph;
use crate::model::Model;
use crate::proto::{EXTERNAL, ModelProto, TensorProto};
use crate::tensor;

/// A file with external data, relative to the model's folder.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct ExternalFile {
    /// Its path, relative to the folder of the model file.
    pub path: PathBuf,
    /// How long it must be at least, in bytes.
    pub bytes: u64,
}

/// Where one tensor's bytes are.
struct Place {
    path: PathBuf,
    offset: u64,
    length: u64,
}

pub(crate) fn is_external(tensor: &TensorProto) -> bool {
    tensor.data_location == Some(EXTERNAL)
}

/// Checks every external reference of `model`, and, if its folder is known, the files.
pub(crate) fn check(model: &Model) -> Result<(), OnnxError> {
    let mut result = Ok(());
    graph::visit_tensors(&model.proto, &mut |tensor| {
        if result.is_ok() && is_external(tensor) {
            result = match &model.folder {
                Some(folder) => open(tensor, folder).map(|_| ()),
                None => place(tensor).map(|_| ()),
            };
        }
    });
    result
}

/// Every file that a valid model refers to, with the length it needs.
pub(crate) fn files(model: &ModelProto) -> Vec<ExternalFile> {
    let mut files = BTreeMap::<PathBuf, u64>::new();
    graph::visit_tensors(model, &mut |tensor| {
        if is_external(tensor)
            && let Ok(place) = place(tensor)
        {
            let bytes = files.entry(place.path).or_default();
            *bytes = (*bytes).max(place.offset + place.length);
        }
    });
    files.into_iter().map(|(path, bytes)| ExternalFile { path, bytes }).collect()
}

/// Reads an external tensor's bytes.
pub(crate) fn read(tensor: &TensorProto, folder: Option<&Path>) -> Result<Bytes, OnnxError> {
    let folder = folder.ok_or_else(|| OnnxError::ExternalWithoutFolder { tensor: tensor::name(tensor) })?;
    let (mut file, place) = open(tensor, folder)?;
    let mut read = || {
        file.seek(SeekFrom::Start(place.offset))?;
        let mut bytes = Vec::new();
        (&mut file).take(place.length).read_to_end(&mut bytes)?;
        match bytes.len() as u64 == place.length {
            true => Ok(Bytes::from(bytes)),
            false => Err(io::Error::from(io::ErrorKind::UnexpectedEof)),
        }
    };
    read().map_err(|source| OnnxError::ExternalRead { tensor: tensor::name(tensor), source })
}

/// Opens the file of an external tensor after every check there is.
fn open(tensor: &TensorProto, folder: &Path) -> Result<(File, Place), OnnxError> {
    let place = place(tensor)?;
    let name = || tensor::name(tensor);
    let path = folder.join(&place.path);
    let failed = |source: io::Error| match source.kind() {
        io::ErrorKind::NotFound => OnnxError::ExternalAbsent { tensor: name(), path: path.clone() },
        _ => OnnxError::ExternalRead { tensor: name(), source },
    };
    let real = fs::canonicalize(&path).map_err(failed)?;
    if !real.starts_with(fs::canonicalize(folder).map_err(failed)?) {
        return Err(OnnxError::ExternalOutside {
            tensor: name(),
            location: place.path.display().to_string(),
        });
    }
    // Asked before opening, since opening a named pipe waits for its writer.
    let metadata = fs::metadata(&real).map_err(failed)?;
    if !metadata.is_file() {
        return Err(OnnxError::ExternalInvalid { tensor: name(), reason: "`location` is not a file" });
    }
    let (needed, actual) = (place.offset + place.length, metadata.len());
    if actual < needed {
        return Err(OnnxError::ExternalTooShort { tensor: name(), path, needed, actual });
    }
    Ok((File::open(&real).map_err(failed)?, place))
}

/// What the tensor's `external_data` entries say. The sum of offset and length is known not to overflow.
fn place(tensor: &TensorProto) -> Result<Place, OnnxError> {
    let invalid = |reason| OnnxError::ExternalInvalid { tensor: tensor::name(tensor), reason };
    let entry = |key: &str| {
        let found = tensor.external_data.iter().find(|entry| entry.key.as_deref() == Some(key));
        found.map(|entry| entry.value.as_deref().unwrap_or_default())
    };
    let number = |key: &str, reason| match entry(key) {
        Some(text) => text.parse::<u64>().map(Some).map_err(|_| invalid(reason)),
        None => Ok(None),
    };
    let location = entry("location").filter(|location| !location.is_empty());
    let location = location.ok_or_else(|| invalid("no `location`"))?;
    let path: PathBuf = Path::new(location).components().filter(|c| *c != Component::CurDir).collect();
    let inside = path.components().all(|component| matches!(component, Component::Normal(_)));
    if !inside || path.as_os_str().is_empty() || location.contains('\0') {
        return Err(OnnxError::ExternalOutside {
            tensor: tensor::name(tensor),
            location: location.to_owned(),
        });
    }
    let offset = number("offset", "`offset` is not a number")?.unwrap_or(0);
    let size = tensor::byte_size(tensor).ok_or_else(|| invalid("its shape or type has no size in bytes"))?;
    let length = number("length", "`length` is not a number")?.unwrap_or(size);
    if length != size {
        return Err(invalid("`length` does not match its shape and type"));
    }
    offset.checked_add(length).ok_or_else(|| invalid("`offset` is too large"))?;
    Ok(Place { path, offset, length })
}
