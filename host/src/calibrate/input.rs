//! Which input takes the images, and at which shape.

use trt_imaging::{Layout, Pipeline, Preprocess, Size};
use trt_onnx::proto::elem;
use trt_onnx::{Dim, Model, TensorInfo};

use super::error::CalibrateError;
use super::job::Shapes;

/// The model's input with nothing left open.
#[derive(Debug, Clone, PartialEq)]
pub struct ImageInput {
    /// Its name.
    pub name: String,
    /// What is done to each image.
    pub pipeline: Pipeline,
    /// How many images the model takes at once, where the model says so; any number otherwise.
    pub fixed_batch: Option<usize>,
}

impl ImageInput {
    /// Finds the input and fixes its shape.
    ///
    /// The model's own dimensions count first, then `shapes` (its `opt`), then `size` of the preprocessing.
    /// `model` is the model's name in the fleet file, for hints; empty without one.
    ///
    /// # Errors
    /// The variants of [`CalibrateError`] from `Inputs` to `Channels`.
    pub fn resolve(
        onnx: &Model,
        shapes: &Shapes,
        preprocess: &Preprocess,
        model: &str,
    ) -> Result<Self, CalibrateError> {
        let inputs = onnx.inputs();
        let [input] = inputs.as_slice() else {
            return Err(CalibrateError::Inputs {
                names: inputs.into_iter().map(|input| input.name).collect(),
            });
        };
        let name = input.name.clone();
        if let Some(input) = shapes.keys().find(|key| **key != name) {
            return Err(CalibrateError::UnknownInput { input: input.clone(), known: name });
        }
        let not_images = |reason: String| CalibrateError::NotImages { input: name.clone(), reason };
        if !matches!(input.elem_type, elem::FLOAT | UNDEFINED) {
            return Err(not_images(format!(
                "its elements are {}, not 32-bit floats",
                elements(input.elem_type)
            )));
        }
        let dims = dimensions(input, shapes)?;
        let [batch, rest @ ..] = dims.as_slice() else { return Err(not_images("it is a scalar".to_owned())) };
        let layout = preprocess.layout.unwrap_or(Layout::Nchw);
        let [channels, height, width] = match (rest, layout) {
            ([c, h, w], Layout::Nchw) | ([h, w, c], Layout::Nhwc) => [*c, *h, *w],
            _ => return Err(not_images(format!("it has {} dimensions, not 4", dims.len()))),
        };
        // A size in the preprocessing also fixes what is open; a preset's own size is no more than a habit.
        let size = |fixed: Option<u64>, own: fn(Size) -> u32, axis| {
            fixed.or(preprocess.size.map(|size| u64::from(own(size)))).ok_or_else(|| {
                CalibrateError::OpenShape { input: name.clone(), axis, model: model.to_owned() }
            })
        };
        let (height, width) = (size(height, |s| s.height, "height")?, size(width, |s| s.width, "width")?);
        let side = |side: u64| u32::try_from(side).unwrap_or(u32::MAX);
        let pipeline = preprocess
            .resolve(Some(Size { width: side(width), height: side(height) }))
            .map_err(|source| CalibrateError::Preprocess { input: name.clone(), source })?;
        if let Some(model) = channels
            && model != pipeline.channels.count() as u64
        {
            let preprocess = pipeline.channels.count();
            return Err(CalibrateError::Channels { input: name, model, preprocess });
        }
        let open = input.dims.first().is_none_or(|dim| !matches!(dim, Dim::Fixed(_)));
        let fixed_batch = if open { None } else { batch.map(|batch| batch as usize) };
        Ok(Self { name, pipeline, fixed_batch })
    }

    /// The shape of the input during calibration, as provenance records it: with one image where any number goes.
    pub fn recorded_shape(&self) -> Vec<u64> {
        let mut shape = self.pipeline.shape().map(|side| side as u64);
        shape[0] = self.fixed_batch.unwrap_or(1) as u64;
        shape.to_vec()
    }
}

/// The element type of a value whose type the model does not give.
const UNDEFINED: i32 = 0;

/// What people call an element type.
fn elements(elem_type: i32) -> String {
    match elem_type {
        elem::UINT8 => "8-bit unsigned integers".to_owned(),
        elem::INT8 => "8-bit integers".to_owned(),
        elem::INT32 => "32-bit integers".to_owned(),
        elem::INT64 => "64-bit integers".to_owned(),
        elem::STRING => "strings".to_owned(),
        elem::BOOL => "booleans".to_owned(),
        elem::FLOAT16 => "16-bit floats".to_owned(),
        elem::DOUBLE => "64-bit floats".to_owned(),
        elem::BFLOAT16 => "bfloat16".to_owned(),
        other => format!("of ONNX type {other}"),
    }
}

/// The dimensions of the input: fixed by the model, else by the configuration, else open.
fn dimensions(input: &TensorInfo, shapes: &Shapes) -> Result<Vec<Option<u64>>, CalibrateError> {
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
    Err(CalibrateError::Shape {
        input: input.name.clone(),
        model: model.join("x"),
        configured: configured.join("x"),
    })
}
