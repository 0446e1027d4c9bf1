//! What a deployment would do on this device, now.

use std::path::{Component, Path};

use trt_wire::message::{Action, Missing, Planned};
use trt_wire::{
    Decision, DeviceFacts, EngineKey, Failure, FailureCode, Manifest, ReleaseId, Retry, RuntimeName,
};

use super::identity::Plugin;
use super::{activate, identity};
use crate::config::{Config, Runtime};
use crate::store::{Store, StoreError};

/// Room that a build needs beyond its inputs: the engine, its log and composed graphs, as multiples of the inputs.
const BUILD_SPACE: u64 = 3;

/// Decides; changes nothing. `facts` gathers those about a place to build in, once the manifest is known to make sense.
///
/// `table_promised` plans for a table of that algorithm that is not there yet; such a plan cannot be carried out.
pub fn plan(
    manifest: &Manifest,
    rebuild: bool,
    table_promised: Option<&str>,
    config: &Config,
    store: &Store,
    facts: impl FnOnce(Option<&RuntimeName>) -> Result<DeviceFacts, Failure>,
) -> Result<Planned, Failure> {
    check(manifest, config)?;
    let plugins = config.plugin_paths(&manifest.build.plugins)?;
    let runtime = config.runtime(manifest.build.runtime.as_ref())?;
    let facts = facts(manifest.build.runtime.as_ref())?;
    let table = manifest.table.as_ref().map(|table| table.algorithm.as_str()).or(table_promised);
    let mut plan =
        trt_plan::plan(&manifest.summary, table, &manifest.build, &facts).map_err(|error| Failure {
            hint: error.hint(),
            ..Failure::new(FailureCode::Unplannable, Retry::AfterFix, error.to_string())
        })?;
    check_verification(manifest)?;
    plan.decisions.extend(unseen_plugins(manifest, runtime));
    let seen = if runtime.worker.is_empty() { Plugin::at } else { Plugin::elsewhere };
    let plugins: Vec<Plugin> = plugins.into_iter().map(seen).collect();
    let key = |generation| identity::engine_key(manifest, &plan, &plugins, &facts, generation);
    let engine = newest_or_next(key, rebuild, store)?;
    let release = identity::release_id(manifest, engine);
    let current = store.current(&manifest.model)?;
    let has_engine = matches!(look(engine, store)?, Place::Taken);
    let is_active = current == Some(release) && is_whole(manifest, release, store)?;
    let action = match (has_engine, is_active) {
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

/// What the store has under an engine's key.
enum Place {
    Free,
    /// An engine that this agent knows all about.
    Taken,
    /// An engine of which only another version of the agent knows all. It may be in use and stays where it is.
    Foreign,
}

fn look(key: EngineKey, store: &Store) -> Result<Place, StoreError> {
    match store.engine(key) {
        Ok(Some(_)) => Ok(Place::Taken),
        Ok(None) => Ok(Place::Free),
        Err(StoreError::OtherVersion { .. }) => Ok(Place::Foreign),
        Err(error) => Err(error),
    }
}

/// The key of the newest engine of this plan that is here; of the one after it if there is none, and for a forced
/// rebuild.
fn newest_or_next(
    key: impl Fn(u32) -> EngineKey,
    rebuild: bool,
    store: &Store,
) -> Result<EngineKey, Failure> {
    let mut newest = None;
    let mut generation = 0;
    loop {
        let here = key(generation);
        match look(here, store)? {
            Place::Free => return Ok(newest.filter(|_| !rebuild).unwrap_or(here)),
            Place::Taken => newest = Some(here),
            Place::Foreign => {}
        }
        generation += 1;
    }
}

/// Whether a release is here and can be read. One that cannot be is activated again, which writes its documents anew.
fn is_whole(manifest: &Manifest, release: ReleaseId, store: &Store) -> Result<bool, StoreError> {
    match store.release(&manifest.model, release) {
        Ok(release) => Ok(release.is_some()),
        Err(StoreError::OtherVersion { .. } | StoreError::Damaged { .. }) => Ok(false),
        Err(error) => Err(error),
    }
}

/// What the user must know about plugin libraries that the agent cannot look into.
fn unseen_plugins(manifest: &Manifest, runtime: &Runtime) -> Option<Decision> {
    let names = &manifest.build.plugins;
    let is_unseen = !names.is_empty() && !runtime.worker.is_empty();
    is_unseen.then(|| Decision {
        what: format!(
            "an engine counts as the same whatever its plugin libraries hold ({}): push with `--rebuild` after \
             changing one",
            names.iter().map(ToString::to_string).collect::<Vec<_>>().join(", ")
        ),
        because: "the worker of the device's configuration loads them, in a container maybe, where the agent does \
                  not see them"
            .into(),
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
    activate::hook_of(manifest, config)?;
    Ok(())
}

/// A release that must be proven is refused before anything is uploaded.
fn check_verification(manifest: &Manifest) -> Result<(), Failure> {
    if !manifest.verification.required {
        return Ok(());
    }
    let message = format!(
        "`{}` must be verified on the device, and this version of the agent cannot compare an engine with FP32 yet",
        manifest.model
    );
    Err(Failure::new(FailureCode::NotVerified, Retry::Never, message)
        .with_hint("set `verify: {required: false}` for this model to activate it unverified"))
}

fn missing(manifest: &Manifest, store: &Store) -> Vec<Missing> {
    let absent = manifest.blobs().into_iter().filter(|(blob, _)| !store.has_blob(*blob));
    absent.map(|(blob, size)| Missing { blob, size, have: store.partial_len(blob).min(size) }).collect()
}

fn check_space(manifest: &Manifest, missing: &[Missing], facts: &DeviceFacts) -> Result<(), Failure> {
    let sum = |sizes: &mut dyn Iterator<Item = u64>| sizes.fold(0u64, u64::saturating_add);
    let upload = sum(&mut missing.iter().map(|part| part.size - part.have));
    let inputs = sum(&mut manifest.blobs().into_values());
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
