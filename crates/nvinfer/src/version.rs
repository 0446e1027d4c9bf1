//! Which TensorRT a library is, and whether its binary interface is known here.

use std::fmt;

/// The two products that share the interface.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Product {
    /// TensorRT, as on every Jetson: `libnvinfer`.
    TensorRt,
    /// TensorRT for RTX, from PyPI or NVIDIA's archive: `libtensorrt_rtx`.
    Rtx,
}

/// A set of releases with one binary interface: the columns of the slot and value tables.
///
/// Within a family vtables only grow at their end; between families they are renumbered.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[repr(usize)]
pub enum Family {
    /// TensorRT 8.0 – 8.6.
    V8 = 0,
    /// TensorRT 10.x.
    V10 = 1,
    /// TensorRT 11.x.
    V11 = 2,
    /// TensorRT-RTX 1.3 and 1.4, which follow 10.x without the INT8 methods.
    RtxA = 3,
    /// TensorRT-RTX 1.5 – 1.7, which follow 11.x. The name of the file did not change, the interface did.
    RtxB = 4,
}

impl Family {
    /// All families, in the order of the tables' columns.
    pub const ALL: [Family; 5] = [Family::V8, Family::V10, Family::V11, Family::RtxA, Family::RtxB];
}

/// The version a library reports of itself, with the family it belongs to.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Version {
    /// TensorRT or TensorRT-RTX.
    pub product: Product,
    /// The interface to speak to it.
    pub family: Family,
    /// `10` of 10.3.0.
    pub major: u32,
    /// `3` of 10.3.0.
    pub minor: u32,
    /// `0` of 10.3.0.
    pub patch: u32,
}

impl Version {
    /// Decodes what `getInferLibVersion()` returned; `None` when no table describes that version.
    ///
    /// 8.x is `major*1000 + minor*100 + patch`, later ones and RTX `major*10000 + minor*100 + patch`, so the ranges
    /// never meet (8601, 100300, 10701). TensorRT only appends within a major, so newer minors of 10 and 11 are let
    /// through to the canaries of [`crate::Builder`]; RTX changed its interface inside 1.x, so there a newer minor is
    /// unknown.
    pub fn from_number(number: i32) -> Option<Version> {
        let [major, minor, patch] = Version::decode(number)?;
        let (product, family) = match (number, major, minor) {
            (8_000..=8_699, ..) => (Product::TensorRt, Family::V8),
            (100_000.., 10, _) => (Product::TensorRt, Family::V10),
            (100_000.., 11, _) => (Product::TensorRt, Family::V11),
            (10_000..=19_999, 1, 3..=4) => (Product::Rtx, Family::RtxA),
            (10_000..=19_999, 1, 5..=7) => (Product::Rtx, Family::RtxB),
            _ => return None,
        };
        Some(Version { product, family, major, minor, patch })
    }

    /// Major, minor and patch of any `getInferLibVersion()`, also of versions whose interface is unknown: 7103 is 7.1.3,
    /// 120000 is 12.0.0. Five digits starting with 1 are TensorRT-RTX. `None` for what cannot be a version.
    pub fn decode(number: i32) -> Option<[u32; 3]> {
        let number = u32::try_from(number).ok().filter(|number| (1_000..10_000_000).contains(number))?;
        let unit = if number < 10_000 { 1_000 } else { 10_000 };
        Some([number / unit, number % unit / 100, number % 100])
    }

    /// The number of `getInferLibVersion()`, which is also the one in a calibration table's header (8601, 100300).
    ///
    /// Only TensorRT 8 and 10 read calibration tables.
    pub fn table_version(&self) -> u32 {
        let unit = if self.family == Family::V8 { 1_000 } else { 10_000 };
        self.major * unit + self.minor * 100 + self.patch
    }

    /// Whether precision can only come from the model: no FP16 or INT8 flag, no calibrator, strongly typed networks.
    pub fn is_strongly_typed_only(&self) -> bool {
        !matches!(self.family, Family::V8 | Family::V10)
    }
}

impl fmt::Display for Version {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let product = match self.product {
            Product::TensorRt => "TensorRT",
            Product::Rtx => "TensorRT-RTX",
        };
        write!(f, "{product} {}.{}.{}", self.major, self.minor, self.patch)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn known_numbers_give_version_family_and_the_same_number_back() {
        let cases = [
            (8001, "TensorRT 8.0.1", Family::V8),
            (8201, "TensorRT 8.2.1", Family::V8),
            (8502, "TensorRT 8.5.2", Family::V8),
            (8601, "TensorRT 8.6.1", Family::V8),
            (100001, "TensorRT 10.0.1", Family::V10),
            (100300, "TensorRT 10.3.0", Family::V10),
            (101602, "TensorRT 10.16.2", Family::V10),
            (110000, "TensorRT 11.0.0", Family::V11),
            (110401, "TensorRT 11.4.1", Family::V11),
            (10300, "TensorRT-RTX 1.3.0", Family::RtxA),
            (10400, "TensorRT-RTX 1.4.0", Family::RtxA),
            (10500, "TensorRT-RTX 1.5.0", Family::RtxB),
            (10701, "TensorRT-RTX 1.7.1", Family::RtxB),
        ];
        for (number, text, family) in cases {
            let version = Version::from_number(number).expect(text);
            assert_eq!(version.to_string(), text);
            assert_eq!(version.family, family, "{text}");
            assert_eq!(version.table_version() as i32, number);
        }
    }

    #[test]
    fn unknown_numbers_are_refused_rather_than_rounded_to_a_neighbour() {
        for number in [
            -1,
            0,
            1,
            7103,
            7999,
            8700,
            8999,
            9300,
            10000,
            10299,
            10800,
            19999,
            20000,
            90300,
            99999,
            120000,
            i32::MAX,
        ] {
            assert_eq!(Version::from_number(number), None, "{number}");
        }
    }

    #[test]
    fn numbers_of_unknown_versions_can_be_read() {
        let cases = [
            (7103, Some([7, 1, 3])),
            (8601, Some([8, 6, 1])),
            (9300, Some([9, 3, 0])),
            (90300, Some([9, 3, 0])),
            (10800, Some([1, 8, 0])),
            (120000, Some([12, 0, 0])),
            (0, None),
            (-8601, None),
            (i32::MAX, None),
        ];
        for (number, expected) in cases {
            assert_eq!(Version::decode(number), expected, "{number}");
        }
    }

    #[test]
    fn precision_flags_are_gone_from_11_and_rtx() {
        let typed_only = |number| Version::from_number(number).unwrap().is_strongly_typed_only();
        assert!(!typed_only(8601) && !typed_only(101602));
        assert!(typed_only(110000) && typed_only(10400) && typed_only(10701));
    }
}
