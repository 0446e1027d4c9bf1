//! The switch, and the hook that tells the application.

use std::process::{Command, Stdio};
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use trt_wire::{Failure, FailureCode, Manifest, ReleaseId, Retry};

use crate::config::{Config, Hook};
use crate::store::Store;

/// The hook a manifest names, as the device's configuration defines it.
pub fn hook_of<'a>(manifest: &Manifest, config: &'a Config) -> Result<Option<&'a Hook>, Failure> {
    manifest.hook.as_ref().map(|name| config.hook(name)).transpose()
}

/// Makes `release` the active one and runs the model's hook. If the hook fails or is cancelled, what was active before
/// is active again, whatever else of it can still be read.
pub fn switch(
    store: &Store,
    config: &Config,
    manifest: &Manifest,
    release: ReleaseId,
    previous: Option<ReleaseId>,
    cancel: &AtomicBool,
) -> Result<(), Failure> {
    let model = &manifest.model;
    let hook = hook_of(manifest, config)?;
    let before = store.current(model)?;
    // What is activated once more keeps its way back.
    let previous = if before == Some(release) { store.way_back(model, release) } else { previous };
    store.activate(model, release, previous)?;
    let Some(hook) = hook else { return Ok(()) };
    let Err(problem) = run_hook(hook, store, manifest, release, cancel) else { return Ok(()) };
    let undone = match before {
        Some(before) => store.activate(model, before, store.way_back(model, before)),
        None => store.deactivate(model),
    };
    let failed = |message: String| Failure::new(FailureCode::HookFailed, Retry::AfterFix, message);
    if let Err(error) = undone {
        let error = Failure::from(error);
        let message = format!(
            "the hook failed ({problem}), and what was active before could not be made active again: {error}"
        );
        return Err(Failure { hint: error.hint, ..failed(message) });
    }
    if let Some(before) = before {
        // The application may hold the new engine by now: tell it again. This failure is reported already.
        let _ = run_hook(hook, store, manifest, before, &AtomicBool::new(false));
    }
    Err(failed(format!("the hook failed and what was active before is active again: {problem}")).with_hint(
        "run the hook's program on the device by hand; the agent's configuration names it under `hooks`",
    ))
}

fn run_hook(
    hook: &Hook,
    store: &Store,
    manifest: &Manifest,
    release: ReleaseId,
    cancel: &AtomicBool,
) -> Result<(), String> {
    let program = &hook.argv[0];
    let mut child = Command::new(program)
        .args(&hook.argv[1..])
        .env("TRT_MODEL", manifest.model.as_str())
        .env("TRT_RELEASE", release.full())
        .env("TRT_ENGINE", store.engine_path(&manifest.model))
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .spawn()
        .map_err(|error| format!("`{program}` could not be started: {error}"))?;
    let deadline = Instant::now() + Duration::from_secs(hook.timeout);
    let stopped = loop {
        match child.try_wait() {
            Ok(Some(status)) if status.success() => return Ok(()),
            Ok(Some(status)) => return Err(format!("`{program}` ended with {status}")),
            Ok(None) if cancel.load(Ordering::Relaxed) => break format!("`{program}` was cancelled"),
            Ok(None) if Instant::now() >= deadline => {
                break format!("`{program}` was killed after {} seconds", hook.timeout);
            }
            Ok(None) => std::thread::sleep(Duration::from_millis(20)),
            Err(error) => break format!("`{program}` could not be waited for: {error}"),
        }
    };
    let _ = child.kill();
    let _ = child.wait();
    Err(stopped)
}
