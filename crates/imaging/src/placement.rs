//! Where a picture's pixels come to lie in the output.

use crate::{Resize, Size};

/// A part of the picture, the size it is resized to, and its place in the output.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Placement {
    /// Left edge of the part, in pixels of the picture; not whole when a crop was resized first.
    pub source_left: f64,
    /// Top edge of the part.
    pub source_top: f64,
    /// Width of the part.
    pub source_width: f64,
    /// Height of the part.
    pub source_height: f64,
    /// The part's size after resizing.
    pub inner: Size,
    /// Columns of the output left of it.
    pub left: u32,
    /// Rows of the output above it.
    pub top: u32,
}

impl Resize {
    /// Places a picture on the output canvas. No side of either is zero.
    pub fn place(self, picture: Size, canvas: Size) -> Placement {
        let (width, height) = (f64::from(picture.width), f64::from(picture.height));
        let whole = Placement {
            source_left: 0.0,
            source_top: 0.0,
            source_width: width,
            source_height: height,
            inner: canvas,
            left: 0,
            top: 0,
        };
        match self {
            Self::Stretch => whole,
            Self::Letterbox { .. } => {
                let (inner, left, top) = letterbox(picture, canvas);
                Placement { inner, left, top, ..whole }
            }
            Self::Crop { shorter_side } => {
                let resized = shorter_to(picture, shorter_side);
                let across = width / resized.0;
                let down = height / resized.1;
                let (crop_width, crop_height) = (f64::from(canvas.width), f64::from(canvas.height));
                // The border is rounded before it is scaled back: this is the part that remains
                // when the whole picture is resized first.
                let left = ((resized.0 - crop_width) / 2.0).round_ties_even() * across;
                let top = ((resized.1 - crop_height) / 2.0).round_ties_even() * down;
                Placement {
                    source_left: left,
                    source_top: top,
                    source_width: (crop_width * across).min(width - left),
                    source_height: (crop_height * down).min(height - top),
                    ..whole
                }
            }
        }
    }
}

/// Ultralytics' `LetterBox` with its defaults (`auto=False`, `scaleup=True`, centred): the inner
/// size, and the columns and rows before it. An odd column or row of padding goes behind.
///
/// A side that would round to nothing keeps one pixel, where OpenCV would refuse.
fn letterbox(picture: Size, canvas: Size) -> (Size, u32, u32) {
    let (width, height) = (f64::from(picture.width), f64::from(picture.height));
    let ratio = (f64::from(canvas.height) / height).min(f64::from(canvas.width) / width);
    let fit = |side: f64, limit: u32| ((side * ratio).round_ties_even() as u32).clamp(1, limit);
    let inner = Size { width: fit(width, canvas.width), height: fit(height, canvas.height) };
    let before =
        |outer: u32, inner: u32| (f64::from(outer - inner) / 2.0 - 0.1).round_ties_even().max(0.0) as u32;
    (inner, before(canvas.width, inner.width), before(canvas.height, inner.height))
}

/// torchvision's `Resize(n)`: the shorter side becomes `n`, the longer one in proportion, cut to a
/// whole number.
fn shorter_to(picture: Size, shorter_side: u32) -> (f64, f64) {
    let (short, long) = (picture.width.min(picture.height), picture.width.max(picture.height));
    let n = f64::from(shorter_side);
    let other = (n * f64::from(long) / f64::from(short)).floor();
    if picture.width <= picture.height { (n, other) } else { (other, n) }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn size(width: u32, height: u32) -> Size {
        Size { width, height }
    }

    #[test]
    fn a_letterbox_is_that_of_ultralytics() {
        // Picture, canvas, inner, left, top; computed with the Python code that is followed.
        let cases = [
            (size(640, 480), size(640, 640), size(640, 480), 0, 80),
            (size(480, 640), size(640, 640), size(480, 640), 80, 0),
            (size(1920, 1080), size(640, 640), size(640, 360), 0, 140),
            (size(100, 37), size(640, 640), size(640, 237), 0, 201),
            (size(37, 100), size(640, 640), size(237, 640), 201, 0),
            (size(500, 375), size(416, 320), size(416, 312), 0, 4),
            (size(5, 10_000), size(640, 640), size(1, 640), 319, 0),
        ];
        for (picture, canvas, inner, left, top) in cases {
            assert_eq!(letterbox(picture, canvas), (inner, left, top), "{picture} on {canvas}");
        }
    }

    #[test]
    fn a_crop_is_taken_from_the_middle_of_the_resized_picture() {
        let placed = Resize::Crop { shorter_side: 256 }.place(size(500, 375), size(224, 224));
        // 500x375 becomes 341x256; the border is round(58.5) = 58 and 16.
        assert_eq!(placed.inner, size(224, 224));
        assert!((placed.source_left - 58.0 * 500.0 / 341.0).abs() < 1e-9);
        assert!((placed.source_top - 16.0 * 375.0 / 256.0).abs() < 1e-9);
        assert!((placed.source_width - 224.0 * 500.0 / 341.0).abs() < 1e-9);
        assert!((placed.source_height - 224.0 * 375.0 / 256.0).abs() < 1e-9);
    }

    #[test]
    fn a_placement_stays_inside_the_picture_and_the_canvas() {
        let sides = [1, 2, 3, 7, 31, 224, 255, 257, 641, 9_999];
        let modes = [Resize::Stretch, Resize::Letterbox { pad: 0 }, Resize::Crop { shorter_side: 300 }];
        let pictures = sides.map(|width| sides.map(|height| size(width, height)));
        for picture in pictures.into_iter().flatten() {
            for mode in modes {
                let canvas = size(300, 200);
                let placed = mode.place(picture, canvas);
                assert!(placed.source_left >= 0.0 && placed.source_top >= 0.0);
                assert!(placed.source_left + placed.source_width <= f64::from(picture.width));
                assert!(placed.source_top + placed.source_height <= f64::from(picture.height));
                assert!(placed.left + placed.inner.width <= canvas.width);
                assert!(placed.top + placed.inner.height <= canvas.height);
            }
        }
    }
}
