//! Calibration on this machine.
