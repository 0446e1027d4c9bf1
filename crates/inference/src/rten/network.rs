//! Runs a model in rten, for its outputs.

use std::sync::Arc;

use rten::{NodeId, RunOptions, ThreadPool};

use super::{Prepared, VERSION, failed, model, value};
use crate::{Backend, Network, Settings, SourceError, Tensor};

/// A model in rten, unoptimized like the one whose activations are counted.
///
/// rten has fewer types than ONNX: outputs of 64-bit integers and of truth values are given as 32-bit integers.
pub struct RtenNetwork {
    model: rten::Model,
    nodes: model::NodeNames,
    inputs: Vec<(String, NodeId)>,
    outputs: Vec<String>,
    ids: Vec<NodeId>,
    pool: Arc<ThreadPool>,
    threads: usize,
}

impl RtenNetwork {
    /// Gets a model with these outputs ready.
    ///
    /// # Errors
    /// [`SourceError::Load`] where rten lacks an output.
    pub fn new(prepared: Prepared, outputs: Vec<String>, settings: &Settings) -> Result<Self, SourceError> {
        let Prepared { model, nodes, inputs, .. } = prepared;
        let absent = |name: &String| SourceError::Load {
            node: None,
            reason: format!("rten does not have the output `{name}`"),
        };
        let id = |name: &String| model.find_node(name).ok_or_else(|| absent(name));
        let ids = outputs.iter().map(id).collect::<Result<_, _>>()?;
        let threads = settings.threads.max(1);
        let pool = Arc::new(ThreadPool::with_num_threads(threads));
        Ok(Self { model, nodes, inputs, outputs, ids, pool, threads })
    }
}

impl Network for RtenNetwork {
    fn backend(&self) -> Backend {
        let settings = vec![("threads", self.threads.to_string())];
        Backend { name: "rten", version: VERSION.to_owned(), settings }
    }

    fn outputs(&self) -> &[String] {
        &self.outputs
    }

    fn run(&self, inputs: &[Tensor]) -> Result<Vec<Tensor>, SourceError> {
        let inputs = value::inputs(inputs.to_vec(), &self.inputs)?;
        let inputs = inputs.into_iter().map(|(id, value)| (id, value.into())).collect();
        let options = RunOptions::default().with_thread_pool(Some(Arc::clone(&self.pool)));
        let values = self.model.run(inputs, &self.ids, Some(options));
        let values = values.map_err(|error| self.nodes.run_error(&error))?;
        let copy = |(name, value): (&String, &rten::Value)| {
            value::tensor(name, value).ok_or_else(|| failed(format!("output `{name}` is a sequence")))
        };
        self.outputs.iter().zip(&values).map(copy).collect()
    }
}
