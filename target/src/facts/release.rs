//! The L4T release, and the JetPack that it belongs to.

use std::path::Path;

use super::files;

/// A JetPack, by its L4T.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct JetPack {
    /// Major, minor, patch of the L4T release.
    l4t: [u32; 3],
    /// The name, such as `6.2`.
    pub name: &'static str,
    /// The TensorRT it comes with. Users upgrade it: nothing but advice may follow from this.
    pub tensorrt: [u32; 3],
}

const fn row(l4t: [u32; 3], name: &'static str, tensorrt: [u32; 3]) -> JetPack {
    JetPack { l4t, name, tensorrt }
}

/// Releases by NVIDIA's JetPack archive. An L4T that is missing here belongs to no JetPack that this program knows.
const RELEASES: [JetPack; 29] = [
    row([32, 6, 1], "4.6", [8, 0, 1]),
    row([32, 7, 1], "4.6.1", [8, 2, 1]),
    row([32, 7, 2], "4.6.2", [8, 2, 1]),
    row([32, 7, 3], "4.6.3", [8, 2, 1]),
    row([32, 7, 4], "4.6.4", [8, 2, 1]),
    row([32, 7, 5], "4.6.5", [8, 2, 1]),
    row([32, 7, 6], "4.6.6", [8, 2, 1]),
    row([35, 1, 0], "5.0.2", [8, 4, 1]),
    row([35, 2, 1], "5.1", [8, 5, 2]),
    row([35, 3, 1], "5.1.1", [8, 5, 2]),
    row([35, 4, 1], "5.1.2", [8, 5, 2]),
    row([35, 5, 0], "5.1.3", [8, 5, 2]),
    row([35, 6, 0], "5.1.4", [8, 5, 2]),
    row([35, 6, 1], "5.1.5", [8, 5, 2]),
    row([35, 6, 4], "5.1.6", [8, 5, 2]),
    row([36, 3, 0], "6.0", [8, 6, 2]),
    row([36, 4, 0], "6.1", [10, 3, 0]),
    row([36, 4, 2], "6.1", [10, 3, 0]),
    row([36, 4, 3], "6.2", [10, 3, 0]),
    row([36, 4, 4], "6.2.1", [10, 3, 0]),
    // A security release without a JetPack of its own.
    row([36, 4, 7], "6.2.1", [10, 3, 0]),
    row([36, 5, 0], "6.2.2", [10, 3, 0]),
    row([36, 5, 2], "6.2.3", [10, 3, 0]),
    row([38, 2, 0], "7.0", [10, 13, 3]),
    row([38, 2, 1], "7.0", [10, 13, 3]),
    row([38, 2, 2], "7.0", [10, 13, 3]),
    row([38, 4, 0], "7.1", [10, 13, 3]),
    row([39, 2, 0], "7.2", [10, 16, 2]),
    row([39, 2, 1], "7.2.1", [10, 16, 2]),
];

/// The L4T release such as `36.4.3`: by `/etc/nv_tegra_release`, else by the installed package `nvidia-l4t-core`.
pub fn l4t(root: &Path) -> Option<String> {
    let by_file = files::text(root, "etc/nv_tegra_release").and_then(|text| by_release_file(&text));
    by_file.or_else(|| files::text(root, "var/lib/dpkg/status").and_then(|text| by_package(&text)))
}

/// `# R36 (release), REVISION: 4.3, GCID: …` on the first line. Its BOARD field is wrong too often to be of use.
fn by_release_file(text: &str) -> Option<String> {
    let line = text.lines().next()?;
    let major = line.strip_prefix("# R")?.split_whitespace().next()?;
    let revision = line.split("REVISION:").nth(1)?.split(',').next()?.trim();
    release(&format!("{major}.{revision}"))
}

/// The version `36.4.3-20250107174145` in the package's paragraph of the database that `dpkg` keeps.
fn by_package(status: &str) -> Option<String> {
    let paragraph = status.split("\n\n").find(|paragraph| {
        let mut lines = paragraph.lines();
        lines.any(|line| line.trim() == "Package: nvidia-l4t-core")
            && lines.any(|line| line.starts_with("Status:") && line.ends_with(" installed"))
    })?;
    let version = paragraph.lines().find_map(|line| line.strip_prefix("Version:"))?;
    release(version.trim().split('-').next()?)
}

/// A release is numbers; anything else is a file in an unknown form.
fn release(text: &str) -> Option<String> {
    numbers(text).map(|_| text.to_owned())
}

fn numbers(text: &str) -> Option<[u32; 3]> {
    let mut numbers = [0; 3];
    for (index, part) in text.split('.').enumerate() {
        *numbers.get_mut(index)? = part.parse().ok()?;
    }
    text.contains('.').then_some(numbers)
}

/// The JetPack of an L4T release, if it is a known one.
pub fn jetpack(l4t: &str) -> Option<JetPack> {
    let l4t = numbers(l4t)?;
    RELEASES.iter().find(|release| release.l4t == l4t).copied()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn release_files_of_every_line_are_read() {
        for (text, l4t, name) in [
            (
                "# R32 (release), REVISION: 7.6, GCID: 38171779, BOARD: t186ref, EABI: aarch64",
                "32.7.6",
                "4.6.6",
            ),
            ("# R35 (release), REVISION: 4.1, GCID: 33958178, BOARD: t186ref", "35.4.1", "5.1.2"),
            ("# R36 (release), REVISION: 3.0, GCID: 36106755, BOARD: generic", "36.3.0", "6.0"),
            ("# R38 (release), REVISION: 2.0, GCID: 41844464, BOARD: generic", "38.2.0", "7.0"),
        ] {
            assert_eq!(by_release_file(text).as_deref(), Some(l4t));
            assert_eq!(jetpack(l4t).unwrap().name, name);
        }
        assert_eq!(jetpack("35.1").unwrap().name, "5.0.2", "a release without a patch number is its first");
    }

    #[test]
    fn a_release_file_in_an_unknown_form_is_not_fatal() {
        for text in [
            "",
            "# R36",
            "R36 (release), REVISION: 1.0",
            "# R (x) REVISION",
            "# R36 (release), REVISION: x.y",
        ] {
            assert_eq!(by_release_file(text), None, "{text}");
        }
        for l4t in ["40.1.0", "36.4.99", "36", "36.4.3.1", "", "x"] {
            assert_eq!(jetpack(l4t), None, "{l4t}");
        }
    }

    #[test]
    fn the_package_counts_only_while_it_is_installed() {
        let paragraph = |status: &str| {
            format!(
                "Package: nvidia-l4t-init\nStatus: install ok installed\nVersion: 1\n\n\
                 Package: nvidia-l4t-core\nStatus: {status}\nVersion: 36.4.3-20250107174145\n\n"
            )
        };
        assert_eq!(by_package(&paragraph("install ok installed")).as_deref(), Some("36.4.3"));
        assert_eq!(by_package(&paragraph("deinstall ok config-files")), None);
        assert_eq!(by_package(&paragraph("install ok not-installed")), None);
        assert_eq!(by_package("Package: bash\nVersion: 5\n"), None);
    }
}
