//! **A recorder of calls, not TensorRT.** It builds nothing, runs nothing and knows nothing of neural networks.
//!
//! The cdylib exports what TensorRT's libraries export and hands out objects with TensorRT's vtables. Every call is
//! written with its decoded arguments to a log, then answered from a script, so that a test can see *which method*
//! a caller reached, with which arguments, and that callbacks are reached in return. It proves that two parties agree on
//! an interface; that NVIDIA's library is a third who agrees is proven by running NVIDIA's own compiled Python bindings
//! on it (`tests/abi/nvidia.rs`).
//!
//! - `RECORDER_VERSION`: the number that `getInferLibVersion()` returns and that chooses the vtables, such as 8201.
//! - `RECORDER_LOG`: the file to write to.
//! - `RECORDER_PLANT`: slots put elsewhere on purpose, `VBuilderConfig::setFlag=12 VTensor::getType=5`; what is there already takes
//!   the free slot.
//! - `RECORDER_CACHE`, if set: the calibration table that a calibration writes in place of two words.
//! - `RECORDER_OBJECTS`, if set: a file for a line `+IBuilder#1` for each object that the caller is to delete, and `-IBuilder#1`
//!   when it does.
//!
//! The vtables are those of the golden text `crates/nvinfer/tests/data/slots.txt`, which knows nothing of the table in
//! `crates/nvinfer/src`. A slot that the text does not list is a trap: it writes `VBuilder::slot6 unexpected` and aborts.
//! So do a call on a deleted object, a call on an object of another class, and an object deleted before what was made of it.

pub mod callbacks;
#[allow(non_snake_case)]
pub mod exports;
pub mod golden;
pub mod journal;
#[allow(non_snake_case)]
mod methods;
pub mod object;
mod show;
pub mod types;
