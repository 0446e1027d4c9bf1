//! Facts from files, all below a root folder so that a test can be any Jetson. What is absent is `None`, never fatal.

use std::fs;
use std::path::Path;

/// The host name.
pub fn hostname() -> String {
    rustix::system::uname().nodename().to_string_lossy().into_owned()
}

/// The architecture as `uname -m` says it.
pub fn arch() -> String {
    rustix::system::uname().machine().to_string_lossy().into_owned()
}

/// The board's name from the device tree.
pub fn board(root: &Path) -> Option<String> {
    compatible_list(&root.join("proc/device-tree/model")).into_iter().next()
}

/// The device tree's `compatible` list: part number and SoC, at no fixed position.
pub fn compatible(root: &Path) -> Vec<String> {
    compatible_list(&root.join("proc/device-tree/compatible"))
}

/// Device tree strings are separated and ended by NUL bytes.
fn compatible_list(path: &Path) -> Vec<String> {
    let bytes = fs::read(path).unwrap_or_default();
    let parts = bytes.split(|&byte| byte == 0).filter(|part| !part.is_empty());
    parts.map(|part| String::from_utf8_lossy(part).into_owned()).collect()
}

/// The L4T release such as `36.4.3`, from the first line of `/etc/nv_tegra_release`:
/// `# R36 (release), REVISION: 4.3, GCID: …`.
pub fn l4t(root: &Path) -> Option<String> {
    let text = fs::read_to_string(root.join("etc/nv_tegra_release")).ok()?;
    let line = text.lines().next()?;
    let major = line.strip_prefix("# R")?.split_whitespace().next()?;
    let revision = line.split("REVISION:").nth(1)?.split(',').next()?.trim();
    Some(format!("{major}.{revision}"))
}

/// Total and available main memory in bytes, 0 where unknown.
pub fn memory(root: &Path) -> (u64, u64) {
    let text = fs::read_to_string(root.join("proc/meminfo")).unwrap_or_default();
    let field = |name: &str| {
        let line = text.lines().find_map(|line| line.strip_prefix(name));
        let kib = line.and_then(|line| line.trim().trim_end_matches("kB").trim().parse::<u64>().ok());
        kib.unwrap_or(0) * 1024
    };
    (field("MemTotal:"), field("MemAvailable:"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_orin_nano_is_recognised_from_its_files() {
        let root = tempfile::tempdir().unwrap();
        let write = |path: &str, text: &str| {
            let path = root.path().join(path);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, text).unwrap();
        };
        write("proc/device-tree/model", "NVIDIA Jetson Orin Nano Developer Kit\0");
        write(
            "proc/device-tree/compatible",
            "nvidia,p3768-0000+p3767-0005\0nvidia,p3767-0005\0nvidia,tegra234\0",
        );
        write("etc/nv_tegra_release", "# R36 (release), REVISION: 4.3, GCID: 38968081, BOARD: generic\n");
        write("proc/meminfo", "MemTotal:        7802752 kB\nMemFree: 1 kB\nMemAvailable:    6000000 kB\n");
        assert_eq!(board(root.path()).unwrap(), "NVIDIA Jetson Orin Nano Developer Kit");
        assert_eq!(compatible(root.path()).len(), 3);
        assert_eq!(l4t(root.path()).unwrap(), "36.4.3");
        assert_eq!(memory(root.path()), (7_802_752 * 1024, 6_000_000 * 1024));
    }

    #[test]
    fn a_machine_that_is_no_jetson_has_fewer_facts_and_no_error() {
        let root = tempfile::tempdir().unwrap();
        assert_eq!((board(root.path()), l4t(root.path())), (None, None));
        assert_eq!(memory(root.path()), (0, 0));
    }

    #[test]
    fn a_release_file_in_an_unknown_form_is_not_fatal() {
        for text in ["", "# R36", "R36 (release), REVISION: 1.0", "# R (x) REVISION"] {
            let root = tempfile::tempdir().unwrap();
            fs::create_dir(root.path().join("etc")).unwrap();
            fs::write(root.path().join("etc/nv_tegra_release"), text).unwrap();
            assert_eq!(l4t(root.path()), None, "{text}");
        }
    }
}
