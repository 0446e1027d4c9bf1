//! The markers of a JPEG file, read for two facts that the decoder does not give.

/// What the marker structure says.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Markers {
    /// Components of the frame: 1 grey, 3 colour, 4 CMYK or YCCK; 0 if no frame header came.
    pub components: u8,
    /// The end-of-image marker was reached.
    ///
    /// Decoders fill what is missing with grey and carry on, and such an image would go into a
    /// calibration as if it were whole.
    pub complete: bool,
}

/// Walks from marker to marker (ITU-T T.81, annex B), over the entropy-coded data of every scan.
///
/// The end marker cannot be searched from the end of the file: thumbnails contain one, and cameras
/// append data behind it.
pub(crate) fn markers(bytes: &[u8]) -> Markers {
    let mut found = Markers { components: 0, complete: false };
    let mut at = 2;
    while let Some(marker) = next_marker(bytes, &mut at) {
        match marker {
            0xd9 => {
                found.complete = true;
                break;
            }
            // Restart markers, TEM and SOI stand alone.
            0xd0..=0xd8 | 0x01 => continue,
            _ => {}
        }
        let Some(&[high, low]) = bytes.get(at..at + 2) else { break };
        let is_frame = matches!(marker, 0xc0..=0xcf) && !matches!(marker, 0xc4 | 0xc8 | 0xcc);
        if is_frame && let Some(&components) = bytes.get(at + 7) {
            found.components = components;
        }
        at += usize::from(u16::from_be_bytes([high, low]));
    }
    found
}

/// The next marker's code, and `at` behind it. Skips fill bytes, stuffed zeros and coded data.
fn next_marker(bytes: &[u8], at: &mut usize) -> Option<u8> {
    loop {
        let rest = bytes.get(*at..)?;
        *at += rest.iter().position(|&byte| byte == 0xff)? + 1;
        let &code = bytes.get(*at)?;
        if !matches!(code, 0x00 | 0xff) {
            *at += 1;
            return Some(code);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_end_is_found_only_where_the_structure_has_it() {
        let soi = [0xff, 0xd8].as_slice();
        let thumbnail = [0xff, 0xe1, 0, 6, 0xff, 0xd8, 0xff, 0xd9].as_slice();
        let frame = [0xff, 0xc0, 0, 8, 8, 0, 1, 0, 1, 4].as_slice();
        let scan = [0xff, 0xda, 0, 2, 1, 2, 0xff, 0x00, 0xff, 0xd0, 3].as_slice();
        let end = [0xff, 0xff, 0xd9, 7, 7].as_slice();
        let cases = [
            (vec![soi, thumbnail, frame, scan, end], 4, true),
            (vec![soi, thumbnail, frame, scan], 4, false),
            (vec![soi, thumbnail], 0, false),
            (vec![soi, &[0xff, 0xe1, 0xff]], 0, false),
            (vec![soi, &[0xff, 0xe1, 0xff, 0xff, 1]], 0, false),
            (vec![&[0xff][..]], 0, false),
        ];
        for (parts, components, complete) in cases {
            assert_eq!(markers(&parts.concat()), Markers { components, complete }, "{parts:?}");
        }
    }
}
