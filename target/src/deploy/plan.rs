//! What a deployment would do on this device, now.

use std::path::{Component, Path};

use trt_wire::message::{Action, Missing, Planned};
use trt_wire::{BuildPlan, DeviceFacts, Failure, FailureCode, Manifest, QuantMode, Retry};

use super::identity;
use crate::config::Config;
use crate::facts::Gatherer;
use crate::store::Store;

/// Room that a build needs beyond its inputs: the engine, its log and composed graphs, as multiples of the inputs.
const BUILD_SPACE: u64 = 3;

/// Decides; changes nothing.
pub fn plan(
    manifest: &Manifest,
    rebuild: bool,
    config: &Config,
    store: &Store,
    gatherer: &Gatherer,
) -> Result<Planned, Failure> {
    check(manifest, config)?;
    let facts = gatherer.gather();
    let plan = trt_plan::plan(&manifest.summary, manifest.table.is_some(), &manifest.build, &facts).map_err(
        |error| Failure {
            hint: error.hint(),
            ..Failure::new(FailureCode::Unplannable, Retry::AfterFix, error.to_string())
        },
    )?;
    check_abilities(manifest, &plan)?;
    let engine = identity::engine_key(manifest, &plan, &facts);
    let release = identity::release_id(manifest, engine);
    let current = store.current(&manifest.model)?;
    let has_engine = store.engine(engine)?.is_some() && !rebuild;
    let action = match (has_engine, current == Some(release)) {
        (true, true) => Action::Nothing,
        (true, false) => Action::Activate,
        (false, _) => Action::Build,
    };
    let missing = if action == Action::Build { missing(manifest, store) } else { Vec::new() };
    if action == Action::Build {
        check_space(manifest, &missing, &facts)?;
    }
    Ok(Planned {
        action,
        plan,
        engine,
        release,
        current,
        missing,
        last_build_ms: store.last_build_ms(&manifest.model),
        facts,
    })
}

/// The manifest comes from outside: its paths and names must stay within what they may name.
fn check(manifest: &Manifest, config: &Config) -> Result<(), Failure> {
    let refuse = |message: String| Err(Failure::new(FailureCode::BadRequest, Retry::Never, message));
    if manifest.format != Manifest::FORMAT {
        return refuse(format!(
            "the manifest has format {}, this agent knows {}",
            manifest.format,
            Manifest::FORMAT
        ));
    }
    if manifest.files.is_empty() {
        return refuse("the manifest names no files".into());
    }
    for file in &manifest.files {
        let path = Path::new(&file.path);
        if file.path.is_empty() || !path.components().all(|part| matches!(part, Component::Normal(_))) {
            return refuse(format!("a file of the manifest lies outside the model's folder: {}", file.path));
        }
    }
    if let Some(hook) = manifest.hook.as_ref().filter(|hook| !config.hooks.contains_key(*hook)) {
        let known: Vec<&str> = config.hooks.keys().map(|name| name.as_str()).collect();
        return Err(Failure::new(
            FailureCode::NotFound,
            Retry::AfterFix,
            format!("no such hook on the device: {hook}"),
        )
        .with_hint(format!(
            "define it under `hooks` in the agent's configuration; it has: [{}]",
            known.join(", ")
        )));
    }
    Ok(())
}

/// What this version of the agent cannot do yet is refused before anything is uploaded.
fn check_abilities(manifest: &Manifest, plan: &BuildPlan) -> Result<(), Failure> {
    if plan.mode == QuantMode::Implicit {
        return Err(Failure::new(
            FailureCode::Unplannable,
            Retry::Never,
            "this version of the agent cannot give a calibration table to TensorRT 8 to 10",
        )
        .with_hint("use `precision: fp16` or `fp32` for this device, or deploy a model with Q/DQ nodes"));
    }
    if manifest.verification.required {
        return Err(Failure::new(
            FailureCode::NotVerified,
            Retry::Never,
            "the model must be verified on the device, and this version of the agent cannot run engines yet",
        )
        .with_hint("set `verify: {required: false}` for this model to activate it unverified"));
    }
    Ok(())
}

fn missing(manifest: &Manifest, store: &Store) -> Vec<Missing> {
    let absent = manifest.blobs().into_iter().filter(|(blob, _)| !store.has_blob(*blob));
    absent.map(|(blob, size)| Missing { blob, size, have: store.partial_len(blob).min(size) }).collect()
}

fn check_space(manifest: &Manifest, missing: &[Missing], facts: &DeviceFacts) -> Result<(), Failure> {
    let upload: u64 = missing.iter().map(|part| part.size - part.have).sum();
    let inputs: u64 = manifest.blobs().values().sum();
    let needed = upload.saturating_add(inputs.saturating_mul(BUILD_SPACE));
    if needed <= facts.disk_free {
        return Ok(());
    }
    let mib = |bytes: u64| bytes.div_ceil(1 << 20);
    Err(Failure::new(
        FailureCode::DiskFull,
        Retry::AfterFix,
        format!(
            "the build needs about {} MiB of disk, and {} MiB are free",
            mib(needed),
            mib(facts.disk_free)
        ),
    )
    .with_hint("free space on the device's file system that holds the agent's store"))
}
