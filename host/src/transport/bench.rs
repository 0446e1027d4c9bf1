//! How fast files reach a device, for `scripts/bench-upload`.
use std::io::Read;
use std::time::{Duration, Instant};

use super::{Transport, TransportError, Upload, upload};

/// One measured upload.
#[derive(Debug, Clone, Copy)]
pub struct UploadRate {
    /// Bytes sent.
    pub bytes: u64,
    /// From opening the channel until the device has synced and renamed the file.
    pub elapsed: Duration,
}

impl UploadRate {
    /// Megabytes (10^6) a second.
    pub fn megabytes_per_second(&self) -> f64 {
        self.bytes as f64 / 1e6 / self.elapsed.as_secs_f64()
    }
}

/// Uploads `size` bytes from `source` to `path` on the device and takes the time.
pub fn measure_upload(
    transport: &mut dyn Transport,
    source: &mut dyn Read,
    size: u64,
    path: &str,
) -> Result<UploadRate, TransportError> {
    let file = Upload { path: path.to_owned(), size, mode: 0o600 };
    let start = Instant::now();
    upload(transport, &file, source, &mut |_| ())?;
    Ok(UploadRate { bytes: size, elapsed: start.elapsed() })
}
