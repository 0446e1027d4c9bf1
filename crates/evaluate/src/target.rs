//! What a user wants to hold, as `--rescue` takes it.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use crate::{EvaluateError, Evaluation, TaskFigures};

/// A figure and the least that it may be: `cosine>=0.999`, `sqnr>=20`, `top1>=0.99`, `map50>=-0.01`.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(into = "String", try_from = "String")]
pub struct Target {
    /// The figure.
    pub measure: Measure,
    /// The least that it may be.
    pub least: f64,
}

/// A figure of an evaluation.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Measure {
    /// `cosine`: the lowest of all outputs and groups.
    Cosine,
    /// `sqnr`: the lowest of all outputs and groups, in dB.
    Sqnr,
    /// `top1`: how often INT8's first class is FP32's, from 0 to 1.
    Top1,
    /// `top5`: how often FP32's first class is among INT8's first five.
    Top5,
    /// `boxes`: how well INT8's boxes match FP32's (F1 at IoU 0.5), from 0 to 1.
    Boxes,
    /// `pixels`: the share of pixels of FP32's class.
    Pixels,
    /// `accuracy`: top-1 accuracy of INT8 less that of FP32; 0 is no loss, -0.01 a loss of one in a hundred.
    Accuracy,
    /// `map50`: mAP50 of INT8 less that of FP32.
    Map50,
    /// `miou`: mIoU of INT8 less that of FP32.
    Miou,
}

impl Measure {
    const ALL: [(Self, &'static str); 9] = [
        (Self::Cosine, "cosine"),
        (Self::Sqnr, "sqnr"),
        (Self::Top1, "top1"),
        (Self::Top5, "top5"),
        (Self::Boxes, "boxes"),
        (Self::Pixels, "pixels"),
        (Self::Accuracy, "accuracy"),
        (Self::Map50, "map50"),
        (Self::Miou, "miou"),
    ];

    /// All of them, for messages.
    pub(crate) fn list() -> String {
        Self::ALL.map(|(_, name)| format!("`{name}`")).join(", ")
    }

    /// What an evaluation needs to have it.
    pub(crate) fn needs(self) -> &'static str {
        match self {
            Self::Cosine | Self::Sqnr => "give samples: every model has this figure",
            Self::Top1 | Self::Top5 => "use `sqnr` or `cosine`: only classifiers have this figure",
            Self::Boxes => "set `detector` to the format of the model's boxes",
            Self::Pixels => "use `sqnr` or `cosine`: only segmentations have this figure",
            Self::Accuracy => "give `labels` with the class of each image, to a classifier",
            Self::Map50 => "give `labels` with the boxes of each image, and set `detector`",
            Self::Miou => "give `labels` with a mask of each image, to a segmentation",
        }
    }

    /// What it is where INT8 does exactly what FP32 does.
    fn perfect(self) -> f64 {
        match self {
            Self::Sqnr => trt_metrics::SQNR_LIMIT,
            Self::Accuracy | Self::Map50 | Self::Miou => 0.0,
            _ => 1.0,
        }
    }
}

impl fmt::Display for Measure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let name = Self::ALL.iter().find(|(measure, _)| measure == self).map_or("", |(_, name)| name);
        f.write_str(name)
    }
}

impl Target {
    /// What the evaluation has of it.
    ///
    /// # Errors
    /// [`EvaluateError::Unmeasured`].
    pub fn value(&self, evaluation: &Evaluation) -> Result<f64, EvaluateError> {
        let lowest = |figure: &dyn Fn(&trt_metrics::Figures) -> Option<f64>, worst: f64| {
            evaluation.parts().map(|(_, _, figures)| figure(figures).unwrap_or(worst)).reduce(f64::min)
        };
        let less = |int8: Option<f64>, fp32: Option<f64>| Some(int8? - fp32?);
        let found = match (self.measure, &evaluation.task) {
            (Measure::Cosine, _) => lowest(&|figures| figures.cosine, -1.0),
            (Measure::Sqnr, _) => lowest(&|figures| figures.sqnr, -trt_metrics::SQNR_LIMIT),
            (Measure::Top1, Some(TaskFigures::Classification { agreement, .. })) => agreement.top1_share(),
            (Measure::Top5, Some(TaskFigures::Classification { agreement, .. })) => agreement.top5_share(),
            // Where neither finds anything, nothing is lost.
            (Measure::Boxes, Some(TaskFigures::Detection { matches, .. })) => {
                Some(matches.agreement().unwrap_or(1.0))
            }
            (Measure::Pixels, Some(TaskFigures::Segmentation { agreement, .. })) => agreement.share(),
            (Measure::Accuracy, Some(TaskFigures::Classification { fp32, int8, .. })) => {
                less(int8.and_then(|a| a.top1_share()), fp32.and_then(|a| a.top1_share()))
            }
            (Measure::Map50, Some(TaskFigures::Detection { map50_fp32, map50_int8, .. })) => {
                less(*map50_int8, *map50_fp32)
            }
            (Measure::Miou, Some(TaskFigures::Segmentation { miou_fp32, miou_int8, .. })) => {
                less(*miou_int8, *miou_fp32)
            }
            _ => None,
        };
        found.ok_or(EvaluateError::Unmeasured { measure: self.measure })
    }

    /// Whether even a network that computes exactly what FP32 does would miss it.
    pub fn is_out_of_reach(&self) -> bool {
        self.least > self.measure.perfect()
    }
}

impl fmt::Display for Target {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}>={}", self.measure, self.least)
    }
}

impl FromStr for Target {
    type Err = EvaluateError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let refused = || EvaluateError::Target { found: text.to_owned() };
        let (name, least) = text.split_once(">=").ok_or_else(refused)?;
        let measure = Measure::ALL.iter().find(|(_, known)| *known == name.trim()).ok_or_else(refused)?.0;
        let least: f64 = least.trim().parse().map_err(|_| refused())?;
        if least.is_finite() { Ok(Self { measure, least }) } else { Err(refused()) }
    }
}

impl From<Target> for String {
    fn from(target: Target) -> Self {
        target.to_string()
    }
}

impl TryFrom<String> for Target {
    type Error = EvaluateError;

    fn try_from(text: String) -> Result<Self, Self::Error> {
        text.parse()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn targets_are_read_and_written_alike() {
        for text in ["cosine>=0.999", "sqnr>=20", "top1>=0.99", "map50>=-0.01", "boxes>=0.9"] {
            assert_eq!(text.parse::<Target>().unwrap().to_string(), text);
        }
        assert_eq!(" sqnr >= 20.0 ".parse::<Target>().unwrap().to_string(), "sqnr>=20");
        for text in ["", "sqnr", "sqnr>20", "sqnr>=", "sqnr>=x", "sqnr>=inf", "psnr>=20"] {
            assert!(matches!(text.parse::<Target>(), Err(EvaluateError::Target { .. })), "{text}");
        }
    }

    #[test]
    fn what_no_network_can_reach_is_known_beforehand() {
        for (text, expected) in [
            ("cosine>=1", false),
            ("cosine>=1.1", true),
            ("map50>=0", false),
            ("map50>=0.1", true),
            ("sqnr>=300", true),
        ] {
            assert_eq!(text.parse::<Target>().unwrap().is_out_of_reach(), expected, "{text}");
        }
    }
}
