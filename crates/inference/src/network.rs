//! The seam between evaluation and whatever runs the model.

use crate::{Backend, SourceError, Tensor};

/// A model that can be run: inputs in, outputs out.
pub trait Network: Send + Sync {
    /// What runs it.
    fn backend(&self) -> Backend;

    /// The names of the outputs, in the order in which [`Network::run`] gives them.
    fn outputs(&self) -> &[String];

    /// Runs it once. May be called from several threads.
    ///
    /// # Errors
    /// [`SourceError`].
    fn run(&self, inputs: &[Tensor]) -> Result<Vec<Tensor>, SourceError>;
}
