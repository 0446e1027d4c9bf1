//! ONNX Runtime, loaded at run time, with every activation where it was computed.
