//! How close two networks' outputs are, and how good each is against labels.
//!
//! Two kinds of figures. **Closeness** needs no labels: [`Comparison`] adds up cosine, signal-to-noise ratio and largest
//! error of one output, [`Grouped`] the same for groups of its channels, [`Agreement`] counts equal classes, and
//! [`Matches`] equal boxes. **Quality** needs labels: [`Accuracy`], [`AveragePrecision`] and [`Confusion`].
//!
//! Everything is an accumulator: `add` a sample, `merge` another accumulator, read the figures. Memory does not grow
//! with the number of samples, but for [`AveragePrecision`], which keeps 8 bytes of each detection. Merging in the order
//! of the samples gives the same bits however the work was divided.
//!
//! The crate is pure: no I/O, no `unsafe`, no dependency on any other of our crates. The host and the device both
//! depend on it.

mod average_precision;
mod boxes;
mod classes;
mod compare;
mod decode;
mod error;
mod groups;
mod matching;
mod pixels;

pub use average_precision::{AveragePrecision, Truth};
pub use boxes::{BBox, Detection, suppress};
pub use classes::{Accuracy, Agreement, top};
pub use compare::{Comparison, Figures, SQNR_LIMIT};
pub use decode::{Axis, BoxFormat, Described, Format, Part, Preset, Units, View};
pub use error::MetricsError;
pub use groups::{Group, Grouped, Groups};
pub use matching::{Matches, match_boxes};
pub use pixels::{Confusion, IGNORED, PixelAgreement, pixel_classes};
