//! Calibration and evaluation data: which samples are used, what identifies them, and how they become tensors.
//!
//! ```text
//! folders, globs, lists -- find --> files -- Inputs::resolve (model, shapes) --> Inputs
//! Inputs -- Dataset::choose (count, seed, shard) --> Dataset -- split --> Datasets
//! Dataset -- Loader --> Loaded, or run: Loaders on all cores -> batches -> a HistogramSource --> Tally
//! ```
//!
//! A sample is an image, an array of numbers, or one of each of several inputs. Files are untrusted: sizes are capped,
//! headers are checked against what is there before memory is taken, and what is wrong with one sample costs that
//! sample and no other.
//!
//! What it is not: it runs no model, derives no thresholds, prints nothing and writes nothing. The host depends on it.

mod array;
mod dataset;
mod element;
mod error;
mod find;
mod header;
mod input;
mod load;
mod look;
mod pairing;
mod queue;
mod run;
mod sampling;
mod split;
mod survey;
mod tally;

pub use dataset::{Dataset, Sampling};
pub use element::Elem;
pub use error::{ArrayError, DatasetError, SampleError};
pub use find::{Entry, FindError, Wanted, find};
pub use input::{Form, Input, Inputs, Shapes, Source};
pub use load::{Decode, Loaded, Loader, join};
pub use look::{Look, PictureLook};
pub use pairing::Pairing;
pub use run::{Checkpoint, Hooks, Rules, Save, run};
pub use sampling::{Shard, ShardError};
pub use split::split;
pub use survey::{Survey, survey};
pub use tally::Tally;
