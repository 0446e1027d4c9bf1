//! The device that is simulated: a Jetson module with a version of TensorRT.
//!
//! Compute capabilities and DLA cores are those of NVIDIA's Jetson modules; versions of CUDA are those of the JetPack
//! releases that ship the TensorRT.

use clap::{Args, ValueEnum};
use trt_wire::worker::Probe;
use trt_wire::{Gpu, GpuSource, TensorRt, TensorRtProduct};

/// What the worker pretends to run on.
#[derive(Debug, Clone, Args)]
pub struct Device {
    /// The TensorRT it acts as, 8.0.0 to 11.x
    #[arg(long, value_name = "MAJOR.MINOR.PATCH", value_parser = version)]
    tensorrt: [u32; 3],
    /// The module it acts as
    #[arg(long, value_enum)]
    module: Module,
}

/// A module, by what matters to TensorRT.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Module {
    Nano,
    Tx2,
    XavierNx,
    AgxXavier,
    OrinNano,
    OrinNx,
    AgxOrin,
    Thor,
}

fn version(text: &str) -> Result<[u32; 3], String> {
    let parts: Vec<u32> = text.split('.').filter_map(|part| part.parse().ok()).collect();
    match parts[..] {
        [major @ (8 | 10 | 11), minor, patch] if text.split('.').count() == 3 => Ok([major, minor, patch]),
        _ => Err("want a version of TensorRT such as 8.2.1, with major 8, 10 or 11".into()),
    }
}

impl Device {
    /// The version of TensorRT.
    pub fn version(&self) -> [u32; 3] {
        self.tensorrt
    }

    /// Whether the graph's own types decide, and nothing else can.
    pub fn is_strongly_typed(&self) -> bool {
        self.tensorrt[0] >= 11
    }

    /// The GPU's compute capability.
    pub fn compute_capability(&self) -> [u32; 2] {
        match self.module {
            Module::Nano => [5, 3],
            Module::Tx2 => [6, 2],
            Module::XavierNx | Module::AgxXavier => [7, 2],
            Module::OrinNano | Module::OrinNx | Module::AgxOrin => [8, 7],
            Module::Thor => [11, 0],
        }
    }

    /// DLA cores that this TensorRT can use: 10.8 dropped the DLA of Orin, and 11.4.1 has it again on AGX Orin only.
    pub fn dla_cores(&self) -> u32 {
        const GONE: [u32; 3] = [10, 8, 0];
        const BACK: [u32; 3] = [11, 4, 1];
        match self.module {
            Module::XavierNx | Module::AgxXavier => 2,
            Module::OrinNx if self.tensorrt < GONE => 2,
            Module::AgxOrin if self.tensorrt < GONE || self.tensorrt >= BACK => 2,
            _ => 0,
        }
    }

    /// The library, as a probe and a build name it.
    pub fn library(&self) -> TensorRt {
        let [major, minor, patch] = self.tensorrt;
        TensorRt {
            product: TensorRtProduct::TensorRt,
            version: self.tensorrt,
            library: format!("/SIMULATED/libnvinfer.so.{major}.{minor}.{patch}"),
            is_known: true,
        }
    }

    /// The GPU's name, as the driver would say it.
    pub fn gpu_name(&self) -> String {
        let name = match self.module {
            Module::Nano => "NVIDIA Tegra X1",
            Module::Tx2 => "NVIDIA Tegra X2",
            Module::XavierNx | Module::AgxXavier => "Xavier",
            Module::OrinNano | Module::OrinNx | Module::AgxOrin => "Orin",
            Module::Thor => "NVIDIA Thor",
        };
        format!("SIMULATED {name}")
    }

    /// What a probe finds.
    pub fn probe(&self) -> Probe {
        let [major, minor, _] = self.tensorrt;
        let cuda = match (major, minor) {
            (8, ..=2) => [10, 2],
            (8, ..=5) => [11, 4],
            (8, _) => [12, 2],
            (10, ..=9) => [12, 6],
            (10, ..=15) => [13, 0],
            _ => [13, 2],
        };
        Probe {
            tensorrt: Ok(self.library()),
            gpu: Ok(Gpu {
                name: self.gpu_name(),
                compute_capability: self.compute_capability(),
                source: GpuSource::Driver,
            }),
            cuda_driver: Some(cuda),
            dla_cores: Some(self.dla_cores()),
            trtexec: None,
        }
    }
}

#[cfg(test)]
impl Device {
    /// The one that these arguments stand for.
    pub fn of(tensorrt: &str, module: Module) -> Self {
        Self { tensorrt: version(tensorrt).unwrap(), module }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn dla_cores_depend_on_the_module_and_on_the_version() {
        for (tensorrt, module, cores) in [
            ("8.2.1", Module::Nano, 0),
            ("8.5.2", Module::AgxXavier, 2),
            ("10.3.0", Module::OrinNx, 2),
            ("10.3.0", Module::OrinNano, 0),
            ("10.16.2", Module::AgxOrin, 0),
            ("11.0.0", Module::AgxOrin, 0),
            ("10.7.9", Module::OrinNx, 2),
            ("10.8.0", Module::OrinNx, 0),
            ("11.4.0", Module::AgxOrin, 0),
            ("11.4.1", Module::AgxOrin, 2),
            ("11.4.1", Module::OrinNx, 0),
            ("11.4.1", Module::OrinNano, 0),
            ("11.4.1", Module::Thor, 0),
        ] {
            assert_eq!(Device::of(tensorrt, module).dla_cores(), cores, "{tensorrt} {module:?}");
        }
    }

    #[test]
    fn versions_that_are_not_simulated_are_refused() {
        for bad in ["", "8", "8.2", "7.2.3", "9.0.1", "12.0.0", "8.2.1.8", "8.x.1"] {
            assert!(version(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn nobody_takes_it_for_the_real_thing() {
        let probe = Device::of("10.3.0", Module::OrinNano).probe();
        assert!(probe.gpu.unwrap().name.contains("SIMULATED"));
        assert!(probe.tensorrt.unwrap().library.contains("SIMULATED"));
    }
}
