//! A reduction that reads everything once.

use crate::counter::{PTX, THREADS};
use crate::module::{Argument, Kernel, Module};
use crate::{Buffer, Context, DriverError, Stream};

/// The greatest magnitude of 32-bit floats, NaN left out: a reduction that reads everything once, which is as fast as
/// counting can be.
#[derive(Debug)]
pub struct GreatestMagnitude {
    kernel: Kernel,
    result: Buffer,
    _module: Module,
}

impl GreatestMagnitude {
    /// Gets the kernel ready.
    pub fn new(context: &Context) -> Result<Self, DriverError> {
        let module = Module::new(context, PTX)?;
        let kernel = module.kernel(c"greatest_magnitude", THREADS, 0)?;
        Ok(Self { kernel, result: Buffer::new(context, size_of::<f32>())?, _module: module })
    }

    /// Puts the reduction of a buffer of floats, a whole number of 16 bytes, into a stream.
    pub fn run(&mut self, stream: &Stream, values: &Buffer) -> Result<(), DriverError> {
        self.result.fill_in(stream, 0)?;
        let quads = (values.len() / 16) as u64;
        let mut arguments = [
            Argument::Address(values.address()),
            Argument::Long(quads),
            Argument::Address(self.result.address()),
        ];
        // SAFETY: the arguments are those of the source, and the buffers have what they say.
        unsafe { self.kernel.launch(stream, [self.kernel.resident(), 1, 1], [THREADS, 1], &mut arguments) }
    }

    /// Waits for the stream and reads the result of the last reduction; 0 where there was none.
    pub fn read(&self, stream: &Stream) -> Result<f32, DriverError> {
        stream.synchronize()?;
        let mut bytes = [0; size_of::<f32>()];
        self.result.read(&mut bytes)?;
        Ok(f32::from_ne_bytes(bytes))
    }
}
