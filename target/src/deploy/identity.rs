//! What makes two engines, or two releases, the same.

use std::fs::File;
use std::path::{Path, PathBuf};

use serde::Serialize;
use trt_wire::{
    BlobId, BuildPlan, Decision, DeviceFacts, EngineKey, FileEntry, Manifest, QuantMode, ReleaseId, TensorRt,
};

/// Raised whenever the same table and graph are composed differently, so that engines are built again. The test
/// [`composed`](super::composed) notices.
pub const COMPOSER: u32 = 3;

/// Raised whenever the worker gives TensorRT other settings for the same plan, so that engines are built again: a
/// builder flag, what is done with `keep` or with the table's header, an argument of `trtexec`. Nothing can notice that:
/// whoever changes `worker/{configure,keep,implicit,trtexec}` or the calls of `nvinfer` below them thinks of it.
const BUILDER: u32 = 1;

/// Everything an engine depends on, in a fixed order.
///
/// Of the runtime, its name is in the plan and the library that it has in `tensorrt`: another way to start the same
/// library gives the same engine.
#[derive(Serialize)]
struct Ingredients<'a> {
    composer: u32,
    builder: u32,
    generation: u32,
    files: &'a [FileEntry],
    table: Option<BlobId>,
    plan: &'a BuildPlan,
    plugins: &'a [Plugin],
    tensorrt: &'a Result<TensorRt, String>,
    gpu: Option<(&'a str, [u32; 2])>,
    l4t: &'a Option<String>,
}

/// A plugin library as the key sees it: the configuration may give its name to another file, and the file may change.
#[derive(Debug, PartialEq, Eq, Serialize)]
pub struct Plugin {
    path: PathBuf,
    /// What is in it; `None` if it cannot be read from here.
    content: Option<BlobId>,
}

impl Plugin {
    /// Reads the library, if it can be read from here.
    pub fn at(path: PathBuf) -> Self {
        let content = hash_file(&path).ok();
        Self { path, content }
    }

    /// A library at a path that only a worker of the configuration sees. A file of this path here may be another one.
    pub fn elsewhere(path: PathBuf) -> Self {
        Self { path, content: None }
    }
}

/// The key of the engine that this plan would give. The reasons for the plan are no part of it.
///
/// A forced rebuild makes the next `generation`: engines never change, so that it needs a key of its own.
pub fn engine_key(
    manifest: &Manifest,
    plan: &BuildPlan,
    plugins: &[Plugin],
    facts: &DeviceFacts,
    generation: u32,
) -> EngineKey {
    let plan = BuildPlan { decisions: Vec::<Decision>::new(), ..plan.clone() };
    let uses_table = matches!(plan.mode, QuantMode::Implicit | QuantMode::Explicit);
    let ingredients = Ingredients {
        composer: COMPOSER,
        builder: BUILDER,
        generation,
        files: &manifest.files,
        table: manifest.table.as_ref().filter(|_| uses_table).map(|table| table.blob),
        plan: &plan,
        plugins,
        tensorrt: &facts.tensorrt,
        gpu: facts.gpu.as_ref().ok().map(|gpu| (gpu.name.as_str(), gpu.compute_capability)),
        l4t: &facts.l4t,
    };
    EngineKey::of(&canonical(&ingredients))
}

/// The release that this manifest and engine make.
pub fn release_id(manifest: &Manifest, engine: EngineKey) -> ReleaseId {
    ReleaseId::of(&canonical(&(manifest, engine)))
}

/// The BLAKE3 hash of a file, whatever its size.
pub fn hash_file(path: &Path) -> std::io::Result<BlobId> {
    let mut hasher = blake3::Hasher::new();
    std::io::copy(&mut File::open(path)?, &mut hasher)?;
    Ok(BlobId::from_bytes(*hasher.finalize().as_bytes()))
}

/// JSON with fields in the order of declaration and maps in the order of their keys: the same bytes every time.
fn canonical(value: &impl Serialize) -> Vec<u8> {
    serde_json::to_vec(value).expect("plain data with string keys serialises")
}
