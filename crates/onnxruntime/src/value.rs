//! Tensors on their way in and out, as slices of host memory.

use half::f16;

/// The type of a tensor's elements, as ONNX numbers it (`TensorProto.DataType`).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Element {
    /// 32-bit floats.
    F32,
    /// 16-bit floats.
    F16,
    /// 64-bit floats.
    F64,
    /// 64-bit integers.
    I64,
    /// 32-bit integers.
    I32,
    /// 8-bit integers.
    I8,
    /// 8-bit unsigned integers.
    U8,
    /// Truth values, a byte each.
    Bool,
    /// Another type, by ONNX's number: 8 is text.
    Other(i32),
}

/// What an input or output of a model is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Kind {
    /// A tensor.
    Tensor {
        /// Its element type.
        element: Element,
        /// Its dimensions; `None` where the model leaves the size open.
        dims: Vec<Option<usize>>,
    },
    /// Something else: `sequence`, `map` or `optional`.
    Other(&'static str),
}

/// The elements of a tensor, the last dimension running fastest.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Elements<'a> {
    /// 32-bit floats.
    F32(&'a [f32]),
    /// 16-bit floats.
    F16(&'a [f16]),
    /// 64-bit floats.
    F64(&'a [f64]),
    /// 64-bit integers.
    I64(&'a [i64]),
    /// 32-bit integers.
    I32(&'a [i32]),
    /// 8-bit integers.
    I8(&'a [i8]),
    /// 8-bit unsigned integers.
    U8(&'a [u8]),
    /// Truth values.
    Bool(&'a [bool]),
}

/// A tensor for one of the model's inputs.
#[derive(Debug, Clone, Copy)]
pub struct Feed<'a> {
    /// The input's name.
    pub name: &'a str,
    /// Its dimensions; empty for a scalar.
    pub shape: &'a [usize],
    /// Its elements: as many as the product of `shape`.
    pub elements: Elements<'a>,
}

/// An output of a run, in memory of ONNX Runtime's.
#[derive(Debug, Clone)]
pub struct Output<'a> {
    /// The output's name.
    pub name: &'a str,
    /// Its dimensions; empty for a scalar and for what is no tensor.
    pub shape: Vec<usize>,
    /// Its elements; `Err` says what it is instead: text, a sequence, an optional or a type that nobody here reads.
    pub elements: Result<Elements<'a>, String>,
}
