//! ONNX Runtime, loaded at run time, with every activation where it was computed.
//!
//! [`Runtime::load`] finds the library (nothing of it is linked or downloaded, so a program with this crate starts where
//! there is none), a [`Session`] holds a model on the CPU or on a GPU, and its outputs are seen where they lie: as slices in
//! host memory ([`Session::run`]) or by their addresses on the GPU ([`Session::run_bound`]). Nothing is copied.
//!
//! What it is not: it knows nothing of calibration. It is the only crate that touches `ort`, which prepares sessions;
//! runs go through ONNX Runtime's C functions, since `ort` wants a session for itself and copies inputs that are bound.

mod bound;
mod error;
mod find;
mod provider;
mod runtime;
mod session;
mod setup;
mod value;

pub use bound::{BoundFeed, BoundOutput};
pub use error::OrtError;
pub use find::Place;
pub use runtime::{LEAST_VERSION, Runtime};
pub use session::{Cuda, Device, External, ModelSource, Optimization, Options, Port, Session};
pub use value::{Element, Elements, Feed, Kind, Output};
