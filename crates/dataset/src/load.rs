//! From files to tensors, or to pictures for a source that preprocesses on its own.

use std::any::Any;
use std::io;
use std::panic::{self, AssertUnwindSafe};
use std::path::Path;

use trt_files::{ReadError, read_capped};
use trt_imaging::{Decoded, ImagingError, Limits, Note, Runner};
use trt_inference::{Content, Tensor, Values, Wants};

use crate::array::Reader;
use crate::dataset::Dataset;
use crate::error::{ArrayError, DatasetError, SampleError};
use crate::input::Input;
use crate::look::{Look, PictureLook};

/// What decodes an image file: [`trt_imaging::decode`]; tests have others.
pub type Decode = fn(&[u8]) -> Result<Decoded, ImagingError>;

/// A sample in memory.
#[derive(Debug)]
pub struct Loaded {
    /// A tensor for each input, with a batch of one where the model has batches; or the picture.
    pub content: Content,
    /// What decoding changed, without what differs from image to image.
    pub notes: Vec<String>,
    /// What was seen of the values for each input, in the model's order.
    pub looks: Vec<Look>,
}

/// Loads samples, one after the other; one for each thread.
#[derive(Debug)]
pub struct Loader<'a> {
    dataset: &'a Dataset,
    /// Whether pictures are left as they are.
    pictures: bool,
    decode: Decode,
    /// What each input is made with.
    makers: Vec<Maker>,
}

#[derive(Debug)]
enum Maker {
    Image(Box<Runner>),
    Array(Box<Reader>),
}

impl<'a> Loader<'a> {
    /// Prepares tables and buffers. A source that [wants](Wants) pictures gets them if the model's one input takes
    /// images, and tensors otherwise.
    ///
    /// # Errors
    /// [`DatasetError::Preprocess`].
    pub fn new(dataset: &'a Dataset, wants: Wants, decode: Decode) -> Result<Self, DatasetError> {
        let maker = |input: &Input| match &input.pipeline {
            None => Ok(Maker::Array(Box::default())),
            Some(pipeline) => pipeline
                .runner()
                .map(|runner| Maker::Image(Box::new(runner)))
                .map_err(|source| DatasetError::Preprocess { input: input.name.clone(), source }),
        };
        let makers = dataset.inputs().inputs.iter().map(maker).collect::<Result<_, _>>()?;
        let pictures = wants == Wants::Pictures && dataset.inputs().pipeline().is_some();
        Ok(Self { dataset, pictures, decode, makers })
    }

    /// Loads a sample. What is wrong with it is its own fault, even a panic of the decoder.
    ///
    /// # Errors
    /// [`DatasetError::Read`] for a file that cannot be read at all, and [`DatasetError::Preprocess`].
    pub fn load(&mut self, at: usize) -> Result<Result<Loaded, SampleError>, DatasetError> {
        let inputs = self.dataset.inputs();
        let mut notes = Vec::new();
        let (mut tensors, mut looks) = (Vec::new(), Vec::new());
        for (input, maker) in inputs.inputs.iter().zip(&mut self.makers) {
            let (path, row) = self.dataset.file(at, input.feed);
            let part = |source: SampleError| match inputs.inputs.len() {
                1 => source,
                _ => SampleError::Part { input: input.name.clone(), source: Box::new(source) },
            };
            let values = match maker {
                Maker::Image(runner) => {
                    let decoded = match image(path, self.decode)? {
                        Ok(decoded) => decoded,
                        Err(error) => return Ok(Err(part(error))),
                    };
                    notes.extend(decoded.notes.into_iter().map(about));
                    looks.push(Look::Picture(PictureLook::of(&decoded.picture)));
                    if self.pictures {
                        return Ok(Ok(Loaded {
                            content: Content::Pictures(vec![decoded.picture]),
                            notes,
                            looks,
                        }));
                    }
                    let mut values = vec![0.0; runner.pipeline().output_len()];
                    runner
                        .run(&decoded.picture, &mut values)
                        .map_err(|source| DatasetError::Preprocess { input: input.name.clone(), source })?;
                    Values::F32(values)
                }
                Maker::Array(reader) => match array(reader, path, row, input)? {
                    Ok(values) => {
                        looks.push(Look::of_values(&values));
                        values
                    }
                    Err(error) => return Ok(Err(part(error))),
                },
            };
            tensors.push(Tensor { name: input.name.clone(), shape: inputs.shape(input, 1), values });
        }
        Ok(Ok(Loaded { content: Content::Tensors(tensors), notes, looks }))
    }
}

/// Reads and decodes an image.
fn image(path: &Path, decode: Decode) -> Result<Result<Decoded, SampleError>, DatasetError> {
    let bytes = match read_capped(path, Limits::default().file_bytes) {
        Ok(bytes) => bytes,
        Err(ReadError::TooLarge { bytes, limit }) => {
            return Ok(Err(ImagingError::FileTooLarge { bytes, limit }.into()));
        }
        Err(ReadError::Io(source)) => return Err(DatasetError::Read { path: path.to_owned(), source }),
    };
    Ok(guarded(|| decode(&bytes).map_err(SampleError::from)))
}

/// Reads an array.
fn array(
    reader: &mut Reader,
    path: &Path,
    row: Option<u64>,
    input: &Input,
) -> Result<Result<Values, SampleError>, DatasetError> {
    use io::ErrorKind::{InvalidData, UnexpectedEof};
    let read =
        guarded(|| reader.read(path, &input.name, row, &input.shape, input.elem).map_err(SampleError::from));
    match read {
        // What a decompressor says of the bytes is the file's fault.
        Err(SampleError::Array(ArrayError::Io(error)))
            if matches!(error.kind(), InvalidData | UnexpectedEof) =>
        {
            Ok(Err(ArrayError::Corrupt { reason: error.to_string() }.into()))
        }
        Err(SampleError::Array(ArrayError::Io(source))) => {
            Err(DatasetError::Read { path: path.to_owned(), source })
        }
        read => Ok(read),
    }
}

/// A panic of a decoder costs one sample. What it leaves behind are buffers that the next one overwrites.
fn guarded<T>(work: impl FnOnce() -> Result<T, SampleError>) -> Result<T, SampleError> {
    panic::catch_unwind(AssertUnwindSafe(work))
        .unwrap_or_else(|panic| Err(SampleError::Panicked { reason: reason_of(&*panic) }))
}

/// What a panic says of itself.
pub(crate) fn reason_of(panic: &(dyn Any + Send)) -> String {
    let text = panic.downcast_ref::<String>().map(String::as_str);
    text.or(panic.downcast_ref::<&str>().copied()).unwrap_or("no reason given").to_owned()
}

/// A note without what differs from image to image.
fn about(note: Note) -> String {
    match note {
        Note::Oriented(_) => "rotated by EXIF orientation".to_owned(),
        note => note.to_string(),
    }
}

/// Puts samples together, in order, along the first axis. They must be of the same dataset and loaded alike.
pub fn join(samples: impl IntoIterator<Item = Content>) -> Content {
    let mut samples = samples.into_iter().peekable();
    let count = samples.size_hint().0.max(1);
    let Some(mut joined) = samples.next() else { return Content::Tensors(Vec::new()) };
    for sample in samples {
        match (&mut joined, sample) {
            (Content::Tensors(joined), Content::Tensors(sample)) => {
                joined.iter_mut().zip(sample).for_each(|(joined, tensor)| append(joined, tensor, count));
            }
            (Content::Pictures(joined), Content::Pictures(sample)) => joined.extend(sample),
            _ => unreachable!("a loader makes all samples alike"),
        }
    }
    joined
}

/// Appends along the first axis; the first time, room is made for `count` samples.
fn append(joined: &mut Tensor, tensor: Tensor, count: usize) {
    macro_rules! extend {
        ($($kind:ident)*) => {
            match (&mut joined.values, tensor.values) {
                $((Values::$kind(joined), Values::$kind(values)) => {
                    if joined.capacity() < joined.len() + values.len() {
                        joined.reserve_exact(values.len() * count);
                    }
                    joined.extend_from_slice(&values);
                })*
                _ => unreachable!("an input has one type"),
            }
        };
    }
    extend!(F32 F16 F64 I64 I32 I8 U8 Bool);
    if let (Some(joined), Some(more)) = (joined.shape.first_mut(), tensor.shape.first()) {
        *joined += more;
    }
}
