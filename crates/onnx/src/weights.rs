//! Weights that are no finite numbers.

use std::collections::HashMap;

use serde::Serialize;

use crate::error::OnnxError;
use crate::model::Model;
use crate::proto::{GraphProto, TensorProto};
use crate::{graph, tensor};

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
/// Float32 and float16 are looked at. Infinities are not wrong as such: attention masks have them. Tensors are read one
/// at a time.
///
/// # Errors
/// [`OnnxError::BadTensor`] and those of reading external data.
pub fn nonfinite_weights(model: &Model) -> Result<Vec<NonFinite>, OnnxError> {
    let graph = model.graph();
    let mut first_reader: HashMap<&str, usize> = HashMap::new();
    for (index, node) in graph.node.iter().enumerate() {
        for name in graph::reads(node) {
            first_reader.entry(name).or_insert(index);
        }
    }
    let mut found = Vec::new();
    each_stored(graph, &mut |name, tensor| {
        let Some(values) = tensor::any_floats(tensor, model.folder())? else { return Ok(()) };
        let nan = values.iter().filter(|value| value.is_nan()).count() as u64;
        let infinite = values.iter().filter(|value| value.is_infinite()).count() as u64;
        if nan + infinite > 0 {
            found.push(NonFinite {
                tensor: name.to_owned(),
                nan,
                infinite,
                elements: values.len() as u64,
                reader: first_reader.get(name).map(|&index| graph.node[index].display(index)),
            });
        }
        Ok(())
    })?;
    Ok(found)
}

type See<'a> = dyn FnMut(&str, &TensorProto) -> Result<(), OnnxError> + 'a;

/// Calls `see` for each initializer and each Constant node's tensor, with the name that nodes read it by.
fn each_stored(graph: &GraphProto, see: &mut See) -> Result<(), OnnxError> {
    for tensor in &graph.initializer {
        see(tensor.name.as_deref().unwrap_or_default(), tensor)?;
    }
    for node in &graph.node {
        if let Some(value) =
            node.attribute("value").filter(|_| node.is("Constant")).and_then(|a| a.t.as_deref())
        {
            see(node.outputs().next().unwrap_or_default(), value)?;
        }
        graph::subgraphs(node).try_for_each(|body| each_stored(body, see))?;
    }
    Ok(())
}
