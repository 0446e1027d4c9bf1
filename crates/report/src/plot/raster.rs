//! A figure as pixels.

use resvg::tiny_skia::{Pixmap, Transform};
use resvg::usvg::{Options, Tree};

use super::Svg;
use crate::ReportError;

/// The most pixels a figure may have.
pub const MAX_PIXELS: u64 = 64_000_000;

/// The family that text is drawn with; its file comes with the program, so that a machine without fonts draws the same.
const FAMILY: &str = "DejaVu Sans";

/// Draws a figure that stands alone ([`Look::Light`](super::Look) or `Dark`) as a PNG file, with `scale` pixels for
/// each of its units.
///
/// # Errors
/// [`ReportError::Scale`] where that is no picture or too large a one, [`ReportError::Draw`].
pub fn png(svg: &Svg, scale: f32) -> Result<Vec<u8>, ReportError> {
    let size = |length: f32| (length * scale).round();
    let (width, height) = (size(svg.width), size(svg.height));
    let fits = width >= 1.0 && height >= 1.0 && f64::from(width) * f64::from(height) <= MAX_PIXELS as f64;
    if !fits {
        return Err(ReportError::Scale { scale });
    }
    let mut options = Options { font_family: FAMILY.to_owned(), ..Options::default() };
    let fonts = options.fontdb_mut();
    fonts.load_font_data(dejavu::sans::regular().to_vec());
    fonts.set_sans_serif_family(FAMILY);
    let draw = |reason: String| ReportError::Draw { reason };
    let tree = Tree::from_str(&svg.markup, &options).map_err(|error| draw(error.to_string()))?;
    let mut pixels = Pixmap::new(width as u32, height as u32).ok_or(ReportError::Scale { scale })?;
    resvg::render(&tree, Transform::from_scale(scale, scale), &mut pixels.as_mut());
    pixels.encode_png().map_err(|error| draw(error.to_string()))
}
