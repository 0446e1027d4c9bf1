//! What is shipped for a model: its files and its table by content, and the manifest that names them.

use std::collections::{BTreeMap, BTreeSet};
use std::fs::File;
use std::io::{self, Write as _};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use tempfile::TempPath;
use trt_calib::CalibrationTable;
use trt_calib::table::Entry;
use trt_onnx::proto::elem;
use trt_onnx::{Dim, Model as Onnx, OnnxError};
use trt_plan::PlanError;
use trt_wire::{BlobId, BuildSpec, FileEntry, Manifest, ModelName, ModelSummary, TableEntry, TensorInfo};

use crate::calibrate::TableOutcome;
use crate::calibrate::keep::{self, KeepError};
use crate::fleet::Model;

/// A model cannot be shipped.
#[derive(Debug, thiserror::Error)]
pub enum BundleError {
    /// The ONNX cannot be used.
    #[error("cannot use the model {}", path.display())]
    Model {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        source: OnnxError,
    },
    /// A file cannot be read.
    #[error("cannot read {}", path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// The system's reason.
        source: io::Error,
    },
    /// No device could build the model as the fleet file asks.
    #[error("model `{model}` cannot be built as the fleet file asks")]
    Ask {
        /// The model.
        model: ModelName,
        /// What does not fit.
        source: PlanError,
    },
    /// `keep` names an activation that the model does not have.
    #[error("model `{model}`: {source}")]
    Keep {
        /// The model.
        model: ModelName,
        /// Which one.
        source: KeepError,
    },
    /// The table cannot be prepared.
    #[error("cannot write the table to be shipped for model `{model}`")]
    Table {
        /// The model.
        model: ModelName,
        /// The system's reason.
        source: io::Error,
    },
    /// A file name cannot be sent.
    #[error("the name of a model's file is not UTF-8: {}", path.display())]
    Name {
        /// The file.
        path: PathBuf,
    },
}

impl BundleError {
    /// What the user can do about it.
    pub fn hint(&self) -> Option<String> {
        match self {
            Self::Model { path, source: OnnxError::NotFound { .. } } => Some(format!(
                "check the path {}; in a fleet file, relative paths start at that file",
                path.display()
            )),
            Self::Model { source, .. } => source.hint(),
            Self::Ask { source, .. } => source.hint(),
            Self::Read { path, .. } => Some(format!("check that {} exists and may be read", path.display())),
            Self::Keep { source, .. } => source.hint(),
            Self::Table { .. } => {
                Some("check the free space of the folder for temporary files (`df -h /tmp`)".into())
            }
            Self::Name { .. } => Some("rename the file".into()),
        }
    }
}

/// Reads and checks a model's ONNX.
pub fn load(onnx: &Path) -> Result<Onnx, BundleError> {
    Onnx::load(onnx).map_err(|source| BundleError::Model { path: onnx.to_owned(), source })
}

/// Checks what can be checked without a device: shapes, the names of `keep`, and where INT8 would get its scales from:
/// Q/DQ nodes and a table are one too many.
pub fn check(model: &Model, onnx: &Onnx) -> Result<(), BundleError> {
    let spec = build_spec(model, own_keep(model, onnx)?);
    trt_plan::check(&summary(onnx), model.calibration.is_some(), &spec)
        .map_err(|source| BundleError::Ask { model: model.name.clone(), source })
}

/// The activations that the fleet file keeps in higher precision.
fn own_keep(model: &Model, onnx: &Onnx) -> Result<BTreeSet<String>, BundleError> {
    let kept = keep::resolve(&model.build.keep, onnx);
    let kept = kept.map_err(|source| BundleError::Keep { model: model.name.clone(), source })?;
    Ok(kept.into_iter().collect())
}

/// What the agent is asked for: the fleet file's word, with names for its patterns.
fn build_spec(model: &Model, keep: BTreeSet<String>) -> BuildSpec {
    BuildSpec { keep: keep.into_iter().collect(), ..model.build.clone() }
}

/// A manifest and where the bytes of its blobs are.
#[derive(Debug, Clone)]
pub struct Bundle {
    /// What the agent is told.
    pub manifest: Manifest,
    /// Where each blob is on this machine.
    pub sources: BTreeMap<BlobId, PathBuf>,
    /// A table that was made for shipping, until it is shipped.
    _table: Option<Arc<TempPath>>,
}

impl Bundle {
    /// Hashes the model's files and the table, and summarises the model for the plan.
    ///
    /// What the fleet file or the table's provenance keeps in higher precision has no scale in the table that is
    /// shipped, whoever made it.
    pub fn of(model: &Model, onnx: &Onnx, table: Option<&TableOutcome>) -> Result<Self, BundleError> {
        let mut keep = own_keep(model, onnx)?;
        keep.extend(table.iter().flat_map(|table| table.keep.iter().cloned()));
        let mut sources = BTreeMap::new();
        let files = files(model, onnx, &mut sources)?;
        let shipped = table.and_then(|outcome| without(&outcome.table, &keep));
        let shipped = shipped.map(|table| written(model, table)).transpose()?;
        let entry = table.map(|outcome| match &shipped {
            Some((path, table)) => table_entry(path, table, &mut sources),
            None => table_entry(&outcome.summary.table, &outcome.table, &mut sources),
        });
        let manifest = Manifest {
            format: Manifest::FORMAT,
            model: model.name.clone(),
            files,
            table: entry.transpose()?,
            summary: summary(onnx),
            build: build_spec(model, keep),
            verification: model.verification,
            hook: model.hook.clone(),
        };
        Ok(Self { manifest, sources, _table: shipped.map(|(path, _)| Arc::new(path)) })
    }
}

/// The table without the scales of `keep`; `None` if it has none of them.
fn without(table: &CalibrationTable, keep: &BTreeSet<String>) -> Option<CalibrationTable> {
    let is_kept =
        |entry: &Entry| std::str::from_utf8(entry.name.as_bytes()).is_ok_and(|name| keep.contains(name));
    let rest: Vec<Entry> = table.entries().iter().filter(|entry| !is_kept(entry)).cloned().collect();
    if rest.len() == table.entries().len() {
        return None;
    }
    CalibrationTable::new(table.header().clone(), rest).ok()
}

fn written(model: &Model, table: CalibrationTable) -> Result<(TempPath, CalibrationTable), BundleError> {
    let write = || {
        let mut file = tempfile::Builder::new().prefix("trt-deploy-").suffix(".cache").tempfile()?;
        file.write_all(&table.write())?;
        Ok(file.into_temp_path())
    };
    let path = write().map_err(|source| BundleError::Table { model: model.name.clone(), source })?;
    Ok((path, table))
}

/// The ONNX first, then its external data, each by its path below the model's folder.
fn files(
    model: &Model,
    onnx: &Onnx,
    sources: &mut BTreeMap<BlobId, PathBuf>,
) -> Result<Vec<FileEntry>, BundleError> {
    let folder = model.onnx.parent().unwrap_or(Path::new(""));
    let name = PathBuf::from(model.onnx.file_name().unwrap_or_default());
    let external = onnx.external_files().into_iter().map(|file| file.path);
    std::iter::once(name)
        .chain(external)
        .map(|path| {
            let text = path.to_str().ok_or_else(|| BundleError::Name { path: path.clone() })?.to_owned();
            let (blob, size) = add(folder.join(&path), sources)?;
            Ok(FileEntry { path: text, blob, size })
        })
        .collect()
}

fn table_entry(
    path: &Path,
    table: &CalibrationTable,
    sources: &mut BTreeMap<BlobId, PathBuf>,
) -> Result<TableEntry, BundleError> {
    let (blob, size) = add(path.to_owned(), sources)?;
    let algorithm = table.header().algorithm().map_or("Legacy", |algorithm| algorithm.word()).to_owned();
    Ok(TableEntry { blob, size, algorithm, tensors: table.entries().len() as u64 })
}

fn add(path: PathBuf, sources: &mut BTreeMap<BlobId, PathBuf>) -> Result<(BlobId, u64), BundleError> {
    let hash = || {
        let mut file = File::open(&path)?;
        let mut hasher = blake3::Hasher::new();
        let size = io::copy(&mut file, &mut hasher)?;
        Ok((BlobId::from_bytes(*hasher.finalize().as_bytes()), size))
    };
    let (blob, size) = hash().map_err(|source| BundleError::Read { path: path.clone(), source })?;
    sources.insert(blob, path);
    Ok((blob, size))
}

fn summary(onnx: &Onnx) -> ModelSummary {
    let tensors = |infos: Vec<trt_onnx::TensorInfo>| infos.iter().map(tensor).collect();
    ModelSummary {
        opset: onnx.opset(),
        has_qdq: onnx.has_qdq(),
        inputs: tensors(onnx.inputs()),
        outputs: tensors(onnx.outputs()),
        operators: onnx.operators().into_iter().map(|(op, count)| (op, count as u64)).collect(),
    }
}

fn tensor(info: &trt_onnx::TensorInfo) -> TensorInfo {
    let dims = info.dims.iter().map(|dim| match dim {
        Dim::Fixed(size) => *size,
        Dim::Symbol(_) | Dim::Unknown => -1,
    });
    TensorInfo { name: info.name.clone(), element: element(info.elem_type), dims: dims.collect() }
}

/// ONNX's own words for element types.
fn element(number: i32) -> String {
    let word = match number {
        elem::FLOAT => "float",
        elem::FLOAT16 => "float16",
        elem::BFLOAT16 => "bfloat16",
        elem::DOUBLE => "double",
        elem::INT8 => "int8",
        elem::UINT8 => "uint8",
        elem::INT32 => "int32",
        elem::INT64 => "int64",
        elem::BOOL => "bool",
        elem::STRING => "string",
        other => return format!("type {other}"),
    };
    word.to_owned()
}
