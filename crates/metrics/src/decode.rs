//! From a detector's outputs to detections.

use serde::{Deserialize, Serialize};

use crate::{BBox, Detection, MetricsError};

/// One output of a network, as the decoder reads it.
#[derive(Debug, Clone, Copy)]
pub struct View<'a> {
    /// The output's name.
    pub name: &'a str,
    /// Its shape; the first axis is 1.
    pub shape: &'a [usize],
    /// Its values.
    pub values: &'a [f32],
}

/// How a detector writes what it finds: the name of a known one, or a description.
///
/// ```yaml
/// format: yolov8
/// # or
/// format:
///   axis: last                               # where channels lie: last ([1, N, C]) or first ([1, C, N])
///   boxes: {output: boxes, from: 0}          # four channels; without `output`, the first output
///   box-format: xyxy                         # cxcywh (default), xyxy or xywh
///   units: normalised                        # pixels of the input (default), or normalised to 0..1
///   classes: {output: scores, from: 0, to: 80}
///   objectness: {output: boxes, from: 4}     # optional: a factor of every score
///   sigmoid: true                            # scores are logits (default: false)
/// ```
/// A detector that suppresses and chooses classes itself has `score` and `class`, one channel each, in place of
/// `classes`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(untagged)]
pub enum Format {
    /// A known one.
    Known(Preset),
    /// As described.
    Described(Box<Described>),
}

/// Detectors whose outputs are known.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Preset {
    /// `[1, N, 5 + classes]`: centre and size in pixels, objectness, classes; all through a sigmoid already.
    YoloV5,
    /// `[1, 4 + classes, N]`: centre and size in pixels, classes through a sigmoid already.
    YoloV8,
}

/// See [`Format`].
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub struct Described {
    /// Where the channels of every part lie.
    #[serde(default)]
    pub axis: Axis,
    /// Four channels of coordinates.
    pub boxes: Part,
    /// What they are.
    #[serde(default)]
    pub box_format: BoxFormat,
    /// In which unit.
    #[serde(default)]
    pub units: Units,
    /// One channel of scores for each class; to the end of the axis without `to`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub classes: Option<Part>,
    /// One channel: a factor of every score.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub objectness: Option<Part>,
    /// One channel: the score of a detector that chooses the class itself.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub score: Option<Part>,
    /// One channel: the number of the class it chose. Class 0 if absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub class: Option<Part>,
    /// Whether scores and objectness are logits.
    #[serde(default)]
    pub sigmoid: bool,
}

/// Some channels of an output.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub struct Part {
    /// The output; the first one if absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub output: Option<String>,
    /// The first channel.
    #[serde(default)]
    pub from: usize,
    /// The channel behind the last one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub to: Option<usize>,
}

/// Where channels lie.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Axis {
    /// `[1, candidates, channels]`.
    #[default]
    Last,
    /// `[1, channels, candidates]`.
    First,
}

/// What the four coordinates of a box are.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum BoxFormat {
    /// Centre, width and height.
    #[default]
    CxCyWh,
    /// Left, top, right and bottom.
    XyXy,
    /// Left, top, width and height.
    XyWh,
}

/// The unit of coordinates.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Units {
    /// Pixels of the network's input.
    #[default]
    Pixels,
    /// Parts of the input's width and height.
    Normalised,
}

impl Format {
    /// The description, of a known format too.
    pub fn described(&self) -> Described {
        let part = |from: usize, to: Option<usize>| Part { output: None, from, to };
        let known = |axis: Axis, objectness: Option<Part>, classes: usize| Described {
            axis,
            boxes: part(0, Some(4)),
            box_format: BoxFormat::CxCyWh,
            units: Units::Pixels,
            classes: Some(part(classes, None)),
            objectness,
            score: None,
            class: None,
            sigmoid: false,
        };
        match self {
            Self::Known(Preset::YoloV5) => known(Axis::Last, Some(part(4, Some(5))), 5),
            Self::Known(Preset::YoloV8) => known(Axis::First, None, 4),
            Self::Described(described) => (**described).clone(),
        }
    }
}

impl Described {
    /// The detections of one sample whose score is at least `least`, in the order of the output, in pixels of the
    /// input, whose size is `input` (width, height).
    ///
    /// Each candidate gives one detection at most, of its best class (the lowest of equals). Candidates with a
    /// coordinate or score that is not finite give none.
    ///
    /// # Errors
    /// [`MetricsError::Format`] and [`MetricsError::Shape`].
    pub fn decode(
        &self,
        outputs: &[View],
        input: (f32, f32),
        least: f32,
    ) -> Result<Vec<Detection>, MetricsError> {
        let boxes = self.channels("boxes", &self.boxes, outputs, Some(4))?;
        let one = |what: &'static str, part: &Option<Part>| {
            part.as_ref().map(|part| self.channels(what, part, outputs, Some(1))).transpose()
        };
        let (objectness, score, class) =
            (one("objectness", &self.objectness)?, one("score", &self.score)?, one("class", &self.class)?);
        let classes =
            self.classes.as_ref().map(|part| self.channels("classes", part, outputs, None)).transpose()?;
        if classes.is_some() == score.is_some() {
            let reason = "it needs either `classes`, or `score` and `class`".to_owned();
            return Err(MetricsError::Format { reason });
        }
        for other in [&objectness, &score, &class, &classes].into_iter().flatten() {
            if other.candidates != boxes.candidates {
                let (boxes, other) = (boxes.candidates, other.candidates);
                let reason = format!("there are {boxes} boxes, and scores for another number: {other}");
                return Err(MetricsError::Format { reason });
            }
        }
        let squash = |value: f32| if self.sigmoid { 1.0 / (1.0 + (-value).exp()) } else { value };
        let mut found = Vec::new();
        for candidate in 0..boxes.candidates {
            let factor = objectness.as_ref().map_or(1.0, |part| squash(part.at(candidate, 0)));
            // Scores are at most 1, so nothing that is dropped here could have passed with its class.
            if objectness.is_some() && (factor.is_nan() || factor < least) {
                continue;
            }
            let (kind, raw) = match (&classes, &score) {
                (Some(classes), _) => classes.best(candidate),
                (None, Some(score)) => {
                    let kind = class.as_ref().map_or(0.0, |class| class.at(candidate, 0));
                    if !(0.0..=1e6).contains(&kind) {
                        continue; // Padding: detectors that suppress themselves fill up with -1.
                    }
                    (kind.round() as u32, score.at(candidate, 0))
                }
                (None, None) => continue,
            };
            let score = factor * squash(raw);
            let corners = self.corners([0, 1, 2, 3].map(|channel| boxes.at(candidate, channel)), input);
            let finite =
                [corners.left, corners.top, corners.right, corners.bottom].iter().all(|x| x.is_finite());
            if score.is_finite() && score >= least && finite {
                found.push(Detection { bbox: corners, class: kind, score });
            }
        }
        Ok(found)
    }

    fn corners(&self, [a, b, c, d]: [f32; 4], (width, height): (f32, f32)) -> BBox {
        let (x, y) = match self.units {
            Units::Pixels => (1.0, 1.0),
            Units::Normalised => (width, height),
        };
        let (a, b, c, d) = (a * x, b * y, c * x, d * y);
        match self.box_format {
            BoxFormat::CxCyWh => {
                BBox { left: a - c / 2.0, top: b - d / 2.0, right: a + c / 2.0, bottom: b + d / 2.0 }
            }
            BoxFormat::XyXy => BBox { left: a, top: b, right: c, bottom: d },
            BoxFormat::XyWh => BBox { left: a, top: b, right: a + c, bottom: b + d },
        }
    }

    /// Where a part lies: `width` channels, or all to the end.
    fn channels<'a>(
        &self,
        what: &str,
        part: &Part,
        outputs: &[View<'a>],
        width: Option<usize>,
    ) -> Result<Channels<'a>, MetricsError> {
        let refuse = |reason: String| Err(MetricsError::Format { reason });
        let found = match &part.output {
            Some(name) => outputs.iter().find(|output| output.name == name),
            None => outputs.first(),
        };
        let Some(View { name, shape, values }) = found.copied() else {
            let name = part.output.as_deref().unwrap_or_default();
            return refuse(format!("the model has no output for `{what}`: `{name}`"));
        };
        if shape.iter().product::<usize>() != values.len() {
            return Err(MetricsError::Shape { shape: shape.to_vec(), values: values.len() });
        }
        // A part of one channel may lie in an output without an axis for it.
        let (candidates, channels) = match (shape, self.axis) {
            (&[1, candidates, channels], Axis::Last) | (&[1, channels, candidates], Axis::First) => {
                (candidates, channels)
            }
            (&[1, candidates], _) if width == Some(1) => (candidates, 1),
            _ => return refuse(format!("`{name}` must have three axes, the first of them 1: {shape:?}")),
        };
        let to = part.to.or(width.map(|width| part.from.saturating_add(width))).unwrap_or(channels);
        if part.from >= to || to > channels || width.is_some_and(|width| width != to - part.from) {
            let range = format!("{}..{to}", part.from);
            return refuse(format!(
                "`{name}` has {channels} channels, and `{what}` cannot be these: {range}"
            ));
        }
        let (across, along) = match self.axis {
            Axis::Last => (1, channels),
            Axis::First => (candidates, 1),
        };
        let (across, along) = if shape.len() == 2 { (0, 1) } else { (across, along) };
        Ok(Channels { values, candidates, from: part.from, count: to - part.from, across, along })
    }
}

/// Channels of every candidate, in either layout.
struct Channels<'a> {
    values: &'a [f32],
    candidates: usize,
    from: usize,
    count: usize,
    /// From one channel to the next.
    across: usize,
    /// From one candidate to the next.
    along: usize,
}

impl Channels<'_> {
    fn at(&self, candidate: usize, channel: usize) -> f32 {
        self.values[candidate * self.along + (self.from + channel) * self.across]
    }

    /// The channel of the highest value, and that value; NaN only if all are.
    fn best(&self, candidate: usize) -> (u32, f32) {
        let mut best = (0, f32::NAN);
        for channel in 0..self.count {
            let value = self.at(candidate, channel);
            if value > best.1 || (best.1.is_nan() && !value.is_nan()) {
                best = (channel as u32, value);
            }
        }
        best
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const INPUT: (f32, f32) = (100.0, 50.0);

    fn view<'a>(name: &'a str, shape: &'a [usize], values: &'a [f32]) -> View<'a> {
        View { name, shape, values }
    }

    fn rounded(detections: &[Detection]) -> Vec<([f32; 4], u32, f32)> {
        let round = |x: f32| (x * 1000.0).round() / 1000.0;
        let one = |d: &Detection| {
            ([d.bbox.left, d.bbox.top, d.bbox.right, d.bbox.bottom].map(round), d.class, round(d.score))
        };
        detections.iter().map(one).collect()
    }

    #[test]
    fn yolov5_multiplies_objectness_and_the_best_class() {
        let values = [
            50.0,
            25.0,
            20.0,
            10.0,
            0.8,
            0.1,
            0.5, //
            10.0,
            10.0,
            4.0,
            4.0,
            0.1,
            0.9,
            0.9, //
            30.0,
            10.0,
            4.0,
            4.0,
            f32::NAN,
            0.9,
            0.9,
        ];
        let output = [view("output", &[1, 3, 7], &values)];
        let format = Format::Known(Preset::YoloV5).described();
        let found = format.decode(&output, INPUT, 0.25).unwrap();
        assert_eq!(rounded(&found), [([40.0, 20.0, 60.0, 30.0], 1, 0.4)]);
        assert_eq!(format.decode(&output, INPUT, 0.05).unwrap().len(), 2);
    }

    #[test]
    fn yolov8_has_its_candidates_behind_its_channels() {
        let values = [50.0, 10.0, 25.0, 10.0, 20.0, 4.0, 10.0, 4.0, 0.1, 0.2, 0.7, 0.3];
        let output = [view("output0", &[1, 6, 2], &values)];
        let found = Format::Known(Preset::YoloV8).described().decode(&output, INPUT, 0.25).unwrap();
        let expected = [([40.0, 20.0, 60.0, 30.0], 1, 0.7), ([8.0, 8.0, 12.0, 12.0], 1, 0.3)];
        assert_eq!(rounded(&found), expected);
    }

    #[test]
    fn a_format_is_described_in_yaml() {
        let format: Format = serde_yaml::from_str(
            "boxes: {output: boxes}\nbox-format: xyxy\nunits: normalised\nclasses: {output: scores}\nsigmoid: true\n",
        )
        .unwrap();
        let outputs = [
            view("scores", &[1, 1, 3], &[-20.0, 0.0, -1.0]),
            view("boxes", &[1, 1, 4], &[0.1, 0.2, 0.5, 0.6]),
        ];
        let found = format.described().decode(&outputs, INPUT, 0.25).unwrap();
        assert_eq!(rounded(&found), [([10.0, 10.0, 50.0, 30.0], 1, 0.5)]);
        assert_eq!(serde_yaml::from_str::<Format>("yolov5").unwrap(), Format::Known(Preset::YoloV5));
        assert!(serde_yaml::from_str::<Format>("boxes: {}\nobjectnes: {}\n").is_err());
    }

    #[test]
    fn a_detector_that_suppresses_itself_names_its_classes() {
        let format: Format =
            serde_yaml::from_str("boxes: {}\nbox-format: xywh\nscore: {from: 4}\nclass: {from: 5}\n")
                .unwrap();
        let values = [1.0, 2.0, 3.0, 4.0, 0.9, 7.0, 0.0, 0.0, 0.0, 0.0, 0.9, -1.0];
        let found = format.described().decode(&[view("d", &[1, 2, 6], &values)], INPUT, 0.25).unwrap();
        assert_eq!(rounded(&found), [([1.0, 2.0, 4.0, 6.0], 7, 0.9)]);
    }

    #[test]
    fn a_format_that_does_not_fit_is_refused_with_the_reason() {
        let values = [0.0; 12];
        let decode = |text: &str, shape: &[usize]| {
            let format: Format = serde_yaml::from_str(text).unwrap();
            format.described().decode(&[view("out", shape, &values)], INPUT, 0.1).unwrap_err().to_string()
        };
        for (text, shape, words) in [
            ("yolov5", &[12][..], "must have three axes"),
            ("yolov5", &[1, 4, 3], "cannot be these: 0..4"),
            ("yolov8", &[1, 4, 3], "cannot be these: 4..4"),
            ("boxes: {output: b}", &[1, 2, 6], "no output for `boxes`: `b`"),
            ("boxes: {}", &[1, 2, 6], "needs either `classes`, or `score`"),
            ("yolov5", &[1, 2, 7], "cannot have this many values: 12"),
        ] {
            let found = decode(text, shape);
            assert!(found.contains(words), "{text} {shape:?}: {found}");
        }
    }
}
