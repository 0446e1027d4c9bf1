//! What host, agent and worker say to each other: names, facts, plans, messages and frames.
//!
//! This crate is types only: it opens no socket and no file, and decides nothing. It depends on none of our
//! crates, and every one of them may depend on it. The bytes on the wire are described in [`frame`], the order
//! of the conversation in [`message`], the contract between agent and worker in [`worker`].

mod build;
mod facts;
mod failure;
pub mod frame;
mod id;
mod manifest;
pub mod message;
mod name;
pub mod worker;

pub use build::{
    Backend, BackendChoice, BuildPlan, BuildSpec, CalibratorClass, Decision, Dims, OnUnsupported, Precision,
    QuantMode, ShapeRange, Verification,
};
pub use facts::{DeviceFacts, Finding, Gpu, GpuSource, Health, TensorRt, TensorRtProduct, Trtexec};
pub use failure::{Failure, FailureCode, Retry};
pub use id::{BlobId, EngineKey, ReleaseId};
pub use manifest::{FileEntry, Manifest, ModelSummary, TableEntry, TensorInfo};
pub use name::{HookName, ModelName, NameError, PluginName, RuntimeName};
