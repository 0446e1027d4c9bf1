//! What the system says about the machine. What is absent is `None` or 0, never fatal.

use std::fs;
use std::path::Path;

use super::files;

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
    strings(&root.join("proc/device-tree/model")).into_iter().next()
}

/// The device tree's `compatible` list: part numbers and SoC, at no fixed position.
pub fn compatible(root: &Path) -> Vec<String> {
    strings(&root.join("proc/device-tree/compatible"))
}

/// Device tree strings are separated and ended by NUL bytes.
fn strings(path: &Path) -> Vec<String> {
    let bytes = fs::read(path).unwrap_or_default();
    let parts = bytes.split(|&byte| byte == 0).filter(|part| !part.is_empty());
    parts.map(|part| String::from_utf8_lossy(part).into_owned()).collect()
}

/// Total and available main memory in bytes, 0 where unknown.
pub fn memory(root: &Path) -> (u64, u64) {
    let text = files::text(root, "proc/meminfo").unwrap_or_default();
    let field = |name: &str| {
        let line = text.lines().find_map(|line| line.strip_prefix(name));
        let kib = line.and_then(|line| line.trim().trim_end_matches("kB").trim().parse::<u64>().ok());
        kib.unwrap_or(0) * 1024
    };
    (field("MemTotal:"), field("MemAvailable:"))
}

/// Swap in bytes.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Swap {
    /// All of it.
    pub total: u64,
    /// The part that is compressed main memory (zram) and adds less than its size.
    pub zram: u64,
}

/// The swap areas of `/proc/swaps`: a heading, then `Filename Type Size Used Priority` with the size in KiB.
pub fn swap(root: &Path) -> Swap {
    let text = files::text(root, "proc/swaps").unwrap_or_default();
    let mut swap = Swap::default();
    for line in text.lines().skip(1) {
        let mut columns = line.split_whitespace();
        let (Some(name), Some(kib)) = (columns.next(), columns.nth(1)) else { continue };
        let bytes = kib.parse::<u64>().unwrap_or(0) * 1024;
        swap.total += bytes;
        if name.contains("zram") {
            swap.zram += bytes;
        }
    }
    swap
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn zram_counts_as_swap_and_is_told_apart() {
        let root = tempfile::tempdir().unwrap();
        fs::create_dir(root.path().join("proc")).unwrap();
        let text = "Filename\t\t\tType\t\tSize\tUsed\tPriority\n/dev/zram0 partition 1000 0 5\n\
                    /swapfile file 4000 12 -2\n";
        fs::write(root.path().join("proc/swaps"), text).unwrap();
        assert_eq!(swap(root.path()), Swap { total: 5000 * 1024, zram: 1000 * 1024 });
    }

    #[test]
    fn a_machine_that_says_nothing_has_no_facts_and_no_error() {
        let root = tempfile::tempdir().unwrap();
        assert_eq!((board(root.path()), compatible(root.path())), (None, vec![]));
        assert_eq!((memory(root.path()), swap(root.path())), ((0, 0), Swap::default()));
    }
}
