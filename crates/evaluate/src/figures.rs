//! The result of an evaluation, as data.

use serde::{Deserialize, Serialize};
use trt_metrics::{Accuracy, Agreement, Figures, Matches, PixelAgreement};

/// FP32 against INT8 on a set of samples.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub struct Evaluation {
    /// How many samples were evaluated.
    pub samples: u64,
    /// Samples that could not be.
    pub left_out: Vec<LeftOut>,
    /// What ran the FP32 model: name and version.
    pub fp32_backend: String,
    /// What ran the simulated INT8 model.
    pub int8_backend: String,
    /// How long it took.
    pub seconds: f64,
    /// How close each output is.
    pub outputs: Vec<OutputFigures>,
    /// Mean over outputs, or over their groups where they have any, of SQNR in dB: the figure by which choices are made
    /// where a task's own is equal. Outputs that cannot be compared count as -200 dB.
    pub mean_sqnr: Option<f64>,
    /// How often INT8 says what FP32 says, in the terms of the task.
    pub agreement: Option<Share>,
    /// The task's own figures.
    pub task: Option<TaskFigures>,
}

/// A sample that was not evaluated.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub struct LeftOut {
    /// Its number.
    pub index: usize,
    /// Its name and why.
    pub why: String,
}

/// How close an output is.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub struct OutputFigures {
    /// The output's name.
    pub output: String,
    /// All of it.
    pub all: Figures,
    /// Its groups of channels.
    pub groups: Vec<GroupFigures>,
}

/// How close a group of channels is.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub struct GroupFigures {
    /// The group's name.
    pub group: String,
    /// Its figures.
    pub figures: Figures,
}

/// The mean of a figure of each sample, from 0 to 1.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub struct Share {
    /// What it is, such as `top-1 agreement`.
    pub what: String,
    /// The mean over all samples that have it.
    pub mean: f64,
    /// Its standard error: the standard deviation of the samples (with n - 1), divided by the root of their number. 0
    /// where all samples are equal, which says little about the next one if they are few.
    pub standard_error: f64,
    /// How many samples have it.
    pub samples: u64,
}

impl Share {
    /// Of the figure of each sample; `None` without any.
    pub(crate) fn of(what: &str, values: &[f64]) -> Option<Self> {
        let n = values.len() as f64;
        if values.is_empty() {
            return None;
        }
        let (mean, standard_error) = mean_and_error(values);
        Some(Self { what: what.to_owned(), mean, standard_error, samples: n as u64 })
    }
}

/// Mean and standard error; values must not be empty.
pub(crate) fn mean_and_error(values: &[f64]) -> (f64, f64) {
    let n = values.len() as f64;
    let mean = values.iter().sum::<f64>() / n;
    let squares: f64 = values.iter().map(|value| (value - mean).powi(2)).sum();
    let variance = if values.len() > 1 { squares / (n - 1.0) } else { 0.0 };
    (mean, (variance / n).sqrt())
}

/// A task's own figures. Those against labels are absent where no sample has one.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", tag = "kind")]
pub enum TaskFigures {
    /// Of a classifier.
    #[serde(rename_all = "kebab-case")]
    Classification {
        /// INT8 against FP32.
        agreement: Agreement,
        /// FP32 against labels.
        fp32: Option<Accuracy>,
        /// INT8 against labels.
        int8: Option<Accuracy>,
    },
    /// Of a detector.
    #[serde(rename_all = "kebab-case")]
    Detection {
        /// FP32's boxes in INT8, at IoU 0.5.
        matches: Matches,
        /// mAP50 of FP32: COCO's interpolation at 101 recalls, all areas, 100 detections.
        map50_fp32: Option<f64>,
        /// mAP50 of INT8.
        map50_int8: Option<f64>,
        /// Average precision of each class with labels, at IoU 0.5.
        #[serde(default, skip_serializing_if = "Vec::is_empty")]
        classes: Vec<ClassFigures>,
        /// How many samples have labels.
        labelled: u64,
    },
    /// Of a segmentation.
    #[serde(rename_all = "kebab-case")]
    Segmentation {
        /// INT8's pixels against FP32's.
        agreement: PixelAgreement,
        /// mIoU of FP32.
        miou_fp32: Option<f64>,
        /// mIoU of INT8.
        miou_int8: Option<f64>,
        /// IoU of each class that is labelled or found.
        #[serde(default, skip_serializing_if = "Vec::is_empty")]
        classes: Vec<ClassFigures>,
        /// How many samples have labels.
        labelled: u64,
    },
}

/// A class against its labels.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub struct ClassFigures {
    /// Its number.
    pub class: usize,
    /// How many of its objects, or pixels, are labelled.
    pub labelled: u64,
    /// FP32's figure, from 0 to 1.
    pub fp32: Option<f64>,
    /// INT8's figure.
    pub int8: Option<f64>,
}

impl Evaluation {
    /// The figures of every group of channels, and of every output that has none.
    pub fn parts(&self) -> impl Iterator<Item = (&str, Option<&str>, &Figures)> {
        self.outputs.iter().flat_map(|output| {
            let name = output.output.as_str();
            let whole = output.groups.is_empty().then_some((name, None, &output.all));
            let groups =
                output.groups.iter().map(move |part| (name, Some(part.group.as_str()), &part.figures));
            whole.into_iter().chain(groups)
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_share_has_the_error_of_its_mean() {
        let share = Share::of("x", &[1.0, 1.0, 0.0, 1.0]).unwrap();
        assert_eq!((share.mean, share.samples), (0.75, 4));
        // Of a proportion p of n: sqrt(p (1 - p) / (n - 1)).
        assert!((share.standard_error - (0.75f64 * 0.25 / 3.0).sqrt()).abs() < 1e-12);
        assert_eq!(Share::of("x", &[1.0]).unwrap().standard_error, 0.0);
        assert_eq!(Share::of("x", &[]), None);
    }
}
