//! What makes two engines, or two releases, the same.

use serde::Serialize;
use trt_wire::{
    BlobId, BuildPlan, Decision, DeviceFacts, EngineKey, FileEntry, Manifest, QuantMode, ReleaseId, TensorRt,
};

/// Raised whenever the same table and graph are composed differently, so that engines are built again.
const COMPOSER: u32 = 1;

/// Everything an engine depends on, in a fixed order.
#[derive(Serialize)]
struct Ingredients<'a> {
    composer: u32,
    generation: u32,
    files: &'a [FileEntry],
    table: Option<BlobId>,
    plan: &'a BuildPlan,
    tensorrt: &'a Result<TensorRt, String>,
    gpu: Option<(&'a str, [u32; 2])>,
    l4t: &'a Option<String>,
}

/// The key of the engine that this plan would give. The reasons for the plan are no part of it.
///
/// A forced rebuild makes the next `generation`: engines never change, so that it needs a key of its own.
pub fn engine_key(manifest: &Manifest, plan: &BuildPlan, facts: &DeviceFacts, generation: u32) -> EngineKey {
    let plan = BuildPlan { decisions: Vec::<Decision>::new(), ..plan.clone() };
    let uses_table = matches!(plan.mode, QuantMode::Implicit | QuantMode::Explicit);
    let ingredients = Ingredients {
        composer: COMPOSER,
        generation,
        files: &manifest.files,
        table: manifest.table.as_ref().filter(|_| uses_table).map(|table| table.blob),
        plan: &plan,
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

/// JSON with fields in the order of declaration and maps in the order of their keys: the same bytes every time.
fn canonical(value: &impl Serialize) -> Vec<u8> {
    serde_json::to_vec(value).expect("plain data with string keys serialises")
}
