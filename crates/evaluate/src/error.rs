//! What can go wrong in an evaluation, and what mends it.

use trt_inference::SourceError;
use trt_metrics::MetricsError;
use trt_onnx::OnnxError;

use crate::Measure;

/// Why there are no figures.
#[derive(Debug, thiserror::Error)]
pub enum EvaluateError {
    /// No sample could be used.
    #[error("there is no sample to evaluate; the first that failed: {}", first.as_deref().unwrap_or("there were none"))]
    NoSamples {
        /// The first sample that could not be loaded, with the reason.
        first: Option<String>,
    },
    /// A network failed.
    #[error("the {which} model failed on {sample}")]
    Network {
        /// `FP32` or `INT8`.
        which: &'static str,
        /// The sample.
        sample: String,
        /// Why.
        source: SourceError,
    },
    /// A network could not be opened.
    #[error("the {which} model cannot be run here")]
    Open {
        /// `FP32` or `INT8`.
        which: &'static str,
        /// Why.
        source: SourceError,
    },
    /// INT8 cannot be simulated.
    #[error("INT8 cannot be simulated")]
    Simulate {
        /// Why.
        #[from]
        source: OnnxError,
    },
    /// An output that is needed is not there.
    #[error("the {which} model has no such output: `{output}`")]
    Output {
        /// `FP32` or `INT8`.
        which: &'static str,
        /// The output.
        output: String,
    },
    /// An output cannot be read in the way that was asked.
    #[error("output `{output}` cannot be evaluated")]
    Metrics {
        /// The output.
        output: String,
        /// Why.
        source: MetricsError,
    },
    /// Labels and task do not fit together.
    #[error("the labels are {labels}, and the task is {task}")]
    LabelKind {
        /// What the labels are.
        labels: &'static str,
        /// What the task is.
        task: &'static str,
    },
    /// A target cannot be read.
    #[error("a target is a measure, `>=` and a number: `{found}`")]
    Target {
        /// The text.
        found: String,
    },
    /// A target asks for a figure that this evaluation has not got.
    #[error("this evaluation does not measure what the target asks for: `{measure}`")]
    Unmeasured {
        /// The measure.
        measure: Measure,
    },
    /// No candidate could be evaluated.
    #[error("none of the algorithms gives scales to evaluate; the first: {reason}")]
    NoCandidate {
        /// Why the first one does not.
        reason: String,
    },
    /// A picture cannot be drawn.
    #[error("the pictures of {sample} cannot be drawn: {reason}")]
    Picture {
        /// The sample.
        sample: String,
        /// Why.
        reason: String,
    },
}

impl EvaluateError {
    /// What mends it, in one sentence.
    pub fn hint(&self) -> Option<String> {
        let text = match self {
            Self::NoSamples { .. } => "name images that can be read under `samples` of `evaluate`",
            Self::Network { source, .. } | Self::Open { source, .. } => return source.hint(),
            Self::Simulate { source } => return source.hint(),
            Self::Output { .. } => "name an output that the model has; `trt-deploy inspect` lists them",
            Self::Metrics { source, .. } => return source.hint(),
            Self::LabelKind { .. } => {
                "give class folders or a CSV file to a classifier, COCO JSON and `detector` to a detector, masks to a \
                 segmentation"
            }
            Self::Target { .. } => {
                return Some(format!("write one like `sqnr>=20`; the measures are {}", Measure::list()));
            }
            Self::Unmeasured { measure } => return Some(measure.needs().to_owned()),
            Self::NoCandidate { .. } => "calibrate again: the histograms give no algorithm a range",
            Self::Picture { .. } => "check the picture and the names of the classes",
        };
        Some(text.to_owned())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_error_is_worded_as_the_style_asks_and_has_a_hint() {
        let text = || "x".to_owned();
        let failed = || SourceError::Run { node: None, reason: text() };
        for error in [
            EvaluateError::NoSamples { first: None },
            EvaluateError::Network { which: "FP32", sample: text(), source: failed() },
            EvaluateError::Open { which: "INT8", source: failed() },
            EvaluateError::Simulate { source: OnnxError::NothingQuantized { reason: text() } },
            EvaluateError::Output { which: "FP32", output: text() },
            EvaluateError::Metrics { output: text(), source: MetricsError::Format { reason: text() } },
            EvaluateError::LabelKind { labels: "masks", task: "classification" },
            EvaluateError::Target { found: text() },
            EvaluateError::Unmeasured { measure: Measure::Map50 },
            EvaluateError::NoCandidate { reason: text() },
            EvaluateError::Picture { sample: text(), reason: text() },
        ] {
            let message = error.to_string();
            assert!(!message.ends_with('.'), "{message}");
            assert!(error.hint().is_some_and(|hint| !hint.is_empty()), "{message}");
        }
    }
}
