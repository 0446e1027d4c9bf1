//! Timing caches: what TensorRT measured before, so that it need not measure again. One for each TensorRT and GPU,
//! since it refuses those of others. A forced rebuild is not given one, and replaces it by what it measured.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use trt_wire::{DeviceFacts, TensorRtProduct};

use super::{Result, Store, StoreError, durable};

impl Store {
    /// Puts what is known about this TensorRT and GPU at `copy`, for a build to read and to write anew. A cache that is
    /// not there, or cannot be read, is an empty one.
    pub fn copy_timing_cache(&self, facts: &DeviceFacts, copy: &Path) {
        let Some(path) = self.timing_path(facts) else { return };
        if fs::copy(path, copy).is_err() {
            // Half a cache would be refused by TensorRT with more words than it deserves.
            let _ = fs::remove_file(copy);
        }
    }

    /// Keeps what a build left at `copy`; a build that left nothing changes nothing.
    pub fn keep_timing_cache(&self, facts: &DeviceFacts, copy: &Path) -> Result<()> {
        let Some(path) = self.timing_path(facts) else { return Ok(()) };
        let bytes = match fs::read(copy) {
            Ok(bytes) if bytes.is_empty() => return Ok(()),
            Ok(bytes) => bytes,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
            Err(error) => return Err(StoreError::io(copy)(error)),
        };
        let keep = || {
            durable::create_dir(&self.root.join("timing"))?;
            durable::write(&path, &bytes)
        };
        keep().map_err(StoreError::io(&path))
    }

    /// `timing/<TensorRT>-<GPU>.cache`; `None` for a device without either.
    fn timing_path(&self, facts: &DeviceFacts) -> Option<PathBuf> {
        let (tensorrt, gpu) = (facts.tensorrt.as_ref().ok()?, facts.gpu.as_ref().ok()?);
        let product = match tensorrt.product {
            TensorRtProduct::TensorRt => "tensorrt",
            TensorRtProduct::Rtx => "tensorrt-rtx",
        };
        let [major, minor, patch] = tensorrt.version;
        let [cc_major, cc_minor] = gpu.compute_capability;
        let gpu = format!("{}-sm{cc_major}{cc_minor}", plain(&gpu.name));
        Some(self.root.join("timing").join(format!("{product}-{major}.{minor}.{patch}-{gpu}.cache")))
    }
}

/// The driver's name for a GPU as a part of a file name: `NVIDIA Tegra X1` becomes `NVIDIA-Tegra-X1`.
fn plain(name: &str) -> String {
    name.chars().take(64).map(|c| if c.is_ascii_alphanumeric() { c } else { '-' }).collect()
}

#[cfg(test)]
mod tests {
    use trt_wire::{Gpu, GpuSource, TensorRt};

    use super::*;

    fn facts(version: [u32; 3], gpu: &str) -> DeviceFacts {
        DeviceFacts {
            gpu: Ok(Gpu { name: gpu.into(), compute_capability: [8, 7], source: GpuSource::Driver }),
            tensorrt: Ok(TensorRt {
                product: TensorRtProduct::TensorRt,
                version,
                library: "/usr/lib/libnvinfer.so.10".into(),
                is_known: true,
            }),
            ..DeviceFacts::unknown("a test")
        }
    }

    #[test]
    fn a_cache_is_kept_for_its_tensorrt_and_gpu_and_for_no_other() {
        let dir = tempfile::tempdir().unwrap();
        let store = Store::open(dir.path()).unwrap();
        let copy = store.work_dir().join("timing.cache");
        let orin = facts([10, 3, 0], "Orin (nvgpu)");
        store.keep_timing_cache(&orin, &copy).unwrap();
        store.copy_timing_cache(&orin, &copy);
        assert!(!copy.exists(), "there is none yet");

        fs::write(&copy, b"measured").unwrap();
        store.keep_timing_cache(&orin, &copy).unwrap();
        assert!(dir.path().join("timing/tensorrt-10.3.0-Orin--nvgpu--sm87.cache").exists());
        for (other, expected) in [
            (orin, Some(&b"measured"[..])),
            (facts([10, 3, 1], "Orin (nvgpu)"), None),
            (facts([10, 3, 0], "Xavier"), None),
            (DeviceFacts::unknown("nothing"), None),
        ] {
            let _ = fs::remove_file(&copy);
            store.copy_timing_cache(&other, &copy);
            assert_eq!(fs::read(&copy).ok().as_deref(), expected);
        }
    }

    #[test]
    fn no_name_of_a_gpu_leaves_the_folder() {
        let dir = tempfile::tempdir().unwrap();
        let store = Store::open(dir.path()).unwrap();
        let path = store.timing_path(&facts([8, 2, 1], &format!("../../x/{}", "y".repeat(500)))).unwrap();
        assert_eq!(path.parent().unwrap(), dir.path().join("timing"));
        assert!(path.file_name().unwrap().len() < 128);
    }
}
