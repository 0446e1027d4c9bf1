//! What the configuration names is there: hooks, workers, plugin libraries.

use std::path::{Path, PathBuf};

use rustix::fs::Access;
use trt_wire::Finding;

use super::{advice, good, problem};
use crate::config::Config;

pub fn check(config: &Config) -> Vec<Finding> {
    let default = Some(("worker".to_owned(), &config.default_runtime.worker));
    let named = config.runtimes.iter();
    let workers = named.map(|(name, runtime)| (format!("runtimes.{name}.worker"), &runtime.worker));
    let hooks = config.hooks.iter().map(|(name, hook)| (format!("hooks.{name}.argv"), &hook.argv));
    let programs = default.into_iter().chain(workers).chain(hooks);
    let programs: Vec<_> = programs.filter_map(|(key, argv)| Some((key, argv.first()?))).collect();

    let mut findings: Vec<Finding> =
        programs.iter().filter_map(|(key, program)| missing_program(key, program)).collect();
    findings
        .extend(config.plugins.iter().filter_map(|(name, path)| missing_plugin(config, name.as_str(), path)));
    let named = programs.len() + config.plugins.len();
    if findings.is_empty() && named > 0 {
        findings.push(good(
            "configuration",
            format!("programs and plugin libraries it names, all there: {named}"),
        ));
    }
    findings
}

fn missing_program(key: &str, program: &str) -> Option<Finding> {
    let runs = |path: &Path| path.is_file() && rustix::fs::access(path, Access::EXEC_OK).is_ok();
    let found = match program.contains('/') {
        true => runs(Path::new(program)),
        false => std::env::var_os("PATH")
            .is_some_and(|path| std::env::split_paths(&path).any(|dir: PathBuf| runs(&dir.join(program)))),
    };
    (!found).then(|| {
        problem(
            "configuration",
            format!("`{key}` names a program that cannot be started: {program}"),
            "install it, make it executable, or mend that key of the agent's configuration",
        )
    })
}

/// Paths of plugins are those that the worker sees: with a container they need not be here.
fn missing_plugin(config: &Config, name: &str, path: &Path) -> Option<Finding> {
    if path.is_file() {
        return None;
    }
    let message = format!("the library of `plugins.{name}` is not there: {}", path.display());
    let hint = "install it, or mend that key of the agent's configuration";
    Some(match config.default_runtime.worker.is_empty() {
        true => problem("configuration", message, hint),
        false => advice("configuration", message, "see that the `worker` has it in its container"),
    })
}
