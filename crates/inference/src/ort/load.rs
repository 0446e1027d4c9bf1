//! From an ONNX model to a session of ONNX Runtime, on whatever device, with the activations among its outputs.

use std::path::{Component, Path, PathBuf};

use onnxruntime::{Device, Element, External, Kind, ModelSource, Optimization, Options, Runtime, Session};
use prost::Message as _;
use trt_onnx::proto::{GraphProto, ModelProto, TensorProto};

use super::nodes::Nodes;
use crate::{Omitted, Settings, SourceError};

/// A model that ONNX Runtime has loaded.
pub(crate) struct Loaded {
    pub runtime: &'static Runtime,
    pub session: Session,
    pub nodes: Nodes,
}

/// Loads a model whose external data lies in `folder`.
pub(crate) fn load(
    model: &trt_onnx::Model,
    folder: &Path,
    settings: &Settings,
    device: Device,
    optimization: Optimization,
) -> Result<Loaded, SourceError> {
    let runtime = Runtime::load(settings.onnxruntime.as_deref())?;
    let external: Vec<External> = model
        .external_files()
        .into_iter()
        .map(|file| External { location: text(&file.path), path: folder.join(&file.path) })
        .collect();
    let malformed = |error: prost::DecodeError| SourceError::Load { node: None, reason: error.to_string() };
    let mut proto = ModelProto::decode(model.to_bytes()?.as_slice()).map_err(malformed)?;
    let mut graph = proto.graph.take().unwrap_or_default();
    if !external.is_empty() {
        locate(&mut graph);
    }
    let nodes = Nodes::replace(&mut graph);
    proto.graph = Some(graph);
    let options = Options { device, optimization };
    let source = ModelSource::Bytes(&proto.encode_to_vec(), &external);
    match Session::new(runtime, source, &options) {
        Ok(session) => Ok(Loaded { runtime, session, nodes }),
        Err(error) => Err(nodes.explain(error)),
    }
}

/// Writes the places of external data as [`trt_onnx::ExternalFile`] does, without `./`: ONNX Runtime compares letters.
fn locate(graph: &mut GraphProto) {
    let clean = |tensor: &mut TensorProto| {
        for entry in tensor.external_data.iter_mut().filter(|entry| entry.key.as_deref() == Some("location"))
        {
            let location = entry.value.take().unwrap_or_default();
            let parts = Path::new(&location).components().filter(|part| *part != Component::CurDir);
            entry.value = Some(text(&parts.collect::<PathBuf>()));
        }
    };
    graph.initializer.iter_mut().for_each(clean);
    for attribute in graph.node.iter_mut().flat_map(|node| &mut node.attribute) {
        attribute.g.as_deref_mut().into_iter().chain(&mut attribute.graphs).for_each(locate);
    }
}

fn text(path: &Path) -> String {
    path.to_string_lossy().into_owned()
}

/// Where an activation is to be found.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Seen {
    /// It is an input: the batch has it.
    Input,
    /// It is the output at this position of the session's.
    Output(usize),
}

/// The float activations that a session hands out, in the order asked for, and those that it does not. Integers and
/// truth values are neither: they have no scale.
pub(crate) fn seen(session: &Session, activations: &[String]) -> (Vec<(String, Seen)>, Vec<Omitted>) {
    let (mut found, mut omitted) = (Vec::new(), Vec::new());
    for name in activations {
        let output = session.outputs().iter().position(|output| output.name == *name);
        let input = session.inputs().iter().find(|input| input.name == *name);
        let (kind, place) = match (output, input) {
            (_, Some(input)) => (&input.kind, Seen::Input),
            (Some(at), _) => (&session.outputs()[at].kind, Seen::Output(at)),
            // Refused when it was asked for, with the reason.
            (None, None) => continue,
        };
        let why = match kind {
            Kind::Tensor { element: Element::F32 | Element::F16 | Element::F64, .. } => {
                found.push((name.clone(), place));
                continue;
            }
            Kind::Tensor { element: Element::Other(number @ (16..=20 | 23)), .. } => {
                format!("its elements are of ONNX's type {number}, which is not counted")
            }
            Kind::Tensor { .. } => continue,
            Kind::Other(what) => format!("it is no tensor: {what}"),
        };
        omitted.push(Omitted { name: name.clone(), why });
    }
    (found, omitted)
}
