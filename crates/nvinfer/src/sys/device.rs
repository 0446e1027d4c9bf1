//! What belongs to CUDA and is only passed on to TensorRT: device memory and streams.

use std::ffi::c_void;

use trt_cuda::DriverError;

use super::types::Ptr;

/// Memory on the GPU that an engine may read and write.
///
/// # Safety
/// `address` starts `bytes` bytes of device memory of the CUDA context that TensorRT runs in. They stay there as long as
/// `self`; and should it go while the GPU works on them, then only after that work, as `cuMemFree` sees to. The host never
/// touches them but through the driver.
pub unsafe trait DeviceMemory {
    /// Where it starts: a `CUdeviceptr`. Not null, even for 0 bytes.
    fn address(&self) -> *mut c_void;

    /// Its size in bytes.
    fn bytes(&self) -> usize;
}

/// A queue of work on the GPU.
///
/// # Safety
/// `handle` is a stream of the CUDA context that TensorRT runs in, valid as long as `self`; work in it is completed even
/// if it goes before. When `synchronize` returns without an error, no work is left in it.
pub unsafe trait DeviceStream {
    /// The `CUstream`, which is a `cudaStream_t` too.
    fn handle(&self) -> *mut c_void;

    /// Waits until all work in the stream is done, and reports its failures.
    fn synchronize(&self) -> Result<(), DriverError> {
        // SAFETY: the handle is what the trait demands.
        unsafe { trt_cuda::synchronize(self.handle()) }
    }
}

// SAFETY: a `Buffer` is its memory's only owner and frees it by `cuMemFree`; it hands no content to the host but by copy.
unsafe impl DeviceMemory for trt_cuda::Buffer {
    fn address(&self) -> Ptr {
        self.as_raw()
    }

    fn bytes(&self) -> usize {
        self.len()
    }
}

// SAFETY: a `Stream` owns its handle; the driver completes the work of a stream that is destroyed.
unsafe impl DeviceStream for trt_cuda::Stream {
    fn handle(&self) -> Ptr {
        self.as_raw()
    }
}
