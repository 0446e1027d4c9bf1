// Invented, for tools/tests: the shape of TensorRT's header of this name.
#define NV_TENSORRT_MAJOR 8 //!< The major version.
#define NV_TENSORRT_MINOR 0
#define NV_TENSORRT_PATCH 1
