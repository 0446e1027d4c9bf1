//! What a network is for, and so what "as good as FP32" means.

use serde::{Deserialize, Serialize};
use trt_metrics::Format;
use trt_onnx::{Dim, TensorInfo};

/// What a network is for.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", tag = "kind")]
pub enum Task {
    /// It names a class.
    Classification(Classification),
    /// It finds objects.
    Detection(Detection),
    /// It gives each pixel a class.
    Segmentation(Segmentation),
}

/// A classifier.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", default)]
pub struct Classification {
    /// The output with the scores, `[1, classes]`; the first one if absent.
    pub output: Option<String>,
}

/// A detector.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub struct Detection {
    /// How it writes what it finds.
    pub format: Format,
    /// The least score of a box that is matched between FP32 and INT8, and drawn.
    #[serde(default = "Detection::score")]
    pub score: f32,
    /// The least score of a box that counts for average precision.
    #[serde(default = "Detection::least")]
    pub least: f32,
    /// Boxes of one class that overlap by more are taken for one object.
    #[serde(default = "Detection::overlap")]
    pub overlap: f64,
    /// The most boxes of an image.
    #[serde(default = "Detection::limit")]
    pub limit: usize,
}

impl Detection {
    /// A detector of this format, with Ultralytics' defaults: boxes from 0.25 are shown and from 0.001 judged, of those
    /// that overlap by more than 0.45 one stays, 300 at most.
    pub fn new(format: Format) -> Self {
        Self {
            format,
            score: Self::score(),
            least: Self::least(),
            overlap: Self::overlap(),
            limit: Self::limit(),
        }
    }

    fn score() -> f32 {
        0.25
    }

    fn least() -> f32 {
        0.001
    }

    fn overlap() -> f64 {
        0.45
    }

    fn limit() -> usize {
        300
    }
}

/// A segmentation.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", default)]
pub struct Segmentation {
    /// The output with the scores, `[1, classes, height, width]`; the first one if absent.
    pub output: Option<String>,
    /// With one class: the score from which a pixel belongs to it.
    pub threshold: f32,
}

impl Default for Segmentation {
    fn default() -> Self {
        Self { output: None, threshold: 0.5 }
    }
}

impl Task {
    /// What an output's shape says about a network: classes if the first output is `[batch, classes]` (and 1s), pixels
    /// if it is `[batch, classes, height, width]` with more than one pixel. Detectors must be named.
    pub fn guess(outputs: &[TensorInfo]) -> Option<Self> {
        let dims = &outputs.first()?.dims;
        let known = |dim: &Dim, least: i64| !matches!(dim, Dim::Fixed(size) if *size < least);
        match &dims[..] {
            [_, classes, rest @ ..] if rest.iter().all(|dim| *dim == Dim::Fixed(1)) && known(classes, 2) => {
                Some(Self::Classification(Classification::default()))
            }
            [_, _, height, width] if known(height, 2) && known(width, 2) => {
                Some(Self::Segmentation(Segmentation::default()))
            }
            _ => None,
        }
    }

    /// What such a task is called in messages.
    pub(crate) fn kind(&self) -> &'static str {
        match self {
            Self::Classification(_) => "classification",
            Self::Detection(_) => "detection",
            Self::Segmentation(_) => "segmentation",
        }
    }
}

#[cfg(test)]
mod tests {
    use trt_metrics::Preset;

    use super::*;

    #[test]
    fn a_shape_tells_classifiers_from_segmentations() {
        let fixed = Dim::Fixed;
        for (dims, expected) in [
            (vec![fixed(1), fixed(1000)], Some("classification")),
            (vec![Dim::Symbol("n".into()), fixed(10), fixed(1), fixed(1)], Some("classification")),
            (vec![fixed(1), fixed(21), fixed(512), Dim::Unknown], Some("segmentation")),
            (vec![fixed(1), fixed(25200), fixed(85)], None),
            (vec![fixed(1), fixed(1)], None),
            (vec![], None),
        ] {
            let info = TensorInfo { name: "y".into(), elem_type: 1, dims: dims.clone() };
            assert_eq!(Task::guess(&[info]).map(|task| task.kind()), expected, "{dims:?}");
        }
        assert_eq!(Task::guess(&[]), None);
    }

    #[test]
    fn a_task_is_written_with_its_kind() {
        let task: Task =
            serde_json::from_str(r#"{"kind": "detection", "format": "yolov8", "score": 0.5}"#).unwrap();
        let Task::Detection(detection) = &task else { panic!("{task:?}") };
        assert_eq!((detection.score, detection.limit), (0.5, 300));
        assert_eq!(detection.format, Format::Known(Preset::YoloV8));
        assert_eq!(serde_json::from_str::<Task>(&serde_json::to_string(&task).unwrap()).unwrap(), task);
    }
}
