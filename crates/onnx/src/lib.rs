//! Reads an ONNX graph, names its activations, inserts Q/DQ from calibration scales or converts to FP16, and writes it.
//!
//! For calibration and evaluation it says which activations share a scale ([`propagation`]), which ones TensorRT wants a
//! scale for and which layers would run in INT8 ([`demand`]), makes activations outputs ([`expose`]), finds and cuts off
//! what a host cannot run ([`obstacles`], [`upstream`]), and makes a graph that computes what an INT8 engine would
//! ([`simulate`]).
//!
//! What it is not: it neither runs a model nor infers shapes, and it never fetches anything. The only files it
//! touches are the model and its external data. It calls no TensorRT and reads no calibration tables; host and
//! target may depend on it, and it depends on nothing of ours.
//!
//! ```no_run
//! # fn main() -> Result<(), trt_onnx::OnnxError> {
//! let mut model = trt_onnx::Model::load("detector.onnx")?;
//! let scales: std::collections::BTreeMap<String, f32> = [("x".to_owned(), 0.02)].into();
//! let report = trt_onnx::quantize(&mut model, &|name| scales.get(name).copied(), &Default::default())?;
//! assert_eq!(report.opset_raised, Some((12, 13)));
//! model.save("detector.qdq.onnx")?;
//! # Ok(())
//! # }
//! ```

mod cut;
mod demand;
mod error;
mod expose;
mod external;
mod fp16;
mod graph;
mod half;
mod model;
mod opset;
pub mod proto;
mod qdq;
mod quantize;
mod sharing;
mod simulate;
mod tensor;
mod types;
mod weights;
mod wire;

pub use cut::{ControlFlow, Cut, Foreign, Lost, Obstacles, obstacles, upstream};
pub use demand::{Demand, Demanded, Layer, Missing, NotAsked, NotInt8, Unasked, demand};
pub use error::OnnxError;
pub use expose::{Exposed, Refused, expose};
pub use external::ExternalFile;
pub use fp16::{Fp16Options, Fp16Report, to_fp16};
pub use model::{Activation, Dim, Model, TensorInfo};
pub use opset::raise_opset;
pub use qdq::{AdaptReport, StripReport, adapt_qdq, strip_qdq};
pub use quantize::{QuantOptions, QuantReport, QuantizedNode, Skipped, quantize};
pub use sharing::{Conflict, Member, Propagation, Shared, Sharing, propagation};
pub use simulate::{ONNX_RUNTIME_SETTING, Only, Scope, SimulateOptions, SimulateReport, Simulated, simulate};
pub use weights::{NonFinite, nonfinite_weights};
pub use wire::UnknownField;
