//! What a file is, by its name and by its first bytes.

use std::fmt;
use std::path::Path;

/// The formats that are decoded.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Format {
    /// Windows bitmap.
    Bmp,
    /// JPEG, baseline and progressive, grey, YCbCr, RGB, CMYK, YCCK.
    Jpeg,
    /// PNG, all colour types and depths.
    Png,
    /// WebP, lossy and lossless.
    WebP,
}

impl Format {
    /// Recognises a format by its signature.
    pub(crate) fn of(bytes: &[u8]) -> Option<Self> {
        match bytes {
            [0xff, 0xd8, 0xff, ..] => Some(Self::Jpeg),
            [0x89, b'P', b'N', b'G', b'\r', b'\n', 0x1a, b'\n', ..] => Some(Self::Png),
            [b'R', b'I', b'F', b'F', _, _, _, _, b'W', b'E', b'B', b'P', ..] => Some(Self::WebP),
            [b'B', b'M', ..] => Some(Self::Bmp),
            _ => None,
        }
    }
}

impl fmt::Display for Format {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Bmp => "BMP",
            Self::Jpeg => "JPEG",
            Self::Png => "PNG",
            Self::WebP => "WebP",
        })
    }
}

/// Tells by its extension whether a file found in a folder is meant to be an image.
///
/// Case does not matter. A file that is named explicitly need not pass: [`crate::decode`] goes by
/// content.
pub fn is_image_path(path: &Path) -> bool {
    let extension = path.extension().and_then(|extension| extension.to_str());
    extension.is_some_and(|found| {
        ["jpg", "jpeg", "png", "bmp", "webp"].iter().any(|known| found.eq_ignore_ascii_case(known))
    })
}

/// Describes bytes that are none of the known formats, so that an error can name them.
pub(crate) fn looks_like(bytes: &[u8]) -> String {
    let named = match bytes {
        [b'G', b'I', b'F', b'8', ..] => Some("GIF"),
        [b'I', b'I', 42 | 43, 0, ..] | [b'M', b'M', 0, 42 | 43, ..] => Some("TIFF or a camera's raw file"),
        [_, _, _, _, b'f', b't', b'y', b'p', brand @ ..] => Some(iso_media(brand)),
        [0xff, 0x0a, ..] | [0, 0, 0, 12, b'J', b'X', b'L', b' ', ..] => Some("JPEG XL"),
        [0, 0, 0, 12, b'j', b'P', ..] | [0xff, 0x4f, 0xff, 0x51, ..] => Some("JPEG 2000"),
        [b'8', b'B', b'P', b'S', ..] => Some("Photoshop"),
        [b'%', b'P', b'D', b'F', ..] => Some("PDF"),
        [b'P', b'1'..=b'6', b'\n' | b' ' | b'\r', ..] => Some("PNM"),
        [b'P', b'K', 3, 4, ..] => Some("a ZIP archive"),
        [0x1f, 0x8b, ..] => Some("gzip"),
        _ => None,
    };
    if let Some(name) = named {
        return name.to_owned();
    }
    let first = &bytes[..bytes.len().min(8)];
    if bytes.starts_with(b"version https://git-lfs") {
        "a Git LFS pointer, not the file itself".to_owned()
    } else if first.iter().all(|byte| byte.is_ascii_graphic() || byte.is_ascii_whitespace()) {
        format!("text that begins with `{}`", String::from_utf8_lossy(first).escape_debug())
    } else {
        let hex: Vec<String> = first.iter().map(|byte| format!("{byte:02x}")).collect();
        format!("data that begins with `{}`", hex.join(" "))
    }
}

fn iso_media(brand: &[u8]) -> &'static str {
    match brand {
        [b'a', b'v', b'i', ..] => "AVIF",
        [b'h', b'e' | b'v', ..] | [b'm', b'i' | b's', b'f', b'1', ..] => "HEIC",
        [b'c', b'r', b'x', ..] => "a camera's raw file",
        _ => "a video",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_image_is_known_by_its_extension_in_any_case() {
        let cases = [
            ("a.jpg", true),
            ("b/A.JPEG", true),
            ("c.Png", true),
            ("d.bmp", true),
            ("e.webp", true),
            ("f.gif", false),
            ("jpg", false),
            (".jpg", false),
            ("g.jpg.txt", false),
        ];
        for (path, expected) in cases {
            assert_eq!(is_image_path(Path::new(path)), expected, "{path}");
        }
    }

    #[test]
    fn foreign_formats_are_named() {
        let cases: [(&[u8], &str); 10] = [
            (b"GIF89a....", "GIF"),
            (b"II*\0....", "TIFF or a camera's raw file"),
            (b"\0\0\0\x18ftypheic\0\0", "HEIC"),
            (b"\0\0\0\x1cftypavif\0\0", "AVIF"),
            (b"\0\0\0\x18ftypmif1\0\0", "HEIC"),
            (b"\0\0\0\x18ftypisom\0\0", "a video"),
            (b"\xff\x0a\x00", "JPEG XL"),
            (b"version https://git-lfs.github.com/spec/v1", "a Git LFS pointer, not the file itself"),
            (b"<html>\n", "text that begins with `<html>\\n`"),
            (b"\x00\x01\xfe", "data that begins with `00 01 fe`"),
        ];
        for (bytes, expected) in cases {
            assert_eq!(Format::of(bytes), None, "{expected}");
            assert_eq!(looks_like(bytes), expected);
        }
    }
}
