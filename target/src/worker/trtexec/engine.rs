//! Whether the file that `trtexec` left is the engine it talks of.

use std::fs::{self, File};
use std::io::{self, Read};
use std::path::Path;

use super::error::TrtexecError;

/// The header that holds tag, serialization version and, in its last four bytes, TensorRT's version (`sampleEngines.cpp` of
/// 10.0 to 11.1 reads it for `--getPlanVersionOnly`).
const HEADER: usize = 28;
const TAG: &[u8] = b"ftrt";
/// Releases whose engines are known to begin with [`TAG`].
const TAGGED: std::ops::RangeInclusive<u32> = 10..=11;

/// Takes away what an earlier build left, so that whatever is there afterwards is of this one.
pub fn clear(path: &Path) -> io::Result<()> {
    match fs::remove_file(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
        _ => Ok(()),
    }
}

/// Checks the file and returns its size in bytes. `said_mib` is the size of which the log tells, in MiB.
///
/// # Errors
/// [`TrtexecError::NoEngine`], [`TrtexecError::BrokenEngine`].
pub fn check(path: &Path, version: [u32; 3], said_mib: Option<f64>) -> Result<u64, TrtexecError> {
    let size = match fs::metadata(path) {
        Ok(file) if file.is_file() && file.len() > 0 => file.len(),
        _ => return Err(TrtexecError::NoEngine),
    };
    let broken = |because: String| Err(TrtexecError::BrokenEngine { because });
    let mut header = Vec::new();
    let read = File::open(path).and_then(|file| file.take(HEADER as u64).read_to_end(&mut header));
    if read.is_err() || header.len() < HEADER {
        return broken(format!("it has only {size} bytes"));
    }
    let is_text = header.iter().all(|byte| byte.is_ascii_graphic() || byte.is_ascii_whitespace());
    if is_text || (TAGGED.contains(&version[0]) && !header.starts_with(TAG)) {
        return broken("it does not begin as engines do".into());
    }
    if TAGGED.contains(&version[0]) && header[4..8] == [0; 4] {
        let of = [24, 25, 26].map(|index| u32::from(header[index]));
        if of != version {
            let [major, minor, patch] = of;
            return broken(format!("its header says TensorRT {major}.{minor}.{patch}"));
        }
    }
    match said_mib.map(|said| said * f64::from(1 << 20)) {
        // The log rounds to six digits.
        Some(said) if (said - size as f64).abs() > said * 1e-5 + 1.0 => {
            broken(format!("it has {size} bytes, and the log tells of {said:.0}"))
        }
        _ => Ok(size),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn engine(version: [u8; 4], size: usize) -> Vec<u8> {
        let mut bytes = [TAG, &[0; 20], &version].concat();
        bytes.resize(size, 7);
        bytes
    }

    #[test]
    fn only_a_whole_engine_of_the_right_version_passes() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("engine.plan");
        let mib = |bytes: f64| Some(bytes / f64::from(1 << 20));
        let ten = || engine([10, 3, 0, 26], 3_000_000);
        let cases = [
            ("whole", ten(), [10, 3, 0], None, true),
            ("whole, with its size rounded as the log does", ten(), [10, 3, 0], Some(2.86102), true),
            ("truncated", ten(), [10, 3, 0], Some(2.9), false),
            ("truncated by a little", ten(), [10, 3, 0], mib(3_004_096.0), false),
            ("of another version", engine([10, 2, 0, 9], 999), [10, 3, 0], None, false),
            ("of a serialization that is not known", [TAG, &[200; 60]].concat(), [11, 4, 1], None, true),
            ("an ONNX", vec![8; 4000], [10, 3, 0], None, false),
            ("of 8.6, whose header is not known", vec![8; 4000], [8, 6, 1], None, true),
            ("text", b"Segmentation fault (core dumped)\n".repeat(9), [8, 2, 1], None, false),
            ("a few bytes", engine([10, 3, 0, 26], 20), [10, 3, 0], None, false),
            ("empty", vec![], [8, 2, 1], None, false),
            ("of a version to come", vec![0xfe; 4000], [12, 0, 0], mib(4000.0), true),
        ];
        for (what, bytes, version, said, is_good) in cases {
            fs::write(&path, &bytes).unwrap();
            let found = check(&path, version, said);
            assert_eq!(found.is_ok(), is_good, "{what}: {found:?}");
        }
        clear(&path).unwrap();
        clear(&path).unwrap();
        assert!(matches!(check(&path, [8, 2, 1], None), Err(TrtexecError::NoEngine)));
        fs::create_dir(&path).unwrap();
        assert!(matches!(check(&path, [8, 2, 1], None), Err(TrtexecError::NoEngine)));
        assert!(clear(&path).is_err());
    }
}
