//! Calibration and evaluation as one HTML file, as plots and in the terminal.
//!
//! The way of the data: the host maps what calibration and evaluation found to a [`ReportData`]; [`html`] makes it one
//! file that fetches nothing, [`plot`] draws single figures as SVG and PNG, [`terminal`] draws a histogram with
//! characters.
//!
//! The crate reads no file, prints nothing and holds no `unsafe`. Only the host depends on it; it knows [`trt_calib`]'s
//! counts and [`trt_imaging`]'s pictures. Names of tensors, layers and files come from strangers: every one goes through
//! [`text::visible`] and is escaped where it is written.

mod bars;
mod data;
mod error;
mod html;
mod picture;
pub mod plot;
mod provenance;
mod tensor;
pub mod terminal;
pub mod text;

pub use bars::Bars;
pub use data::*;
pub use error::ReportError;
pub use html::html;
pub use picture::{Embedded, Mime};
pub use provenance::{Fact, Provenance};
pub use tensor::{Mark, TensorReport};
