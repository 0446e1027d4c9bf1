//! Reading files that somebody else has named: never a pipe or a device, and never more than is wanted.

use std::fs::{self, File};
use std::io::{self, Read as _};
use std::path::Path;

use trt_calib::Digest;

/// Why a file was not read.
#[derive(Debug, thiserror::Error)]
pub enum ReadError {
    /// There is more in it than anybody wants.
    #[error("it has more than {limit} bytes: {bytes}")]
    TooLarge {
        /// Its size, as far as it is known.
        bytes: u64,
        /// The limit.
        limit: u64,
    },
    /// What the system says.
    #[error(transparent)]
    Io(#[from] io::Error),
}

impl From<ReadError> for io::Error {
    fn from(error: ReadError) -> Self {
        match error {
            ReadError::TooLarge { .. } => Self::new(io::ErrorKind::FileTooLarge, error),
            ReadError::Io(source) => source,
        }
    }
}

/// Opens a regular file, and tells its size.
///
/// # Errors
/// What the system says, and [`io::ErrorKind::InvalidInput`] for pipes, devices and folders: the first two could be
/// waited for, or read, for ever.
pub fn open(path: &Path) -> io::Result<(File, u64)> {
    // Asked before opening, since opening a named pipe waits for its writer.
    let metadata = fs::metadata(path)?;
    if !metadata.is_file() {
        return Err(io::Error::new(io::ErrorKind::InvalidInput, "it is not a regular file"));
    }
    Ok((File::open(path)?, metadata.len()))
}

/// The content of a file of at most `limit` bytes.
///
/// # Errors
/// [`ReadError`]; a file that is too large is not read at all, or, if it grows meanwhile, no further than that.
pub fn read_capped(path: &Path, limit: u64) -> Result<Vec<u8>, ReadError> {
    let (file, bytes) = open(path)?;
    if bytes > limit {
        return Err(ReadError::TooLarge { bytes, limit });
    }
    let mut content = Vec::with_capacity(bytes as usize);
    file.take(limit.saturating_add(1)).read_to_end(&mut content)?;
    match content.len() as u64 {
        bytes if bytes > limit => Err(ReadError::TooLarge { bytes, limit }),
        _ => Ok(content),
    }
}

/// The first `bytes` bytes of a file.
///
/// # Errors
/// What [`open`] gives, and [`io::ErrorKind::UnexpectedEof`] for a file with fewer.
pub fn read_start(path: &Path, bytes: u64) -> io::Result<Vec<u8>> {
    let (file, size) = open(path)?;
    let mut content = Vec::with_capacity(bytes.min(size) as usize);
    file.take(bytes).read_to_end(&mut content)?;
    match content.len() as u64 == bytes {
        true => Ok(content),
        false => Err(io::ErrorKind::UnexpectedEof.into()),
    }
}

/// Size and hash of a file, however large it is.
///
/// # Errors
/// As [`open`].
pub fn hash(path: &Path) -> io::Result<(u64, Digest)> {
    let mut hasher = blake3::Hasher::new();
    let bytes = io::copy(&mut open(path)?.0, &mut hasher)?;
    Ok((bytes, hasher.finalize().into()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_more_than_the_limit_is_read() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("file");
        fs::write(&path, b"12345").unwrap();
        assert_eq!(read_capped(&path, 5).unwrap(), b"12345");
        let error = read_capped(&path, 4).unwrap_err();
        assert!(matches!(error, ReadError::TooLarge { bytes: 5, limit: 4 }), "{error:?}");
        assert_eq!(io::Error::from(error).to_string(), "it has more than 4 bytes: 5");
        assert_eq!(read_start(&path, 3).unwrap(), b"123");
        assert_eq!(read_start(&path, 6).unwrap_err().kind(), io::ErrorKind::UnexpectedEof);
        assert_eq!(hash(&path).unwrap(), (5, Digest::of(b"12345")));
        // Sparse: far more than this machine has memory.
        File::options().write(true).open(&path).unwrap().set_len(1 << 42).unwrap();
        assert!(matches!(read_capped(&path, 1 << 20), Err(ReadError::TooLarge { .. })));
    }

    #[test]
    fn pipes_devices_and_folders_are_no_files() {
        let folder = tempfile::tempdir().unwrap();
        let pipe = folder.path().join("pipe");
        rustix::fs::mknodat(rustix::fs::CWD, &pipe, rustix::fs::FileType::Fifo, 0o600.into(), 0).unwrap();
        for path in [&pipe, Path::new("/dev/zero"), folder.path()] {
            assert_eq!(open(path).unwrap_err().kind(), io::ErrorKind::InvalidInput, "{}", path.display());
        }
    }
}
