//! Decodes photographs and turns them into a network's input, the same code on host and device.
//!
//! A calibration table describes what one preprocessing made of the images, and the device is
//! verified with that preprocessing too, so there is one implementation of it. What it computes is
//! what `cv2.imread` and `cv2.resize` (`INTER_LINEAR`) give, within the tolerances that `tests/`
//! states and checks.
//!
//! ```text
//! bytes -- decode --> Picture -- Runner::run --> [f32], one image as NCHW or NHWC
//! YAML  -- Preprocess -- resolve(model's size) --> Pipeline -- runner --> Runner
//! ```
//!
//! It reads no files, spawns no threads and prints nothing: the caller runs one image on each core.
//! It is no general image library: three 8-bit channels, one resampling filter. Every crate of the
//! workspace may depend on it; it depends on none of them.

mod config;
mod decode;
mod error;
mod jpeg;
mod picture;
mod pipeline;
mod placement;
mod runner;
mod sniff;

pub use config::{Channels, Layout, Preprocess, Preset, ResizeMode, Size};
pub use decode::{Decoded, Limits, Note, decode, decode_within};
pub use error::ImagingError;
pub use picture::Picture;
pub use pipeline::{Pipeline, Resize};
pub use placement::Placement;
pub use runner::Runner;
pub use sniff::{Format, is_image_path};
