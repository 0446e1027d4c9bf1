//! Reading below the facts root, so that a test can be any device.

use std::fs;
use std::path::{Path, PathBuf};

/// The file's place below the root. An absolute link there, such as that of `/etc/nvpmodel.conf`, stays below it.
pub fn below(root: &Path, path: &str) -> PathBuf {
    let path = root.join(path);
    match fs::read_link(&path) {
        Ok(target) => target.strip_prefix("/").map_or(path, |target| root.join(target)),
        Err(_) => path,
    }
}

/// The file's text; `None` if it is not there or cannot be read, which is never an error.
pub fn text(root: &Path, path: &str) -> Option<String> {
    fs::read(below(root, path)).ok().map(|bytes| String::from_utf8_lossy(&bytes).into_owned())
}

/// A file with one number, as sysfs has them.
pub fn number(dir: &Path, name: &str) -> Option<u64> {
    fs::read_to_string(dir.join(name)).ok()?.trim().parse().ok()
}

/// The names in a folder, sorted; none if it cannot be read.
pub fn names(dir: &Path) -> Vec<String> {
    let entries = fs::read_dir(dir).into_iter().flatten().flatten();
    let mut names: Vec<_> = entries.map(|entry| entry.file_name().to_string_lossy().into_owned()).collect();
    names.sort();
    names
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_absolute_link_leads_below_the_root() {
        let root = tempfile::tempdir().unwrap();
        fs::create_dir_all(root.path().join("etc/nvpmodel")).unwrap();
        fs::write(root.path().join("etc/nvpmodel/board.conf"), "here").unwrap();
        std::os::unix::fs::symlink("/etc/nvpmodel/board.conf", root.path().join("etc/nvpmodel.conf"))
            .unwrap();
        std::os::unix::fs::symlink("nvpmodel/board.conf", root.path().join("etc/relative.conf")).unwrap();
        for link in ["etc/nvpmodel.conf", "etc/relative.conf"] {
            assert_eq!(text(root.path(), link).as_deref(), Some("here"), "{link}");
        }
        assert_eq!(text(root.path(), "etc/absent"), None);
    }
}
