//! Running an engine: shapes, memory, and the start on a stream.

use super::runtime::IoTensor;
use crate::error::Error;
use crate::result;
use crate::sys::device::{DeviceMemory, DeviceStream};
use crate::sys::types::Dims64;
use crate::sys::values::IoMode;

/// What an engine runs in, with the shapes of its inputs. One run at a time: wait for the stream before changing shapes,
/// running again on another stream, or dropping it.
pub struct ExecutionContext {
    inner: result::Context,
    tensors: Vec<IoTensor>,
}

impl ExecutionContext {
    pub(super) fn new(inner: result::Context, tensors: Vec<IoTensor>) -> ExecutionContext {
        ExecutionContext { inner, tensors }
    }

    /// Uses another optimization profile, counted from 0; then all input shapes are to be set again.
    ///
    /// [`Error::Rejected`] if there is no such profile, or another context uses it.
    pub fn set_profile(&mut self, profile: usize, stream: &dyn DeviceStream) -> Result<(), Error> {
        self.inner.set_profile(profile, stream)
    }

    /// Sets the shape of an input.
    ///
    /// Errors: [`Error::NoTensor`], [`Error::Rejected`] for a shape outside the profile or of an output,
    /// [`Error::Shape`] for one that TensorRT's types cannot hold.
    pub fn set_input_shape(&mut self, name: &str, shape: &[i64]) -> Result<(), Error> {
        let index = self.index(name)?;
        if self.tensors[index].mode == IoMode::Output {
            let value = format!("{shape:?} for `{name}`, an output");
            return Err(Error::Rejected {
                method: "IExecutionContext::setInputShape",
                value,
                recorded: vec![],
            });
        }
        let misfit = || Error::Shape { input: name.into(), shape: shape.to_vec() };
        let dims = Dims64::new(shape).ok_or_else(misfit)?;
        self.inner.set_shape(index, &dims)?.ok_or_else(misfit)
    }

    /// The shape of an input or output with the input shapes that are set; -1 where it depends on more than them.
    pub fn shape(&self, name: &str) -> Result<Vec<i64>, Error> {
        Ok(self.inner.shape(self.index(name)?)?.extents().to_vec())
    }

    /// How many bytes a tensor takes with the input shapes that are set.
    ///
    /// [`Error::Rejected`] while the shape is not known, or for a type newer than this crate.
    pub fn bytes(&self, name: &str) -> Result<u64, Error> {
        self.bytes_of(self.index(name)?)
    }

    fn bytes_of(&self, index: usize) -> Result<u64, Error> {
        let (tensor, dims) = (&self.tensors[index], self.inner.shape(index)?);
        let is_valid = dims.count >= 0;
        let bits = is_valid.then(|| size_in_bits(dims.extents(), tensor.data_type.bits()?)).flatten();
        bits.map(|bits| bits.div_ceil(8)).ok_or_else(|| Error::Rejected {
            method: "IExecutionContext::getTensorShape",
            value: format!("{:?} of {:?} for `{}`", dims.extents(), tensor.data_type, tensor.name),
            recorded: vec![],
        })
    }

    /// Starts the engine on a stream, with the memory of every input and output by name; wait for the stream before reading
    /// outputs.
    ///
    /// Errors, before anything runs: [`Error::NoTensor`]; [`Error::Memory`] for a tensor whose memory is missing or too
    /// small for the shapes set; [`Error::HostTensor`]. Then [`Error::Enqueue`]. What goes wrong on the GPU is seen when the
    /// stream is waited for.
    pub fn enqueue(
        &mut self,
        stream: &dyn DeviceStream,
        memory: &[(&str, &dyn DeviceMemory)],
    ) -> Result<(), Error> {
        let mut places: Vec<Option<&dyn DeviceMemory>> = vec![None; self.tensors.len()];
        for (name, place) in memory {
            places[self.index(name)?] = Some(*place);
        }
        let mut checked = Vec::with_capacity(places.len());
        for (index, place) in places.into_iter().enumerate() {
            let name = || self.tensors[index].name.clone();
            if self.tensors[index].on_host {
                return Err(Error::HostTensor { name: name() });
            }
            let (needed, given) = (self.bytes_of(index)?, place.map_or(0, |place| place.bytes() as u64));
            match place {
                Some(place) if given >= needed => checked.push(place),
                _ => return Err(Error::Memory { name: name(), needed, given }),
            }
        }
        self.inner.enqueue(stream, &checked)
    }

    fn index(&self, name: &str) -> Result<usize, Error> {
        self.tensors.iter().position(|tensor| tensor.name == name).ok_or_else(|| Error::NoTensor {
            name: name.into(),
            names: self.tensors.iter().map(|tensor| tensor.name.clone()).collect(),
        })
    }
}

/// The size of a tensor; `None` if an extent is not known, or for more than 2^64 bits.
fn size_in_bits(extents: &[i64], bits: u32) -> Option<u64> {
    extents.iter().try_fold(u64::from(bits), |size, &extent| size.checked_mul(u64::try_from(extent).ok()?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_tensor_has_a_size_when_all_its_extents_are_known() {
        let cases: [(&[i64], u32, Option<u64>); 6] = [
            (&[1, 3, 224, 224], 32, Some(3 * 224 * 224 * 32)),
            (&[], 32, Some(32)),
            (&[0, 7], 16, Some(0)),
            (&[3], 4, Some(12)),
            (&[-1, 3], 32, None),
            (&[i64::MAX, 2], 32, None),
        ];
        for (extents, bits, expected) in cases {
            assert_eq!(size_in_bits(extents, bits), expected, "{extents:?}");
        }
    }
}
