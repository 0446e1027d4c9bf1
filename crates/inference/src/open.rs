//! Which backend runs a model, and why that one.

use std::error::Error;
use std::path::Path;

use onnxruntime::{OrtError, Runtime};
use prost::Message as _;
use trt_onnx::Model;
use trt_onnx::proto::ModelProto;

use crate::cuda::CudaSource;
use crate::names::lacking;
use crate::ort::{OrtNetwork, OrtSource};
use crate::rten::{Prepared, RtenNetwork, RtenSource};
use crate::{
    Backend, Batch, Choice, HistogramSource, Histograms, Network, Omitted, Settings, SourceError, Wants,
};

/// What [`Choice::Auto`] tries, the fastest first.
const ORDER: [Choice; 3] = [Choice::Cuda, Choice::OnnxRuntime, Choice::Rten];

/// The model to be run.
#[derive(Debug, Clone, Copy)]
pub struct Subject<'a> {
    /// The validated model.
    pub model: &'a Model,
    /// The folder that its external data lies in.
    pub folder: &'a Path,
    /// The values to be counted, in the order of computation, the graph's inputs first; a [`Network`] needs none.
    pub activations: &'a [String],
}

/// A backend that is ready, and what was decided on the way.
pub struct Opened<T> {
    /// The backend.
    pub what: T,
    /// Why it is this one: a sentence for each backend that was passed over, in order; empty where the choice was
    /// explicit or the first one served. If the model is run in part only, the last sentence says why.
    pub because: Vec<String>,
    /// The values that cannot be had since an operator before them is missing here, each with the reason. They are among
    /// [`Histograms::omitted`] too.
    pub left_out: Vec<Omitted>,
}

/// Opens a backend that counts activations.
///
/// [`Choice::Auto`] takes the first that is here and can load the model: ONNX Runtime on a GPU, ONNX Runtime on the CPU,
/// rten. Other choices never fall back. If an operator is missing wherever the model may be run, what lies before it is
/// counted, and [`Opened::left_out`] lists the rest.
///
/// # Errors
/// [`SourceError`]; with [`Choice::Auto`] that of rten, the last one.
pub fn open_source(
    subject: &Subject<'_>,
    choice: Choice,
    settings: &Settings,
) -> Result<Opened<Box<dyn HistogramSource>>, SourceError> {
    // Names that are no values of the graph are the same for every backend.
    let refused = trt_onnx::expose(&mut subject.model.clone(), subject.activations).refused;
    let known = |name: &&String| !refused.iter().any(|refused| refused.name == **name);
    let activations: Vec<String> = subject.activations.iter().filter(known).cloned().collect();
    let refused: Vec<Omitted> =
        refused.into_iter().map(|refused| Omitted { name: refused.name, why: refused.because }).collect();

    let subject = Subject { activations: &activations, ..*subject };
    let mut because = Vec::new();
    let whole = first(choice, &mut because, |choice| source(&subject, choice, settings));
    let error = match whole {
        Ok(what) => return Ok(Opened { what: with(what, refused), because, left_out: Vec::new() }),
        Err(error) => error,
    };
    let part = first(choice, &mut Vec::new(), |choice| upstream(&subject, choice, settings));
    let Ok((what, left_out)) = part else { return Err(error) };
    because.push(format!("only a part of the model can be run here: {}", chain(&error)));
    let omitted = refused.into_iter().chain(left_out.iter().cloned()).collect();
    Ok(Opened { what: with(what, omitted), because, left_out })
}

/// Opens a backend that gives the model's outputs. It chooses as [`open_source`] does, but runs the whole model or fails.
///
/// TensorRT is run for tables only: [`Choice::TensorRt`] is taken as [`Choice::Auto`], and [`Opened::because`] says so.
///
/// # Errors
/// As for [`open_source`].
pub fn open_network(
    subject: &Subject<'_>,
    choice: Choice,
    settings: &Settings,
) -> Result<Opened<Box<dyn Network>>, SourceError> {
    let (choice, mut because) = match choice {
        Choice::TensorRt => (Choice::Auto, vec!["TensorRT is run for tables only".to_owned()]),
        other => (other, Vec::new()),
    };
    let what = first(choice, &mut because, |choice| network(subject, choice, settings))?;
    Ok(Opened { what, because, left_out: Vec::new() })
}

/// The backend that is chosen, or the first that opens; `because` gets a sentence for each that does not.
fn first<T>(
    choice: Choice,
    because: &mut Vec<String>,
    open: impl Fn(Choice) -> Result<T, SourceError>,
) -> Result<T, SourceError> {
    let Some((last, others)) = ORDER.split_last().filter(|_| choice == Choice::Auto) else {
        return open(choice);
    };
    for choice in others {
        match open(*choice) {
            Ok(opened) => return Ok(opened),
            Err(error) => {
                let why = passed_over(*choice, &error);
                if !because.contains(&why) {
                    because.push(why);
                }
            }
        }
    }
    open(*last)
}

/// Why a backend was not taken, in a sentence.
fn passed_over(choice: Choice, error: &SourceError) -> String {
    let backend = match choice {
        Choice::Cuda => "ONNX Runtime on the GPU",
        _ => "ONNX Runtime on the CPU",
    };
    match error {
        SourceError::OnnxRuntime(OrtError::Driver(driver)) => format!("no GPU: {driver}"),
        SourceError::OnnxRuntime(OrtError::Model { .. }) => format!("{backend}: {}", chain(error)),
        SourceError::OnnxRuntime(error) => chain(error),
        error => format!("{backend}: {}", chain(error)),
    }
}

/// An error with what lies behind it.
fn chain(error: &dyn Error) -> String {
    let behind = std::iter::successors(error.source(), |&error| error.source());
    behind.fold(error.to_string(), |text, error| format!("{text}: {error}"))
}

/// Makes sure that ONNX Runtime and its CUDA provider are here, before the model is touched.
fn check_cuda(settings: &Settings) -> Result<(), SourceError> {
    Ok(Runtime::load(settings.onnxruntime.as_deref())?.cuda()?)
}

fn source(
    subject: &Subject<'_>,
    choice: Choice,
    settings: &Settings,
) -> Result<Box<dyn HistogramSource>, SourceError> {
    let Subject { model, folder, activations } = *subject;
    Ok(match choice {
        Choice::Cuda => {
            check_cuda(settings)?;
            Box::new(CudaSource::open(subject, settings)?)
        }
        Choice::OnnxRuntime => Box::new(OrtSource::open(model, folder, activations, settings)?),
        Choice::TensorRt => {
            let reason = "TensorRT's calibrator gives a table, and no histograms".to_owned();
            return Err(SourceError::Unsupported { node: None, reason });
        }
        Choice::Rten | Choice::Auto => Box::new(RtenSource::new(prepare(subject)?, settings)),
    })
}

fn network(
    subject: &Subject<'_>,
    choice: Choice,
    settings: &Settings,
) -> Result<Box<dyn Network>, SourceError> {
    let Subject { model, folder, .. } = *subject;
    Ok(match choice {
        Choice::Cuda => {
            check_cuda(settings)?;
            Box::new(OrtNetwork::open(model, folder, settings, true)?)
        }
        Choice::OnnxRuntime => Box::new(OrtNetwork::open(model, folder, settings, false)?),
        Choice::Rten | Choice::Auto | Choice::TensorRt => {
            let outputs = model.outputs().into_iter().map(|output| output.name).collect();
            Box::new(RtenNetwork::new(prepare(subject)?, outputs, settings)?)
        }
    })
}

fn prepare(subject: &Subject<'_>) -> Result<Prepared, SourceError> {
    let Subject { model, folder, activations } = *subject;
    Prepared::load(decode(model)?, folder, &model.external_files(), activations)
}

fn decode(model: &Model) -> Result<ModelProto, SourceError> {
    let malformed = |error: prost::DecodeError| SourceError::Load { node: None, reason: error.to_string() };
    ModelProto::decode(model.to_bytes()?.as_slice()).map_err(malformed)
}

/// Opens what lies before the operators that the backend has not got, with the activations that are lost.
fn upstream(
    subject: &Subject<'_>,
    choice: Choice,
    settings: &Settings,
) -> Result<(Box<dyn HistogramSource>, Vec<Omitted>), SourceError> {
    let graph = decode(subject.model)?.graph.unwrap_or_default();
    let foreign = trt_onnx::obstacles(subject.model).foreign;
    let (mut unsupported, mut lost) = (Vec::new(), Vec::<Omitted>::new());
    let mut model = subject.model.clone();
    let mut part = graph.clone();
    loop {
        let is_left = |name: &&String| !lost.iter().any(|lost| lost.name == **name);
        let left: Vec<String> = subject.activations.iter().filter(is_left).cloned().collect();
        let rest = Subject { model: &model, activations: &left, ..*subject };
        let error = match source(&rest, choice, settings) {
            Ok(source) => return Ok((source, lost)),
            Err(error) => error,
        };
        // Numbers change from cut to cut, but outputs keep their names.
        let Some(output) = lacking(&part, &error) else { return Err(error) };
        match graph.node.iter().position(|node| node.output.contains(&output)) {
            Some(index) if !unsupported.contains(&index) => unsupported.push(index),
            _ => return Err(error),
        }
        if let SourceError::Foreign { domain, .. } = &error {
            unsupported.extend(foreign.iter().filter(|node| node.domain == *domain).map(|node| node.index));
        }
        model = subject.model.clone();
        // Where nothing is left, the operator that is missing is the matter.
        let Ok(cut) = trt_onnx::upstream(&mut model, &unsupported) else { return Err(error) };
        lost = cut.lost.into_iter().map(|lost| Omitted { name: lost.name, why: lost.because }).collect();
        part = decode(&model)?.graph.unwrap_or_default();
    }
}

/// A source with more omitted values than it knows of.
struct With {
    source: Box<dyn HistogramSource>,
    omitted: Vec<Omitted>,
}

fn with(source: Box<dyn HistogramSource>, omitted: Vec<Omitted>) -> Box<dyn HistogramSource> {
    if omitted.is_empty() { source } else { Box::new(With { source, omitted }) }
}

impl HistogramSource for With {
    fn backend(&self) -> Backend {
        self.source.backend()
    }

    fn wants(&self) -> Wants {
        self.source.wants()
    }

    fn lanes(&self) -> usize {
        self.source.lanes()
    }

    fn accumulate(&self, batch: Batch) -> Result<(), SourceError> {
        self.source.accumulate(batch)
    }

    fn snapshot(&self) -> Result<Histograms, SourceError> {
        let mut histograms = self.source.snapshot()?;
        histograms.omitted.extend(self.omitted.iter().cloned());
        Ok(histograms)
    }

    fn finish(self: Box<Self>) -> Result<Histograms, SourceError> {
        let mut histograms = self.source.finish()?;
        histograms.omitted.extend(self.omitted);
        Ok(histograms)
    }
}
