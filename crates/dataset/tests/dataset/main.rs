//! Datasets from files to a run.

mod common;
mod run;
mod samples;
