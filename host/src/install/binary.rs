//! Finds the agent's program for a device's processor.

use std::fs::File;
use std::io::Read;
use std::path::{Path, PathBuf};

use serde::Serialize;

use super::InstallError;

/// A program that fits a device.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Binary {
    /// The file on this machine.
    pub path: PathBuf,
    /// Its size.
    pub bytes: u64,
}

impl Binary {
    /// The program that the user names, or else the first of the usual places that has one.
    ///
    /// The places, in order (`--help` lists them, too): `$TRT_AGENT_DIR/trt-agent-ARCH`; `trt-agent-ARCH` beside
    /// trt-deploy; `trt-agent` beside it if the device has this machine's processor; what `scripts/build-agent` and
    /// `cargo build --profile agent` made if trt-deploy runs out of a checkout's `build` folder.
    pub fn find(arch: &str, named: Option<&Path>) -> Result<Self, InstallError> {
        if let Some(path) = named {
            return Self::check(path, arch);
        }
        let folder = std::env::var_os("TRT_AGENT_DIR").map(PathBuf::from);
        let program = std::env::current_exe().ok();
        let tried = places(arch, std::env::consts::ARCH, folder.as_deref(), program.as_deref());
        match tried.iter().find(|path| path.is_file()) {
            Some(path) => Self::check(path, arch),
            None => Err(InstallError::BinaryMissing { arch: arch.to_owned(), tried }),
        }
    }

    fn check(path: &Path, arch: &str) -> Result<Self, InstallError> {
        let local = |source| InstallError::Local { path: path.to_owned(), source };
        let mut file = File::open(path).map_err(local)?;
        let bytes = file.metadata().map_err(local)?.len();
        let mut start = Vec::new();
        file.by_ref().take(20).read_to_end(&mut start).map_err(local)?;
        let is = processor(&start);
        if is == Some(arch) {
            return Ok(Self { path: path.to_owned(), bytes });
        }
        let is = is.map_or("none".to_owned(), |is| format!("for {is}"));
        Err(InstallError::WrongBinary { path: path.to_owned(), is, wants: arch.to_owned() })
    }
}

fn places(arch: &str, here: &str, folder: Option<&Path>, program: Option<&Path>) -> Vec<PathBuf> {
    let name = format!("trt-agent-{arch}");
    let mut places: Vec<PathBuf> = folder.map(|folder| folder.join(&name)).into_iter().collect();
    if let Some(beside) = program.and_then(Path::parent) {
        places.push(beside.join(&name));
        if arch == here {
            places.push(beside.join("trt-agent"));
        }
        // build/release/trt-deploy: the folder above is cargo's output folder.
        if let Some(build) = beside.parent() {
            places.push(build.join(format!("{arch}-unknown-linux-gnu/agent/trt-agent")));
            if arch == here {
                places.push(build.join("agent/trt-agent"));
            }
        }
    }
    places
}

/// The processor of a 64-bit ELF file, as `uname -m` names it, by its first 20 bytes (ELF specification, `e_machine`).
fn processor(start: &[u8]) -> Option<&'static str> {
    if start.len() < 20 || !start.starts_with(b"\x7fELF\x02\x01") {
        return None;
    }
    match u16::from_le_bytes([start[18], start[19]]) {
        0x3e => Some("x86_64"),
        0xb7 => Some("aarch64"),
        _ => Some("another processor"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn elf(machine: u8) -> Vec<u8> {
        let mut start = b"\x7fELF\x02\x01\x01".to_vec();
        start.resize(18, 0);
        start.extend([machine, 0]);
        start
    }

    #[test]
    fn the_places_are_searched_in_the_documented_order() {
        let folder = Path::new("/agents");
        let program = Path::new("/src/build/release/trt-deploy");
        let foreign = places("aarch64", "x86_64", Some(folder), Some(program));
        assert_eq!(
            foreign,
            [
                "/agents/trt-agent-aarch64",
                "/src/build/release/trt-agent-aarch64",
                "/src/build/aarch64-unknown-linux-gnu/agent/trt-agent"
            ]
            .map(PathBuf::from)
        );
        let same = places("x86_64", "x86_64", None, Some(program));
        assert_eq!(
            same,
            [
                "/src/build/release/trt-agent-x86_64",
                "/src/build/release/trt-agent",
                "/src/build/x86_64-unknown-linux-gnu/agent/trt-agent",
                "/src/build/agent/trt-agent"
            ]
            .map(PathBuf::from)
        );
    }

    #[test]
    fn a_program_for_another_processor_is_refused_before_it_travels() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("trt-agent");
        for (start, arch, words) in [
            (elf(0x3e), "aarch64", "is for x86_64"),
            (elf(0xb7), "x86_64", "is for aarch64"),
            (b"#!/bin/sh\nexit 0\nexit 1\n".to_vec(), "aarch64", "is none"),
            (b"\x7fELF".to_vec(), "aarch64", "is none"),
        ] {
            std::fs::write(&path, start).unwrap();
            let error = Binary::find(arch, Some(&path)).unwrap_err();
            assert!(error.to_string().ends_with(words), "{error}");
        }
        std::fs::write(&path, elf(0xb7)).unwrap();
        assert_eq!(Binary::find("aarch64", Some(&path)).unwrap().bytes, 20);
    }

    #[test]
    fn a_missing_program_names_every_place() {
        let error = Binary::find("riscv64", None).unwrap_err();
        let InstallError::BinaryMissing { tried, .. } = &error else { panic!("{error}") };
        for path in tried {
            assert!(error.to_string().contains(&path.display().to_string()));
        }
    }
}
