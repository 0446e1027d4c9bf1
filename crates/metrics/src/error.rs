//! What does not fit together, and what mends it.

/// Why figures cannot be computed.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum MetricsError {
    /// Two outputs that are to be compared differ in size.
    #[error("two outputs to compare differ in their number of values; first: {reference}, second: {other}")]
    Length {
        /// Values of the reference.
        reference: usize,
        /// Values of the other.
        other: usize,
    },
    /// A shape and the number of values contradict each other.
    #[error("an output of shape {shape:?} cannot have this many values: {values}")]
    Shape {
        /// The shape.
        shape: Vec<usize>,
        /// The values.
        values: usize,
    },
    /// Groups of channels do not fit an output.
    #[error("the channel group `{group}` does not fit an output of shape {shape:?} on axis {axis}")]
    Group {
        /// The group.
        group: String,
        /// The output's shape.
        shape: Vec<usize>,
        /// The axis that the groups divide.
        axis: usize,
    },
    /// A detector's format does not fit its outputs.
    #[error("the detector's output does not fit the format: {reason}")]
    Format {
        /// Why.
        reason: String,
    },
    /// A segmentation's output has no pixels.
    #[error("an output of this shape holds no classes of pixels: {shape:?}")]
    Pixels {
        /// The shape.
        shape: Vec<usize>,
    },
    /// A class beyond those that are counted.
    #[error("a pixel's class is beyond the number of classes ({classes}): {found}")]
    Class {
        /// How many classes there are.
        classes: usize,
        /// The class that was found.
        found: usize,
    },
}

impl MetricsError {
    /// What mends it, in one sentence.
    pub fn hint(&self) -> Option<String> {
        let text = match self {
            Self::Length { .. } => "compare outputs of one model at one input shape",
            Self::Shape { .. } => "give the shape that the values were computed with",
            Self::Group { .. } => "set `axis`, `from` and `to` of `groups` to channels that the output has",
            Self::Format { .. } => {
                "set `format` to `yolov5` or `yolov8`, or describe where `boxes` and `classes` lie"
            }
            Self::Pixels { .. } => {
                "name the segmentation's `output`: `[1, classes, height, width]` of scores, or one class for each pixel"
            }
            Self::Class { .. } => {
                "set `classes` to the number of classes, and check that masks hold class numbers"
            }
        };
        Some(text.to_owned())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_error_is_worded_as_the_style_asks_and_has_a_hint() {
        let shape = vec![1, 2];
        for error in [
            MetricsError::Length { reference: 1, other: 2 },
            MetricsError::Shape { shape: shape.clone(), values: 3 },
            MetricsError::Group { group: "xy".to_owned(), shape: shape.clone(), axis: 1 },
            MetricsError::Format { reason: "why".to_owned() },
            MetricsError::Pixels { shape },
            MetricsError::Class { classes: 2, found: 3 },
        ] {
            let message = error.to_string();
            assert!(message.starts_with(char::is_lowercase) && !message.ends_with('.'), "{message}");
            assert!(error.hint().is_some_and(|hint| !hint.is_empty()), "{message}");
        }
    }
}
