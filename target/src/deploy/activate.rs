//! The switch, and the hook that tells the application.

use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use trt_wire::{Failure, FailureCode, Manifest, ReleaseId, Retry};

use crate::config::{Config, Hook};
use crate::store::Store;

/// Makes `release` the active one and runs the model's hook. If the hook fails, what was active before is active again.
pub fn switch(
    store: &Store,
    config: &Config,
    manifest: &Manifest,
    release: ReleaseId,
    previous: Option<ReleaseId>,
) -> Result<(), Failure> {
    let model = &manifest.model;
    let before = store.current(model)?;
    // What is activated once more, after a forced rebuild, keeps its way back.
    let previous = if before == Some(release) { way_back(store, manifest, release)? } else { previous };
    store.activate(model, release, previous)?;
    let Some(hook) = manifest.hook.as_ref().and_then(|name| config.hooks.get(name)) else { return Ok(()) };
    let Err(problem) = run_hook(hook, store, manifest, release) else { return Ok(()) };
    match before {
        Some(before) => {
            store.activate(model, before, way_back(store, manifest, before)?)?;
            // The application may hold the new engine by now: tell it again. This failure is reported already.
            let _ = run_hook(hook, store, manifest, before);
        }
        None => store.deactivate(model)?,
    }
    Err(Failure::new(
        FailureCode::HookFailed,
        Retry::AfterFix,
        format!("the hook failed and what was active before is active again: {problem}"),
    )
    .with_hint(
        "run the hook's program on the device by hand; the agent's configuration names it under `hooks`",
    ))
}

/// Where a rollback from `release` would go.
fn way_back(store: &Store, manifest: &Manifest, release: ReleaseId) -> Result<Option<ReleaseId>, Failure> {
    Ok(store.release(&manifest.model, release)?.and_then(|release| release.activation?.previous))
}

fn run_hook(hook: &Hook, store: &Store, manifest: &Manifest, release: ReleaseId) -> Result<(), String> {
    let mut child = Command::new(&hook.argv[0])
        .args(&hook.argv[1..])
        .env("TRT_MODEL", manifest.model.as_str())
        .env("TRT_RELEASE", release.full())
        .env("TRT_ENGINE", store.engine_path(&manifest.model))
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .spawn()
        .map_err(|error| format!("`{}` could not be started: {error}", hook.argv[0]))?;
    let deadline = Instant::now() + Duration::from_secs(hook.timeout);
    loop {
        match child.try_wait() {
            Ok(Some(status)) if status.success() => return Ok(()),
            Ok(Some(status)) => return Err(format!("`{}` ended with {status}", hook.argv[0])),
            Ok(None) if Instant::now() < deadline => std::thread::sleep(Duration::from_millis(20)),
            Ok(None) => {
                let _ = child.kill();
                let _ = child.wait();
                return Err(format!("`{}` was killed after {} seconds", hook.argv[0], hook.timeout));
            }
            Err(error) => return Err(format!("`{}` could not be waited for: {error}", hook.argv[0])),
        }
    }
}
