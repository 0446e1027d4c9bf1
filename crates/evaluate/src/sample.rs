//! What is evaluated: inputs with their labels.

use serde::Serialize;
use trt_imaging::Size;
use trt_inference::Tensor;
use trt_metrics::Truth;

/// One sample, ready to be run.
#[derive(Debug, Clone)]
pub struct Sample {
    /// What people call it, such as the image's path.
    pub name: String,
    /// A tensor for each of the model's inputs; the first axis is 1.
    pub inputs: Vec<Tensor>,
    /// The size of the picture that became the input, if one did.
    pub picture: Option<Size>,
    /// What is in it, if somebody has said so.
    pub label: Option<Label>,
}

/// What is in a sample.
#[derive(Debug, Clone, PartialEq)]
pub enum Label {
    /// The number of its class.
    Class(usize),
    /// Its objects, in pixels of the picture.
    Boxes(Vec<Truth>),
    /// The class of each of its pixels.
    Mask(Mask),
}

/// The class of each pixel of a picture. As data it is its size: pixels are looked at as pictures.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Mask {
    /// Its size.
    pub size: Size,
    /// The classes, in rows from the top; [`trt_metrics::IGNORED`] where no class counts.
    #[serde(skip)]
    pub classes: Vec<u8>,
}

impl Label {
    /// What such labels are called in messages.
    pub(crate) fn kind(&self) -> &'static str {
        match self {
            Self::Class(_) => "classes",
            Self::Boxes(_) => "boxes",
            Self::Mask(_) => "masks",
        }
    }
}

/// Samples by number, which can be loaded again and again: many evaluations use the same ones.
pub trait Samples: Sync {
    /// How many there are.
    fn len(&self) -> usize;

    /// Whether there are none.
    fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Loads a sample; called from several threads.
    ///
    /// # Errors
    /// The sample's name and why it cannot be used. It is left out, and said to be.
    fn load(&self, index: usize) -> Result<Sample, String>;
}

impl Samples for [Sample] {
    fn len(&self) -> usize {
        self.len()
    }

    fn load(&self, index: usize) -> Result<Sample, String> {
        Ok(self[index].clone())
    }
}

impl Samples for Vec<Sample> {
    fn len(&self) -> usize {
        self.as_slice().len()
    }

    fn load(&self, index: usize) -> Result<Sample, String> {
        self.as_slice().load(index)
    }
}
