//! Libraries with the vtables of TensorRT that write down every call: for tests, and nothing else.
