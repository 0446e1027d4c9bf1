//! What is known about a device, with the source of each fact where it could be doubted.

use std::fmt;

use serde::{Deserialize, Serialize};

/// Which of NVIDIA's two inference libraries was found.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum TensorRtProduct {
    /// `libnvinfer`, the TensorRT of JetPack.
    #[serde(rename = "tensorrt")]
    TensorRt,
    /// `libtensorrt_rtx`, TensorRT for RTX: same ABI family, another product.
    #[serde(rename = "tensorrt-rtx")]
    Rtx,
}

/// The TensorRT that was loaded and asked for its version.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct TensorRt {
    /// Which product it is.
    pub product: TensorRtProduct,
    /// Major, minor, patch.
    pub version: [u32; 3],
    /// The file that was loaded.
    pub library: String,
}

impl fmt::Display for TensorRt {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let product = match self.product {
            TensorRtProduct::TensorRt => "TensorRT",
            TensorRtProduct::Rtx => "TensorRT-RTX",
        };
        let [major, minor, patch] = self.version;
        write!(f, "{product} {major}.{minor}.{patch}")
    }
}

/// Where the facts about the GPU come from.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum GpuSource {
    /// The CUDA driver was asked.
    Driver,
    /// The agent's configuration names a compute capability to build for; there may be no GPU.
    Configuration,
}

/// The GPU that engines are built for.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Gpu {
    /// The driver's name for it, or what the configuration says.
    pub name: String,
    /// Compute capability, major and minor: `[8, 7]` is an Orin.
    pub compute_capability: [u32; 2],
    /// Where this comes from.
    pub source: GpuSource,
}

/// What the agent knows about its device.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct DeviceFacts {
    /// The host name.
    pub hostname: String,
    /// The machine architecture as `uname -m` says it.
    pub arch: String,
    /// The board's model from the device tree, if there is one.
    pub board: Option<String>,
    /// The device tree's `compatible` list; empty on machines without a device tree.
    pub compatible: Vec<String>,
    /// The L4T release such as `36.4.3`, if this is a Jetson.
    pub l4t: Option<String>,
    /// The GPU, or why none is known.
    pub gpu: Result<Gpu, String>,
    /// The CUDA driver's API version such as `[12, 6]`.
    pub cuda_driver: Option<[u32; 2]>,
    /// The TensorRT library, or why none could be used.
    pub tensorrt: Result<TensorRt, String>,
    /// Main memory in bytes.
    pub memory_total: u64,
    /// Memory that a build could have now, in bytes.
    pub memory_available: u64,
    /// Free bytes on the file system of the agent's store.
    pub disk_free: u64,
    /// The agent's version.
    pub agent_version: String,
}
