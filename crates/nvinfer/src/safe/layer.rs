//! The layers and tensors of a network: what implicit INT8 decides about, one by one.

use std::fmt;
use std::marker::PhantomData;

use super::network::{Network, TensorInfo};
use crate::error::Error;
use crate::result;
use crate::sys::values::{DataType, LayerKind};

/// A layer of a network.
#[derive(Clone, Copy)]
pub struct Layer<'n> {
    pub(super) inner: result::LayerHandle,
    pub(super) network: &'n Network,
}

/// A tensor of a network, between layers or at its border.
#[derive(Clone, Copy)]
pub struct Tensor<'n> {
    inner: result::TensorHandle,
    network: PhantomData<&'n Network>,
}

/// A tensor with the layer that makes it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NetworkTensor {
    /// Name, type and shape.
    pub info: TensorInfo,
    /// The index and name of the layer that makes it; `None` for an input of the network.
    pub producer: Option<(usize, String)>,
}

impl<'n> Layer<'n> {
    /// Its name: that of the ONNX node, or made up by the parser.
    pub fn name(&self) -> Result<String, Error> {
        Ok(self.inner.name()?)
    }

    /// What it does; `None` for a kind that is not in the table of this version, and for all of RTX.
    pub fn kind(&self) -> Result<Option<LayerKind>, Error> {
        Ok(LayerKind::from_value(self.network.version(), self.inner.kind()?))
    }

    /// Its inputs; `None` for one that is optional and absent.
    pub fn inputs(&self) -> Result<Vec<Option<Tensor<'n>>>, Error> {
        Ok(self.inner.inputs()?.into_iter().map(|tensor| tensor.map(Tensor::new)).collect())
    }

    /// Its outputs; `None` for one that is absent, so that the others keep the numbers that [`Self::set_output_type`] takes.
    pub fn outputs(&self) -> Result<Vec<Option<Tensor<'n>>>, Error> {
        Ok(self.inner.outputs()?.into_iter().map(|tensor| tensor.map(Tensor::new)).collect())
    }

    /// Asks that it computes in this precision. TensorRT 8 and 10; see [`crate::BuilderConfig::set_precision_constraints`]
    /// for how it is meant.
    pub fn set_precision(&self, data_type: DataType) -> Result<(), Error> {
        Ok(self.inner.set_precision(data_type.value())?)
    }

    /// The precision it was asked for, if any. TensorRT 8 and 10.
    pub fn precision(&self) -> Result<Option<DataType>, Error> {
        Ok(self.inner.precision()?.map(DataType::from))
    }

    /// Asks for the type of an output, counted from 0. TensorRT 8 and 10. [`Error::Rejected`] if there is no such output.
    pub fn set_output_type(&self, index: usize, data_type: DataType) -> Result<(), Error> {
        let index = self.output(index)?;
        Ok(self.inner.set_output_type(index, data_type.value())?)
    }

    /// Whether an output, counted from 0, was asked for a type. TensorRT 8 and 10. Errors as above.
    pub fn output_type_is_set(&self, index: usize) -> Result<bool, Error> {
        let index = self.output(index)?;
        Ok(self.inner.output_type_is_set(index)?)
    }

    fn output(&self, index: usize) -> Result<i32, Error> {
        let count = self.inner.outputs()?.len();
        if index < count {
            return Ok(index as i32);
        }
        let value = format!("output {index} of `{}`, which has {count}", self.inner.name()?);
        Err(Error::Rejected { method: "ILayer::setOutputType", value, recorded: vec![] })
    }
}

impl<'n> Tensor<'n> {
    fn new(inner: result::TensorHandle) -> Tensor<'n> {
        Tensor { inner, network: PhantomData }
    }

    /// Name, type and shape.
    pub fn info(&self) -> Result<TensorInfo, Error> {
        Ok(self.inner.describe()?.into())
    }

    /// Sets the range that INT8 is to cover, instead of a table's. TensorRT 8 and 10. [`Error::Rejected`] unless
    /// `min <= max`, both finite.
    pub fn set_dynamic_range(&self, min: f32, max: f32) -> Result<(), Error> {
        let is_range = min.is_finite() && max.is_finite() && min <= max;
        if is_range && self.inner.set_dynamic_range(min, max)? {
            return Ok(());
        }
        let value = format!("the range from {min} to {max} for `{}`", self.inner.describe()?.name);
        Err(Error::Rejected { method: "ITensor::setDynamicRange", value, recorded: vec![] })
    }

    /// Whether it has a range of its own. TensorRT 8 and 10.
    pub fn dynamic_range_is_set(&self) -> Result<bool, Error> {
        Ok(self.inner.dynamic_range_is_set()?)
    }
}

impl Network {
    /// The layers, in the order of the network.
    pub fn layers(&self) -> Result<Vec<Layer<'_>>, Error> {
        Ok(self.inner.layers()?.into_iter().map(|inner| Layer { inner, network: self }).collect())
    }

    /// The inputs, to set ranges on.
    pub fn input_tensors(&self) -> Result<Vec<Tensor<'_>>, Error> {
        Ok(self.inner.input_handles()?.into_iter().map(Tensor::new).collect())
    }

    /// Every tensor once, inputs first, then by the layer that makes it: what a calibration table should have a scale
    /// for, as far as [`DataType::is_quantizable`] says so.
    pub fn tensors(&self) -> Result<Vec<NetworkTensor>, Error> {
        let inputs = self.inputs()?.into_iter().map(|info| NetworkTensor { info, producer: None });
        let mut tensors: Vec<_> = inputs.collect();
        for (index, layer) in self.layers()?.into_iter().enumerate() {
            let name = layer.name()?;
            for tensor in layer.outputs()?.into_iter().flatten() {
                let producer = Some((index, name.clone()));
                tensors.push(NetworkTensor { info: tensor.info()?, producer });
            }
        }
        Ok(tensors)
    }
}

impl fmt::Debug for Layer<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Layer({:?})", self.inner.name().unwrap_or_default())
    }
}

impl fmt::Debug for Tensor<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Tensor({:?})", self.inner.describe().map(|tensor| tensor.name).unwrap_or_default())
    }
}
