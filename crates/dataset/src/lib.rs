//! Calibration and evaluation data: which samples are used, what identifies them, and how they become tensors.
