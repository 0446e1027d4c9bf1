//! The enums whose values move: one row per value, one cell per family.
//!
//! `-` is absent, `10@2` is present since minor release 2. `tests/data/values.txt` holds the same facts, read from
//! NVIDIA's headers independently, and a test compares them. To add a row, add it to both. The cells of RTX are those
//! that its releases were seen to share with TensorRT 10 (A) and 11 (B); where nothing was seen, there is none.

use crate::error::Unsupported;
use crate::sys::object::{Cells, cell};
use crate::version::Version;

macro_rules! moving {
    ($(
        $(#[$doc:meta])*
        $enum:ident { $($(#[$variant_doc:meta])* $variant:ident = $name:literal [$($cell:tt $(@ $minor:literal)?),*];)* }
    )*) => {
        $(
            $(#[$doc])*
            #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
            pub enum $enum {
                $(
                    $(#[$variant_doc])*
                    #[doc = concat!("`", $name, "`")]
                    $variant,
                )*
            }

            impl $enum {
                /// All of them.
                pub const ALL: &[$enum] = &[$($enum::$variant),*];

                const ROWS: &[(&'static str, Cells)] = &[$(($name, [$(cell!($cell $(@ $minor)?)),*])),*];

                /// The name in NVIDIA's headers.
                pub fn name(self) -> &'static str {
                    Self::ROWS[self as usize].0
                }

                /// The value in this version.
                pub fn value(self, version: Version) -> Result<i32, Unsupported> {
                    let (what, cells) = &Self::ROWS[self as usize];
                    match cells[version.family as usize] {
                        Some(cell) if version.minor >= u32::from(cell.since_minor) => Ok(i32::from(cell.slot)),
                        _ => Err(Unsupported { what, version }),
                    }
                }

                /// What a value means in this version; `None` for one that is not in the table.
                pub fn from_value(version: Version, value: i32) -> Option<$enum> {
                    Self::ALL.iter().copied().find(|known| known.value(version) == Ok(value))
                }
            }
        )*

        /// The rows of all enums, by name.
        pub fn rows() -> impl Iterator<Item = &'static (&'static str, Cells)> {
            [$($enum::ROWS),*].into_iter().flatten()
        }
    };
}

moving! {
    /// A switch of the builder.
    BuilderFlag {
        //                                                                         8.x   10.x 11.x RTX-A RTX-B
        /// Allows FP16 layers.
        Fp16 = "BuilderFlag::kFP16"                                               [0,    0,   -,   -,   -];
        /// Allows INT8 layers.
        Int8 = "BuilderFlag::kINT8"                                               [1,    1,   -,   -,   -];
        /// Synchronises after each layer.
        Debug = "BuilderFlag::kDEBUG"                                             [2,    2,   2,   2,   2];
        /// Lets layers that a DLA cannot run use the GPU.
        GpuFallback = "BuilderFlag::kGPU_FALLBACK"                                [3,    3,   3,   3,   3];
        /// Prefers the precisions that layers were given; the only such flag of 8.0, deprecated since 8.2.
        StrictTypes = "BuilderFlag::kSTRICT_TYPES"                                [4,    -,   -,   -,   -];
        /// Makes the weights replaceable.
        Refit = "BuilderFlag::kREFIT"                                             [5,    4,   4,   4,   4];
        /// Measures every layer afresh.
        DisableTimingCache = "BuilderFlag::kDISABLE_TIMING_CACHE"                 [6,    5,   5,   5,   5];
        /// Allows TF32 in FP32 layers; on by default.
        Tf32 = "BuilderFlag::kTF32"                                               [7,    6,   6,   6,   6];
        /// Uses 2:4 sparsity where the weights have it.
        SparseWeights = "BuilderFlag::kSPARSE_WEIGHTS"                            [8,    7,   7,   7,   7];
        /// Fails rather than run a layer in another precision than set.
        ObeyPrecisionConstraints = "BuilderFlag::kOBEY_PRECISION_CONSTRAINTS"     [10@2, 9,   -,   -,   -];
        /// Warns when a layer cannot run in the precision set.
        PreferPrecisionConstraints = "BuilderFlag::kPREFER_PRECISION_CONSTRAINTS" [11@2, 10,  -,   -,   -];
        /// Forbids reformatting of inputs and outputs.
        DirectIo = "BuilderFlag::kDIRECT_IO"                                      [12@2, 11,  11,  11,  11];
        /// Makes an engine that later versions can load.
        VersionCompatible = "BuilderFlag::kVERSION_COMPATIBLE"                    [15@6, 13,  12,  13,  12];
        /// Leaves the lean runtime out of a version compatible engine.
        ExcludeLeanRuntime = "BuilderFlag::kEXCLUDE_LEAN_RUNTIME"                 [16@6, 14,  13,  -,   13];
        /// Allows FP8 layers.
        Fp8 = "BuilderFlag::kFP8"                                                 [17@6, 15,  -,   -,   -];
        /// Allows BF16 layers.
        Bf16 = "BuilderFlag::kBF16"                                               [-,    17,  -,   -,   -];
        /// Leaves the weights out of the engine.
        StripPlan = "BuilderFlag::kSTRIP_PLAN"                                    [-,    19,  18,  -,   18];
    }

    /// Where the builder takes its kernels from, besides TensorRT's own.
    TacticSource {
        //                                                                         8.x   10.x 11.x RTX-A RTX-B
        /// cuBLAS.
        Cublas = "TacticSource::kCUBLAS"                                          [0,    0,   -,   0,   -];
        /// cuBLASLt.
        CublasLt = "TacticSource::kCUBLAS_LT"                                     [1,    1,   -,   1,   -];
        /// cuDNN.
        Cudnn = "TacticSource::kCUDNN"                                            [2,    2,   -,   2,   -];
        /// Convolutions with edge masks.
        EdgeMaskConvolutions = "TacticSource::kEDGE_MASK_CONVOLUTIONS"            [3@4,  3,   0,   3,   0];
        /// Convolutions compiled for the shape.
        JitConvolutions = "TacticSource::kJIT_CONVOLUTIONS"                       [4@5,  4,   1,   4,   1];
    }

    /// A feature that is off by default because it is new, or on by default and about to go.
    PreviewFeature {
        //                                                                         8.x   10.x 11.x RTX-A RTX-B
        /// Dynamic shapes with less memory and time to build.
        FasterDynamicShapes = "PreviewFeature::kFASTER_DYNAMIC_SHAPES_0805"       [0@5,  -,   -,   -,   -];
        /// Core layers without cuBLAS, cuBLASLt and cuDNN.
        DisableExternalTacticSources =
            "PreviewFeature::kDISABLE_EXTERNAL_TACTIC_SOURCES_FOR_CORE_0805"      [1@5,  -,   -,   -,   -];
        /// One profile in several contexts.
        ProfileSharing = "PreviewFeature::kPROFILE_SHARING_0806"                  [2@6,  0,   -,   0@4, -];
        /// Plugins that write where they read.
        AliasedPluginIo = "PreviewFeature::kALIASED_PLUGIN_IO_10_03"              [-,    1@3, 0,   1@4, 0];
        /// Activation memory that follows the shapes at run time.
        RuntimeActivationResize = "PreviewFeature::kRUNTIME_ACTIVATION_RESIZE_10_10" [-, 2@10, 1,  2@4, 1];
    }

    /// On which other GPUs an engine may run.
    HardwareCompatibility {
        //                                                                         8.x   10.x 11.x RTX-A RTX-B
        /// On the GPU that it was built on, and its like.
        Same = "HardwareCompatibilityLevel::kNONE"                                [0@6,  0,   0,   0@4, 0];
        /// On Ampere and later; not for Jetsons, says NVIDIA's documentation.
        AmperePlus = "HardwareCompatibilityLevel::kAMPERE_PLUS"                   [1@6,  1,   1,   1@4, 1];
        /// On every GPU of the same compute capability.
        SameComputeCapability = "HardwareCompatibilityLevel::kSAME_COMPUTE_CAPABILITY" [-, 2@9, 2, 2@4, 2];
    }

    /// Memory that the builder may plan with.
    MemoryPool {
        //                                                                         8.x   10.x 11.x RTX-A RTX-B
        /// What layers may use while they run.
        Workspace = "MemoryPoolType::kWORKSPACE"                                  [0@4,  0,   0,   0,   0];
        /// A DLA's fast memory within a layer; a power of two of at least 4 KiB.
        DlaManagedSram = "MemoryPoolType::kDLA_MANAGED_SRAM"                      [1@4,  1,   1,   1,   1];
        /// A DLA's memory between layers; a power of two of at least 4 KiB.
        DlaLocalDram = "MemoryPoolType::kDLA_LOCAL_DRAM"                          [2@4,  2,   2,   2,   2];
        /// A DLA's memory for weights; a power of two of at least 4 KiB.
        DlaGlobalDram = "MemoryPoolType::kDLA_GLOBAL_DRAM"                        [3@4,  3,   3,   3,   3];
        /// What measuring a kernel may use.
        TacticDram = "MemoryPoolType::kTACTIC_DRAM"                               [4@6,  4,   4,   4@4, 4];
        /// Shared memory of a block that a kernel may use.
        TacticSharedMemory = "MemoryPoolType::kTACTIC_SHARED_MEMORY"              [-,    5,   5,   5@4, 5];
    }

    /// What a layer does.
    LayerKind {
        //                                                      8.x    10.x   11.x  RTX-A RTX-B
        Convolution = "LayerType::kCONVOLUTION"                 [0,     0,     0,    0@4, 0];
        FullyConnected = "LayerType::kFULLY_CONNECTED"          [1,     -,     -,    -,   -];
        Cast = "LayerType::kCAST"                               [47@6,  1,     1,    1@4, 1];
        Activation = "LayerType::kACTIVATION"                   [2,     2,     2,    2@4, 2];
        Pooling = "LayerType::kPOOLING"                         [3,     3,     3,    3@4, 3];
        Lrn = "LayerType::kLRN"                                 [4,     4,     4,    4@4, 4];
        Scale = "LayerType::kSCALE"                             [5,     5,     5,    5@4, 5];
        Softmax = "LayerType::kSOFTMAX"                         [6,     6,     6,    6@4, 6];
        Deconvolution = "LayerType::kDECONVOLUTION"             [7,     7,     7,    7@4, 7];
        Concatenation = "LayerType::kCONCATENATION"             [8,     8,     8,    8@4, 8];
        Elementwise = "LayerType::kELEMENTWISE"                 [9,     9,     9,    9@4, 9];
        Plugin = "LayerType::kPLUGIN"                           [10,    10,    10,   10@4, 10];
        Unary = "LayerType::kUNARY"                             [11,    11,    11,   11@4, 11];
        Padding = "LayerType::kPADDING"                         [12,    12,    12,   12@4, 12];
        Shuffle = "LayerType::kSHUFFLE"                         [13,    13,    13,   13@4, 13];
        Reduce = "LayerType::kREDUCE"                           [14,    14,    14,   14@4, 14];
        TopK = "LayerType::kTOPK"                               [15,    15,    15,   15@4, 15];
        Gather = "LayerType::kGATHER"                           [16,    16,    16,   16@4, 16];
        MatrixMultiply = "LayerType::kMATRIX_MULTIPLY"          [17,    17,    17,   17@4, 17];
        RaggedSoftmax = "LayerType::kRAGGED_SOFTMAX"            [18,    18,    18,   18@4, 18];
        Constant = "LayerType::kCONSTANT"                       [19,    19,    19,   19@4, 19];
        RnnV2 = "LayerType::kRNN_V2"                            [20,    -,     -,    -,   -];
        Identity = "LayerType::kIDENTITY"                       [21,    20,    20,   20@4, 20];
        PluginV2 = "LayerType::kPLUGIN_V2"                      [22,    21,    21,   21@4, 21];
        Slice = "LayerType::kSLICE"                             [23,    22,    22,   22@4, 22];
        Shape = "LayerType::kSHAPE"                             [24,    23,    23,   23@4, 23];
        ParametricRelu = "LayerType::kPARAMETRIC_RELU"          [25,    24,    24,   24@4, 24];
        Resize = "LayerType::kRESIZE"                           [26,    25,    25,   25@4, 25];
        TripLimit = "LayerType::kTRIP_LIMIT"                    [27,    26,    26,   26@4, 26];
        Recurrence = "LayerType::kRECURRENCE"                   [28,    27,    27,   27@4, 27];
        Iterator = "LayerType::kITERATOR"                       [29,    28,    28,   28@4, 28];
        LoopOutput = "LayerType::kLOOP_OUTPUT"                  [30,    29,    29,   29@4, 29];
        Select = "LayerType::kSELECT"                           [31,    30,    30,   30@4, 30];
        Fill = "LayerType::kFILL"                               [32,    31,    31,   31@4, 31];
        Quantize = "LayerType::kQUANTIZE"                       [33,    32,    32,   32@4, 32];
        Dequantize = "LayerType::kDEQUANTIZE"                   [34,    33,    33,   33@4, 33];
        Condition = "LayerType::kCONDITION"                     [35@2,  34,    34,   34@4, 34];
        ConditionalInput = "LayerType::kCONDITIONAL_INPUT"      [36@2,  35,    35,   35@4, 35];
        ConditionalOutput = "LayerType::kCONDITIONAL_OUTPUT"    [37@2,  36,    36,   36@4, 36];
        Scatter = "LayerType::kSCATTER"                         [38@2,  37,    37,   37@4, 37];
        Einsum = "LayerType::kEINSUM"                           [39@2,  38,    38,   38@4, 38];
        Assertion = "LayerType::kASSERTION"                     [40@2,  39,    39,   39@4, 39];
        OneHot = "LayerType::kONE_HOT"                          [41@5,  40,    40,   40@4, 40];
        NonZero = "LayerType::kNON_ZERO"                        [42@5,  41,    41,   41@4, 41];
        GridSample = "LayerType::kGRID_SAMPLE"                  [43@5,  42,    42,   42@4, 42];
        Nms = "LayerType::kNMS"                                 [44@5,  43,    43,   43@4, 43];
        ReverseSequence = "LayerType::kREVERSE_SEQUENCE"        [45@6,  44,    44,   44@4, 44];
        Normalization = "LayerType::kNORMALIZATION"             [46@6,  45,    45,   45@4, 45];
        PluginV3 = "LayerType::kPLUGIN_V3"                      [-,     46,    46,   46@4, 46];
        Squeeze = "LayerType::kSQUEEZE"                         [-,     47@7,  47,   47@4, 47];
        Unsqueeze = "LayerType::kUNSQUEEZE"                     [-,     48@7,  48,   48@4, 48];
        Cumulative = "LayerType::kCUMULATIVE"                   [-,     49@8,  49,   49@4, 49];
        DynamicQuantize = "LayerType::kDYNAMIC_QUANTIZE"        [-,     50@8,  50,   50@4, 50];
        AttentionInput = "LayerType::kATTENTION_INPUT"          [-,     51@14, 51,   51@4, 51];
        AttentionOutput = "LayerType::kATTENTION_OUTPUT"        [-,     52@14, 52,   52@4, 52];
        RotaryEmbedding = "LayerType::kROTARY_EMBEDDING"        [-,     53@15, 53,   53@4, 53];
        KvCacheUpdate = "LayerType::kKVCACHE_UPDATE"            [-,     54@15, 54,   54@4, 54];
        Moe = "LayerType::kMOE"                                 [-,     55@16, 55,   55@4, 55];
        DistCollective = "LayerType::kDIST_COLLECTIVE"          [-,     56@16, 56,   56@4, 56];
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_flag_is_unsupported_in_minors_before_it() {
        let cases = [
            (BuilderFlag::VersionCompatible, 8601, 8502, 15),
            (BuilderFlag::ObeyPrecisionConstraints, 8201, 8001, 10),
            (BuilderFlag::DirectIo, 8200, 8103, 12),
        ];
        for (flag, with, without, value) in cases {
            let value_in = |number| flag.value(Version::from_number(number).unwrap());
            assert_eq!(value_in(with), Ok(value));
            let text = value_in(without).unwrap_err().to_string();
            assert!(text.starts_with(&format!("`{}` does not exist in TensorRT 8.", flag.name())), "{text}");
        }
    }

    #[test]
    fn the_same_number_is_another_layer_in_another_family() {
        let kind = |number, value| LayerKind::from_value(Version::from_number(number).unwrap(), value);
        assert_eq!(kind(8601, 1), Some(LayerKind::FullyConnected));
        assert_eq!(kind(100300, 1), Some(LayerKind::Cast));
        assert_eq!(kind(8601, 33), Some(LayerKind::Quantize));
        assert_eq!(kind(100300, 33), Some(LayerKind::Dequantize));
        assert_eq!(kind(8001, 35), None, "conditions came with 8.2");
        assert_eq!(kind(110401, 999), None);
    }
}
