//! What can go wrong.

/// Why something cannot be shown.
#[derive(Debug, thiserror::Error)]
pub enum ReportError {
    /// A picture's pixels are not as many as its size says.
    #[error("the picture cannot be shown")]
    Picture {
        /// How.
        #[source]
        source: trt_imaging::ImagingError,
    },
    /// A picture could not be encoded.
    #[error("the picture cannot be encoded as JPEG")]
    Encode {
        /// Why.
        #[source]
        source: jpeg_encoder::EncodingError,
    },
    /// The plot would have more pixels than [`plot::MAX_PIXELS`](crate::plot::MAX_PIXELS), or none.
    #[error("the plot cannot have this scale: {scale}")]
    Scale {
        /// How many pixels a unit of the drawing was to have.
        scale: f32,
    },
    /// The drawing could not be turned into pixels.
    #[error("the plot cannot be drawn: {reason}")]
    Draw {
        /// Why.
        reason: String,
    },
}

impl ReportError {
    /// What mends it, in one sentence.
    pub fn hint(&self) -> Option<String> {
        let text = match self {
            Self::Picture { .. } | Self::Encode { .. } => {
                "leave the picture out, or look at its file with an image viewer"
            }
            Self::Scale { .. } => "ask for a scale between 0.1 and 8",
            Self::Draw { .. } => "ask for SVG instead of PNG, which any browser shows",
        };
        Some(text.to_owned())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_error_is_worded_as_the_style_asks_and_has_a_hint() {
        for error in [
            ReportError::Picture { source: trt_imaging::ImagingError::ZeroSize { width: 0, height: 1 } },
            ReportError::Encode {
                source: jpeg_encoder::EncodingError::ZeroImageDimensions { width: 0, height: 1 },
            },
            ReportError::Scale { scale: 0.0 },
            ReportError::Draw { reason: "why".to_owned() },
        ] {
            let message = error.to_string();
            assert!(message.starts_with(char::is_lowercase) && !message.ends_with('.'), "{message}");
            assert!(error.hint().is_some_and(|hint| !hint.is_empty()), "{message}");
        }
    }
}
