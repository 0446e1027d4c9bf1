//! Back to an earlier release, whose engine is still there.

use trt_wire::message::Reply;
use trt_wire::{Failure, FailureCode, ModelName, ReleaseId, Retry};

use super::activate;
use crate::config::Config;
use crate::store::{Entry, Store, now};

/// Activates the release before the current one, or the one that `to` names by a prefix of its digits.
pub fn rollback(
    model: &ModelName,
    to: Option<&str>,
    who: &str,
    config: &Config,
    store: &Store,
) -> Result<Reply, Failure> {
    let not_found = |message: String, hint: &str| {
        Failure::new(FailureCode::NotFound, Retry::AfterFix, message).with_hint(hint)
    };
    let from = store.current(model)?.ok_or_else(|| {
        not_found(format!("no release of `{model}` is active"), "`trt-deploy status` shows what is")
    })?;
    let target = match to {
        Some(prefix) => named(model, prefix, store)?,
        None => store.previous(model)?.ok_or_else(|| {
            not_found(format!("`{model}` has no earlier release than {from}"), "name a release with `--to`")
        })?,
    };
    let release = store
        .release(model, target)?
        .ok_or_else(|| not_found(format!("release {target} of `{model}` is gone"), "push the model again"))?;
    if store.engine(release.engine)?.is_none() {
        return Err(not_found(format!("the engine of release {target} is gone"), "push the model again"));
    }
    // Walking back keeps the way further back; a jump by name makes the way back lead here.
    let previous = match to {
        Some(_) => Some(from),
        None => release.activation.and_then(|activation| activation.previous),
    };
    let result = activate::switch(store, config, &release.manifest, target, previous);
    let text = result.as_ref().err().map_or_else(|| "ok".to_owned(), ToString::to_string);
    store.record(&Entry {
        time: now(),
        who,
        what: "rollback",
        model,
        release: Some(target),
        engine: Some(release.engine),
        result: &text,
    })?;
    result?;
    Ok(Reply::RolledBack { from, to: target, path: store.engine_path(model).display().to_string() })
}

fn named(model: &ModelName, prefix: &str, store: &Store) -> Result<ReleaseId, Failure> {
    let all = store.releases(model)?;
    let matching: Vec<&ReleaseId> = all.iter().filter(|id| id.full().starts_with(prefix)).collect();
    match matching[..] {
        [one] => Ok(*one),
        _ => {
            let message = format!("{} releases of `{model}` begin with: {prefix}", matching.len());
            let known: Vec<String> = all.iter().map(ToString::to_string).collect();
            Err(Failure::new(FailureCode::NotFound, Retry::AfterFix, message)
                .with_hint(format!("the releases on the device are: {}", known.join(", "))))
        }
    }
}
