// Invented, for tools/tests: the shape of TensorRT's header of this name.
#define TRT_MAJOR_RTX 1
#define TRT_MINOR_RTX 7
#define TRT_PATCH_RTX 1
#define NV_TENSORRT_MAJOR TRT_MAJOR_RTX
#define NV_TENSORRT_MINOR TRT_MINOR_RTX
#define NV_TENSORRT_PATCH TRT_PATCH_RTX
