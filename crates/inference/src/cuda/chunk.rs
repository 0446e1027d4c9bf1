//! A part of a batch: the samples that a GPU runs at once.

use std::ops::Range;

use onnxruntime::{Element, Elements, Feed};
use trt_imaging::Picture;

use super::failed;
use crate::{Batch, Content, SourceError, Tensor, Values};

/// Some of the samples of a batch, in order.
#[derive(Debug, Clone)]
pub struct Chunk<'a> {
    batch: &'a Batch,
    samples: Range<usize>,
}

impl<'a> Chunk<'a> {
    /// All of a batch.
    ///
    /// # Errors
    /// [`SourceError::Run`] where its parts contradict each other.
    pub fn whole(batch: &'a Batch) -> Result<Self, SourceError> {
        let count = batch.samples.len();
        if count == 0 {
            return Err(failed("a batch has no samples"));
        }
        match &batch.content {
            Content::Pictures(pictures) => {
                if pictures.len() != count {
                    return Err(failed(format!(
                        "a batch has {count} samples, but pictures: {}",
                        pictures.len()
                    )));
                }
                for picture in pictures {
                    picture.check().map_err(|error| failed(error.to_string()))?;
                }
            }
            Content::Tensors(tensors) => {
                for Tensor { name, shape, values } in tensors {
                    if shape.iter().product::<usize>() != values.len() {
                        return Err(failed(format!(
                            "input `{name}` has not as many values as its shape says"
                        )));
                    }
                }
            }
        }
        Ok(Self { batch, samples: 0..count })
    }

    /// How many samples there are.
    pub fn len(&self) -> usize {
        self.samples.len()
    }

    /// What they are called.
    pub fn samples(&self) -> &'a [String] {
        &self.batch.samples[self.samples.clone()]
    }

    /// Parts of at most so many samples. A batch whose inputs do not all have the samples along the first axis stays
    /// whole.
    pub fn parts(&self, most: usize) -> Vec<Self> {
        if !self.can_be_cut() {
            return vec![self.clone()];
        }
        let starts = self.samples.clone().step_by(most.max(1));
        let part = |start: usize| start..(start + most.max(1)).min(self.samples.end);
        starts.map(|start| Self { batch: self.batch, samples: part(start) }).collect()
    }

    fn can_be_cut(&self) -> bool {
        match &self.batch.content {
            Content::Pictures(_) => true,
            Content::Tensors(tensors) => {
                let count = self.batch.samples.len();
                tensors.iter().all(|tensor| tensor.shape.first() == Some(&count))
            }
        }
    }

    /// The pictures, if that is what the batch holds.
    pub fn pictures(&self) -> Option<&'a [Picture]> {
        match &self.batch.content {
            Content::Pictures(pictures) => Some(&pictures[self.samples.clone()]),
            Content::Tensors(_) => None,
        }
    }

    /// The inputs, if that is what the batch holds; otherwise none.
    pub fn inputs(&self) -> Vec<Input<'a>> {
        let Content::Tensors(tensors) = &self.batch.content else { return Vec::new() };
        let whole = self.samples.len() == self.batch.samples.len();
        tensors
            .iter()
            .map(|tensor| {
                let mut shape = tensor.shape.clone();
                let mut range = 0..tensor.values.len();
                if !whole {
                    // Cut only where the first axis counts the samples.
                    let one = tensor.values.len() / self.batch.samples.len();
                    range = one * self.samples.start..one * self.samples.end;
                    shape[0] = self.samples.len();
                }
                Input { name: &tensor.name, shape, elements: elements(&tensor.values, range) }
            })
            .collect()
    }
}

/// An input of the model, for some samples.
#[derive(Debug, Clone)]
pub struct Input<'a> {
    /// Its name.
    pub name: &'a str,
    /// Its dimensions.
    pub shape: Vec<usize>,
    /// Its values.
    pub elements: Elements<'a>,
}

impl Input<'_> {
    /// As ONNX Runtime takes it from host memory.
    pub fn feed(&self) -> Feed<'_> {
        Feed { name: self.name, shape: &self.shape, elements: self.elements }
    }

    /// Its type, if that is one whose values are counted.
    pub fn float(&self) -> Option<Element> {
        match self.elements {
            Elements::F32(_) => Some(Element::F32),
            Elements::F16(_) => Some(Element::F16),
            _ => None,
        }
    }

    /// Bytes that its values take, if they are counted.
    pub fn float_bytes(&self) -> usize {
        match self.elements {
            Elements::F32(values) => size_of_val(values),
            Elements::F16(values) => size_of_val(values),
            _ => 0,
        }
    }

    /// Writes its values, as the GPU reads them, into as many bytes.
    pub fn write(&self, out: &mut [u8]) {
        match self.elements {
            Elements::F32(values) => {
                let places = out.as_chunks_mut().0.iter_mut();
                places.zip(values).for_each(|(place, value)| *place = value.to_ne_bytes());
            }
            Elements::F16(values) => {
                let places = out.as_chunks_mut().0.iter_mut();
                places.zip(values).for_each(|(place, value)| *place = value.to_ne_bytes());
            }
            _ => (),
        }
    }
}

fn elements(values: &Values, range: Range<usize>) -> Elements<'_> {
    match values {
        Values::F32(values) => Elements::F32(&values[range]),
        Values::F16(values) => Elements::F16(&values[range]),
        Values::F64(values) => Elements::F64(&values[range]),
        Values::I64(values) => Elements::I64(&values[range]),
        Values::I32(values) => Elements::I32(&values[range]),
        Values::I8(values) => Elements::I8(&values[range]),
        Values::U8(values) => Elements::U8(&values[range]),
        Values::Bool(values) => Elements::Bool(&values[range]),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn batch(tensors: Vec<Tensor>, count: usize) -> Batch {
        let samples = (0..count).map(|number| format!("s{number}")).collect();
        Batch { content: Content::Tensors(tensors), samples }
    }

    #[test]
    fn a_batch_is_cut_along_its_samples() {
        let values: Vec<f32> = (0..10).map(|n| n as f32).collect();
        let batch = batch(vec![Tensor::f32("x", [5, 2], values.clone())], 5);
        let whole = Chunk::whole(&batch).unwrap();
        let parts = whole.parts(2);
        let found: Vec<_> = parts
            .iter()
            .map(|part| {
                let input = part.inputs().remove(0);
                let mut bytes = vec![0; input.float_bytes()];
                input.write(&mut bytes);
                (part.samples().to_vec(), input.shape, bytes.len())
            })
            .collect();
        let names = |names: &[&str]| names.iter().map(ToString::to_string).collect::<Vec<_>>();
        let expected = [
            (names(&["s0", "s1"]), vec![2, 2], 16),
            (names(&["s2", "s3"]), vec![2, 2], 16),
            (names(&["s4"]), vec![1, 2], 8),
        ];
        assert_eq!(found, expected);
        assert!(matches!(parts[1].inputs()[0].elements, Elements::F32(own) if own == &values[4..8]));
        assert_eq!(whole.parts(8).len(), 1);
    }

    #[test]
    fn a_batch_with_an_input_for_all_samples_stays_whole() {
        let tensors = vec![Tensor::f32("x", [2, 1], vec![0.0; 2]), Tensor::f32("scale", [1], vec![1.0])];
        let batch = batch(tensors, 2);
        let parts = Chunk::whole(&batch).unwrap().parts(1);
        assert_eq!(parts.len(), 1);
        assert_eq!(parts[0].inputs()[1].shape, [1]);
    }

    #[test]
    fn a_batch_that_contradicts_itself_is_refused() {
        for (batch, part) in [
            (batch(vec![], 0), "no samples"),
            (batch(vec![Tensor::f32("x", [2, 2], vec![0.0; 3])], 2), "`x`"),
            (Batch { content: Content::Pictures(Vec::new()), samples: vec!["a".into()] }, "pictures: 0"),
        ] {
            let error = Chunk::whole(&batch).unwrap_err().to_string();
            assert!(error.contains(part), "{error}");
        }
    }
}
