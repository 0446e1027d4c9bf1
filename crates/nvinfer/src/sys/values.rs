//! Enum values, which TensorRT renumbers between families just as it does slots.
//!
//! Source: the enums of NVIDIA's public headers, 8.0 – 11.4 and RTX 1.3 – 1.7. What is the same in all of them is a plain
//! constant or a Rust enum with fixed values; what moves is a table with one cell per family.

use crate::error::Unsupported;
use crate::version::{Family, Version};

/// `MemoryPoolType::kWORKSPACE`, in all families (8.4 and later have pools).
pub const POOL_WORKSPACE: i32 = 0;

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

macro_rules! moving {
    ($(#[$doc:meta])* $enum:ident { $($(#[$variant_doc:meta])* $variant:ident = $name:literal [$($cell:tt $(@ $minor:literal)?),*];)* }) => {
        $(#[$doc])*
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
        pub enum $enum {
            $($(#[$variant_doc])* $variant,)*
        }

        impl $enum {
            /// All of them.
            pub const ALL: &[$enum] = &[$($enum::$variant),*];

            /// The name in NVIDIA's headers.
            pub fn name(self) -> &'static str {
                match self { $($enum::$variant => $name,)* }
            }

            /// The value in this version.
            pub fn value(self, version: Version) -> Result<i32, Unsupported> {
                let cells: [Option<(i32, u32)>; 5] = match self { $($enum::$variant => [$(value!($cell $(@ $minor)?)),*],)* };
                match cells[version.family as usize] {
                    Some((value, since_minor)) if version.minor >= since_minor => Ok(value),
                    _ => Err(Unsupported { what: self.name(), version }),
                }
            }
        }
    };
}

macro_rules! value {
    (-) => {
        None
    };
    ($value:literal) => {
        Some(($value, 0))
    };
    ($value:literal @ $minor:literal) => {
        Some(($value, $minor))
    };
}

moving! {
    /// A switch of the builder.
    BuilderFlag {
        //                                                              8.x   10.x 11.x RTX-A RTX-B
        /// Allows FP16 layers.
        Fp16 = "BuilderFlag::kFP16"                                    [0,    0,   -,   -,   -];
        /// Allows INT8 layers.
        Int8 = "BuilderFlag::kINT8"                                    [1,    1,   -,   -,   -];
        /// Synchronises after each layer.
        Debug = "BuilderFlag::kDEBUG"                                  [2,    2,   2,   2,   2];
        /// Lets layers that a DLA cannot run use the GPU.
        GpuFallback = "BuilderFlag::kGPU_FALLBACK"                     [3,    3,   3,   3,   3];
        /// Makes the weights replaceable.
        Refit = "BuilderFlag::kREFIT"                                  [5,    4,   4,   4,   4];
        /// Measures every layer afresh.
        DisableTimingCache = "BuilderFlag::kDISABLE_TIMING_CACHE"      [6,    5,   5,   5,   5];
        /// Allows TF32 in FP32 layers; on by default.
        Tf32 = "BuilderFlag::kTF32"                                    [7,    6,   6,   6,   6];
        /// Uses 2:4 sparsity where the weights have it.
        SparseWeights = "BuilderFlag::kSPARSE_WEIGHTS"                 [8,    7,   7,   7,   7];
        /// Fails rather than run a layer in another precision than set.
        ObeyPrecisionConstraints = "BuilderFlag::kOBEY_PRECISION_CONSTRAINTS" [10, 9, -, -,  -];
        /// Warns when a layer cannot run in the precision set.
        PreferPrecisionConstraints = "BuilderFlag::kPREFER_PRECISION_CONSTRAINTS" [11, 10, -, -, -];
        /// Forbids reformatting of inputs and outputs.
        DirectIo = "BuilderFlag::kDIRECT_IO"                           [12,   11,  11,  11,  11];
        /// Makes an engine that later versions can load.
        VersionCompatible = "BuilderFlag::kVERSION_COMPATIBLE"         [15@6, 13,  12,  13,  12];
        /// Allows FP8 layers.
        Fp8 = "BuilderFlag::kFP8"                                      [17@6, 15,  -,   -,   -];
        /// Allows BF16 layers.
        Bf16 = "BuilderFlag::kBF16"                                    [-,    17,  -,   -,   -];
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
    /// A type newer than this list, by its number.
    Other(i32),
}

impl From<i32> for DataType {
    fn from(value: i32) -> DataType {
        use DataType::*;
        const KNOWN: [DataType; 10] = [Float, Half, Int8, Int32, Bool, Uint8, Fp8, Bf16, Int64, Int4];
        usize::try_from(value).ok().and_then(|index| KNOWN.get(index).copied()).unwrap_or(Other(value))
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
    fn builder_flags_have_the_values_of_each_familys_headers() {
        // One line per flag: 8.6, 10.x, 11.x, RTX-A, RTX-B; -1 where it does not exist.
        let expected = "
            kFP16 0 0 -1 -1 -1
            kINT8 1 1 -1 -1 -1
            kDEBUG 2 2 2 2 2
            kGPU_FALLBACK 3 3 3 3 3
            kREFIT 5 4 4 4 4
            kDISABLE_TIMING_CACHE 6 5 5 5 5
            kTF32 7 6 6 6 6
            kSPARSE_WEIGHTS 8 7 7 7 7
            kOBEY_PRECISION_CONSTRAINTS 10 9 -1 -1 -1
            kPREFER_PRECISION_CONSTRAINTS 11 10 -1 -1 -1
            kDIRECT_IO 12 11 11 11 11
            kVERSION_COMPATIBLE 15 13 12 13 12
            kFP8 17 15 -1 -1 -1
            kBF16 -1 17 -1 -1 -1";
        let actual: String = BuilderFlag::ALL
            .iter()
            .map(|flag| {
                let values = versions().map(|version| flag.value(version).unwrap_or(-1).to_string());
                format!(
                    "\n            {} {}",
                    flag.name().trim_start_matches("BuilderFlag::"),
                    values.join(" ")
                )
            })
            .collect();
        assert_eq!(actual, expected);
    }

    #[test]
    fn a_flag_is_unsupported_in_minors_before_it() {
        let flag = |number| BuilderFlag::VersionCompatible.value(Version::from_number(number).unwrap());
        assert_eq!(flag(8601), Ok(15));
        assert_eq!(
            flag(8502).unwrap_err().to_string(),
            "`BuilderFlag::kVERSION_COMPATIBLE` does not exist in TensorRT 8.5.2"
        );
    }

    #[test]
    fn the_strongly_typed_bit_is_the_explicit_batch_bit_of_other_families() {
        let flags = |typing: Typing| versions().map(|version| typing.network_flags(version).ok());
        assert_eq!(flags(Typing::Strong), [None, Some(2), Some(1), Some(2), Some(1)]);
        assert_eq!(flags(Typing::Weak), [Some(1), Some(0), None, None, None]);
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
        assert_eq!(DataType::from(10), DataType::Other(10));
        assert_eq!(DataType::from(-1), DataType::Other(-1));
        let severities = [-1, 0, 1, 2, 3, 4, 5].map(Severity::from);
        assert!(severities.is_sorted());
        assert_eq!((severities[2], severities[6]), (Severity::Error, Severity::Verbose));
    }
}
