//! Whether ONNX Runtime's CUDA provider can be loaded, and what it lacks if not.
