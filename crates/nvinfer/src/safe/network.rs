//! The network, and the ONNX model that fills it.

use std::os::unix::ffi::OsStrExt;
use std::path::Path;
use std::rc::Rc;

use super::c_string;
use crate::error::Error;
use crate::result;
use crate::sys::values::{DataType, Severity};
use crate::version::Version;

/// An input or output of a network.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TensorInfo {
    /// Its name in the model.
    pub name: String,
    /// The type of its elements.
    pub data_type: DataType,
    /// Its extents, -1 where dynamic.
    pub shape: Vec<i64>,
}

/// A network with the parser that filled it, whose weights it uses until it is built.
pub struct Network {
    parsers: Vec<result::Parser>,
    pub(super) inner: Rc<result::Network>,
}

impl Network {
    pub(super) fn new(inner: result::Network) -> Network {
        Network { parsers: vec![], inner: Rc::new(inner) }
    }

    /// Reads a serialized ONNX model. `path` is where it lies, for external data beside it.
    ///
    /// After an error ([`Error::Parse`] with every error of the parser, or [`Error::EmptyModel`]) the network may be half
    /// filled: drop it. Some details, like the name of a missing data file, are in the log only.
    pub fn parse(&mut self, model: &[u8], path: Option<&Path>) -> Result<(), Error> {
        let path = path.map(|path| c_string("model path", path.as_os_str().as_bytes())).transpose()?;
        self.parser()?.parse(model, path.as_deref())
    }

    /// Reads an ONNX file and the external data beside it. Errors as in [`Self::parse`].
    pub fn parse_file(&mut self, path: &Path) -> Result<(), Error> {
        let path = c_string("model path", path.as_os_str().as_bytes())?;
        self.parser()?.parse_file(&path, Severity::Warning as i32)
    }

    /// The library's version.
    pub(super) fn version(&self) -> Version {
        self.inner.builder.version()
    }

    /// A new parser, kept as long as the network.
    fn parser(&mut self) -> Result<&result::Parser, Error> {
        let parser = result::Parser::new(self.inner.clone())?;
        Ok(self.parsers.push_mut(parser))
    }

    /// The inputs, in the order of the model.
    pub fn inputs(&self) -> Result<Vec<TensorInfo>, Error> {
        Ok(self.inner.inputs()?.into_iter().map(TensorInfo::from).collect())
    }

    /// The outputs, in the order of the model.
    pub fn outputs(&self) -> Result<Vec<TensorInfo>, Error> {
        Ok(self.inner.outputs()?.into_iter().map(TensorInfo::from).collect())
    }

    /// The names of TensorRT's layers. They are not those of the ONNX nodes: the parser may need several for one.
    pub fn layer_names(&self) -> Result<Vec<String>, Error> {
        self.layers()?.iter().map(|layer| layer.name()).collect()
    }

    /// How many layers there are.
    pub fn layer_count(&self) -> Result<usize, Error> {
        Ok(self.inner.layer_count()?)
    }
}

impl From<result::Tensor> for TensorInfo {
    fn from(tensor: result::Tensor) -> TensorInfo {
        let shape = tensor.dims.extents().to_vec();
        TensorInfo { name: tensor.name, data_type: tensor.data_type.into(), shape }
    }
}
