//! Back to an earlier release, whose engine is still there and still fits the device.

use std::sync::atomic::AtomicBool;

use trt_wire::message::{Intent, Reply};
use trt_wire::{DeviceFacts, Failure, FailureCode, ModelName, ReleaseId, Retry};

use super::activate;
use crate::config::Config;
use crate::facts::Gatherer;
use crate::store::{BuildRecord, Entry, Store, now};

/// Activates the release before the current one, or the one that `to` names by a prefix of its digits. With
/// [`Intent::Look`] it only finds out which one that is.
pub fn rollback(
    model: &ModelName,
    to: Option<&str>,
    intent: Intent,
    who: &str,
    config: &Config,
    store: &Store,
    gatherer: &Gatherer,
) -> Result<Reply, Failure> {
    let from = store.current(model)?.ok_or_else(|| {
        not_found(format!("no release of `{model}` is active"), "`trt-deploy status` shows what is")
    })?;
    let target = match to {
        Some(prefix) => named(model, prefix, store)?,
        None => store.previous(model)?.ok_or_else(|| {
            let known = known(store, model).unwrap_or_default();
            let message = format!("`{model}` has no earlier release than {from}");
            not_found(message, &format!("name a release with `--to`; those on the device are: {known}"))
        })?,
    };
    if target == from {
        return Err(not_found(
            format!("release {from} of `{model}` is active already"),
            &format!("the releases on the device are: {}", known(store, model)?),
        ));
    }
    let release = store
        .release(model, target)?
        .ok_or_else(|| not_found(format!("release {target} of `{model}` is gone"), "push the model again"))?;
    let record = store.engine(release.engine)?.ok_or_else(|| {
        not_found(format!("the engine of release {target} is gone"), "push the model again")
    })?;
    check_fit(&record, &gatherer.gather(record.plan.runtime.as_ref())?)?;
    activate::hook_of(&release.manifest, config)?;
    let reply = Reply::RolledBack { from, to: target, path: store.engine_path(model).display().to_string() };
    if intent == Intent::Look {
        return Ok(reply);
    }
    // Walking back keeps the way further back; a jump by name makes the way back lead here.
    let previous = match to {
        Some(_) => Some(from),
        None => release.activation.and_then(|activation| activation.previous),
    };
    let result =
        activate::switch(store, config, &release.manifest, target, previous, &AtomicBool::new(false));
    let text = result.as_ref().err().map_or_else(|| "ok".to_owned(), ToString::to_string);
    store.record_or_log(&Entry {
        time: now(),
        who,
        what: "rollback",
        model,
        release: Some(target),
        engine: Some(release.engine),
        result: &text,
    });
    result.map(|()| reply)
}

fn not_found(message: String, hint: &str) -> Failure {
    Failure::new(FailureCode::NotFound, Retry::AfterFix, message).with_hint(hint)
}

/// An engine loads only with the TensorRT and on the GPU that it was built for.
///
/// Plugin libraries are not compared: an engine has the names and versions of their plugins, and the application brings
/// the library. Whether a changed one still takes the old engine only it can say, and who rolls back cannot wait.
fn check_fit(record: &BuildRecord, facts: &DeviceFacts) -> Result<(), Failure> {
    let capability = |facts: &DeviceFacts| facts.gpu.as_ref().ok().map(|gpu| gpu.compute_capability);
    let built = &record.built.tensorrt;
    let same_library =
        facts.tensorrt.as_ref().is_ok_and(|now| (now.product, now.version) == (built.product, built.version));
    if same_library && capability(&record.facts) == capability(facts) && record.facts.l4t == facts.l4t {
        return Ok(());
    }
    let now = facts.tensorrt.as_ref().map_or_else(Clone::clone, ToString::to_string);
    Err(Failure::new(
        FailureCode::NotFound,
        Retry::AfterFix,
        format!("the engine of that release was built by {built} and the device has changed since: {now}"),
    )
    .with_hint("push the model again: a new engine is built from what is on the device"))
}

fn named(model: &ModelName, prefix: &str, store: &Store) -> Result<ReleaseId, Failure> {
    let all = store.releases(model)?;
    let matching: Vec<&ReleaseId> = all.iter().filter(|id| id.full().starts_with(prefix)).collect();
    match matching[..] {
        [one] => Ok(*one),
        _ => {
            let message = format!("{} releases of `{model}` begin with: {prefix}", matching.len());
            Err(not_found(message, &format!("the releases on the device are: {}", known(store, model)?)))
        }
    }
}

fn known(store: &Store, model: &ModelName) -> Result<String, Failure> {
    Ok(store.releases(model)?.iter().map(ToString::to_string).collect::<Vec<_>>().join(", "))
}
