//! A file system that is soon full.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

/// A tmpfs over a folder, unmounted when dropped. Mounting takes root.
#[derive(Debug)]
pub struct SmallDisk(PathBuf);

impl SmallDisk {
    /// Whether this user may mount one.
    pub fn is_possible() -> bool {
        let root = rustix::process::getuid().is_root();
        if !root {
            crate::skip_without("root", "mounting a small disk needs root");
        }
        root
    }

    /// Mounts one of `kib` KiB over `path`, which is made.
    pub fn mount(path: PathBuf, kib: u32) -> Self {
        fs::create_dir_all(&path).expect("a mount point");
        let size = format!("size={kib}k");
        let mounted = Command::new("mount").args(["-t", "tmpfs", "-o", &size, "tmpfs"]).arg(&path).status();
        assert!(mounted.is_ok_and(|status| status.success()), "tmpfs could not be mounted");
        Self(path)
    }

    /// Fills it up, except for about `spare` blocks of 4 KiB, with a file called `filler`.
    pub fn fill(path: &Path, spare: u64) -> PathBuf {
        let free = rustix::fs::statvfs(path).expect("a file system");
        let filler = path.join("filler");
        fs::write(&filler, vec![0; (free.f_bavail.saturating_sub(spare) * free.f_frsize) as usize])
            .expect("a filler");
        filler
    }
}

impl Drop for SmallDisk {
    fn drop(&mut self) {
        let _ = Command::new("umount").arg("--lazy").arg(&self.0).status();
    }
}
