//! What is known about a device, with the source of each fact where it could be doubted.

use std::fmt;

use serde::{Deserialize, Serialize};

use crate::RuntimeName;

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
    /// Whether this agent knows the library's interface and can build in process; if not, `trtexec` may. Agents that
    /// stored nothing about it built with known libraries only.
    #[serde(default = "known")]
    pub is_known: bool,
}

fn known() -> bool {
    true
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

/// The `trtexec` of a device.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Trtexec {
    /// The program.
    pub path: String,
    /// The version its banner names, major, minor, patch; `None` if it names none.
    pub version: Option<[u32; 3]>,
}

/// How one thing is about a device.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Health {
    /// As it should be.
    Good,
    /// It works, and could be better.
    Advice,
    /// It prevents a deployment, or makes it fail sooner or later.
    Problem,
}

/// One finding of `doctor`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Finding {
    /// What was looked at, in a word or two: `tensorrt`, `power mode`, `disk`.
    pub check: String,
    /// How it is.
    pub health: Health,
    /// What was found.
    pub message: String,
    /// What to do about it; always there unless the health is good.
    pub hint: Option<String>,
}

/// What the agent knows about its device.
///
/// They are stored with every engine. What the agent that stored them did not know of is unknown
/// ([`DeviceFacts::default`]): an engine stays readable when a fact is added here.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
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
    /// The module, such as `Orin Nano`, if it is a known one.
    pub module: Option<String>,
    /// The SoC, such as `tegra234`.
    pub soc: Option<String>,
    /// The JetPack release that this L4T belongs to, such as `6.2`.
    pub jetpack: Option<String>,
    /// DLA cores: TensorRT's answer, else what the module has.
    pub dla_cores: u32,
    /// The place to build in that these facts are about; `None` is the configuration's default one.
    pub runtime: Option<RuntimeName>,
    /// The GPU, or why none is known.
    pub gpu: Result<Gpu, String>,
    /// The CUDA driver's API version such as `[12, 6]`.
    pub cuda_driver: Option<[u32; 2]>,
    /// The TensorRT library, or why none could be used.
    pub tensorrt: Result<TensorRt, String>,
    /// The `trtexec` where engines are built, if there is one.
    pub trtexec: Option<Trtexec>,
    /// Main memory in bytes.
    pub memory_total: u64,
    /// Memory that a build could have now, in bytes.
    pub memory_available: u64,
    /// Swap in bytes, zram included.
    pub swap_total: u64,
    /// The power mode as `nvpmodel` names it, such as `MAXN`.
    pub power_mode: Option<String>,
    /// Whether `jetson_clocks` holds the clocks at their highest.
    pub clocks_pinned: Option<bool>,
    /// The device's clock, in seconds since 1970.
    pub time: u64,
    /// Free bytes on the file system of the agent's store.
    pub disk_free: u64,
    /// The agent's version.
    pub agent_version: String,
}

impl Default for DeviceFacts {
    fn default() -> Self {
        Self::unknown("the agent that stored these facts did not know of it")
    }
}

impl DeviceFacts {
    /// The facts of a device of which nothing is known, for `because`.
    pub fn unknown(because: &str) -> Self {
        Self {
            hostname: String::new(),
            arch: String::new(),
            board: None,
            compatible: Vec::new(),
            l4t: None,
            module: None,
            soc: None,
            jetpack: None,
            dla_cores: 0,
            runtime: None,
            gpu: Err(because.to_owned()),
            cuda_driver: None,
            tensorrt: Err(because.to_owned()),
            trtexec: None,
            memory_total: 0,
            memory_available: 0,
            swap_total: 0,
            power_mode: None,
            clocks_pinned: None,
            time: 0,
            disk_free: 0,
            agent_version: String::new(),
        }
    }
}
