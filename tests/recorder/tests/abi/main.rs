//! Proof of TensorRT's binary interface without TensorRT: who calls what, seen on the recorder.
//!
//! - `rows`: every row of our binding's slot table, called with its type, in 14 versions.
//! - `binding`: our binding's public interface, callbacks and lifetimes included, in the same versions.
//! - `nvidia`: NVIDIA's own compiled Python bindings, in the 10 versions named there.
//! - `plants`: slots put elsewhere on purpose, which each of the above must notice.
//! - `real`: the builder's rows on the real TensorRT-RTX.
//! - `runtime_only`: NVIDIA's real runtime libraries of TensorRT 10 and 11; `gpu.txt` is what they answered with a GPU.
//! - `evidence`: the table in `docs/evidence.md` says which of these covers which row.

mod binding;
mod evidence;
mod nvidia;
mod plants;
mod raw;
mod real;
mod rows;
mod runtime_only;
mod stage;
