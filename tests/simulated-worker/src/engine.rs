//! A SIMULATED engine: a line of JSON that binds it to a TensorRT and a GPU, then the model that it runs.

use std::fs;
use std::path::Path;

use serde::{Deserialize, Serialize};
use trt_wire::{Failure, FailureCode, Precision, QuantMode};

use crate::device::Device;
use crate::say::{failure, io_failure};

/// What a file must start with.
const MAGIC: &str = "SIMULATED engine";

/// The first line.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Header {
    /// [`MAGIC`].
    pub magic: String,
    /// The TensorRT that built it.
    pub tensorrt: [u32; 3],
    /// The GPU that it was built on.
    pub gpu: String,
    /// That GPU's compute capability.
    pub compute_capability: [u32; 2],
    /// The DLA core that it was built for.
    pub dla: Option<u32>,
    /// Its precision.
    pub precision: Precision,
    /// Where its scales come from.
    pub mode: QuantMode,
}

impl Header {
    /// Of an engine that is built on `device`.
    pub fn new(device: &Device, dla: Option<u32>, precision: Precision, mode: QuantMode) -> Self {
        Self {
            magic: MAGIC.into(),
            tensorrt: device.version(),
            gpu: device.gpu_name(),
            compute_capability: device.compute_capability(),
            dla,
            precision,
            mode,
        }
    }

    /// Refuses what another version or another GPU made, in the words that TensorRT has for it.
    fn check(&self, device: &Device) -> Result<(), Failure> {
        let refuse = |message: String| {
            let hint = "engines run with the TensorRT and on the GPU that built them: push the model again";
            Err(failure(FailureCode::PlanChanged, message, hint))
        };
        if self.tensorrt != device.version() {
            let tag = |[major, minor, patch]: [u32; 3]| format!("{major}.{minor}.{patch}");
            return refuse(format!(
                "Serialization assertion stdVersionRead == serializationVersion failed. Version tag does not match. \
                 Note: Current Version: {}, Serialized Engine Version: {}",
                tag(device.version()),
                tag(self.tensorrt)
            ));
        }
        let found = (self.gpu.clone(), self.compute_capability);
        if found != (device.gpu_name(), device.compute_capability()) {
            let ([major, minor], [now, then]) = (device.compute_capability(), self.compute_capability);
            return refuse(format!(
                "The engine plan file is generated on an incompatible device, expecting compute {major}.{minor} got \
                 compute {now}.{then}, please rebuild"
            ));
        }
        Ok(())
    }
}

/// Writes an engine; returns its size in bytes.
pub fn write(path: &Path, header: &Header, model: &[u8]) -> Result<u64, Failure> {
    let mut bytes = serde_json::to_vec(header).expect("plain data with string keys serialises");
    bytes.push(b'\n');
    bytes.extend_from_slice(model);
    fs::write(path, &bytes).map_err(io_failure(path))?;
    Ok(bytes.len() as u64)
}

/// Reads an engine that `device` can run: its header and its model.
pub fn read(path: &Path, device: &Device) -> Result<(Header, Vec<u8>), Failure> {
    let mut bytes = fs::read(path).map_err(io_failure(path))?;
    let header = bytes.iter().position(|&byte| byte == b'\n').and_then(|end| {
        let rest = bytes.split_off(end + 1);
        let header: Header = serde_json::from_slice(&bytes).ok()?;
        (header.magic == MAGIC).then_some((header, rest))
    });
    let Some((header, model)) = header else {
        let message =
            format!("Serialization assertion magicTagRead == kMAGIC_TAG failed: {}", path.display());
        return Err(failure(FailureCode::BadRequest, message, "this is no engine: push the model again"));
    };
    header.check(device)?;
    Ok((header, model))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::device::Module;

    #[test]
    fn an_engine_is_bound_to_its_version_and_gpu() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("engine.plan");
        let nano = Device::of("8.2.1", Module::Nano);
        let header = Header::new(&nano, None, Precision::Fp16, QuantMode::None);
        write(&path, &header, b"model").unwrap();
        assert_eq!(read(&path, &nano).unwrap(), (header, b"model".to_vec()));
        for (device, words) in [
            (Device::of("8.6.1", Module::Nano), "Serialized Engine Version: 8.2.1"),
            (
                Device::of("8.2.1", Module::XavierNx),
                "incompatible device, expecting compute 7.2 got compute 5.3",
            ),
        ] {
            let failure = read(&path, &device).unwrap_err();
            assert!(failure.message.contains(words) && failure.hint.is_some(), "{failure}");
        }
    }

    #[test]
    fn what_is_no_engine_is_refused() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("engine.plan");
        let nano = Device::of("8.2.1", Module::Nano);
        for bytes in [&b""[..], b"{}\n", b"ftrt\0\0\0\0", b"\n\n"] {
            fs::write(&path, bytes).unwrap();
            assert!(read(&path, &nano).unwrap_err().message.contains("magicTagRead"));
        }
        fs::remove_file(&path).unwrap();
        assert_eq!(read(&path, &nano).unwrap_err().code, FailureCode::Store);
    }
}
