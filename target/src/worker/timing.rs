//! The timing cache: what TensorRT measured in earlier builds with this library on this GPU.

use std::fs;
use std::io::{self, Write};
use std::os::unix::fs::PermissionsExt;
use std::path::Path;

use nvinfer::{BuilderConfig, Error, Product, Version};
use trt_wire::{Decision, Failure};

use super::build::build_failed;

/// Gives the builder the cache at `path`, or an empty one if there is none that fits.
///
/// Decided is what costs time: a cache that cannot be used makes this build as slow as the first one.
pub fn start(config: &mut BuilderConfig, path: &Path, version: Version) -> Result<Vec<Decision>, Failure> {
    // RTX takes any cache, uses none, and warns of that in every build.
    if version.product == Product::Rtx {
        return Ok(Vec::new());
    }
    let afresh = |because: String| Decision { what: "every layer is measured afresh".into(), because };
    let mut decisions = Vec::new();
    let bytes = match fs::read(path) {
        Ok(bytes) => bytes,
        Err(error) if error.kind() == io::ErrorKind::NotFound => Vec::new(),
        Err(error) => {
            decisions.push(afresh(format!("the timing cache cannot be read: {error}")));
            Vec::new()
        }
    };
    match config.set_timing_cache(&bytes, false) {
        Err(Error::TimingCache { .. } | Error::Creation { .. }) if !bytes.is_empty() => {
            decisions.push(afresh(
                "TensorRT refuses the timing cache, as it does if the library or GPU is another".into(),
            ));
            config.set_timing_cache(&[], false).map_err(build_failed)?;
        }
        result => result.map_err(build_failed)?,
    }
    Ok(decisions)
}

/// Writes what is known after the build to `path`, whole or not at all.
///
/// A cache that cannot be kept costs time in the next build and nothing in this one, so it is only a decision.
pub fn keep(config: &BuilderConfig, path: &Path) -> Result<(), Decision> {
    let lost =
        |because: String| Decision { what: "the next build measures every layer again".into(), because };
    let cache = match config.timing_cache() {
        Ok(Some(cache)) => cache,
        Ok(None) => return Ok(()),
        Err(error) => return Err(lost(format!("TensorRT did not give its timing cache: {error}"))),
    };
    write(path, &cache).map_err(|error| lost(format!("the timing cache cannot be written: {error}")))
}

fn write(path: &Path, bytes: &[u8]) -> io::Result<()> {
    let parent = path.parent().ok_or(io::ErrorKind::InvalidInput)?;
    fs::create_dir_all(parent)?;
    let mut file = tempfile::NamedTempFile::new_in(parent)?;
    file.write_all(bytes)?;
    // A worker in a container may be another user than the agent, who reads it for the next build.
    file.as_file().set_permissions(fs::Permissions::from_mode(0o644))?;
    file.as_file().sync_all()?;
    file.persist(path).map_err(|error| error.error)?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_cache_is_replaced_as_a_whole_and_its_folder_is_made() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("timing/TensorRT.cache");
        for content in [&b"first, and longer"[..], b"second"] {
            write(&path, content).unwrap();
            assert_eq!(fs::read(&path).unwrap(), content);
            assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o644);
        }
        assert_eq!(fs::read_dir(path.parent().unwrap()).unwrap().count(), 1, "no temporary files are left");
        assert!(write(Path::new("/proc/nowhere/cache"), b"x").is_err());
    }
}
