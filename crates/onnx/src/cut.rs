//! What stands in the way of running a model here, and the part of it that can be run all the same.

use serde::Serialize;

use crate::error::OnnxError;
use crate::model::Model;

/// What a host may not be able to run, or to calibrate.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize)]
pub struct Obstacles {
    /// Nodes of other domains than ONNX's own, which a runtime may lack; those that the model itself defines as functions
    /// are not among them.
    pub foreign: Vec<Foreign>,
    /// Inputs that take strings.
    pub string_inputs: Vec<String>,
    /// Nodes with bodies, whose insides get no scale.
    pub control_flow: Vec<ControlFlow>,
    /// Whether the model has no float activation at all, and so nothing to calibrate.
    pub no_float: bool,
}

/// A node of another domain than ONNX's own.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Foreign {
    /// Its number in the graph, for [`upstream`]; a node in a body has the number of the outermost node around it.
    pub index: usize,
    /// Its name, for people.
    pub node: String,
    /// Its operator.
    pub op: String,
    /// Its domain.
    pub domain: String,
}

/// An If, Loop or Scan.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct ControlFlow {
    /// Its name, for people.
    pub node: String,
    /// Its operator.
    pub op: String,
    /// The values that its bodies compute, at every depth: they get no scale.
    pub values: Vec<String>,
}

/// What [`upstream`] took away.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize)]
pub struct Cut {
    /// The activations that cannot be computed any more, in the order of computation.
    pub lost: Vec<Lost>,
    /// The outputs of the model that are among them.
    pub lost_outputs: Vec<String>,
    /// The outputs of the graph that is left: its own, then what the lost nodes would have read.
    pub outputs: Vec<String>,
}

/// An activation that cannot be computed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Lost {
    /// Its name.
    pub name: String,
    /// Why, such as ``computed after `nms` (EfficientNMS of domain `TRT`), which this machine does not have``.
    pub because: String,
}

/// Says what may stand in the way of running or calibrating `model`.
pub fn obstacles(model: &Model) -> Obstacles {
    let _ = model;
    Obstacles::default()
}

/// Cuts `model` down to what can be computed without the nodes of these numbers (see [`Foreign::index`]).
///
/// Everything upstream stays and goes on being computed: the values that the lost nodes would have read become outputs.
///
/// # Errors
/// [`OnnxError::NothingUpstream`] where no node is left; the model is then as it was.
pub fn upstream(model: &mut Model, unsupported: &[usize]) -> Result<Cut, OnnxError> {
    let _ = (model, unsupported);
    Ok(Cut::default())
}
