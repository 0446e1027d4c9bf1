//! `Cross.toml`, as far as it can be checked without Docker: `cross` itself is never run here, since it would replace the
//! machine's toolchain.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use serde::Deserialize;

/// As much of the configuration of cross 0.2.5 as we use; it only warns of keys that it does not know.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct CrossToml {
    target: BTreeMap<String, Target>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Target {
    image: String,
}

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().expect("tests/ lies in the workspace")
}

/// The files with `ending` below `dir`, this test's own not among them.
fn files(dir: &Path, ending: &str) -> Vec<PathBuf> {
    let entries = fs::read_dir(dir).unwrap_or_else(|error| panic!("{}: {error}", dir.display()));
    let paths: Vec<PathBuf> = entries.map(|entry| entry.expect("an entry").path()).collect();
    let (dirs, files): (Vec<_>, Vec<_>) = paths.into_iter().partition(|path| path.is_dir());
    let wanted = files.into_iter().filter(|path| path.to_string_lossy().ends_with(ending));
    wanted.chain(dirs.iter().flat_map(|dir| self::files(dir, ending))).collect()
}

#[test]
fn cross_builds_for_jetsons_in_an_image_whose_glibc_every_jetpack_has() {
    let text = fs::read_to_string(root().join("Cross.toml")).expect("Cross.toml");
    let cross: CrossToml = toml::from_str(&text).expect("keys that cross 0.2.5 knows and nothing else");
    let targets: Vec<(&str, &str)> =
        cross.target.iter().map(|(name, target)| (name.as_str(), target.image.as_str())).collect();
    // Ubuntu 16.04 with glibc 2.23; the tag `main` has a newer one than JetPack 4 and 5.
    let triple = "aarch64-unknown-linux-gnu";
    assert_eq!(targets, [(triple, "ghcr.io/cross-rs/aarch64-unknown-linux-gnu:0.2.5")]);
    let commands = text.lines().filter(|line| line.trim_start_matches('#').trim().starts_with("cross build"));
    let commands: Vec<&str> = commands.collect();
    assert_eq!(commands.len(), 1, "the comment shows how to build");
    for words in ["--profile agent", "-p trt-agent", triple] {
        assert!(commands[0].contains(words), "{words}");
    }
    let manifest = fs::read_to_string(root().join("Cargo.toml")).expect("Cargo.toml");
    assert!(manifest.contains("[profile.agent]"), "the profile that the comment names");
}

#[test]
fn no_script_runs_cross_or_changes_the_toolchain() {
    let scripts = files(&root().join("scripts"), "").into_iter().chain([root().join(".ci/run")]);
    for script in scripts {
        let Ok(text) = fs::read_to_string(&script) else { continue };
        for line in text.lines().filter(|line| !line.trim_start().starts_with('#')) {
            let runs = |command: &str| line.trim_start().starts_with(command);
            let forbidden = ["cross ", "rustup toolchain", "rustup target", "rustup update"];
            assert!(!forbidden.into_iter().any(runs), "{}: {line}", script.display());
        }
    }
}
