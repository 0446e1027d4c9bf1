//! Samples of a dataset as evaluation takes them: loaded when they are needed, with their labels.

use std::sync::Mutex;

use trt_dataset::{Dataset, DatasetError, Loader};
use trt_evaluate::{Labels, Sample, Samples};
use trt_imaging::{Pipeline, Size, decode};
use trt_inference::{Content, Tensor, Wants};

/// Samples of a dataset.
#[derive(Debug)]
pub struct DatasetSamples<'a> {
    dataset: &'a Dataset,
    labels: Option<&'a Labels>,
    /// Those that no thread uses now.
    loaders: Mutex<Vec<Loader<'a>>>,
    count: usize,
}

impl<'a> DatasetSamples<'a> {
    /// The first `count` samples of a dataset.
    pub fn new(dataset: &'a Dataset, labels: Option<&'a Labels>, count: Option<u32>) -> Self {
        let count = count.map_or(dataset.len(), |count| dataset.len().min(count as usize));
        Self { dataset, labels, loaders: Mutex::default(), count }
    }

    fn load(&self, index: usize) -> Result<Sample, String> {
        let told = |error: &dyn std::fmt::Display| format!("{}: {error}", self.dataset.label(index));
        let loader = self.loaders.lock().ok().and_then(|mut loaders| loaders.pop());
        let mut loader = match loader {
            Some(loader) => loader,
            None => Loader::new(self.dataset, Wants::Pictures, decode).map_err(|error| told(&error))?,
        };
        let loaded = loader.load(index).map_err(|error: DatasetError| told(&error))?;
        if let Ok(mut loaders) = self.loaders.lock() {
            loaders.push(loader);
        }
        let content = loaded.map_err(|error| told(&error))?.content;
        let (inputs, picture) = match (content, self.dataset.inputs().pipeline()) {
            (Content::Tensors(tensors), _) => (tensors, None),
            (Content::Pictures(pictures), Some(pipeline)) => {
                let picture = pictures.first().ok_or_else(|| told(&"it holds no picture"))?;
                let size = Size { width: picture.width, height: picture.height };
                (vec![self.tensor(picture, pipeline).map_err(|error| told(&error))?], Some(size))
            }
            (Content::Pictures(_), None) => return Err(told(&"it is no picture for one input")),
        };
        let path = self.dataset.image_path(index);
        let label = match (self.labels, path) {
            (Some(labels), Some(path)) => labels.of(path).map_err(|error| told(&error))?,
            _ => None,
        };
        Ok(Sample { name: self.dataset.label(index), inputs, picture, label })
    }

    fn tensor(
        &self,
        picture: &trt_imaging::Picture,
        pipeline: &Pipeline,
    ) -> Result<Tensor, trt_imaging::ImagingError> {
        let mut values = vec![0.0; pipeline.output_len()];
        pipeline.runner()?.run(picture, &mut values)?;
        let input = &self.dataset.inputs().inputs[0];
        Ok(Tensor::f32(&input.name, self.dataset.inputs().shape(input, 1), values))
    }
}

impl Samples for DatasetSamples<'_> {
    fn len(&self) -> usize {
        self.count
    }

    fn load(&self, index: usize) -> Result<Sample, String> {
        self.load(index)
    }
}
