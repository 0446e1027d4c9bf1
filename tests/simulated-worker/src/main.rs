//! A worker that is SIMULATED: it speaks the contract of `trt-agent worker` and has no TensorRT.

fn main() {}
