//! Enum values, which TensorRT renumbers between families just as it does slots.
//!
//! Source: the enums of NVIDIA's public headers, 8.0 – 11.4 and RTX 1.3 – 1.7. What is the same in all of them is a plain
//! constant or a Rust enum with fixed values; what moves is in [`table`], with one cell per family.

pub mod table;

pub use table::{BuilderFlag, HardwareCompatibility, LayerKind, MemoryPool, PreviewFeature, TacticSource};

use crate::error::Unsupported;
use crate::version::{Family, Version};

/// `NetworkDefinitionCreationFlag::kEXPLICIT_BATCH` as a bit, required by TensorRT 8 and only by it.
const EXPLICIT_BATCH: u32 = 1 << 0;

/// How tensors of a network get their types.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Typing {
    /// Every tensor has the type that the model gives it. The only way in TensorRT 11 and RTX, impossible in 8.
    Strong,
    /// The builder chooses among the precisions allowed by [`BuilderFlag`]. TensorRT 8 and 10 only.
    Weak,
}

impl Typing {
    /// The `flags` of `createNetworkV2`.
    pub fn network_flags(self, version: Version) -> Result<u32, Unsupported> {
        let weak = Unsupported { what: "a weakly typed network", version };
        let strong = Unsupported { what: "NetworkDefinitionCreationFlag::kSTRONGLY_TYPED", version };
        match (self, version.family) {
            (Typing::Strong, Family::V8) => Err(strong),
            (Typing::Strong, Family::V10 | Family::RtxA) => Ok(1 << 1),
            (Typing::Strong, Family::V11 | Family::RtxB) => Ok(1 << 0),
            (Typing::Weak, Family::V8) => Ok(EXPLICIT_BATCH),
            (Typing::Weak, Family::V10) => Ok(0),
            (Typing::Weak, Family::V11 | Family::RtxA | Family::RtxB) => Err(weak),
        }
    }
}

/// The GPU architectures a TensorRT-RTX engine can be made for: `sm` numbers, plus 1 for the GPU present.
///
/// Empty for TensorRT, which builds for the GPU it runs on.
pub fn compute_capabilities(version: Version) -> &'static [i32] {
    match version.family {
        Family::RtxA => &[1, 75, 80, 86, 89, 120],
        Family::RtxB => &[1, 75, 80, 86, 89, 120, 121],
        Family::V8 | Family::V10 | Family::V11 => &[],
    }
}

/// The type of a tensor's elements. Values are stable; the list only grows.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum DataType {
    /// 32-bit floating point.
    Float,
    /// IEEE 16-bit floating point.
    Half,
    /// 8-bit signed integer.
    Int8,
    /// 32-bit signed integer.
    Int32,
    /// Boolean.
    Bool,
    /// 8-bit unsigned integer.
    Uint8,
    /// 8-bit floating point.
    Fp8,
    /// 16-bit floating point with the exponent of FP32.
    Bf16,
    /// 64-bit signed integer.
    Int64,
    /// 4-bit signed integer.
    Int4,
    /// 4-bit floating point.
    Fp4,
    /// An exponent of 8 bits: a power of two.
    E8m0,
    /// A type newer than this list, by its number.
    Other(i32),
}

impl DataType {
    /// The known types in the order of their values.
    const KNOWN: [DataType; 12] = {
        use DataType::*;
        [Float, Half, Int8, Int32, Bool, Uint8, Fp8, Bf16, Int64, Int4, Fp4, E8m0]
    };

    /// The value in the headers.
    pub fn value(self) -> i32 {
        match self {
            DataType::Other(value) => value,
            known => Self::KNOWN.iter().position(|&other| other == known).map_or(-1, |index| index as i32),
        }
    }

    /// The size of an element in bits; `None` for a type newer than this list.
    pub fn bits(self) -> Option<u32> {
        use DataType::*;
        match self {
            Int64 => Some(64),
            Float | Int32 => Some(32),
            Half | Bf16 => Some(16),
            Int8 | Bool | Uint8 | Fp8 | E8m0 => Some(8),
            Int4 | Fp4 => Some(4),
            Other(_) => None,
        }
    }

    /// The size in bytes of a tensor of this type; `None` if an extent is not known, for a type newer than this list, and
    /// for more than 2^64 bits.
    pub fn bytes_of(self, extents: &[i64]) -> Option<u64> {
        let element = u64::from(self.bits()?);
        let bits =
            extents.iter().try_fold(element, |bits, &extent| bits.checked_mul(u64::try_from(extent).ok()?));
        bits.map(|bits| bits.div_ceil(8))
    }

    /// Whether it is a floating-point type that implicit INT8 may replace, given a scale: FP32 or FP16.
    pub fn is_quantizable(self) -> bool {
        matches!(self, DataType::Float | DataType::Half)
    }
}

impl From<i32> for DataType {
    fn from(value: i32) -> DataType {
        let index = usize::try_from(value).ok();
        index.and_then(|index| Self::KNOWN.get(index).copied()).unwrap_or(DataType::Other(value))
    }
}

/// Whether an engine reads or writes a tensor: `TensorIOMode`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum IoMode {
    /// The engine reads it.
    Input,
    /// The engine writes it.
    Output,
}

/// Where a layer runs: `DeviceType`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[repr(i32)]
pub enum DeviceType {
    /// On the GPU.
    Gpu = 0,
    /// On a deep learning accelerator.
    Dla = 1,
}

/// How implicit INT8 treats the precisions that layers were given; [`table`] has the flags.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum PrecisionConstraints {
    /// The build fails rather than run a layer in another precision.
    Obey,
    /// A layer that cannot run in its precision runs in another, with a warning in the log.
    Prefer,
}

impl PrecisionConstraints {
    /// The flag of this version.
    ///
    /// TensorRT 8.0 and 8.1 have only `kSTRICT_TYPES`, which falls back with a warning: that is [`Self::Prefer`], and
    /// [`Self::Obey`] does not exist there. TensorRT 11 and RTX have neither.
    pub fn flag(self, version: Version) -> Result<BuilderFlag, Unsupported> {
        let flag = match self {
            PrecisionConstraints::Obey => BuilderFlag::ObeyPrecisionConstraints,
            PrecisionConstraints::Prefer => BuilderFlag::PreferPrecisionConstraints,
        };
        match flag.value(version) {
            Ok(_) => Ok(flag),
            Err(_)
                if self == PrecisionConstraints::Prefer
                    && BuilderFlag::StrictTypes.value(version).is_ok() =>
            {
                Ok(BuilderFlag::StrictTypes)
            }
            Err(missing) => Err(missing),
        }
    }
}

/// How much an engine remembers of its layers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(i32)]
pub enum ProfilingVerbosity {
    /// The default.
    LayerNamesOnly = 0,
    /// Nothing.
    None = 1,
    /// Everything the engine inspector can show: precisions, tactics, formats.
    Detailed = 2,
}

/// Which of a profile's three shapes: `OptProfileSelector`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(i32)]
pub enum ShapeSelector {
    /// The smallest shape allowed.
    Min = 0,
    /// The shape that kernels are chosen for.
    Opt = 1,
    /// The largest shape allowed.
    Max = 2,
}

/// How much a log message matters: `ILogger::Severity`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Severity {
    /// TensorRT itself is at fault and cannot go on.
    InternalError,
    /// Something failed.
    Error,
    /// Something was repaired or ignored.
    Warning,
    /// What happens.
    Info,
    /// For debugging TensorRT.
    Verbose,
}

impl From<i32> for Severity {
    fn from(value: i32) -> Severity {
        match value {
            i32::MIN..=0 => Severity::InternalError,
            1 => Severity::Error,
            2 => Severity::Warning,
            3 => Severity::Info,
            _ => Severity::Verbose,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn versions() -> [Version; 5] {
        [8601, 100300, 110401, 10400, 10701].map(|number| Version::from_number(number).unwrap())
    }

    #[test]
    fn precisions_are_obeyed_since_8_2_and_only_preferred_before() {
        let flags = |number| {
            let version = Version::from_number(number).unwrap();
            [PrecisionConstraints::Obey, PrecisionConstraints::Prefer].map(|wish| wish.flag(version).ok())
        };
        use BuilderFlag::*;
        let both = [Some(ObeyPrecisionConstraints), Some(PreferPrecisionConstraints)];
        assert_eq!(flags(8001), [None, Some(StrictTypes)]);
        for number in [8201, 8403, 8601, 100000, 101602] {
            assert_eq!(flags(number), both, "{number}");
        }
        for number in [110000, 10400, 10701] {
            assert_eq!(flags(number), [None, None], "{number}");
        }
    }

    #[test]
    fn the_strongly_typed_bit_is_the_explicit_batch_bit_of_other_families() {
        let flags = |typing: Typing| versions().map(|version| typing.network_flags(version).ok());
        assert_eq!(flags(Typing::Strong), [None, Some(2), Some(1), Some(2), Some(1)]);
        assert_eq!(flags(Typing::Weak), [Some(1), Some(0), None, None, None]);
    }

    #[test]
    fn a_tensor_has_a_size_when_all_its_extents_are_known() {
        let cases: [(&[i64], DataType, Option<u64>); 7] = [
            (&[1, 3, 224, 224], DataType::Float, Some(3 * 224 * 224 * 4)),
            (&[], DataType::Float, Some(4)),
            (&[0, 7], DataType::Half, Some(0)),
            (&[3], DataType::Int4, Some(2)),
            (&[-1, 3], DataType::Float, None),
            (&[i64::MAX, 2], DataType::Float, None),
            (&[3], DataType::Other(99), None),
        ];
        for (extents, data_type, expected) in cases {
            assert_eq!(data_type.bytes_of(extents), expected, "{extents:?} of {data_type:?}");
        }
    }

    #[test]
    fn only_rtx_offers_compute_capabilities() {
        assert_eq!(
            versions().map(|version| compute_capabilities(version).contains(&86)),
            [false, false, false, true, true]
        );
        assert_eq!(
            versions().map(|version| compute_capabilities(version).contains(&121)),
            [false, false, false, false, true]
        );
    }

    #[test]
    fn types_and_severities_decode_and_unknown_ones_are_kept_or_read_as_the_nearest_end() {
        let types = [
            DataType::Float,
            DataType::Half,
            DataType::Int8,
            DataType::Int32,
            DataType::Bool,
            DataType::Uint8,
        ];
        for (number, expected) in types.into_iter().enumerate() {
            assert_eq!(DataType::from(number as i32), expected);
        }
        assert_eq!(DataType::from(9), DataType::Int4);
        assert_eq!(DataType::from(12), DataType::Other(12));
        for number in -1..20 {
            assert_eq!(DataType::from(number).value(), number);
        }
        assert_eq!(DataType::from(-1), DataType::Other(-1));
        let severities = [-1, 0, 1, 2, 3, 4, 5].map(Severity::from);
        assert!(severities.is_sorted());
        assert_eq!((severities[2], severities[6]), (Severity::Error, Severity::Verbose));
    }
}
