//! Why there is no plan, and what would make one.

use trt_wire::{Dims, OnUnsupported, Precision, RuntimeName};

/// No plan satisfies what was asked on this device.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum PlanError {
    /// The device has no TensorRT that the agent can use.
    #[error("{} has no usable TensorRT: {reason}", place(runtime.as_ref()))]
    NoTensorRt {
        /// The agent's own finding, with the names it tried, or how its worker ended.
        reason: String,
        /// The place to build in that the model names.
        runtime: Option<RuntimeName>,
    },
    /// The GPU is unknown.
    #[error("{} sees no GPU: {reason}", place(runtime.as_ref()))]
    NoGpu {
        /// The agent's own finding.
        reason: String,
        /// The place to build in that the model names.
        runtime: Option<RuntimeName>,
    },
    /// `build-for` with a TensorRT that builds only for the GPU it runs on.
    #[error("{tensorrt} builds only for the GPU it runs on, and no CUDA driver answers")]
    CannotCrossBuild {
        /// The library found.
        tensorrt: String,
    },
    /// `build-for` with a GPU that TensorRT-RTX does not build for.
    #[error("{tensorrt} builds no engines for GPUs of compute capability {}", dotted(*asked))]
    NotBuiltFor {
        /// The library found.
        tensorrt: String,
        /// What `build-for` says.
        asked: [u32; 2],
        /// What it may say.
        offered: &'static [[u32; 2]],
    },
    /// A QAT model with a precision other than INT8.
    #[error("the ONNX holds Q/DQ nodes, which make INT8 engines, but `precision` is `{asked}`")]
    QdqNeedsInt8 {
        /// The precision asked for.
        asked: Precision,
    },
    /// INT8 on a GPU or with a TensorRT that has none, and nothing else is allowed or possible.
    #[error("INT8 was asked for, but {because}")]
    NoInt8 {
        /// Which GPU, or which TensorRT.
        because: String,
        /// A newer TensorRT-RTX would build INT8 here.
        newer_rtx: bool,
        /// The ONNX holds Q/DQ nodes, which cannot run there at all.
        has_qdq: bool,
        /// What `on-unsupported` said.
        chosen: OnUnsupported,
    },
    /// INT8 without a table.
    #[error("INT8 needs a calibration table, and the model has neither a table nor Q/DQ nodes")]
    NoTable,
    /// A table for a QAT model.
    #[error("the ONNX holds Q/DQ nodes with scales of their own, and there is a calibration table too")]
    TableAndQdq,
    /// A table of an algorithm that no calibrator class has.
    #[error("the calibration table is of an unknown algorithm: {word}")]
    TableAlgorithm {
        /// The word of its header.
        word: String,
    },
    /// The rest of an INT8 engine in INT8.
    #[error("`other-layers` says what runs in `fp16` or `fp32`, not: int8")]
    OtherLayers,
    /// An optimization level that TensorRT does not have.
    #[error("the optimization level is 0 to 5, not: {level}")]
    Level {
        /// The level asked for.
        level: u8,
    },
    /// A TensorRT from before optimization levels.
    #[error(
        "optimization level {level} was asked for, which TensorRT has from 8.6 on, and the device has {tensorrt}"
    )]
    NoLevels {
        /// The level asked for.
        level: u8,
        /// The library found.
        tensorrt: String,
    },
    /// A TensorRT from before 8.0.
    #[error("TensorRT 8.0 is the oldest that can be used, and the device has {tensorrt}")]
    TooOld {
        /// The library found.
        tensorrt: String,
    },
    /// A library version whose interface the agent does not know, and nothing else that builds.
    #[error("the agent does not know the interface of {tensorrt}{}", trtexec.words())]
    UnknownTensorRt {
        /// The library found.
        tensorrt: String,
        /// What there is beside it.
        trtexec: TrtexecThere,
    },
    /// `backend: trtexec` where there is none.
    #[error("`backend: trtexec` was asked for, and the device has no `trtexec`")]
    NoTrtexec,
    /// `backend: trtexec` for RTX.
    #[error("`backend: trtexec` was asked for, and `trtexec` does not build for {tensorrt}")]
    TrtexecWithRtx {
        /// The library found.
        tensorrt: String,
    },
    /// A `trtexec` whose engines the library would not load.
    #[error("`{path}` is of TensorRT {version}, and its engines could not be loaded by {tensorrt}")]
    TrtexecDiffers {
        /// The program.
        path: String,
        /// The version in its banner.
        version: String,
        /// The library found.
        tensorrt: String,
        /// The agent knows the library's interface, and needs no `trtexec`.
        is_known: bool,
    },
    /// A DLA where there is none.
    #[error("`dla` was asked for, and {module} has no DLA: {because}")]
    NoDla {
        /// The module, or the board.
        module: String,
        /// Why not.
        because: String,
    },
    /// A DLA core that is not there.
    #[error("DLA core {core} was asked for, and {module} has {cores}, counted from 0")]
    DlaCore {
        /// The module, or the board.
        module: String,
        /// The core asked for.
        core: u32,
        /// How many it has.
        cores: u32,
    },
    /// FP32 on a DLA.
    #[error("`dla` was asked for with `precision: fp32`, and a DLA runs FP16 and INT8 only")]
    DlaFp32,
    /// Q/DQ nodes on the DLA of an older TensorRT.
    #[error("the ONNX holds Q/DQ nodes, which {tensorrt} cannot run on a DLA")]
    DlaQdq {
        /// The library found.
        tensorrt: String,
    },
    /// Dynamic shapes on a DLA.
    #[error("a DLA runs one shape only, and the shapes of input `{name}` go from a min to a larger max")]
    DlaShapes {
        /// The input.
        name: String,
    },
    /// A shape for an input the model does not have.
    #[error("`shapes` names an input that the model does not have: `{name}`")]
    UnknownInput {
        /// The name in the fleet file.
        name: String,
        /// The model's inputs.
        inputs: Vec<String>,
    },
    /// A dynamic input without a shape.
    #[error("input `{name}` has dynamic dimensions {dims:?} and no entry in `shapes`")]
    NoShape {
        /// The input.
        name: String,
        /// Its shape in the model, negative where dynamic.
        dims: Dims,
    },
    /// A shape that contradicts the model.
    #[error("the {which}shape {shape:?} of input `{name}` does not fit the model's {dims:?}")]
    ShapeMismatch {
        /// The input.
        name: String,
        /// `min `, `opt ` or `max `; nothing if one shape was given for all.
        which: &'static str,
        /// The shape in the fleet file.
        shape: Dims,
        /// The shape in the model, negative where dynamic.
        dims: Dims,
    },
    /// min, opt and max out of order.
    #[error("the shapes of input `{name}` are not ordered: min {min:?}, opt {opt:?}, max {max:?}")]
    ShapeOrder {
        /// The input.
        name: String,
        /// The smallest shape.
        min: Dims,
        /// The shape to optimise for.
        opt: Dims,
        /// The largest shape.
        max: Dims,
    },
}

/// The `trtexec` beside a library whose interface the agent does not know.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum TrtexecThere {
    /// It would build, but the model says `backend: nvinfer`.
    Fits,
    /// It is of another version.
    Differs,
    /// There is none.
    Absent,
    /// There is none for TensorRT-RTX.
    NotForRtx,
}

impl TrtexecThere {
    fn words(self) -> &'static str {
        match self {
            Self::Fits => ", and the model says `backend: nvinfer`",
            Self::Differs => ", and the device's `trtexec` is of another version",
            Self::Absent => ", and the device has no `trtexec`",
            Self::NotForRtx => "",
        }
    }
}

impl PlanError {
    /// What the user can do about it.
    pub fn hint(&self) -> Option<String> {
        Some(match self {
            Self::NoTensorRt { runtime: Some(runtime), .. } => format!(
                "mend `runtimes.{runtime}` in the agent's configuration (`trt-agent facts --runtime {runtime}` on the \
                 device asks it), or leave `runtime` out of the model"
            ),
            Self::NoTensorRt { .. } => {
                "`trt-deploy doctor` says what to do on the device: install TensorRT, or mend the `tensorrt-dir` or \
                 `worker` of the agent's configuration if it has one"
                    .into()
            }
            Self::NoGpu { runtime: Some(runtime), .. } => format!(
                "see that the `worker` of `runtimes.{runtime}` in the agent's configuration gets the GPU, as with \
                 `docker run --runtime nvidia`"
            ),
            Self::NoGpu { .. } => {
                "`trt-deploy doctor` says what to do on the device; TensorRT-RTX can build without a GPU if the agent's \
                 configuration says for which one in `build-for`"
                    .into()
            }
            Self::CannotCrossBuild { .. } => {
                "check the CUDA driver on the device, and remove `build-for` from the agent's configuration".into()
            }
            Self::NotBuiltFor { offered, .. } => format!(
                "set `build-for` in the agent's configuration to one of: {}",
                offered.iter().map(|offered| format!("\"{}\"", dotted(*offered))).collect::<Vec<_>>().join(", ")
            ),
            Self::QdqNeedsInt8 { .. } => "set `precision: int8`, or export the model without Q/DQ nodes".into(),
            Self::NoInt8 { newer_rtx: true, .. } => {
                "set `precision: fp16`, or `on-unsupported: fp16` to have it built only where INT8 cannot be; or install \
                 TensorRT-RTX 1.7"
                    .into()
            }
            Self::NoInt8 { has_qdq: true, .. } => {
                "set `on-unsupported: fp16` for this model to have its Q/DQ nodes taken out on such devices".into()
            }
            Self::NoInt8 { chosen: OnUnsupported::Int8Anyway, .. } => {
                "`on-unsupported: int8-anyway` works with TensorRT 8 to 10 only; use `on-unsupported: fp16`".into()
            }
            Self::NoInt8 { .. } => {
                "set `on-unsupported: fp16` for this model to let such devices build FP16".into()
            }
            Self::NoTable => "add a `calibration` section to the model, with `images` or with a `table`".into(),
            Self::TableAndQdq => {
                "remove `calibration` from the model, or export it without Q/DQ nodes".into()
            }
            Self::TableAlgorithm { .. } => {
                "calibrate again with `trt-deploy calibrate`, or give a table whose header ends in \
                 `-EntropyCalibration2`"
                    .into()
            }
            Self::OtherLayers => "set `other-layers: fp16` or `other-layers: fp32`".into(),
            Self::Level { .. } => "set `optimization-level` to a number from 0 to 5, or leave it out".into(),
            Self::NoLevels { .. } => own_entry("leave `optimization-level` out of the model"),
            Self::TooOld { .. } => "install JetPack 4.6 or later on the device".into(),
            Self::UnknownTensorRt { trtexec: TrtexecThere::Fits, .. } => {
                "set `backend: auto`, and the device's `trtexec` will build".into()
            }
            Self::UnknownTensorRt { trtexec: TrtexecThere::Differs, .. } => {
                "install the `libnvinfer-bin` of the device's TensorRT and set `backend: auto`, or install a newer \
                 agent with `trt-deploy agent install`"
                    .into()
            }
            Self::UnknownTensorRt { trtexec: TrtexecThere::Absent, .. } => {
                "install `trtexec` on the device (package `libnvinfer-bin`), or a newer agent with \
                 `trt-deploy agent install`"
                    .into()
            }
            Self::UnknownTensorRt { trtexec: TrtexecThere::NotForRtx, .. } => {
                "install a newer agent with `trt-deploy agent install`, or a TensorRT-RTX that this one knows".into()
            }
            Self::NoTrtexec => {
                "install it on the device (package `libnvinfer-bin`), or set `backend: auto`".into()
            }
            Self::TrtexecWithRtx { .. } => own_entry("set `backend: auto`"),
            Self::TrtexecDiffers { is_known: true, .. } => {
                "install the `libnvinfer-bin` of the device's TensorRT, or set `backend: nvinfer`".into()
            }
            // `backend: nvinfer` would be refused in turn.
            Self::TrtexecDiffers { is_known: false, .. } => {
                "install the `libnvinfer-bin` of the device's TensorRT, or a newer agent with `trt-deploy agent install`"
                    .into()
            }
            Self::NoDla { .. } => own_entry("leave `dla` out of the model"),
            Self::DlaCore { .. } => own_entry("set `dla: 0`, or leave it out of the model"),
            Self::DlaFp32 => "set `precision: fp16` or `int8`, or leave `dla` out".into(),
            Self::DlaQdq { .. } => {
                "leave `dla` out, or export the model without Q/DQ nodes and calibrate it".into()
            }
            Self::DlaShapes { name } => format!("give one shape for `{name}` instead of min, opt and max, or leave `dla` out"),
            Self::UnknownInput { inputs, .. } => format!("the model's inputs are: {}", inputs.join(", ")),
            Self::NoShape { name, dims } => {
                // A dynamic batch is one picture to begin with, a dynamic side as long as detectors like it.
                let guess = |(axis, &dim): (usize, &i64)| if dim >= 0 { dim } else { [1, 3, 640, 640][axis.min(3)] };
                let example: Vec<String> = dims.iter().enumerate().map(|dim| guess(dim).to_string()).collect();
                let example = example.join(", ");
                format!("add `shapes: {{{name}: [{example}]}}`, or min, opt and max shapes, to the model")
            }
            Self::ShapeMismatch { .. } => "give as many dimensions as the model has, equal where its own are fixed".into(),
            Self::ShapeOrder { .. } => "make every dimension of min <= opt <= max".into(),
        })
    }
}

/// A compute capability as NVIDIA writes it.
fn dotted([major, minor]: [u32; 2]) -> String {
    format!("{major}.{minor}")
}

/// A model is built alike on all devices that get it.
fn own_entry(change: &str) -> String {
    format!(
        "{change}; where other devices are to keep it, give this one an entry of its own among the models"
    )
}

/// Who lacks something: the device, or a place to build in on it.
fn place(runtime: Option<&RuntimeName>) -> String {
    runtime.map_or_else(|| "the device".into(), |runtime| format!("the runtime `{runtime}` of the device"))
}
