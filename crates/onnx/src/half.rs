//! Float16 as bits (IEEE 754 binary16).

/// The largest finite float16.
pub(crate) const MAX: f32 = 65504.0;

/// The bits of the nearest float16, ties to even; `None` for a finite number that only fits as infinity.
pub(crate) fn from_f32(value: f32) -> Option<u16> {
    let bits = value.to_bits();
    let sign = (bits >> 16 & 0x8000) as u16;
    let magnitude = bits & 0x7fff_ffff;
    if magnitude >= 0x7f80_0000 {
        return Some(sign | 0x7c00 | u16::from(magnitude > 0x7f80_0000) << 9);
    }
    // Adding 2^k leaves, after float32's own rounding, the float16 fraction in the lowest bits.
    let rounded = if magnitude < 0x3880_0000 {
        (f32::from_bits(magnitude) + 0.5).to_bits() - 0.5f32.to_bits() // Below 2^-14: steps of 2^-24.
    } else {
        let odd = magnitude >> 13 & 1;
        (magnitude - 0x3800_0000 + 0xfff + odd) >> 13
    };
    (rounded < 0x7c00).then_some(sign | rounded as u16)
}

/// The number that these bits mean, exactly.
pub(crate) fn to_f32(bits: u16) -> f32 {
    let (exponent, fraction) = (bits >> 10 & 31, f32::from(bits & 1023));
    let magnitude = match exponent {
        0 => fraction * 2f32.powi(-24),
        31 if fraction == 0.0 => f32::INFINITY,
        31 => f32::NAN,
        _ => (1.0 + fraction / 1024.0) * 2f32.powi(i32::from(exponent) - 15),
    };
    if bits >> 15 == 1 { -magnitude } else { magnitude }
}

/// Whether float16 holds every one of these numbers to a part in 512: the finer half of an INT8 step.
///
/// Below 2^-14 float16 has steps of 2^-24, so that small numbers lose digits.
pub(crate) fn holds(values: &[f32]) -> bool {
    let exact_enough = |&value: &f32| {
        let rounded = from_f32(value).map(to_f32);
        rounded.is_some_and(|rounded| (rounded - value).abs() <= value.abs() / 512.0)
    };
    values.iter().all(exact_enough)
}

/// The bits of a float16 tensor, little-endian; `None` where a number is beyond it.
pub(crate) fn raw(values: &[f32]) -> Option<Vec<u8>> {
    let bits: Option<Vec<u16>> = values.iter().map(|&value| from_f32(value)).collect();
    Some(bits?.into_iter().flat_map(u16::to_le_bytes).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_finite_float16_comes_back_and_the_middle_goes_to_the_even_one() {
        for bits in (0..0x7c00u16).flat_map(|bits| [bits, bits | 0x8000]) {
            assert_eq!(from_f32(to_f32(bits)), Some(bits), "{bits:#x}");
            if bits & 0x7fff < 0x7bff {
                let middle = (to_f32(bits) + to_f32(bits + 1)) / 2.0;
                assert_eq!(from_f32(middle), Some(bits + (bits & 1)), "above {bits:#x}");
            }
        }
    }

    #[test]
    fn what_does_not_fit_is_told() {
        let cases = [
            (65504.0, Some(0x7bff)),
            (65519.9, Some(0x7bff)),
            (65520.0, None),
            (-3.4e38, None),
            (f32::INFINITY, Some(0x7c00)),
            (f32::NEG_INFINITY, Some(0xfc00)),
            (f32::NAN, Some(0x7e00)),
            (1e-30, Some(0)),
        ];
        for (value, expected) in cases {
            assert_eq!(from_f32(value), expected, "{value:e}");
        }
        assert_eq!(to_f32(0x7bff), MAX);
        assert!(to_f32(0x7e00).is_nan());
        assert_eq!(to_f32(0xfc00), f32::NEG_INFINITY);
    }

    #[test]
    fn a_number_is_held_where_its_rounding_is_finer_than_int8() {
        for (value, held) in
            [(0.02, true), (0.0, true), (2e-5, true), (1e-6, false), (1e-9, false), (7e4, false)]
        {
            assert_eq!(holds(&[1.0, value]), held, "{value:e}");
        }
    }
}
