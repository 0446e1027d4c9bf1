//! The options of `trtexec`, which changed with its versions.
//!
//! When an option came and went is read from `samples/common/sampleOptions.cpp` of the releases 8.0.1 to 11.1 of
//! NVIDIA/TensorRT; minor releases without a published source are taken for the published one before them. An option that
//! a `trtexec` does not know makes it fail, so a version that is newer than the table is asked for its help first.

use std::ffi::OsString;
use std::path::{Path, PathBuf};

use trt_wire::{BuildPlan, Dims, Precision, QuantMode, ShapeRange, TensorRt};

use super::error::TrtexecError;

/// First release with `--profilingVerbosity`.
const PROFILING_VERBOSITY: [u32; 2] = [8, 2];
/// First release with `--memPoolSize`, `--layerPrecisions` and `--layerOutputTypes`.
const POOLS_AND_LAYERS: [u32; 2] = [8, 4];
/// First release with `--skipInference` for `--buildOnly`, `--staticPlugins` for `--plugins`.
const SKIP_AND_STATIC: [u32; 2] = [8, 6];
/// First major without `--int8`, `--fp16`, `--calib` and constraints, where every network is strongly typed.
const TYPED: u32 = 11;
/// What one argument may have, in bytes, below Linux's 128 KiB.
const LONGEST: usize = 120_000;

/// What to build.
pub struct Request<'a> {
    /// The version of library and `trtexec`.
    pub tensorrt: &'a TensorRt,
    /// What it prints when asked for help; only of versions that the table does not know.
    pub help: Option<&'a str>,
    /// How to build.
    pub plan: &'a BuildPlan,
    /// The ONNX.
    pub model: &'a Path,
    /// Where the engine shall be.
    pub engine: &'a Path,
    /// The calibration table, which is there; only for [`QuantMode::Implicit`].
    pub table: Option<&'a Path>,
    /// Measurements to start from and to add to.
    pub timing_cache: Option<&'a Path>,
    /// Plugin libraries.
    pub plugins: &'a [PathBuf],
    /// The shapes of the dynamic inputs; a model with none refuses any.
    pub shapes: Vec<(&'a str, &'a ShapeRange)>,
    /// Layers to hold in FP32, by name; none where [`holds_layers`] says no.
    pub held: &'a [String],
}

/// Whether layers can be held in FP32 by name.
pub fn holds_layers(tensorrt: &TensorRt) -> bool {
    has(tensorrt, POOLS_AND_LAYERS) && tensorrt.version[0] < TYPED
}

/// Whether a name can stand in a list of names and values.
pub fn can_list(name: &str) -> bool {
    !name.is_empty() && !name.contains([',', '\'', '"', '*', '\n'])
}

fn has(tensorrt: &TensorRt, first: [u32; 2]) -> bool {
    tensorrt.version[..2] >= first[..]
}

/// All arguments after the program's name.
///
/// # Errors
/// [`TrtexecError::Unsayable`], [`TrtexecError::NoOption`].
pub fn arguments(request: &Request<'_>) -> Result<Vec<OsString>, TrtexecError> {
    let mut list = List { request, arguments: Vec::new() };
    list.path("--onnx", request.model)?;
    list.path("--saveEngine", request.engine)?;
    list.precision()?;
    list.shapes()?;
    list.resources()?;
    for plugin in request.plugins {
        let option = if has(request.tensorrt, SKIP_AND_STATIC) { "--staticPlugins" } else { "--plugins" };
        list.path(option, plugin)?;
    }
    if has(request.tensorrt, PROFILING_VERBOSITY) {
        list.if_known("--profilingVerbosity", "detailed");
    }
    list.if_known(if has(request.tensorrt, SKIP_AND_STATIC) { "--skipInference" } else { "--buildOnly" }, "");
    list.if_known("--verbose", "");
    Ok(list.arguments)
}

struct List<'a> {
    request: &'a Request<'a>,
    arguments: Vec<OsString>,
}

impl List<'_> {
    fn precision(&mut self) -> Result<(), TrtexecError> {
        let plan = self.request.plan;
        if plan.strongly_typed {
            // From 11 on nothing else exists, and the option is on its way out.
            return if self.request.tensorrt.version[0] < TYPED {
                self.flag("--stronglyTyped")
            } else {
                Ok(())
            };
        }
        if matches!(plan.mode, QuantMode::Implicit | QuantMode::ModelQdq) {
            self.flag("--int8")?;
        }
        if let Some(table) = self.request.table {
            self.path("--calib", table)?;
        }
        if plan.precision == Precision::Fp16
            || (plan.precision == Precision::Int8 && plan.other_layers == Precision::Fp16)
        {
            self.flag("--fp16")?;
        }
        let held = self.request.held;
        if !held.is_empty() {
            let list = held.iter().map(|layer| format!("{layer}:fp32")).collect::<Vec<_>>().join(",");
            self.value("--precisionConstraints", "obey")?;
            self.value("--layerPrecisions", &list)?;
            self.value("--layerOutputTypes", &list)?;
        }
        Ok(())
    }

    fn shapes(&mut self) -> Result<(), TrtexecError> {
        let shapes = &self.request.shapes;
        if let Some((name, _)) = shapes.iter().find(|(name, _)| !can_list(name)) {
            return Err(TrtexecError::Unsayable { what: "an input", name: (*name).to_owned() });
        }
        if shapes.is_empty() {
            return Ok(());
        }
        let list = |side: fn(&ShapeRange) -> &Dims| {
            let shape = |dims: &Dims| dims.iter().map(i64::to_string).collect::<Vec<_>>().join("x");
            let parts = shapes.iter().map(|(name, range)| format!("{name}:{}", shape(side(range))));
            parts.collect::<Vec<_>>().join(",")
        };
        self.value("--minShapes", &list(|range| &range.min))?;
        self.value("--optShapes", &list(|range| &range.opt))?;
        self.value("--maxShapes", &list(|range| &range.max))
    }

    fn resources(&mut self) -> Result<(), TrtexecError> {
        let plan = self.request.plan;
        if let Some(bytes) = plan.workspace {
            // Both are in MiB.
            let mib = (bytes >> 20).max(1).to_string();
            if has(self.request.tensorrt, POOLS_AND_LAYERS) {
                self.value("--memPoolSize", &format!("workspace:{mib}"))?;
            } else {
                self.value("--workspace", &mib)?;
            }
        }
        if let Some(core) = plan.dla {
            self.value("--useDLACore", &core.to_string())?;
            self.flag("--allowGPUFallback")?;
        }
        if let Some(level) = plan.optimization_level {
            self.value("--builderOptimizationLevel", &level.to_string())?;
        }
        if let Some(cache) = self.request.timing_cache.filter(|_| self.knows("--timingCacheFile")) {
            self.path("--timingCacheFile", cache)?;
        }
        Ok(())
    }

    /// Whether the option is there: by the table, or by the help of a version that the table does not know.
    fn knows(&self, option: &str) -> bool {
        let words = |help: &str| {
            help.split(|c: char| c.is_whitespace() || "=,[]<".contains(c)).any(|word| word == option)
        };
        self.request.help.is_none_or(words)
    }

    fn push(&mut self, option: &'static str, value: Option<&std::ffi::OsStr>) -> Result<(), TrtexecError> {
        if !self.knows(option) {
            return Err(TrtexecError::NoOption { tensorrt: self.request.tensorrt.to_string(), option });
        }
        let mut argument = OsString::from(option);
        if let Some(value) = value {
            if value.len() > LONGEST {
                let name = format!("{option} with {} bytes", value.len());
                return Err(TrtexecError::Unsayable { what: "all names of", name });
            }
            argument.push("=");
            argument.push(value);
        }
        self.arguments.push(argument);
        Ok(())
    }

    fn flag(&mut self, option: &'static str) -> Result<(), TrtexecError> {
        self.push(option, None)
    }

    fn value(&mut self, option: &'static str, value: &str) -> Result<(), TrtexecError> {
        self.push(option, Some(value.as_ref()))
    }

    fn path(&mut self, option: &'static str, path: &Path) -> Result<(), TrtexecError> {
        self.push(option, Some(path.as_os_str()))
    }

    /// Adds an option that a build can do without.
    fn if_known(&mut self, option: &'static str, value: &str) {
        if self.knows(option) {
            let argument = if value.is_empty() { option.to_owned() } else { format!("{option}={value}") };
            self.arguments.push(argument.into());
        }
    }
}

#[cfg(test)]
mod tests;
