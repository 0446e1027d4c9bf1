//! `INetworkDefinition`, `ITensor` and `ILayer`.

use std::rc::Rc;

use super::builder::Builder;
use super::{Owned, expect};
use crate::error::{Error, Unsupported};
use crate::sys::object::{Handle, Method, call};
use crate::sys::slots::layer::VLayer;
use crate::sys::slots::network::{self, VNetworkDefinition};
use crate::sys::slots::tensor::VTensor;
use crate::sys::types::{Dims64, Ptr};
use crate::sys::vtable::copy_text;

/// A network; its tensors and layers belong to it.
pub struct Network {
    object: Owned<VNetworkDefinition>,
    pub(crate) builder: Rc<Builder>,
}

/// What a tensor says of itself.
pub struct Tensor {
    /// Its name.
    pub name: String,
    /// `DataType`, as a number.
    pub data_type: i32,
    /// Its shape.
    pub dims: Dims64,
}

/// A layer, alive as long as its network.
pub type LayerHandle = Handle<VLayer>;
/// A tensor, alive as long as its network.
pub type TensorHandle = Handle<VTensor>;

type Count = Method<VNetworkDefinition, unsafe extern "C" fn(Ptr) -> i32>;
type Item = Method<VNetworkDefinition, unsafe extern "C" fn(Ptr, i32) -> Ptr>;

impl Network {
    /// Makes an empty network and checks on it that the slots are where the table says.
    pub fn new(builder: Rc<Builder>, flags: u32) -> Result<Network, Error> {
        let public = builder.create_network(flags)?;
        // SAFETY: a new network or null.
        let object = unsafe { Owned::new(builder.version(), public) };
        let object = object.ok_or_else(|| builder.creation("VBuilder::createNetworkV2"))?;
        let network = Network { object, builder };
        match network.check_interface() {
            Ok(()) => Ok(network),
            Err(mismatch) => {
                // Its deletion may be another call.
                std::mem::forget(network);
                Err(mismatch)
            }
        }
    }

    fn check_interface(&self) -> Result<(), Error> {
        let object = self.object.0;
        for name in [c"canary", c""] {
            // SAFETY: TensorRT copies the name, and returns its copy, which lives as long as the network.
            let found = unsafe {
                call!(object, network::SET_NAME, name.as_ptr())?;
                copy_text(call!(object, network::GET_NAME)?)
            };
            expect(object.version, network::GET_NAME.name, &*name.to_string_lossy(), &*found)?;
        }
        Ok(())
    }

    /// The inputs, to be worked on.
    pub fn input_handles(&self) -> Result<Vec<TensorHandle>, Unsupported> {
        self.each(&network::GET_NB_INPUTS, &network::GET_INPUT, Ok)
    }

    /// The inputs.
    pub fn inputs(&self) -> Result<Vec<Tensor>, Unsupported> {
        self.each(&network::GET_NB_INPUTS, &network::GET_INPUT, TensorHandle::describe)
    }

    /// The outputs.
    pub fn outputs(&self) -> Result<Vec<Tensor>, Unsupported> {
        self.each(&network::GET_NB_OUTPUTS, &network::GET_OUTPUT, TensorHandle::describe)
    }

    /// The layers, in the order of the network.
    pub fn layers(&self) -> Result<Vec<LayerHandle>, Unsupported> {
        self.each(&network::GET_NB_LAYERS, &network::GET_LAYER, Ok)
    }

    /// How many layers there are.
    pub fn layer_count(&self) -> Result<usize, Unsupported> {
        // SAFETY: no arguments.
        Ok(unsafe { call!(self.object.0, network::GET_NB_LAYERS) }?.max(0) as usize)
    }

    /// Reads all items of one kind; `C` is the class of what `item` returns.
    fn each<C, T>(
        &self,
        count: &Count,
        item: &Item,
        read: impl Fn(Handle<C>) -> Result<T, Unsupported>,
    ) -> Result<Vec<T>, Unsupported> {
        // SAFETY: no arguments.
        let count = unsafe { call!(self.object.0, count) }?;
        let mut items = Vec::new();
        for index in 0..count {
            // SAFETY: the index is below the count; the item belongs to the network, which is alive.
            let handle = unsafe {
                let public = call!(self.object.0, item, index)?;
                Handle::forwarding(self.object.0.version, public)
            };
            if let Some(handle) = handle {
                items.push(read(handle)?);
            }
        }
        Ok(items)
    }

    pub(super) fn public(&self) -> Ptr {
        self.object.0.public
    }
}
