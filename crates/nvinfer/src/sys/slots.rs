//! The slot table: where each method used by this project sits in each family's vtables.
//!
//! Source: vtable layouts computed by clang from the public headers of 37 releases (8.0.1 – 11.4, RTX 1.3 – 1.7);
//! virtual methods take slots in declaration order, after two destructors in V* classes. `tests/data/slots.txt` holds
//! the same facts, written independently, and a test compares them. To add a row, add it to both.
//!
//! `-` is absent, `19@2` is present since minor release 2. Not listed although they exist, because they move within a
//! family: `VNetworkDefinition` from slot 63 on in 10.x, and `IParser::setFlag` and its destructor in 8.6.

use super::object::{Cells, Method, cell};
use super::types::{Bool, Dims32, Dims64, Ptr, Text};

macro_rules! classes {
    ($( $class:ident in $module:ident { $(
        $id:ident: fn($($arg:ty),*) $(-> $ret:ty)? = $name:ident [$($cell:tt $(@ $minor:literal)?),*];
    )* } )*) => {
        $(
            #[doc = concat!("Methods of `", stringify!($class), "`.")]
            pub mod $module {
                use super::*;

                #[doc = concat!("The C++ class `", stringify!($class), "`.")]
                pub enum $class {}

                $(
                    #[doc = concat!("`", stringify!($class), "::", stringify!($name), "`")]
                    pub const $id: Method<$class, unsafe extern "C" fn(Ptr $(, $arg)*) $(-> $ret)?> = Method::new(
                        concat!(stringify!($class), "::", stringify!($name)),
                        [$(cell!($cell $(@ $minor)?)),*],
                    );
                )*
            }
        )*

        /// Every row by name. A method whose type differs between families has two rows with disjoint cells.
        pub const METHODS: &[(&str, Cells)] = &[$($(($module::$id.name, $module::$id.cells)),*),*];
    };
}

classes! {
    //                                                                             8.x   10.x  11.x  RTX-A RTX-B
    VBuilder in builder {
        PLATFORM_HAS_FAST_FP16: fn() -> Bool = platformHasFastFp16                [4,    2,    -,    2,    -];
        PLATFORM_HAS_FAST_INT8: fn() -> Bool = platformHasFastInt8                [5,    3,    -,    3,    -];
        GET_NB_DLA_CORES: fn() -> i32 = getNbDLACores                             [7,    5,    3,    5,    3];
        CREATE_BUILDER_CONFIG: fn() -> Ptr = createBuilderConfig                  [9,    7,    5,    7,    5];
        CREATE_NETWORK_V2: fn(u32) -> Ptr = createNetworkV2                       [11,   8,    6,    8,    6];
        CREATE_OPTIMIZATION_PROFILE: fn() -> Ptr = createOptimizationProfile      [12,   9,    7,    9,    7];
        SET_ERROR_RECORDER: fn(Ptr) = setErrorRecorder                            [13,   10,   8,    10,   8];
        GET_ERROR_RECORDER: fn() -> Ptr = getErrorRecorder                [14,   11,   9,    11,   9];
        BUILD_SERIALIZED_NETWORK: fn(Ptr, Ptr) -> Ptr = buildSerializedNetwork    [17,   14,   11,   14,   11];
        IS_NETWORK_SUPPORTED: fn(Ptr, Ptr) -> Bool = isNetworkSupported           [18,   15,   12,   15,   12];
        GET_LOGGER: fn() -> Ptr = getLogger                                       [19@2, 16,   13,   16,   13];
        SET_MAX_THREADS: fn(i32) -> Bool = setMaxThreads                          [20@4, 17,   14,   17,   14];
    }
    VBuilderConfig in config {
        SET_INT8_CALIBRATOR: fn(Ptr) = setInt8Calibrator                          [8,    6,    -,    -,    -];
        GET_INT8_CALIBRATOR: fn() -> Ptr = getInt8Calibrator              [9,    7,    -,    -,    -];
        SET_MAX_WORKSPACE_SIZE: fn(usize) = setMaxWorkspaceSize                   [10,   -,    -,    -,    -];
        GET_MAX_WORKSPACE_SIZE: fn() -> usize = getMaxWorkspaceSize       [11,   -,    -,    -,    -];
        SET_FLAGS: fn(u32) = setFlags                                             [12,   8,    6,    6,    6];
        GET_FLAGS: fn() -> u32 = getFlags                                         [13,   9,    7,    7,    7];
        CLEAR_FLAG: fn(i32) = clearFlag                                           [14,   10,   8,    8,    8];
        SET_FLAG: fn(i32) = setFlag                                               [15,   11,   9,    9,    9];
        GET_FLAG: fn(i32) -> Bool = getFlag                                       [16,   12,   10,   10,   10];
        SET_DEVICE_TYPE: fn(Ptr, i32) = setDeviceType                             [17,   13,   11,   11,   11];
        CAN_RUN_ON_DLA: fn(Ptr) -> Bool = canRunOnDLA                             [21,   17,   15,   15,   15];
        SET_DLA_CORE: fn(i32) = setDLACore                                        [22,   18,   16,   16,   16];
        GET_DLA_CORE: fn() -> i32 = getDLACore                            [23,   19,   17,   17,   17];
        SET_DEFAULT_DEVICE_TYPE: fn(i32) = setDefaultDeviceType                   [24,   20,   18,   18,   18];
        GET_DEFAULT_DEVICE_TYPE: fn() -> i32 = getDefaultDeviceType       [25,   21,   19,   19,   19];
        ADD_OPTIMIZATION_PROFILE: fn(Ptr) -> i32 = addOptimizationProfile         [29,   25,   23,   23,   23];
        SET_PROFILING_VERBOSITY: fn(i32) = setProfilingVerbosity                  [31,   27,   25,   25,   25];
        SET_CALIBRATION_PROFILE: fn(Ptr) -> Bool = setCalibrationProfile          [35,   31,   -,    -,    -];
        SET_QUANTIZATION_FLAG: fn(i32) = setQuantizationFlag                      [40,   36,   -,    -,    -];
        GET_QUANTIZATION_FLAG: fn(i32) -> Bool = getQuantizationFlag      [41,   37,   -,    -,    -];
        SET_TACTIC_SOURCES: fn(u32) -> Bool = setTacticSources                    [42,   38,   27,   27,   27];
        GET_TACTIC_SOURCES: fn() -> u32 = getTacticSources                [43,   39,   28,   28,   28];
        CREATE_TIMING_CACHE: fn(*const u8, usize) -> Ptr = createTimingCache      [44,   40,   29,   29,   29];
        SET_TIMING_CACHE: fn(Ptr, Bool) -> Bool = setTimingCache                  [45,   41,   30,   30,   30];
        GET_TIMING_CACHE: fn() -> Ptr = getTimingCache                            [46,   42,   31,   31,   31];
        SET_MEMORY_POOL_LIMIT: fn(i32, usize) = setMemoryPoolLimit                [47@4, 43,   32,   32,   32];
        GET_MEMORY_POOL_LIMIT: fn(i32) -> usize = getMemoryPoolLimit              [48@4, 44,   33,   33,   33];
        SET_PREVIEW_FEATURE: fn(i32, Bool) = setPreviewFeature                    [49@5, 45,   34,   34,   34];
        GET_PREVIEW_FEATURE: fn(i32) -> Bool = getPreviewFeature          [50@5, 46,   35,   35,   35];
        SET_BUILDER_OPTIMIZATION_LEVEL: fn(i32) = setBuilderOptimizationLevel     [51@6, 47,   36,   36,   36];
        GET_BUILDER_OPTIMIZATION_LEVEL: fn() -> i32 = getBuilderOptimizationLevel [52@6, 48,   37,   37,   37];
        SET_HARDWARE_COMPATIBILITY_LEVEL: fn(i32) = setHardwareCompatibilityLevel [53@6, 49,   38,   38,   38];
        GET_HARDWARE_COMPATIBILITY_LEVEL: fn() -> i32 = getHardwareCompatibilityLevel[54@6, 50,   39,   39,   39];
        SET_PROGRESS_MONITOR: fn(Ptr) = setProgressMonitor                        [-,    56,   45,   45,   45];
        GET_PROGRESS_MONITOR: fn() -> Ptr = getProgressMonitor                    [-,    57,   46,   46,   46];
        SET_NB_COMPUTE_CAPABILITIES: fn(i32) -> Bool = setNbComputeCapabilities   [-,    -,    -,    55,   55];
        SET_COMPUTE_CAPABILITY: fn(i32, i32) -> Bool = setComputeCapability       [-,    -,    -,    57,   57];
    }
    VNetworkDefinition in network {
        GET_NB_LAYERS: fn() -> i32 = getNbLayers                                  [17,   12,   12,   12,   12];
        GET_LAYER: fn(i32) -> Ptr = getLayer                                      [18,   13,   13,   13,   13];
        GET_NB_INPUTS: fn() -> i32 = getNbInputs                                  [19,   14,   14,   14,   14];
        GET_INPUT: fn(i32) -> Ptr = getInput                                      [20,   15,   15,   15,   15];
        GET_NB_OUTPUTS: fn() -> i32 = getNbOutputs                                [21,   16,   16,   16,   16];
        GET_OUTPUT: fn(i32) -> Ptr = getOutput                                    [22,   17,   17,   17,   17];
        SET_NAME: fn(Text) = setName                                              [35,   30,   30,   28,   28];
        GET_NAME: fn() -> Text = getName                                          [36,   31,   31,   29,   29];
    }
    VTensor in tensor {
        GET_NAME: fn() -> Text = getName                                          [3,    3,    3,    3,    3];
        GET_DIMENSIONS_32: fn() -> Dims32 = getDimensions                         [5,    -,    -,    -,    -];
        GET_DIMENSIONS_64: fn() -> Dims64 = getDimensions                         [-,    5,    5,    5,    5];
        GET_TYPE: fn() -> i32 = getType                                           [7,    7,    6,    7,    6];
        SET_DYNAMIC_RANGE: fn(f32, f32) -> Bool = setDynamicRange                 [8,    8,    -,    -,    -];
        DYNAMIC_RANGE_IS_SET: fn() -> Bool = dynamicRangeIsSet            [15,   15,   -,    -,    -];
    }
    VLayer in layer {
        GET_TYPE: fn() -> i32 = getType                                           [2,    2,    2,    2,    2];
        GET_NAME: fn() -> Text = getName                                          [4,    4,    4,    4,    4];
        GET_NB_INPUTS: fn() -> i32 = getNbInputs                                  [5,    5,    5,    5,    5];
        GET_INPUT: fn(i32) -> Ptr = getInput                                      [6,    6,    6,    6,    6];
        GET_NB_OUTPUTS: fn() -> i32 = getNbOutputs                                [7,    7,    7,    7,    7];
        GET_OUTPUT: fn(i32) -> Ptr = getOutput                                    [8,    8,    8,    8,    8];
        SET_PRECISION: fn(i32) = setPrecision                                     [10,   10,   -,    10,   -];
        GET_PRECISION: fn() -> i32 = getPrecision                                 [11,   11,   -,    11,   -];
        PRECISION_IS_SET: fn() -> Bool = precisionIsSet                           [12,   12,   -,    12,   -];
        SET_OUTPUT_TYPE: fn(i32, i32) = setOutputType                             [14,   14,   -,    14,   -];
        OUTPUT_TYPE_IS_SET: fn(i32) -> Bool = outputTypeIsSet             [16,   16,   -,    16,   -];
    }
    VOptimizationProfile in profile {
        SET_DIMENSIONS_32: fn(Text, i32, Dims32) -> Bool = setDimensions          [2,    -,    -,    -,    -];
        SET_DIMENSIONS_64: fn(Text, i32, *const Dims64) -> Bool = setDimensions   [-,    2,    2,    2,    2];
        IS_VALID: fn() -> Bool = isValid                                          [9,    9,    7,    9,    7];
    }
    VHostMemory in host_memory {
        DATA: fn() -> Ptr = data                                                  [2,    2,    2,    2,    2];
        SIZE: fn() -> usize = size                                                [3,    3,    3,    3,    3];
    }
    VTimingCache in timing_cache {
        SERIALIZE: fn() -> Ptr = serialize                                        [2,    2,    2,    2,    2];
    }
    VRuntime in runtime {
        DESERIALIZE_CUDA_ENGINE_8: fn(*const u8, usize, Ptr) -> Ptr = deserializeCudaEngine [2, -, -, -, -];
        DESERIALIZE_CUDA_ENGINE: fn(*const u8, usize) -> Ptr = deserializeCudaEngine [-, 3,    3,    3,    3];
        SET_DLA_CORE: fn(i32) = setDLACore                                        [3,    5,    4,    5,    4];
        GET_NB_DLA_CORES: fn() -> i32 = getNbDLACores                             [5,    7,    6,    7,    6];
        SET_ERROR_RECORDER: fn(Ptr) = setErrorRecorder                            [7,    9,    8,    9,    8];
        GET_ERROR_RECORDER: fn() -> Ptr = getErrorRecorder                [8,    10,   9,    10,   9];
        GET_LOGGER: fn() -> Ptr = getLogger                                       [9@2,  11,   10,   11,   10];
    }
    VCudaEngine in engine {
        GET_NB_BINDINGS: fn() -> i32 = getNbBindings                              [2,    -,    -,    -,    -];
        GET_BINDING_NAME: fn(i32) -> Text = getBindingName                        [4,    -,    -,    -,    -];
        BINDING_IS_INPUT: fn(i32) -> Bool = bindingIsInput                        [5,    -,    -,    -,    -];
        GET_BINDING_DIMENSIONS: fn(i32) -> Dims32 = getBindingDimensions          [6,    -,    -,    -,    -];
        GET_BINDING_DATA_TYPE: fn(i32) -> i32 = getBindingDataType                [7,    -,    -,    -,    -];
        GET_LOCATION: fn(i32) -> i32 = getLocation                        [12,   -,    -,    -,    -];
        GET_NB_LAYERS: fn() -> i32 = getNbLayers                                  [9,    3,    3,    3,    3];
        CREATE_EXECUTION_CONTEXT_8: fn() -> Ptr = createExecutionContext          [11,   -,    -,    -,    -];
        CREATE_EXECUTION_CONTEXT: fn(i32) -> Ptr = createExecutionContext         [-,    5,    5,    5,    5];
        GET_DEVICE_MEMORY_SIZE: fn() -> usize = getDeviceMemorySize               [14,   7,    -,    -,    -];
        GET_DEVICE_MEMORY_SIZE_V2: fn() -> i64 = getDeviceMemorySizeV2            [-,    52@1, 44,   50,   44];
        GET_NB_OPTIMIZATION_PROFILES: fn() -> i32 = getNbOptimizationProfiles[22,   10,   8,    8,    8];
        CREATE_ENGINE_INSPECTOR: fn() -> Ptr = createEngineInspector              [33@2, 18,   14,   16,   14];
        GET_TENSOR_SHAPE_32: fn(Text) -> Dims32 = getTensorShape                  [34@5, -,    -,    -,    -];
        GET_TENSOR_SHAPE_64: fn(Text) -> Dims64 = getTensorShape                  [-,    19,   15,   17,   15];
        GET_TENSOR_DATA_TYPE: fn(Text) -> i32 = getTensorDataType                 [35@5, 20,   16,   18,   16];
        GET_TENSOR_LOCATION: fn(Text) -> i32 = getTensorLocation          [36@5, 21,   17,   19,   17];
        GET_TENSOR_IO_MODE: fn(Text) -> i32 = getTensorIOMode                     [38@5, 23,   19,   21,   19];
        GET_NB_IO_TENSORS: fn() -> i32 = getNbIOTensors                           [45@5, 30,   26,   28,   26];
        GET_IO_TENSOR_NAME: fn(i32) -> Text = getIOTensorName                     [46@5, 31,   27,   29,   27];
    }
    VExecutionContext in context {
        SET_BINDING_DIMENSIONS: fn(i32, Dims32) -> Bool = setBindingDimensions    [15,   -,    -,    -,    -];
        GET_BINDING_DIMENSIONS: fn(i32) -> Dims32 = getBindingDimensions  [16,   -,    -,    -,    -];
        EXECUTE_V2: fn(*const Ptr) -> Bool = executeV2                            [23,   16,   15,   16,   15];
        ENQUEUE_V2: fn(*const Ptr, Ptr, Ptr) -> Bool = enqueueV2                  [24,   -,    -,    -,    -];
        SET_OPTIMIZATION_PROFILE_ASYNC: fn(i32, Ptr) -> Bool = setOptimizationProfileAsync [25, 17, 16, 17, 16];
        SET_INPUT_SHAPE_32: fn(Text, *const Dims32) -> Bool = setInputShape       [29@5, -,    -,    -,    -];
        SET_INPUT_SHAPE_64: fn(Text, *const Dims64) -> Bool = setInputShape       [-,    21,   20,   21,   20];
        GET_TENSOR_SHAPE_32: fn(Text) -> Dims32 = getTensorShape                  [30@5, -,    -,    -,    -];
        GET_TENSOR_SHAPE_64: fn(Text) -> Dims64 = getTensorShape                  [-,    22,   21,   22,   21];
        SET_TENSOR_ADDRESS: fn(Text, Ptr) -> Bool = setTensorAddress              [32@5, 24,   23,   24,   23];
        ENQUEUE_V3: fn(Ptr) -> Bool = enqueueV3                                   [44@5, 37,   36,   37,   36];
    }
    VEngineInspector in inspector {
        GET_LAYER_INFORMATION: fn(i32, i32) -> Text = getLayerInformation         [4@2,  5,    5,    5,    5];
        GET_ENGINE_INFORMATION: fn(i32) -> Text = getEngineInformation            [5@2,  6,    6,    6,    6];
    }
    IParser in parser {
        PARSE: fn(*const u8, usize, Text) -> Bool = parse                         [0,    0,    0,    0,    0];
        PARSE_FROM_FILE: fn(Text, i32) -> Bool = parseFromFile                    [1,    1,    1,    1,    1];
        SUPPORTS_OPERATOR: fn(Text) -> Bool = supportsOperator                    [4,    4,    2,    4,    2];
        DESTROY: fn() = destroy                                                   [5,    -,    -,    -,    -];
        GET_NB_ERRORS: fn() -> i32 = getNbErrors                                  [6,    5,    3,    5,    3];
        GET_ERROR: fn(i32) -> Ptr = getError                                      [7,    6,    4,    6,    4];
        CLEAR_ERRORS: fn() = clearErrors                                          [8,    7,    5,    7,    5];
        D0: fn() = D0                                                             [-,    9,    7,    9,    7];
    }
    IParserError in parser_error {
        CODE: fn() -> i32 = code                                                  [0,    0,    0,    0,    0];
        DESC: fn() -> Text = desc                                                 [1,    1,    1,    1,    1];
        FILE: fn() -> Text = file                                                 [2,    2,    2,    2,    2];
        LINE: fn() -> i32 = line                                                  [3,    3,    3,    3,    3];
        FUNC: fn() -> Text = func                                                 [4,    4,    4,    4,    4];
        NODE: fn() -> i32 = node                                                  [5,    5,    5,    5,    5];
        NODE_NAME: fn() -> Text = nodeName                                        [-,    6,    6,    6,    6];
        NODE_OPERATOR: fn() -> Text = nodeOperator                                [-,    7,    7,    7,    7];
    }
}
