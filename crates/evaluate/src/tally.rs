//! What a task counts, sample by sample.

use trt_inference::Tensor;
use trt_metrics::{
    Accuracy, Agreement, AveragePrecision, Confusion, IGNORED, Matches, PixelAgreement, match_boxes,
};

use crate::figures::ClassFigures;
use crate::findings::{self, floats};
use crate::task::{Classification, Detection, Segmentation};
use crate::{EvaluateError, Frame, Label, Sample, Task, TaskFigures};

/// IoU from which two boxes show the same object.
const SAME: f64 = 0.5;

/// What a task counts: FP32 is always the first of two.
#[derive(Debug, Clone)]
pub(crate) enum Tally {
    Classification { agreement: Agreement, accuracy: [Accuracy; 2] },
    Detection { matches: Matches, precision: [AveragePrecision; 2], labelled: u64 },
    Segmentation { agreement: PixelAgreement, confusion: Option<Box<[Confusion; 2]>>, labelled: u64 },
}

/// Both networks' outputs for one sample.
pub(crate) struct Pair<'a> {
    pub sample: &'a Sample,
    pub frame: Option<Frame>,
    pub fp32: &'a [Tensor],
    pub int8: &'a [Tensor],
}

impl Tally {
    /// Counts one sample. The second value is how far INT8 says the same as FP32 there, from 0 to 1, if there was
    /// anything to say.
    pub fn of(task: &Task, pair: &Pair) -> Result<(Self, Option<f64>), EvaluateError> {
        let tally = match task {
            Task::Classification(classification) => classify(classification, pair)?,
            Task::Detection(detection) => detect(detection, pair)?,
            Task::Segmentation(segmentation) => segment(segmentation, pair)?,
        };
        tally.ok_or_else(|| EvaluateError::LabelKind {
            labels: pair.sample.label.as_ref().map_or("", Label::kind),
            task: task.kind(),
        })
    }

    /// Adds another sample's counts, of the same task.
    pub fn merge(&mut self, other: &Self) {
        match (self, other) {
            (
                Self::Classification { agreement, accuracy: [fp32, int8] },
                Self::Classification { agreement: other, accuracy: [other_fp32, other_int8] },
            ) => {
                agreement.merge(other);
                fp32.merge(other_fp32);
                int8.merge(other_int8);
            }
            (
                Self::Detection { matches, precision: [fp32, int8], labelled },
                Self::Detection {
                    matches: other,
                    precision: [other_fp32, other_int8],
                    labelled: other_labelled,
                },
            ) => {
                matches.merge(other);
                fp32.merge(other_fp32);
                int8.merge(other_int8);
                *labelled += other_labelled;
            }
            (
                Self::Segmentation { agreement, confusion, labelled },
                Self::Segmentation { agreement: other, confusion: other_confusion, labelled: other_labelled },
            ) => {
                agreement.merge(other);
                *labelled += other_labelled;
                match (confusion.as_mut(), other_confusion) {
                    (Some(own), Some(other)) => {
                        own.iter_mut().zip(other.iter()).for_each(|(own, other)| own.merge(other));
                    }
                    (None, Some(other)) => *confusion = Some(other.clone()),
                    (_, None) => {}
                }
            }
            _ => {} // One evaluation has one task.
        }
    }

    pub fn figures(&self) -> TaskFigures {
        match self {
            Self::Classification { agreement, accuracy: [fp32, int8] } => {
                let some = |accuracy: &Accuracy| (accuracy.samples > 0).then_some(*accuracy);
                TaskFigures::Classification { agreement: *agreement, fp32: some(fp32), int8: some(int8) }
            }
            Self::Detection { matches, precision: [fp32, int8], labelled } => TaskFigures::Detection {
                matches: *matches,
                map50_fp32: fp32.mean(),
                map50_int8: int8.mean(),
                classes: by_precision(fp32, int8),
                labelled: *labelled,
            },
            Self::Segmentation { agreement, confusion, labelled } => {
                let miou = |which: usize| confusion.as_ref().and_then(|both| both[which].miou());
                TaskFigures::Segmentation {
                    agreement: *agreement,
                    miou_fp32: miou(0),
                    miou_int8: miou(1),
                    classes: confusion.as_deref().map(by_overlap).unwrap_or_default(),
                    labelled: *labelled,
                }
            }
        }
    }

    /// What the share of a sample is called.
    pub fn share_name(task: &Task) -> &'static str {
        match task {
            Task::Classification(_) => "top-1 agreement",
            Task::Detection(_) => "box agreement",
            Task::Segmentation(_) => "pixel agreement",
        }
    }
}

/// Average precision of each class. Both have seen the same labels.
fn by_precision(fp32: &AveragePrecision, int8: &AveragePrecision) -> Vec<ClassFigures> {
    let (of_fp32, of_int8) = (fp32.by_class(), int8.by_class());
    let figures = |(class, labelled): (u32, u64)| ClassFigures {
        class: class as usize,
        labelled,
        fp32: of_fp32.get(&class).copied(),
        int8: of_int8.get(&class).copied(),
    };
    fp32.labelled().into_iter().map(figures).collect()
}

/// Overlap of each class that one of the two has.
fn by_overlap([fp32, int8]: &[Confusion; 2]) -> Vec<ClassFigures> {
    let both = fp32.iou().into_iter().zip(int8.iou()).zip(fp32.labelled()).enumerate();
    let figures = both.map(|(class, ((fp32, int8), labelled))| ClassFigures { class, labelled, fp32, int8 });
    figures.filter(|figures| figures.fp32.is_some() || figures.int8.is_some()).collect()
}

/// A sample's counts and share; nothing where its label is of another kind.
type Counted = Result<Option<(Tally, Option<f64>)>, EvaluateError>;

fn classify(task: &Classification, pair: &Pair) -> Counted {
    let name = task.output.as_deref();
    let both = [findings::output("FP32", pair.fp32, name)?, findings::output("INT8", pair.int8, name)?];
    let [fp32, int8] = both.map(floats);
    let mut agreement = Agreement::default();
    let rows = if both[0].shape.len() > 1 { both[0].shape[0].max(1) } else { 1 };
    let classes = fp32.len() / rows;
    if classes == 0 {
        let source = trt_metrics::MetricsError::Shape { shape: both[0].shape.clone(), values: fp32.len() };
        return Err(findings::metrics(both[0], source));
    }
    for (reference, other) in fp32.chunks_exact(classes).zip(int8.chunks_exact(classes)) {
        agreement.add(reference, other);
    }
    let mut accuracy = [Accuracy::default(); 2];
    match pair.sample.label {
        Some(Label::Class(label)) => {
            accuracy[0].add(&fp32[..classes], label);
            accuracy[1].add(&int8[..classes.min(int8.len())], label);
        }
        Some(_) => return Ok(None),
        None => {}
    }
    let share = agreement.top1_share();
    Ok(Some((Tally::Classification { agreement, accuracy }, share)))
}

fn detect(task: &Detection, pair: &Pair) -> Counted {
    let truths = match &pair.sample.label {
        Some(Label::Boxes(truths)) => Some(truths),
        Some(_) => return Ok(None),
        None => None,
    };
    let least = if truths.is_some() { task.least.min(task.score) } else { task.score };
    let find = |outputs| findings::boxes(task, pair.frame.as_ref(), pair.sample, outputs, least);
    let found = [find(pair.fp32)?, find(pair.int8)?];
    // Suppression by a box of a low score takes away none of a higher one, so the shown ones are the first of all.
    let shown = |which: usize| {
        let count = found[which].partition_point(|detection| detection.score >= task.score);
        &found[which][..count]
    };
    let matches = match_boxes(shown(0), shown(1), SAME);
    let mut precision = [AveragePrecision::new(SAME), AveragePrecision::new(SAME)];
    if let Some(truths) = truths {
        for (precision, found) in precision.iter_mut().zip(&found) {
            precision.add(found, truths);
        }
    }
    let labelled = u64::from(truths.is_some());
    Ok(Some((Tally::Detection { matches, precision, labelled }, matches.agreement())))
}

fn segment(task: &Segmentation, pair: &Pair) -> Counted {
    let (fp32, size) = findings::pixels("FP32", task, pair.fp32)?;
    let (int8, _) = findings::pixels("INT8", task, pair.int8)?;
    let tensor = findings::output("FP32", pair.fp32, task.output.as_deref())?;
    let refused = |source| findings::metrics(tensor, source);
    let mut agreement = PixelAgreement::default();
    agreement.add(&fp32, &int8).map_err(refused)?;
    let labels = match &pair.sample.label {
        Some(Label::Mask(mask)) => match &pair.frame {
            Some(frame) => Some(frame.mask_of_output(mask, size)),
            None => Some(mask.classes.clone()),
        },
        Some(_) => return Ok(None),
        None => None,
    };
    let confusion = labels.map(|labels| {
        // As many classes as the output has; one channel tells two.
        let classes = match tensor.shape[..] {
            [_, classes, _, _] | [classes, _, _] => classes.max(2),
            _ => usize::from(IGNORED),
        };
        let mut both = Box::new([Confusion::new(classes), Confusion::new(classes)]);
        both[0].add(&labels, &fp32).and_then(|()| both[1].add(&labels, &int8)).map(|()| both)
    });
    let confusion = confusion.transpose().map_err(refused)?;
    let labelled = u64::from(confusion.is_some());
    Ok(Some((Tally::Segmentation { agreement, confusion, labelled }, agreement.share())))
}
