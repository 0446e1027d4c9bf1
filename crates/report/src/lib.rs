//! Calibration and evaluation as one HTML file, as plots and in the terminal.
