//! FP32 and INT8 drawn on the same photograph, side by side.

use std::io::Cursor;

use font8x8::{BASIC_FONTS, LATIN_FONTS, UnicodeFonts};
use image::{ImageFormat, Rgb, RgbImage};
use trt_imaging::Picture;
use trt_metrics::{BBox, Detection, IGNORED};

use crate::{EvaluateError, Findings, Mask};

/// The longest side of a picture that is drawn; larger ones are shrunk.
const LONGEST: u32 = 640;
/// Pixels between the two halves.
const GAP: u32 = 4;
const INK: Rgb<u8> = Rgb([255, 255, 255]);
const BAR: Rgb<u8> = Rgb([32, 32, 32]);

/// Colours that can be told apart, also by the colour-blind (Okabe and Ito, "Color Universal Design", 2008, without
/// black).
const COLOURS: [[u8; 3]; 7] = [
    [213, 94, 0],
    [0, 114, 178],
    [0, 158, 115],
    [230, 159, 0],
    [204, 121, 167],
    [86, 180, 233],
    [240, 228, 66],
];

/// A picture with what a network found in it, under a bar with its title.
///
/// `classes` are the names of the classes, by number; a class without one is shown as its number. Letters beyond Latin
/// are shown as `?`. Pictures of more than 640 pixels a side are shrunk.
///
/// # Errors
/// [`EvaluateError::Picture`], which calls the sample `name`.
pub fn annotated(
    name: &str,
    picture: &Picture,
    title: &str,
    findings: &Findings,
    classes: &[String],
) -> Result<Picture, EvaluateError> {
    let refused = |reason: String| EvaluateError::Picture { sample: name.to_owned(), reason };
    picture.check().map_err(|error| refused(error.to_string()))?;
    let photograph = RgbImage::from_raw(picture.width, picture.height, picture.pixels.clone());
    let photograph = photograph.ok_or_else(|| refused("it is too large".to_owned()))?;
    let drawn = half(photograph, title, findings, classes);
    Ok(Picture { width: drawn.width(), height: drawn.height(), pixels: drawn.into_raw() })
}

/// A PNG of two annotated pictures of one size, side by side.
///
/// # Errors
/// [`EvaluateError::Picture`], which calls the sample `name`.
pub fn side_by_side(name: &str, [left, right]: &[Picture; 2]) -> Result<Vec<u8>, EvaluateError> {
    let refused = |reason: String| EvaluateError::Picture { sample: name.to_owned(), reason };
    let mut both = RgbImage::from_pixel(left.width + GAP + right.width, left.height.max(right.height), BAR);
    for (half, x) in [(left, 0), (right, left.width + GAP)] {
        half.check().map_err(|error| refused(error.to_string()))?;
        let half = RgbImage::from_raw(half.width, half.height, half.pixels.clone());
        let half = half.ok_or_else(|| refused("it is too large".to_owned()))?;
        image::imageops::replace(&mut both, &half, i64::from(x), 0);
    }
    let mut png = Cursor::new(Vec::new());
    both.write_to(&mut png, ImageFormat::Png).map_err(|error| refused(error.to_string()))?;
    Ok(png.into_inner())
}

/// One network's half: a bar with its title, and the photograph with its findings.
fn half(photograph: RgbImage, title: &str, findings: &Findings, classes: &[String]) -> RgbImage {
    let longest = photograph.width().max(photograph.height());
    let factor = (f64::from(LONGEST) / f64::from(longest)).min(1.0);
    let side = |side: u32| ((f64::from(side) * factor).round() as u32).max(1);
    let mut drawn = photograph;
    if let Findings::Mask(mask) = findings {
        blend(&mut drawn, mask);
    }
    if factor < 1.0 {
        let (width, height) = (side(drawn.width()), side(drawn.height()));
        drawn = image::imageops::resize(&drawn, width, height, image::imageops::FilterType::Triangle);
    }
    // Letters of 16 pixels, or of 8 where the picture has no room for them.
    let zoom = if drawn.width() >= 320 { 2 } else { 1 };
    let bar = 8 * zoom + 4;
    let mut canvas = RgbImage::from_pixel(drawn.width(), drawn.height() + bar, BAR);
    image::imageops::replace(&mut canvas, &drawn, 0, i64::from(bar));
    match findings {
        Findings::Boxes(boxes) => {
            // The best last, so that nothing is drawn over it.
            for detection in boxes.iter().rev() {
                outline(&mut canvas, detection, factor as f32, bar, zoom, classes);
            }
            text(&mut canvas, 2, 2, zoom, &format!("{title}: {} found", boxes.len()), INK, None);
        }
        Findings::Classes(best) => {
            text(&mut canvas, 2, 2, zoom, title, INK, None);
            for (line, (class, score)) in best.iter().enumerate() {
                let top = (bar + 2 + line as u32 * (8 * zoom + 2)) as i64;
                let words = format!("{} {score:.3}", class_name(*class, classes));
                text(&mut canvas, 2, top, zoom, &words, INK, Some(BAR));
            }
        }
        Findings::Mask(_) => text(&mut canvas, 2, 2, zoom, title, INK, None),
    }
    canvas
}

fn class_name(class: usize, classes: &[String]) -> String {
    classes.get(class).cloned().unwrap_or_else(|| class.to_string())
}

fn colour(class: usize) -> Rgb<u8> {
    Rgb(COLOURS[class % COLOURS.len()])
}

/// Colours every pixel with a class other than 0, which is the background by custom.
fn blend(picture: &mut RgbImage, mask: &Mask) {
    let (width, height) = picture.dimensions();
    let at = |place: u32, pixels: u32, of: u32| u64::from(place) * u64::from(of) / u64::from(pixels);
    for (x, y, pixel) in picture.enumerate_pixels_mut() {
        let (column, row) = (at(x, width, mask.size.width), at(y, height, mask.size.height));
        let class = mask.classes.get((row * u64::from(mask.size.width) + column) as usize);
        let class = class.copied().filter(|class| ![0, IGNORED].contains(class));
        if let Some(class) = class {
            let paint = colour(usize::from(class));
            for (own, paint) in pixel.0.iter_mut().zip(paint.0) {
                *own = own.midpoint(paint);
            }
        }
    }
}

fn outline(
    canvas: &mut RgbImage,
    detection: &Detection,
    factor: f32,
    bar: u32,
    zoom: u32,
    classes: &[String],
) {
    let BBox { left, top, right, bottom } = detection.bbox;
    // Detectors give out boxes of any size; far outside is far enough.
    let place = |value: f32| (value * factor).clamp(-1e6, 1e6) as i64;
    let [left, right] = [left, right].map(place);
    let [top, bottom] = [top, bottom].map(|y| place(y) + i64::from(bar));
    let paint = colour(detection.class as usize);
    for thick in 0..2 {
        let (left, top) = (left + thick, top + thick);
        let (right, bottom) = ((right - 1 - thick).max(left), (bottom - 1 - thick).max(top));
        // Never further than the canvas, however large the box is.
        let across = left.max(0)..=right.min(i64::from(canvas.width()));
        let down = top.max(0)..=bottom.min(i64::from(canvas.height()));
        for x in across {
            dot(canvas, x, top, paint);
            dot(canvas, x, bottom, paint);
        }
        for y in down {
            dot(canvas, left, y, paint);
            dot(canvas, right, y, paint);
        }
    }
    let words = format!("{} {:.2}", class_name(detection.class as usize, classes), detection.score);
    // Smaller letters where the words would run into the neighbour's.
    let zoom = if words.len() as i64 * i64::from(8 * zoom) > right - left { 1 } else { zoom };
    let height = i64::from(8 * zoom + 2);
    // Above the box, or inside where there is no room.
    let line = if top - height >= i64::from(bar) { top - height } else { top };
    text(canvas, left.max(0), line, zoom, &words, INK, Some(paint));
}

/// Writes a line, on a ground if there is one.
fn text(
    canvas: &mut RgbImage,
    left: i64,
    top: i64,
    zoom: u32,
    words: &str,
    ink: Rgb<u8>,
    ground: Option<Rgb<u8>>,
) {
    let zoom = i64::from(zoom);
    let fits = (i64::from(canvas.width()) - left).max(0) / (8 * zoom) + 1;
    let letters: Vec<char> = words.chars().take(fits as usize).collect();
    if let Some(ground) = ground {
        for y in top - 1..top + 8 * zoom + 1 {
            for x in left - 1..left + letters.len() as i64 * 8 * zoom {
                dot(canvas, x, y, ground);
            }
        }
    }
    for (at, letter) in letters.into_iter().enumerate() {
        let known = BASIC_FONTS.get(letter).or_else(|| LATIN_FONTS.get(letter));
        let rows = known.or_else(|| BASIC_FONTS.get('?')).unwrap_or_default();
        for (y, row) in (0i64..).zip(rows) {
            for x in (0..8i64).filter(|x| row >> x & 1 == 1) {
                for (dx, dy) in (0..zoom).flat_map(|dx| (0..zoom).map(move |dy| (dx, dy))) {
                    dot(canvas, left + (at as i64 * 8 + x) * zoom + dx, top + y * zoom + dy, ink);
                }
            }
        }
    }
}

/// Paints one pixel, if it is on the canvas.
fn dot(canvas: &mut RgbImage, x: i64, y: i64, paint: Rgb<u8>) {
    if let (Ok(x), Ok(y)) = (u32::try_from(x), u32::try_from(y))
        && let Some(pixel) = canvas.get_pixel_mut_checked(x, y)
    {
        *pixel = paint;
    }
}

#[cfg(test)]
mod tests {
    use trt_imaging::Size;

    use super::*;

    fn grey(width: u32, height: u32) -> Picture {
        Picture { width, height, pixels: vec![100; (width * height * 3) as usize] }
    }

    fn drawn(picture: &Picture, fp32: &Findings, int8: &Findings) -> RgbImage {
        let half = |title, found| annotated("a.jpg", picture, title, found, &["cat".to_owned()]).unwrap();
        let png = side_by_side("a.jpg", &[half("FP32", fp32), half("INT8", int8)]).unwrap();
        image::load_from_memory(&png).unwrap().to_rgb8()
    }

    fn count(picture: &RgbImage, paint: Rgb<u8>, columns: std::ops::Range<u32>) -> usize {
        picture.enumerate_pixels().filter(|(x, _, pixel)| columns.contains(x) && **pixel == paint).count()
    }

    #[test]
    fn boxes_are_drawn_where_they_were_found() {
        let bbox = BBox { left: 20.0, top: 30.0, right: 60.0, bottom: 70.0 };
        let found = Findings::Boxes(vec![Detection { bbox, class: 1, score: 0.9 }]);
        let picture = drawn(&grey(100, 90), &found, &Findings::Boxes(vec![]));
        assert_eq!(picture.dimensions(), (2 * 100 + GAP, 90 + 12));
        let paint = colour(1);
        // Corners, below the bar of 12 rows; nothing inside, and nothing at the right.
        for (x, y) in [(20, 42), (59, 42), (20, 81), (59, 81)] {
            assert_eq!(*picture.get_pixel(x, y), paint, "{x} {y}");
        }
        assert_eq!(*picture.get_pixel(40, 65), Rgb([100; 3]));
        assert_eq!(count(&picture, paint, 104..204), 0);
    }

    #[test]
    fn boxes_beyond_the_picture_and_wide_pictures_are_drawn() {
        let far = BBox { left: -1e30, top: f32::MIN, right: f32::MAX, bottom: f32::INFINITY };
        let found = Findings::Boxes(vec![Detection { bbox: far, class: 0, score: 1.0 }]);
        let picture = drawn(&grey(3000, 20), &found, &found);
        assert_eq!(picture.width(), 2 * LONGEST + GAP);
    }

    #[test]
    fn classes_are_written_and_masks_coloured() {
        let classes = Findings::Classes(vec![(0, 0.75), (7, 0.2)]);
        let picture = drawn(&grey(200, 100), &classes, &classes);
        assert!(count(&picture, INK, 0..200) > 100);
        let mask = Mask { size: Size { width: 2, height: 1 }, classes: vec![0, 1] };
        let picture = drawn(&grey(100, 10), &Findings::Mask(mask.clone()), &Findings::Mask(mask));
        assert_eq!(*picture.get_pixel(10, 15), Rgb([100; 3]));
        let [r, g, b] = colour(1).0;
        assert_eq!(*picture.get_pixel(90, 15), Rgb([r, g, b].map(|c| 100u8.midpoint(c))));
    }

    #[test]
    fn a_picture_without_pixels_is_refused() {
        let empty = Picture { width: 2, height: 2, pixels: vec![] };
        let none = Findings::Boxes(vec![]);
        for refused in [
            annotated("a.jpg", &empty, "FP32", &none, &[]).map(drop),
            side_by_side("a.jpg", &[empty.clone(), empty]).map(drop),
        ] {
            assert!(matches!(refused, Err(EvaluateError::Picture { sample, .. }) if sample == "a.jpg"));
        }
    }
}
