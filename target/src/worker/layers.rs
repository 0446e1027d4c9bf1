//! The parsed network as a list of layers and the tensors between them.

use nvinfer::{Error, LayerKind, Network};
use trt_wire::Failure;

use super::build::build_failed;

/// A tensor of the parsed network.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Tensor {
    /// Its place among the layer's inputs or outputs, counted with those that are absent.
    pub index: usize,
    /// Its name; the ONNX value's, unless TensorRT's parser made the tensor.
    pub name: String,
    /// Whether it holds floating-point numbers that INT8 or FP16 could replace.
    pub is_float: bool,
}

/// A layer of the parsed network.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Layer {
    /// Its name.
    pub name: String,
    /// What it does; `None` for a kind that this version's table lacks.
    pub kind: Option<LayerKind>,
    /// What it reads; optional inputs that are absent are left out.
    pub inputs: Vec<Tensor>,
    /// What it computes; outputs that are absent are left out.
    pub outputs: Vec<Tensor>,
}

/// All layers, in the network's order, in which each comes after those whose results it reads.
pub fn of(network: &Network) -> Result<Vec<Layer>, Failure> {
    let tensor = |(index, tensor): (usize, nvinfer::Tensor<'_>)| -> Result<Tensor, Error> {
        let info = tensor.info()?;
        Ok(Tensor { index, is_float: info.data_type.is_quantizable(), name: info.name })
    };
    let tensors = |all: Vec<Option<nvinfer::Tensor<'_>>>| -> Result<Vec<Tensor>, Error> {
        present(all).map(tensor).collect()
    };
    let layer = |layer: nvinfer::Layer<'_>| -> Result<Layer, Error> {
        Ok(Layer {
            name: layer.name()?,
            kind: layer.kind()?,
            inputs: tensors(layer.inputs()?)?,
            outputs: tensors(layer.outputs()?)?,
        })
    };
    let layers = network.layers().and_then(|layers| layers.into_iter().map(layer).collect());
    layers.map_err(build_failed)
}

/// What is there, with its place.
fn present<T>(all: Vec<Option<T>>) -> impl Iterator<Item = (usize, T)> {
    all.into_iter().enumerate().filter_map(|(index, one)| Some((index, one?)))
}

/// A network for tests, a line for each layer: `name: inputs -> outputs`. A tensor that starts with `#` holds integers,
/// `_` is an absent one, and names like `conv1` say what the layer does.
#[cfg(test)]
pub fn network(lines: &[&str]) -> Vec<Layer> {
    let kinds = [
        ("conv", LayerKind::Convolution),
        ("relu", LayerKind::Activation),
        ("add", LayerKind::Elementwise),
        ("constant", LayerKind::Constant),
        ("dequantize", LayerKind::Dequantize),
    ];
    let tensor = |(index, name): (usize, &str)| Tensor {
        index,
        name: name.trim_start_matches('#').into(),
        is_float: !name.starts_with('#'),
    };
    let tensors = |names: &str| {
        let names = names.split(", ").map(str::trim).filter(|name| !name.is_empty());
        let names = names.map(|name| (name != "_").then_some(name)).collect();
        present(names).map(tensor).collect()
    };
    let layer = |line: &&str| {
        let (name, rest) = line.split_once(": ").expect("a name");
        let (inputs, outputs) = rest.split_once("->").expect("an arrow");
        let kind = kinds.iter().find(|(prefix, _)| name.starts_with(prefix)).map(|(_, kind)| *kind);
        Layer { name: name.into(), kind, inputs: tensors(inputs), outputs: tensors(outputs) }
    };
    lines.iter().map(layer).collect()
}
