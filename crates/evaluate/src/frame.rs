//! Where things in a network's input lie in the picture that it was made of, and the other way round.

use trt_imaging::{Pipeline, Placement, Size};
use trt_metrics::{BBox, IGNORED};

use crate::Mask;

/// A picture and its place in a network's input.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Frame {
    picture: Size,
    canvas: Size,
    placement: Placement,
}

impl Frame {
    /// The frame of a picture of this size. Nothing has a frame whose sides are 0.
    pub fn new(pipeline: &Pipeline, picture: Size) -> Option<Self> {
        let canvas = pipeline.size;
        let sides = [picture.width, picture.height, canvas.width, canvas.height];
        let placed = || Self { picture, canvas, placement: pipeline.resize.place(picture, canvas) };
        sides.iter().all(|&side| side > 0).then(placed)
    }

    /// The size of the input, in pixels, as the decoders of detections take it.
    pub fn input(&self) -> (f32, f32) {
        (self.canvas.width as f32, self.canvas.height as f32)
    }

    /// From pixels of the input to pixels of the picture. Coordinates count from the outer edge of the first pixel; what
    /// lies outside of the picture is cut off.
    pub fn to_picture(&self, bbox: &BBox) -> BBox {
        let x = |x: f32| self.across(f64::from(x)) as f32;
        let y = |y: f32| self.down(f64::from(y)) as f32;
        BBox { left: x(bbox.left), top: y(bbox.top), right: x(bbox.right), bottom: y(bbox.bottom) }
            .clipped(self.picture.width as f32, self.picture.height as f32)
    }

    fn across(&self, x: f64) -> f64 {
        let place = &self.placement;
        place.source_left + (x - f64::from(place.left)) * place.source_width / f64::from(place.inner.width)
    }

    fn down(&self, y: f64) -> f64 {
        let place = &self.placement;
        place.source_top + (y - f64::from(place.top)) * place.source_height / f64::from(place.inner.height)
    }

    /// A mask of the picture as a mask of an output of this size, whose pixels divide the input evenly: the class at
    /// each pixel's centre, and [`IGNORED`] in the padding.
    pub fn mask_of_output(&self, mask: &Mask, output: Size) -> Vec<u8> {
        let place = &self.placement;
        let columns: Vec<Option<usize>> = (0..output.width)
            .map(|column| {
                let x = (f64::from(column) + 0.5) * f64::from(self.canvas.width) / f64::from(output.width);
                let inside = (0.0..f64::from(place.inner.width)).contains(&(x - f64::from(place.left)));
                inside.then(|| pixel(self.across(x) / f64::from(self.picture.width), mask.size.width))
            })
            .collect();
        let mut classes = Vec::with_capacity(output.width as usize * output.height as usize);
        for row in 0..output.height {
            let y = (f64::from(row) + 0.5) * f64::from(self.canvas.height) / f64::from(output.height);
            let inside = (0.0..f64::from(place.inner.height)).contains(&(y - f64::from(place.top)));
            let row = inside.then(|| pixel(self.down(y) / f64::from(self.picture.height), mask.size.height));
            classes.extend(columns.iter().map(|column| {
                let at = row.zip(*column).map(|(row, column)| row * mask.size.width as usize + column);
                at.and_then(|at| mask.classes.get(at)).copied().unwrap_or(IGNORED)
            }));
        }
        classes
    }

    /// The classes of an output's pixels as a mask of the picture; [`IGNORED`] in what the network never saw.
    pub fn mask_of_picture(&self, classes: &[u8], output: Size) -> Mask {
        let place = &self.placement;
        let seen =
            |source: f64, start: f64, length: f64, inner: u32, before: u32, canvas: u32, pixels: u32| {
                let part = (source - start) / length;
                (0.0..1.0).contains(&part).then(|| {
                    let at = f64::from(before) + part * f64::from(inner);
                    pixel(at / f64::from(canvas), pixels)
                })
            };
        let columns: Vec<Option<usize>> = (0..self.picture.width)
            .map(|column| {
                let (start, length) = (place.source_left, place.source_width);
                let x = f64::from(column) + 0.5;
                seen(x, start, length, place.inner.width, place.left, self.canvas.width, output.width)
            })
            .collect();
        let mut mask = Vec::with_capacity(self.picture.width as usize * self.picture.height as usize);
        for row in 0..self.picture.height {
            let (start, length) = (place.source_top, place.source_height);
            let y = f64::from(row) + 0.5;
            let row =
                seen(y, start, length, place.inner.height, place.top, self.canvas.height, output.height);
            mask.extend(columns.iter().map(|column| {
                let at = row.zip(*column).map(|(row, column)| row * output.width as usize + column);
                at.and_then(|at| classes.get(at)).copied().unwrap_or(IGNORED)
            }));
        }
        Mask { size: self.picture, classes: mask }
    }
}

/// The pixel at a place between 0 and 1.
fn pixel(place: f64, pixels: u32) -> usize {
    ((place * f64::from(pixels)).max(0.0) as usize).min(pixels.saturating_sub(1) as usize)
}

#[cfg(test)]
mod tests {
    use trt_imaging::{Channels, Layout, Resize};

    use super::*;

    fn frame(resize: Resize, picture: (u32, u32), canvas: (u32, u32)) -> Frame {
        let size = |(width, height)| Size { width, height };
        let pipeline = Pipeline {
            size: size(canvas),
            resize,
            channels: Channels::Rgb,
            scale: 1.0,
            mean: vec![0.0; 3],
            std: vec![1.0; 3],
            layout: Layout::Nchw,
        };
        Frame::new(&pipeline, size(picture)).unwrap()
    }

    #[test]
    fn boxes_go_back_to_where_they_were_in_the_picture() {
        let bbox = |[left, top, right, bottom]: [f32; 4]| BBox { left, top, right, bottom };
        for (resize, picture, canvas, input, expected) in [
            (Resize::Stretch, (200, 100), (100, 100), [10.0, 10.0, 50.0, 50.0], [20.0, 10.0, 100.0, 50.0]),
            // 640x480 on 640x640: 80 rows above.
            (
                Resize::Letterbox { pad: 114 },
                (640, 480),
                (640, 640),
                [0.0, 80.0, 640.0, 560.0],
                [0.0, 0.0, 640.0, 480.0],
            ),
            (
                Resize::Letterbox { pad: 114 },
                (1280, 960),
                (640, 640),
                [10.0, 0.0, 20.0, 100.0],
                [20.0, 0.0, 40.0, 40.0],
            ),
            // 400x200 becomes 200x100, of which the middle 50x50 remains.
            (
                Resize::Crop { shorter_side: 100 },
                (400, 200),
                (50, 50),
                [0.0, 0.0, 50.0, 50.0],
                [150.0, 50.0, 250.0, 150.0],
            ),
        ] {
            let found = frame(resize, picture, canvas).to_picture(&bbox(input));
            let expected = bbox(expected);
            let near = |a: f32, b: f32| (a - b).abs() < 1e-3;
            assert!(
                near(found.left, expected.left)
                    && near(found.top, expected.top)
                    && near(found.right, expected.right)
                    && near(found.bottom, expected.bottom),
                "{resize:?}: {found:?}"
            );
        }
    }

    #[test]
    fn masks_go_forward_with_the_padding_ignored_and_back_again() {
        // Left half 1, right half 2.
        let mask = Mask { size: Size { width: 8, height: 4 }, classes: [1, 1, 1, 1, 2, 2, 2, 2].repeat(4) };
        let boxed = frame(Resize::Letterbox { pad: 0 }, (8, 4), (8, 8));
        let output = Size { width: 4, height: 4 };
        let forward = boxed.mask_of_output(&mask, output);
        let (none, half) = ([IGNORED; 4], [1, 1, 2, 2]);
        assert_eq!(forward, [none, half, half, none].concat());
        assert_eq!(boxed.mask_of_picture(&forward, output), mask);

        let cropped = frame(Resize::Crop { shorter_side: 4 }, (8, 4), (4, 4));
        assert_eq!(cropped.mask_of_output(&mask, output), [1, 1, 2, 2].repeat(4));
        let back = cropped.mask_of_picture(&[1, 1, 2, 2].repeat(4), output);
        let n = IGNORED;
        assert_eq!(back.classes, [n, n, 1, 1, 2, 2, n, n].repeat(4));
    }
}
