//! FP32 against simulated INT8.
