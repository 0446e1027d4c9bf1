//! What each input of the model takes, and at which shape.

use std::collections::BTreeMap;
use std::path::PathBuf;

use trt_imaging::{Layout, Pipeline, Preprocess, Size};
use trt_onnx::proto::elem;
use trt_onnx::{Dim, Model, TensorInfo};

use crate::array;
use crate::element::{Elem, onnx_name};
use crate::error::DatasetError;

/// Shapes to calibrate at, by input: those that the engine's profile is optimised for.
pub type Shapes = BTreeMap<String, Vec<u64>>;

/// Where the values of an input come from, as the user says it.
#[derive(Debug, Clone, PartialEq)]
pub struct Source {
    /// The input; without one, images go to the input that takes images, and arrays to all inputs that no other source
    /// names.
    pub input: Option<String>,
    /// All the files there are, sorted by path.
    pub files: Vec<PathBuf>,
    /// What is in them.
    pub form: Form,
}

/// What is in the files of a [`Source`].
#[derive(Debug, Clone, PartialEq)]
pub enum Form {
    /// Images, and how each becomes a tensor.
    Images(Preprocess),
    /// `.npy`: one sample, or several stacked along a further axis in front. `.npz`: the same, with an array for each
    /// input, named as the input.
    Arrays,
}

/// One input of the model, with nothing left open.
#[derive(Debug, Clone, PartialEq)]
pub struct Input {
    /// Its ONNX value name.
    pub name: String,
    /// What its elements are.
    pub elem: Elem,
    /// The shape of one sample; without the batch dimension if [`Inputs::batched`].
    pub shape: Vec<usize>,
    /// Which of [`Inputs::feeds`] its values come from.
    pub feed: usize,
    /// How an image becomes its values; `None` for arrays.
    pub pipeline: Option<Pipeline>,
}

/// All inputs of the model, and the files that they are fed from.
#[derive(Debug, Clone, PartialEq)]
pub struct Inputs {
    /// The inputs, in the model's order.
    pub inputs: Vec<Input>,
    /// Files, sorted by path; several inputs share one list if it holds `.npz` archives.
    pub feeds: Vec<Vec<PathBuf>>,
    /// Whether the first axis of every input counts samples. Otherwise the model takes one sample a run, as it is.
    pub batched: bool,
    /// How many samples the model takes at once, where it says so; any number otherwise.
    pub fixed_batch: Option<usize>,
}

impl Inputs {
    /// Finds what feeds each input, and fixes its shape.
    ///
    /// The model's own dimensions count first, then `shapes`, then `size` of the preprocessing or the shape of the first
    /// array. `model` is the model's name in the fleet file, for hints; empty without one.
    ///
    /// # Errors
    /// The variants of [`DatasetError`] from `NoInput` to `Batchless`.
    pub fn resolve(
        onnx: &Model,
        shapes: &Shapes,
        sources: Vec<Source>,
        model: &str,
    ) -> Result<Self, DatasetError> {
        let infos = onnx.inputs();
        let names = || infos.iter().map(|info| info.name.clone()).collect::<Vec<_>>();
        if infos.is_empty() {
            return Err(DatasetError::NoInput);
        }
        let is_known = |name: &String| infos.iter().any(|info| info.name == *name);
        if let Some(input) = shapes.keys().find(|name| !is_known(name)) {
            return Err(DatasetError::UnknownInput { input: input.clone(), known: names() });
        }
        if let Some(info) = infos.iter().find(|info| info.elem_type == elem::STRING) {
            return Err(DatasetError::Strings { input: info.name.clone() });
        }
        let feeds = assign(&infos, &sources)?;
        let open: Vec<Open> = infos
            .iter()
            .zip(&feeds)
            .map(|(info, &feed)| Open::new(info, shapes, &sources[feed]))
            .collect::<Result<_, _>>()?;
        let batched = share_a_batch(&open);
        let fixed = match open.first().and_then(|input| input.info.dims.first()) {
            Some(Dim::Fixed(batch)) if batched => usize::try_from(*batch).ok().filter(|batch| *batch > 0),
            _ => None,
        };
        let inputs = open
            .into_iter()
            .zip(&feeds)
            .map(|(input, &feed)| input.close(batched, feed, model))
            .collect::<Result<_, _>>()?;
        let fixed_batch = if batched { fixed } else { Some(1) };
        let feeds = sources.into_iter().map(|source| source.files).collect();
        Ok(Self { inputs, feeds, batched, fixed_batch })
    }

    /// The preprocessing, if the model has one input and takes images: then a source may preprocess on its own.
    pub fn pipeline(&self) -> Option<&Pipeline> {
        match self.inputs.as_slice() {
            [input] if self.batched => input.pipeline.as_ref(),
            _ => None,
        }
    }

    /// The shape of an input for so many samples.
    pub fn shape(&self, input: &Input, samples: usize) -> Vec<usize> {
        self.batched.then_some(samples).into_iter().chain(input.shape.iter().copied()).collect()
    }

    /// The shapes of the inputs during calibration, as provenance records them: with one sample where any number goes.
    pub fn recorded_shapes(&self) -> Shapes {
        let batch = self.fixed_batch.unwrap_or(1);
        let shape = |input| self.shape(input, batch).into_iter().map(|side| side as u64).collect();
        self.inputs.iter().map(|input| (input.name.clone(), shape(input))).collect()
    }
}

/// Which source feeds each input.
fn assign(infos: &[TensorInfo], sources: &[Source]) -> Result<Vec<usize>, DatasetError> {
    let mut fed: Vec<Option<usize>> = vec![None; infos.len()];
    for (at, source) in sources.iter().enumerate() {
        let Some(name) = &source.input else { continue };
        let Some(input) = infos.iter().position(|info| info.name == *name) else {
            let known = infos.iter().map(|info| info.name.clone()).collect();
            return Err(DatasetError::UnknownSource { input: name.clone(), known });
        };
        if fed[input].replace(at).is_some() {
            return Err(DatasetError::TwoSources { input: name.clone() });
        }
    }
    // Images before arrays, which take all that is left.
    let unnamed = || sources.iter().enumerate().filter(|(_, source)| source.input.is_none());
    let images = unnamed().filter(|(_, source)| source.form != Form::Arrays);
    let arrays = unnamed().filter(|(_, source)| source.form == Form::Arrays);
    for (at, source) in images.chain(arrays) {
        let open: Vec<usize> = (0..infos.len()).filter(|&input| fed[input].is_none()).collect();
        let like_images: Vec<usize> =
            open.iter().copied().filter(|&input| is_like_images(&infos[input])).collect();
        let archives = || source.files.iter().any(|file| file.extension().is_some_and(|ext| ext == "npz"));
        match (&source.form, open.as_slice(), like_images.as_slice()) {
            (_, [], _) => return Err(DatasetError::TwoSources { input: infos[0].name.clone() }),
            (_, [input], _) | (Form::Images(_), _, [input]) => fed[*input] = Some(at),
            (Form::Arrays, open, _) if archives() => open.iter().for_each(|&input| fed[input] = Some(at)),
            _ => {}
        }
    }
    let unfed: Vec<String> =
        infos.iter().zip(&fed).filter(|(_, fed)| fed.is_none()).map(|(info, _)| info.name.clone()).collect();
    if !unfed.is_empty() {
        return Err(DatasetError::Unfed { inputs: unfed, of: infos.len() });
    }
    Ok(fed.into_iter().flatten().collect())
}

fn is_like_images(info: &TensorInfo) -> bool {
    matches!(info.elem_type, elem::FLOAT | UNDEFINED) && info.dims.len() == 4
}

/// The element type of a value whose type the model does not give.
const UNDEFINED: i32 = 0;

/// An input whose shape is not settled yet.
struct Open<'a> {
    info: &'a TensorInfo,
    source: &'a Source,
    elem: Elem,
    /// Its dimensions: fixed by the model, else by the configuration, else open.
    dims: Vec<Option<u64>>,
    /// The shape of its first array that can be read.
    first: Option<Vec<u64>>,
}

impl<'a> Open<'a> {
    fn new(info: &'a TensorInfo, shapes: &Shapes, source: &'a Source) -> Result<Self, DatasetError> {
        let input = || info.name.clone();
        let of_floats = matches!(info.elem_type, elem::FLOAT | UNDEFINED);
        let elem = match &source.form {
            Form::Images(_) if !of_floats => {
                let reason = format!("its elements are {}, not 32-bit floats", onnx_name(info.elem_type));
                return Err(DatasetError::NotImages { input: input(), reason });
            }
            _ if of_floats => Elem::F32,
            _ => Elem::of_onnx(info.elem_type).ok_or_else(|| DatasetError::Elements {
                input: input(),
                elements: onnx_name(info.elem_type),
            })?,
        };
        let first = match &source.form {
            Form::Images(_) => None,
            Form::Arrays => source.files.iter().find_map(|file| array::shape(file, &info.name).ok()),
        };
        Ok(Self { info, source, elem, dims: dimensions(info, shapes)?, first })
    }

    /// Whether one array is what the model takes at once, though its first axis has more than one element.
    fn is_whole(&self) -> bool {
        let Some(Dim::Fixed(batch @ 2..)) = self.info.dims.first() else { return false };
        let rank = self.info.dims.len();
        self.first.as_ref().is_some_and(|first| {
            first.len() == rank + 1 || (first.len() == rank && first[0] == batch.unsigned_abs())
        })
    }

    fn close(self, batched: bool, feed: usize, model: &str) -> Result<Input, DatasetError> {
        let name = self.info.name.clone();
        match &self.source.form {
            Form::Images(preprocess) => {
                let pipeline = self.image(preprocess, model)?;
                let batch = self.dims.first().copied().flatten().unwrap_or(1);
                if !batched && batch != 1 {
                    return Err(DatasetError::Batchless { input: name, batch });
                }
                let shape = pipeline.shape()[usize::from(batched)..].to_vec();
                Ok(Input { name, elem: self.elem, shape, feed, pipeline: Some(pipeline) })
            }
            Form::Arrays => {
                let own = &self.dims[usize::from(batched)..];
                // From the back, so that it fits whether samples are stacked or not.
                let first = self.first.iter().flat_map(|first| first.iter().rev().copied().map(Some));
                let first = first.chain(std::iter::repeat(None));
                let side = |(back, (own, first)): (usize, (&Option<u64>, Option<u64>))| {
                    let axis = || format!("dimension {}", self.dims.len() - back);
                    let side =
                        own.or(first).filter(|side| *side > 0).and_then(|side| usize::try_from(side).ok());
                    side.ok_or_else(|| DatasetError::OpenShape {
                        input: name.clone(),
                        axis: axis(),
                        model: model.to_owned(),
                        images: false,
                    })
                };
                let mut shape =
                    own.iter().rev().zip(first).enumerate().map(side).collect::<Result<Vec<_>, _>>()?;
                shape.reverse();
                Ok(Input { name, elem: self.elem, shape, feed, pipeline: None })
            }
        }
    }

    /// What is done to each image.
    fn image(&self, preprocess: &Preprocess, model: &str) -> Result<Pipeline, DatasetError> {
        let name = &self.info.name;
        let not_images = |reason: String| DatasetError::NotImages { input: name.clone(), reason };
        let [_, rest @ ..] = self.dims.as_slice() else {
            return Err(not_images("it is a scalar".to_owned()));
        };
        let layout = preprocess.layout.unwrap_or(Layout::Nchw);
        let [channels, height, width] = match (rest, layout) {
            ([c, h, w], Layout::Nchw) | ([h, w, c], Layout::Nhwc) => [*c, *h, *w],
            _ => return Err(not_images(format!("it has {} dimensions, not 4", self.dims.len()))),
        };
        // A size in the preprocessing also fixes what is open; a preset's own size is no more than a habit.
        let size = |fixed: Option<u64>, own: fn(Size) -> u32, axis: &str| {
            fixed.or(preprocess.size.map(|size| u64::from(own(size)))).ok_or_else(|| {
                DatasetError::OpenShape {
                    input: name.clone(),
                    axis: axis.to_owned(),
                    model: model.to_owned(),
                    images: true,
                }
            })
        };
        let (height, width) = (size(height, |s| s.height, "height")?, size(width, |s| s.width, "width")?);
        let side = |side: u64| u32::try_from(side).unwrap_or(u32::MAX);
        let pipeline = preprocess
            .resolve(Some(Size { width: side(width), height: side(height) }))
            .map_err(|source| DatasetError::Preprocess { input: name.clone(), source })?;
        let given = pipeline.channels.count();
        match channels {
            Some(model) if model != given as u64 => {
                Err(DatasetError::Channels { input: name.clone(), model, preprocess: given })
            }
            _ => Ok(pipeline),
        }
    }
}

/// Whether the first axes of all inputs are one and the same batch: the only one, equally long, or equally named.
fn share_a_batch(inputs: &[Open<'_>]) -> bool {
    let first = |input: &Open<'_>| match input.info.dims.as_slice() {
        // A model that gives no shape takes what is configured.
        [] if input.dims.is_empty() => None,
        [] => Some(Dim::Unknown),
        // One axis of a fixed length is what a sample is made of.
        [Dim::Fixed(2..)] => None,
        [first, ..] => Some(first.clone()),
    };
    let Some(batch) = first(&inputs[0]) else { return false };
    inputs.iter().all(|input| first(input).as_ref() == Some(&batch) && !input.is_whole())
}

/// The dimensions of the input: fixed by the model, else by the configuration, else open.
fn dimensions(input: &TensorInfo, shapes: &Shapes) -> Result<Vec<Option<u64>>, DatasetError> {
    let own = input.dims.iter().map(|dim| match dim {
        Dim::Fixed(size) => u64::try_from(*size).ok().filter(|size| *size > 0),
        Dim::Symbol(_) | Dim::Unknown => None,
    });
    let own: Vec<_> = own.collect();
    let Some(configured) = shapes.get(&input.name) else { return Ok(own) };
    // A model that gives no shape at all takes what is configured.
    let own = if own.is_empty() { vec![None; configured.len()] } else { own };
    let fits = own.len() == configured.len()
        && own.iter().zip(configured).all(|(own, configured)| own.is_none_or(|own| own == *configured));
    if fits {
        return Ok(configured.iter().copied().map(Some).collect());
    }
    let model = own.iter().map(|dim| dim.map_or("?".to_owned(), |dim| dim.to_string())).collect::<Vec<_>>();
    let configured = configured.iter().map(u64::to_string).collect::<Vec<_>>();
    Err(DatasetError::Shape {
        input: input.name.clone(),
        model: model.join("x"),
        configured: configured.join("x"),
    })
}
