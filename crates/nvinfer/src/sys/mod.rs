//! What the binary interface *is*: types, slots, values, and C++ objects made in Rust.
//!
//! The tables are public so that tools and tests can judge them; only this crate calls through them.

pub(crate) mod calibrator;
pub(crate) mod device;
pub(crate) mod logger;
pub(crate) mod monitor;
pub(crate) mod object;
pub(crate) mod recorder;
pub mod slots;
pub mod types;
pub mod values;
pub(crate) mod vtable;

pub use object::{Cell, Cells, Handle, Method};
