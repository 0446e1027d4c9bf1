//! An ONNX model in memory: loading, saving, and what the rest of trt-deploy asks of it.

use std::collections::BTreeMap;
use std::fs;
use std::io::{self, Write as _};
use std::path::{Path, PathBuf};

use prost::Message as _;
use prost::bytes::Bytes;
use serde::Serialize;

use crate::error::OnnxError;
use crate::external::{self, ExternalFile};
use crate::graph;
use crate::proto::{AttributeProto, DimValue, GraphProto, ModelProto, NodeProto, TypeValue, ValueInfoProto};
use crate::wire::{self, UnknownField};

/// What protobuf can hold in one message, in bytes: ONNX models beyond need external data.
const MAX_BYTES: u64 = i32::MAX as u64;

/// A validated ONNX model, and the folder that its external data lies in.
#[derive(Debug, Clone)]
pub struct Model {
    pub(crate) proto: ModelProto,
    pub(crate) folder: Option<PathBuf>,
    unknown: Vec<UnknownField>,
}

/// One input or output of a graph.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct TensorInfo {
    /// The value's name.
    pub name: String,
    /// Its element type (`TensorProto.DataType`, see [`crate::proto::elem`]); 0 where the model does not say.
    pub elem_type: i32,
    /// Its dimensions; empty for a scalar, and for a shape that the model does not give.
    pub dims: Vec<Dim>,
}

/// One dimension of a shape.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Dim {
    /// Always this size.
    Fixed(i64),
    /// Any size; the same wherever the name occurs.
    Symbol(String),
    /// Any size.
    Unknown,
}

/// A value that calibration observes: a graph input, or a node output that depends on one.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Activation {
    /// The value's name: the key in a calibration table.
    pub name: String,
    /// The node that computes it, for people; `None` for a graph input.
    pub producer: Option<String>,
    /// That node's operator.
    pub op_type: Option<String>,
    /// Whether it is known to be a float tensor; false where the type could not be derived.
    pub known_float: bool,
    /// Whether it is an input of the graph.
    pub is_input: bool,
    /// Whether it is an output of the graph.
    pub is_output: bool,
}

impl Model {
    /// Loads and validates the model at `path`, and checks that its external data is there.
    ///
    /// # Errors
    /// Every variant of [`OnnxError`] up to [`OnnxError::OutputNotComputed`].
    pub fn load(path: impl AsRef<Path>) -> Result<Self, OnnxError> {
        let path = path.as_ref();
        let read = |source: io::Error| match source.kind() {
            io::ErrorKind::NotFound => OnnxError::NotFound { path: path.to_owned() },
            _ => OnnxError::Read { path: path.to_owned(), source },
        };
        let bytes = fs::metadata(path).map_err(read)?.len();
        if bytes > MAX_BYTES {
            return Err(OnnxError::TooLarge { bytes });
        }
        let folder = match path.parent() {
            Some(parent) if parent.as_os_str().is_empty() => Path::new("."),
            Some(parent) => parent,
            None => Path::new("."),
        };
        Self::from_bytes(fs::read(path).map_err(read)?, Some(folder))
    }

    /// Reads and validates a model from its encoded form.
    ///
    /// External data is looked for in `folder`. Without a folder the model can be inspected, but nothing that
    /// needs its external tensors succeeds. Weights share memory with `bytes`.
    ///
    /// # Errors
    /// As [`Model::load`].
    pub fn from_bytes(bytes: impl Into<Bytes>, folder: Option<&Path>) -> Result<Self, OnnxError> {
        let bytes = bytes.into();
        if bytes.is_empty() {
            return Err(OnnxError::Empty);
        }
        let proto = ModelProto::decode(bytes.clone()).map_err(|source| OnnxError::Malformed { source })?;
        if proto.graph.is_none() {
            return Err(OnnxError::NoGraph);
        }
        let model = Self { proto, folder: folder.map(Path::to_owned), unknown: wire::unknown_fields(&bytes) };
        if model.opset() == 0 {
            return Err(OnnxError::NoOpset);
        }
        graph::validate(model.graph())?;
        external::check(&model)?;
        Ok(model)
    }

    /// The encoded model; external data stays where it is and is only referred to.
    ///
    /// # Errors
    /// [`OnnxError::TooLarge`] beyond 2 GiB.
    pub fn to_bytes(&self) -> Result<Vec<u8>, OnnxError> {
        let bytes = self.proto.encoded_len() as u64;
        if bytes > MAX_BYTES {
            return Err(OnnxError::TooLarge { bytes });
        }
        Ok(self.proto.encode_to_vec())
    }

    /// Writes the model to `path`, whole or not at all (a temporary file beside it, renamed).
    ///
    /// External data is not copied: put [`Model::external_files`] beside the new file, at the same relative paths.
    ///
    /// # Errors
    /// [`OnnxError::TooLarge`], [`OnnxError::Write`].
    pub fn save(&self, path: impl AsRef<Path>) -> Result<(), OnnxError> {
        let path = path.as_ref();
        let bytes = self.to_bytes()?;
        let mut name = path.file_name().unwrap_or_default().to_owned();
        name.push(format!(".{}.tmp", std::process::id()));
        let temporary = path.with_file_name(name);
        let write = || {
            let mut file = fs::File::create(&temporary)?;
            file.write_all(&bytes)?;
            file.sync_all()?;
            fs::rename(&temporary, path)
        };
        write().map_err(|source| {
            let _ = fs::remove_file(&temporary); // Best effort: the write's own error is the one to report.
            OnnxError::Write { path: path.to_owned(), source }
        })
    }

    /// The version of the default operator set.
    pub fn opset(&self) -> i64 {
        opset_of(&self.proto)
    }

    /// The version of the file format.
    pub fn ir_version(&self) -> i64 {
        self.proto.ir_version.unwrap_or_default()
    }

    /// The program that exported the model and its version, or an empty text.
    pub fn producer(&self) -> String {
        let name = self.proto.producer_name.as_deref().unwrap_or_default();
        let version = self.proto.producer_version.as_deref().unwrap_or_default();
        format!("{name} {version}").trim().to_owned()
    }

    /// The inputs a caller feeds: initializers that are listed as inputs (defaults) are not among them.
    pub fn inputs(&self) -> Vec<TensorInfo> {
        graph::fed_inputs(self.graph()).map(tensor_info).collect()
    }

    /// The outputs.
    pub fn outputs(&self) -> Vec<TensorInfo> {
        self.graph().output.iter().map(tensor_info).collect()
    }

    /// Whether the model holds QuantizeLinear or DequantizeLinear already.
    pub fn has_qdq(&self) -> bool {
        self.qdq_nodes() > 0
    }

    /// How often each operator occurs, subgraphs and functions included; other domains as `domain.Operator`.
    pub fn operators(&self) -> BTreeMap<String, usize> {
        let mut count = BTreeMap::new();
        let functions = self.proto.functions.iter().flat_map(|function| &function.node);
        for node in self.graph().node.iter().chain(functions) {
            graph::visit(node, &mut |node| *count.entry(node.qualified_op()).or_default() += 1);
        }
        count
    }

    /// Every value that a calibration observes, in the order of computation, graph inputs first.
    ///
    /// Left out: constants, what depends on constants only, integers, booleans and strings (where known), and the
    /// insides of subgraphs (see [`Model::subgraph_nodes`]).
    pub fn activations(&self) -> Vec<Activation> {
        graph::activations(self.graph(), &self.proto.functions)
    }

    /// What the node of that name computes: the names of its outputs; `None` if the graph has no such node.
    pub fn outputs_of_node(&self, name: &str) -> Option<Vec<String>> {
        let node = self.graph().node.iter().find(|node| node.name.as_deref() == Some(name))?;
        Some(node.outputs().map(str::to_owned).collect())
    }

    /// The names of the tensors that the graph stores (initializers, sparse ones included).
    ///
    /// TensorRT 10 and later write `<name>_output` of those into calibration tables.
    pub fn initializers(&self) -> impl Iterator<Item = &str> {
        graph::stored_names(self.graph())
    }

    /// How many nodes lie in the bodies of If, Loop and Scan, whose values are not calibrated.
    pub fn subgraph_nodes(&self) -> usize {
        let mut count = 0;
        self.graph().node.iter().for_each(|node| graph::visit(node, &mut |_| count += 1));
        count - self.graph().node.len()
    }

    /// The files that hold the model's external data, each once, sorted by path.
    pub fn external_files(&self) -> Vec<ExternalFile> {
        external::files(&self.proto)
    }

    /// Fields of the file that this version does not know; [`Model::save`] loses them.
    pub fn unknown_fields(&self) -> &[UnknownField] {
        &self.unknown
    }

    /// The folder that the model's external data lies in; `None` for a model from bytes without one.
    ///
    /// A changed model can be run without copying that data: ONNX Runtime takes its bytes with
    /// `session.model_external_initializers_file_folder_path` set to this folder.
    pub fn folder(&self) -> Option<&Path> {
        self.folder.as_deref()
    }

    pub(crate) fn graph(&self) -> &GraphProto {
        self.proto.graph.as_ref().expect("checked in from_bytes")
    }

    pub(crate) fn graph_mut(&mut self) -> &mut GraphProto {
        self.proto.graph.as_mut().expect("checked in from_bytes")
    }

    pub(crate) fn qdq_nodes(&self) -> usize {
        let operators = self.operators();
        ["QuantizeLinear", "DequantizeLinear"].iter().filter_map(|op| operators.get(*op)).sum()
    }
}

/// The version of the default operator set, 0 where the model names none.
fn opset_of(model: &ModelProto) -> i64 {
    let default = model.opset_import.iter().find(|set| is_default_domain(set.domain.as_deref()));
    default.and_then(|set| set.version).unwrap_or_default()
}

/// Whether `domain` is ONNX's own, under either of its names.
pub(crate) fn is_default_domain(domain: Option<&str>) -> bool {
    matches!(domain, None | Some("" | "ai.onnx"))
}

fn tensor_info(value: &ValueInfoProto) -> TensorInfo {
    let name = value.name.clone().unwrap_or_default();
    let Some(TypeValue::Tensor(tensor)) = value.r#type.as_ref().and_then(|t| t.value.as_ref()) else {
        return TensorInfo { name, elem_type: 0, dims: Vec::new() };
    };
    let dims = tensor.shape.iter().flat_map(|shape| &shape.dim).map(|dim| match &dim.value {
        Some(DimValue::Value(size)) if *size >= 0 => Dim::Fixed(*size),
        Some(DimValue::Param(symbol)) if !symbol.is_empty() => Dim::Symbol(symbol.clone()),
        _ => Dim::Unknown,
    });
    TensorInfo { name, elem_type: tensor.elem_type.unwrap_or_default(), dims: dims.collect() }
}

impl NodeProto {
    /// The operator's name without its domain.
    pub fn op(&self) -> &str {
        self.op_type.as_deref().unwrap_or_default()
    }

    /// Whether this is operator `op` of the default domain.
    pub fn is(&self, op: &str) -> bool {
        self.op() == op && is_default_domain(self.domain.as_deref())
    }

    /// `Operator`, or `domain.Operator` outside the default domain.
    pub fn qualified_op(&self) -> String {
        match self.domain.as_deref() {
            Some(domain) if !is_default_domain(Some(domain)) => format!("{domain}.{}", self.op()),
            _ => self.op().to_owned(),
        }
    }

    /// The attribute of that name.
    pub fn attribute(&self, name: &str) -> Option<&AttributeProto> {
        self.attribute.iter().find(|attribute| attribute.name.as_deref() == Some(name))
    }

    /// An integer attribute, or `default` where the node has none.
    pub fn int(&self, name: &str, default: i64) -> i64 {
        self.attribute(name).and_then(|attribute| attribute.i).unwrap_or(default)
    }

    /// Input `index`, unless it is absent (ONNX writes an absent optional input as an empty name).
    pub fn input(&self, index: usize) -> Option<&str> {
        self.input.get(index).map(String::as_str).filter(|name| !name.is_empty())
    }

    /// The outputs that have a name.
    pub fn outputs(&self) -> impl Iterator<Item = &str> {
        self.output.iter().map(String::as_str).filter(|name| !name.is_empty())
    }

    /// What people call node number `index` of its graph: its name, or ``Conv #12 (output `x`)``.
    pub fn display(&self, index: usize) -> String {
        match self.name.as_deref() {
            Some(name) if !name.is_empty() => format!("`{name}`"),
            _ => match self.outputs().next() {
                Some(output) => format!("{} #{index} (output `{output}`)", self.qualified_op()),
                None => format!("{} #{index}", self.qualified_op()),
            },
        }
    }
}
