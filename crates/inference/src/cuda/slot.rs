//! What one batch under way needs beside the session: memory for its inputs, and a place for the answer.

use onnxruntime::{BoundFeed, Element};
use trt_cuda::{
    Buffer, Context, DriverError, Event, Floats, Pinned, Placed, Preprocessor, Receipt, Stream, Upload,
};

use super::chunk::{Chunk, Input};
use super::picture::Plans;

/// See the module. It is free for the next batch when its receipt has been waited for.
pub struct Slot {
    context: Context,
    /// Copies run beside the model.
    copies: Stream,
    copied: Event,
    staging: Pinned,
    upload: Upload,
    /// The float inputs, in the GPU's memory.
    pub inputs: Vec<Buffer>,
    pub receipt: Receipt,
}

/// What a batch feeds, by the slot's buffers where it is floats.
#[derive(Debug)]
pub enum Fed<'a> {
    /// In a buffer of the slot.
    Device { name: String, element: Element, shape: Vec<usize>, buffer: usize },
    /// In host memory, for ONNX Runtime to copy.
    Host(Input<'a>),
}

impl Slot {
    pub fn new(context: &Context, receipt: Receipt) -> Result<Self, DriverError> {
        Ok(Self {
            context: context.clone(),
            copies: Stream::new(context)?,
            copied: Event::quiet(context)?,
            staging: Pinned::new(context, 0)?,
            upload: Upload::new(context)?,
            inputs: Vec::new(),
            receipt,
        })
    }

    /// Begins to copy pictures to the GPU.
    pub fn load_pictures(
        &mut self,
        chunk: &Chunk<'_>,
        plans: &Plans,
        preprocessor: &Preprocessor,
    ) -> Result<(), DriverError> {
        let pictures = chunk.pictures().unwrap_or_default();
        let kept: Vec<_> = pictures.iter().map(|picture| plans.plan(picture.width, picture.height)).collect();
        let placed: Vec<Placed<'_>> =
            kept.iter().zip(pictures).map(|(plan, picture)| plan.place(picture)).collect();
        preprocessor.load(&mut self.upload, &placed, &self.copies)?;
        self.room(0, pictures.len() * preprocessor.image_len())
    }

    /// Puts preprocessing into the model's stream; what it feeds.
    pub fn preprocess(
        &mut self,
        preprocessor: &Preprocessor,
        stream: &Stream,
        name: &str,
        shape: Vec<usize>,
    ) -> Result<Fed<'static>, DriverError> {
        preprocessor.run(&mut self.upload, stream, &mut self.inputs[0])?;
        Ok(Fed::Device { name: name.to_owned(), element: Element::F32, shape, buffer: 0 })
    }

    /// Begins to copy the float inputs to the GPU; what is fed.
    pub fn load_tensors<'a>(&mut self, chunk: &Chunk<'a>) -> Result<Vec<Fed<'a>>, DriverError> {
        let mut fed = Vec::new();
        let mut buffer = 0;
        for input in chunk.inputs() {
            let Some(element) = input.float() else {
                fed.push(Fed::Host(input));
                continue;
            };
            let bytes = input.float_bytes();
            self.room(buffer, bytes)?;
            if self.staging.len() < bytes {
                self.staging = Pinned::new(&self.context, bytes)?;
            }
            // This waits for the copy before, of another input.
            input.write(&mut self.staging.bytes()?[..bytes]);
            self.staging.send(bytes, &mut self.inputs[buffer], &self.copies)?;
            fed.push(Fed::Device { name: input.name.to_owned(), element, shape: input.shape, buffer });
            buffer += 1;
        }
        self.copied.record(&self.copies)?;
        Ok(fed)
    }

    /// Lets the model's stream wait for the tensors.
    pub fn arrive(&self, stream: &Stream) -> Result<(), DriverError> {
        stream.wait_for(&self.copied)
    }

    /// Makes room for an input.
    fn room(&mut self, number: usize, bytes: usize) -> Result<(), DriverError> {
        match self.inputs.get(number) {
            Some(buffer) if buffer.len() >= bytes => (),
            Some(_) => self.inputs[number] = Buffer::new(&self.context, bytes)?,
            None => self.inputs.push(Buffer::new(&self.context, bytes)?),
        }
        Ok(())
    }
}

impl Fed<'_> {
    /// The input's name, if it lies in a buffer of the slot.
    pub fn name(&self) -> Option<&str> {
        match self {
            Self::Device { name, .. } => Some(name),
            Self::Host(_) => None,
        }
    }

    /// Shape and values, if they are floats that a GPU counts; `inputs` are the slot's.
    pub fn floats<'a>(&self, inputs: &'a [Buffer]) -> Result<Option<(Vec<usize>, Floats<'a>)>, DriverError> {
        let Self::Device { element, shape, buffer, .. } = self else { return Ok(None) };
        let half = *element == Element::F16;
        let floats = Floats::of(&inputs[*buffer], 0, shape.iter().product(), half)?;
        Ok(Some((shape.clone(), floats)))
    }

    /// As ONNX Runtime takes it; `inputs` are the slot's.
    pub fn feed<'a>(&'a self, inputs: &'a [Buffer]) -> BoundFeed<'a> {
        match self {
            Self::Host(input) => BoundFeed::Host(input.feed()),
            Self::Device { name, element, shape, buffer } => {
                BoundFeed::Device { name, element: *element, shape, buffer: &inputs[*buffer] }
            }
        }
    }
}
