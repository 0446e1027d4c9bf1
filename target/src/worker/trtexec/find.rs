//! Finds the `trtexec` of a TensorRT, and asks it for its version.

use std::ffi::OsStr;
use std::ops::ControlFlow;
use std::path::{Path, PathBuf};
use std::time::Duration;

use nvinfer::Version;
use rustix::fs::Access;
use trt_wire::{TensorRt, TensorRtProduct, Trtexec};

use super::process;

const PROGRAM: &str = "trtexec";
/// JetPack 4 to 6, and 7.2.
const USUAL: [&str; 2] = ["/usr/src/tensorrt/bin", "/usr/bin"];
/// Loading TensorRT from slow storage takes seconds.
const LIMIT: Duration = Duration::from_secs(20);
/// The banner is the first line; what comes instead of it need not be read for long.
const MOST_LINES: usize = 1_000;

/// The first `trtexec` whose banner names the version of `tensorrt`, else the first there is.
///
/// Looked for beside the configuration's folder, where JetPack puts it, and on `$PATH`. TensorRT-RTX has none.
pub fn find(tensorrt_dir: Option<&Path>, tensorrt: Option<&TensorRt>) -> Option<Trtexec> {
    if tensorrt.is_some_and(|tensorrt| tensorrt.product == TensorRtProduct::Rtx) {
        return None;
    }
    let path = std::env::var_os("PATH").unwrap_or_default();
    choose(&candidates(tensorrt_dir, &path), tensorrt.map(|tensorrt| tensorrt.version), |program| {
        version(program, tensorrt_dir)
    })
}

/// The first `trtexec` there is, of whatever version; it is not run.
pub fn first(tensorrt_dir: Option<&Path>, tensorrt: &TensorRt) -> Option<PathBuf> {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let is_rtx = tensorrt.product == TensorRtProduct::Rtx;
    if is_rtx { None } else { candidates(tensorrt_dir, &path).into_iter().next() }
}

/// Every place where one is, the most likely first.
fn candidates(tensorrt_dir: Option<&Path>, path: &OsStr) -> Vec<PathBuf> {
    let beside = tensorrt_dir.into_iter().flat_map(|dir| {
        let parents = dir.parent().map(|parent| parent.join("bin"));
        parents.into_iter().chain([dir.join("bin"), dir.to_owned()])
    });
    let usual = USUAL.iter().map(PathBuf::from);
    let mut found: Vec<PathBuf> = Vec::new();
    for dir in beside.chain(usual).chain(std::env::split_paths(path)) {
        let program = dir.join(PROGRAM);
        let runs =
            dir.is_absolute() && program.is_file() && rustix::fs::access(&program, Access::EXEC_OK).is_ok();
        if runs && !found.contains(&program) {
            found.push(program);
        }
    }
    found
}

fn choose(
    candidates: &[PathBuf],
    wanted: Option<[u32; 3]>,
    version: impl Fn(&Path) -> Option<[u32; 3]>,
) -> Option<Trtexec> {
    let mut first = None;
    for program in candidates {
        let found = Trtexec { path: program.display().to_string(), version: version(program) };
        if wanted.is_none() || found.version == wanted {
            return Some(found);
        }
        first.get_or_insert(found);
    }
    first
}

/// What its banner says when it is asked for help, which starts nothing.
fn version(program: &Path, tensorrt_dir: Option<&Path>) -> Option<[u32; 3]> {
    let mut command = process::command(program, tensorrt_dir);
    command.arg("--help");
    let (mut found, mut lines) = (None, 0);
    let asked = process::run(command, Some(LIMIT), |_, line| {
        lines += 1;
        found = banner(line);
        if found.is_some() || lines >= MOST_LINES {
            ControlFlow::Break(())
        } else {
            ControlFlow::Continue(())
        }
    });
    asked.ok().and(found)
}

/// The version of a line such as `&&&& RUNNING TensorRT.trtexec [TensorRT v8502] # trtexec --help`.
///
/// Four digits are 8.x, six are 10.x and later, which may be followed by a build number. Only what stands before the
/// `#` counts: after it come the arguments.
pub fn banner(line: &str) -> Option<[u32; 3]> {
    let said = line.strip_prefix("&&&& ")?.split('#').next()?;
    let digits = said.split_once("[TensorRT v")?.1.split(']').next()?;
    let is_number = matches!(digits.len(), 4 | 6) && digits.bytes().all(|byte| byte.is_ascii_digit());
    if is_number { Version::decode(digits.parse().ok()?) } else { None }
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    #[test]
    fn banners_of_every_age_are_read() {
        let cases = [
            ("&&&& RUNNING TensorRT.trtexec [TensorRT v8201] # trtexec --help", Some([8, 2, 1])),
            (
                "&&&& RUNNING TensorRT.trtexec [TensorRT v8502] # /usr/src/tensorrt/bin/trtexec",
                Some([8, 5, 2]),
            ),
            ("&&&& RUNNING TensorRT.trtexec [TensorRT v100300] # trtexec", Some([10, 3, 0])),
            ("&&&& RUNNING TensorRT.trtexec [TensorRT v101602] [b27] # trtexec", Some([10, 16, 2])),
            ("&&&& PASSED TensorRT.trtexec [TensorRT v120001] [b3] # trtexec", Some([12, 0, 1])),
            ("&&&& RUNNING TensorRT.trtexec # trtexec --onnx=[TensorRT v8201]", None),
            ("&&&& RUNNING TensorRT.trtexec [TensorRT v] # trtexec", None),
            ("&&&& RUNNING TensorRT.trtexec [TensorRT v10701] # trtexec", None),
            ("&&&& RUNNING TensorRT.trtexec [TensorRT v99999999999] # trtexec", None),
            ("[I] TensorRT v8201", None),
            ("", None),
        ];
        for (line, expected) in cases {
            assert_eq!(banner(line), expected, "{line}");
        }
    }

    #[test]
    fn places_are_searched_in_order_and_only_programs_count() {
        let dir = tempfile::tempdir().unwrap();
        let program = |place: &str, mode: u32| {
            let path = dir.path().join(place).join(PROGRAM);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(&path, "#!/bin/sh\n").unwrap();
            fs::set_permissions(&path, fs::Permissions::from_mode(mode)).unwrap();
            path
        };
        let (above, inside, same) =
            (program("trt/bin", 0o755), program("trt/lib/bin", 0o644), program("trt/lib", 0o755));
        let on_path = program("path", 0o755);
        fs::create_dir_all(dir.path().join("odd").join(PROGRAM)).unwrap();
        let path = std::env::join_paths([
            PathBuf::from("relative"),
            dir.path().join("odd"),
            dir.path().join("path"),
            dir.path().join("path"),
        ]);
        let found = candidates(Some(&dir.path().join("trt/lib")), &path.unwrap());
        let own: Vec<_> = found.iter().filter(|path| path.starts_with(dir.path())).cloned().collect();
        assert_eq!(own, [above, same, on_path]);
        assert!(!found.contains(&inside), "it is not executable");
    }

    #[test]
    fn the_one_of_the_librarys_version_is_taken_before_the_first() {
        let places = ["/a", "/b", "/c"].map(PathBuf::from);
        let version = |path: &Path| match path.to_str() {
            Some("/a") => None,
            Some("/b") => Some([8, 6, 1]),
            _ => Some([10, 3, 0]),
        };
        let taken = |wanted| choose(&places, wanted, version).map(|found| found.path);
        assert_eq!(taken(Some([10, 3, 0])).as_deref(), Some("/c"));
        assert_eq!(taken(Some([8, 6, 1])).as_deref(), Some("/b"));
        assert_eq!(taken(Some([8, 5, 2])).as_deref(), Some("/a"));
        assert_eq!(taken(None).as_deref(), Some("/a"));
        assert_eq!(choose(&[], None, version), None);
    }

    #[test]
    fn a_program_that_says_no_version_hangs_or_dies_has_none() {
        let dir = tempfile::tempdir().unwrap();
        for (script, expected) in [
            ("echo '&&&& RUNNING TensorRT.trtexec [TensorRT v8601] # x'; exec sleep 60", Some([8, 6, 1])),
            ("echo '&&&& RUNNING TensorRT.trtexec [TensorRT v8601] # x' >&2; exit 1", Some([8, 6, 1])),
            ("echo 'error while loading shared libraries: libnvinfer.so.8' >&2; exit 127", None),
            ("kill -9 $$", None),
            ("exec yes garbage", None),
        ] {
            let path = dir.path().join("trtexec");
            fs::write(&path, format!("#!/bin/sh\n{script}\n")).unwrap();
            fs::set_permissions(&path, fs::Permissions::from_mode(0o755)).unwrap();
            assert_eq!(version(&path, None), expected, "{script}");
        }
    }
}
