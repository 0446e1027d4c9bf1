//! The work on each picture: one resize, then one pass that normalises and reorders.

use fast_image_resize::images::{Image, ImageRef};
use fast_image_resize::{FilterType, PixelType, ResizeAlg, ResizeOptions, Resizer};

use crate::placement::Placement;
use crate::{Channels, ImagingError, Layout, Picture, Pipeline, Resize, Size};

/// A [`Pipeline`] with its lookup tables and buffers, for many pictures on one thread.
///
/// The result for a picture does not depend on the pictures before it.
#[derive(Debug)]
pub struct Runner {
    pipeline: Pipeline,
    /// For each channel of the output, what each pixel value becomes.
    tables: Vec<[f32; 256]>,
    resizer: Resizer,
    grey: Vec<u8>,
    resized: Vec<u8>,
}

impl Runner {
    /// Prepares the tables.
    ///
    /// # Errors
    /// As for [`Pipeline::check`].
    pub(crate) fn new(pipeline: Pipeline) -> Result<Self, ImagingError> {
        pipeline.check()?;
        // In 64 bits and rounded once: no order of operations to agree on between machines.
        let table = |channel| std::array::from_fn(|pixel| pipeline.normalise(channel, pixel as u8) as f32);
        let tables = (0..pipeline.channels.count()).map(table).collect();
        Ok(Self { pipeline, tables, resizer: Resizer::new(), grey: Vec::new(), resized: Vec::new() })
    }

    /// What this runner does.
    pub fn pipeline(&self) -> &Pipeline {
        &self.pipeline
    }

    /// Preprocesses one picture into `out`, which holds [`Pipeline::output_len`] values: one image
    /// of a batch, in the pipeline's layout.
    ///
    /// # Errors
    /// [`ImagingError::OutputLength`], [`ImagingError::ZeroSize`] and
    /// [`ImagingError::PictureLength`]; `out` is untouched then.
    pub fn run(&mut self, picture: &Picture, out: &mut [f32]) -> Result<(), ImagingError> {
        let expected = self.pipeline.output_len();
        if out.len() != expected {
            return Err(ImagingError::OutputLength { expected, found: out.len() });
        }
        picture.check()?;
        let placement = self
            .pipeline
            .resize
            .place(Size { width: picture.width, height: picture.height }, self.pipeline.size);
        self.resize(picture, placement);
        if let Resize::Letterbox { pad } = self.pipeline.resize {
            self.frame(placement, pad, out);
        }
        match self.pipeline.channels {
            Channels::Rgb => self.emit::<3>(placement, [0, 1, 2], out),
            Channels::Bgr => self.emit::<3>(placement, [2, 1, 0], out),
            Channels::Grey => self.emit::<1>(placement, [0], out),
        }
        Ok(())
    }

    /// Resizes the placed part of the picture into `self.resized`.
    fn resize(&mut self, picture: &Picture, placement: Placement) {
        let (pixels, kind) = match self.pipeline.channels {
            Channels::Grey => {
                self.grey.clear();
                self.grey.extend(picture.pixels.chunks_exact(3).map(luma));
                (&self.grey, PixelType::U8)
            }
            Channels::Rgb | Channels::Bgr => (&picture.pixels, PixelType::U8x3),
        };
        let Size { width, height } = placement.inner;
        self.resized.resize(width as usize * height as usize * self.tables.len(), 0);
        let source = ImageRef::new(picture.width, picture.height, pixels, kind)
            .expect("the picture's length was checked");
        let mut target = Image::from_slice_u8(width, height, &mut self.resized, kind)
            .expect("the buffer was made for this size");
        let options = ResizeOptions::new().resize_alg(ResizeAlg::Interpolation(FilterType::Bilinear)).crop(
            placement.source_left,
            placement.source_top,
            placement.source_width,
            placement.source_height,
        );
        self.resizer
            .resize(&source, &mut target, &options)
            .expect("a placement lies in the picture and both images have the same pixel type");
    }

    /// Fills the border of a letterbox.
    fn frame(&self, placement: Placement, pad: u8, out: &mut [f32]) {
        let columns = self.pipeline.size.width as usize;
        let rows = self.pipeline.size.height as usize;
        let (start, end) =
            (placement.left as usize, placement.left as usize + placement.inner.width as usize);
        let inside = placement.top as usize..placement.top as usize + placement.inner.height as usize;
        let values: Vec<f32> = self.tables.iter().map(|table| table[usize::from(pad)]).collect();
        match self.pipeline.layout {
            Layout::Nchw => {
                for (plane, value) in out.chunks_exact_mut(columns * rows).zip(values) {
                    for (y, row) in plane.chunks_exact_mut(columns).enumerate() {
                        if inside.contains(&y) {
                            row[..start].fill(value);
                            row[end..].fill(value);
                        } else {
                            row.fill(value);
                        }
                    }
                }
            }
            Layout::Nhwc => {
                let channels = values.len();
                let fill = |part: &mut [f32]| {
                    part.chunks_exact_mut(channels).for_each(|pixel| pixel.copy_from_slice(&values));
                };
                for (y, row) in out.chunks_exact_mut(columns * channels).enumerate() {
                    if inside.contains(&y) {
                        fill(&mut row[..start * channels]);
                        fill(&mut row[end * channels..]);
                    } else {
                        fill(row);
                    }
                }
            }
        }
    }

    /// Writes the resized pixels through the tables. Channel `c` of the output is `order[c]` of the
    /// pixels.
    fn emit<const C: usize>(&self, placement: Placement, order: [usize; C], out: &mut [f32]) {
        let columns = self.pipeline.size.width as usize;
        let rows = self.pipeline.size.height as usize;
        let inner = placement.inner.width as usize;
        let tables: &[[f32; 256]; C] =
            self.tables.as_slice().try_into().expect("there is a table for each channel");
        let lines = self.resized.chunks_exact(inner * C);
        let mut start = placement.top as usize * columns + placement.left as usize;
        for line in lines {
            let pixels = line.as_chunks::<C>().0;
            match self.pipeline.layout {
                Layout::Nchw => {
                    // All planes in one pass over the pixels.
                    let mut planes = out.chunks_exact_mut(columns * rows);
                    let targets: [&mut [f32]; C] = std::array::from_fn(|_| {
                        &mut planes.next().expect("there is a plane for each channel")[start..start + inner]
                    });
                    for (x, pixel) in pixels.iter().enumerate() {
                        for c in 0..C {
                            targets[c][x] = tables[c][usize::from(pixel[order[c]])];
                        }
                    }
                }
                Layout::Nhwc => {
                    let target = out[start * C..][..inner * C].as_chunks_mut::<C>().0;
                    for (value, pixel) in target.iter_mut().zip(pixels) {
                        *value = std::array::from_fn(|c| tables[c][usize::from(pixel[order[c]])]);
                    }
                }
            }
            start += columns;
        }
    }
}

/// Luma of an RGB pixel, as `cv2.cvtColor` with `COLOR_RGB2GRAY` computes it for 8-bit images:
/// 0.299, 0.587 and 0.114 in units of 1 / 32768, rounded.
fn luma(pixel: &[u8]) -> u8 {
    let [r, g, b] = [pixel[0], pixel[1], pixel[2]].map(u32::from);
    ((9_798 * r + 19_235 * g + 3_735 * b + (1 << 14)) >> 15) as u8
}
