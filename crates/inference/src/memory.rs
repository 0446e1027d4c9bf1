//! How much memory there is: a system that runs out of it ends the program, in the middle and without a word.

use std::fs;
use std::path::{Path, PathBuf};

/// Bytes that this process may still take, the least of what the system has and what its control groups (those of a
/// container) allow; `None` where nothing tells. Swap does not count.
pub(crate) fn available() -> Option<u64> {
    available_below(Path::new("/"))
}

fn available_below(root: &Path) -> Option<u64> {
    let system = fs::read_to_string(root.join("proc/meminfo")).ok();
    let system = system.and_then(|text| Some(1024 * field(&text, "MemAvailable:")?));
    let own = fs::read_to_string(root.join("proc/self/cgroup")).unwrap_or_default();
    // The line of the unified hierarchy, as a path below its mount; the groups above have limits too.
    let own = own.lines().find_map(|line| line.strip_prefix("0::/")).map(PathBuf::from);
    let groups = own.iter().flat_map(|own| own.ancestors());
    let groups = groups.filter_map(|group| left_in(&root.join("sys/fs/cgroup").join(group)));
    groups.chain(system).min()
}

/// Bytes that a control group has left; what it holds of files can be had back.
fn left_in(group: &Path) -> Option<u64> {
    let read = |name: &str| fs::read_to_string(group.join(name)).ok();
    let number = |name: &str| read(name)?.trim().parse::<u64>().ok();
    // The word `max` is no number: there is no limit.
    let limit = number("memory.max")?;
    let stat = read("memory.stat").unwrap_or_default();
    let files = ["active_file", "inactive_file"].iter().filter_map(|name| field(&stat, name)).sum();
    Some(limit.saturating_sub(number("memory.current")?.saturating_sub(files)))
}

/// The number behind a name at the start of a line.
fn field(text: &str, name: &str) -> Option<u64> {
    let value = text.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(char::is_whitespace))?;
    value.split_whitespace().next()?.parse().ok()
}

/// A number of bytes, as people say it.
pub(crate) fn gib(bytes: u64) -> String {
    format!("{:.1} GiB", bytes as f64 / f64::from(1 << 30))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_tightest_limit_counts() {
        let mib = 1_u64 << 20;
        type Case<'a> = (&'a str, &'a [(&'a str, &'a str)], Option<u64>);
        let system = ("proc/meminfo", "MemTotal:  9999999 kB\nMemAvailable:    8192 kB\n");
        let max = |text| ("sys/fs/cgroup/a/b/memory.max", text);
        let current = ("sys/fs/cgroup/a/b/memory.current", "5242880\n");
        let own = ("proc/self/cgroup", "0::/a/b\n");
        let files = ("sys/fs/cgroup/a/b/memory.stat", "anon 1\ninactive_file 1048576\nactive_file 2097152\n");
        let cases: [Case<'_>; 7] = [
            ("nothing tells", &[], None),
            ("the system alone", &[system], Some(8 * mib)),
            ("no limit", &[system, own, max("max\n"), current], Some(8 * mib)),
            ("a limit", &[system, own, max("6291456\n"), current], Some(mib)),
            ("files can go", &[system, own, max("6291456\n"), current, files], Some(4 * mib)),
            ("past the limit", &[system, own, max("1048576\n"), current], Some(0)),
            (
                "a limit further up",
                &[
                    system,
                    own,
                    ("sys/fs/cgroup/a/memory.max", "3145728"),
                    ("sys/fs/cgroup/a/memory.current", "1048576"),
                ],
                Some(2 * mib),
            ),
        ];
        for (what, files, expected) in cases {
            let root = tempfile::tempdir().unwrap();
            for (path, text) in files {
                let path = root.path().join(path);
                fs::create_dir_all(path.parent().unwrap()).unwrap();
                fs::write(path, text).unwrap();
            }
            assert_eq!(available_below(root.path()), expected, "{what}");
        }
        assert!(available().is_some_and(|bytes| bytes > mib), "this machine tells");
        assert_eq!(gib(3 << 29), "1.5 GiB");
    }
}
