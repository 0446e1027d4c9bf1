/* A library that says that it is some TensorRT, and can do nothing: all that a probe and `trtexec` builds ask of it. */

int getInferLibVersion(void) { return VERSION; }
int getNvOnnxParserVersion(void) { return VERSION; }
void *createInferBuilder_INTERNAL(void *logger, int version) { return 0; }
void *createInferRuntime_INTERNAL(void *logger, int version) { return 0; }
void *createNvOnnxParser_INTERNAL(void *network, void *logger, int version) { return 0; }
