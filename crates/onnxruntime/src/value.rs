//! Tensors on their way in and out, as slices of host memory.

use std::ffi::c_void;
use std::mem::size_of_val;
use std::ptr::{self, NonNull};
use std::slice;

use half::f16;
use ort::AsPointer as _;
use ort::memory::MemoryInfo;
use ort::sys::{ONNXTensorElementDataType as Number, ONNXType, OrtStatusPtr, OrtValue};

use crate::{OrtError, Port};

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

impl Element {
    /// The type with this number.
    pub fn from_onnx(number: i32) -> Self {
        match number {
            1 => Self::F32,
            2 => Self::U8,
            3 => Self::I8,
            6 => Self::I32,
            7 => Self::I64,
            9 => Self::Bool,
            10 => Self::F16,
            11 => Self::F64,
            other => Self::Other(other),
        }
    }

    /// How many bytes an element takes; `None` of a type that nobody here reads.
    pub fn bytes(self) -> Option<usize> {
        Some(match self {
            Self::F64 | Self::I64 => 8,
            Self::F32 | Self::I32 => 4,
            Self::F16 => 2,
            Self::I8 | Self::U8 | Self::Bool => 1,
            Self::Other(_) => return None,
        })
    }

    /// What ONNX Runtime calls it.
    fn number(self) -> Number {
        match self {
            Self::F32 => Number::ONNX_TENSOR_ELEMENT_DATA_TYPE_FLOAT,
            Self::F16 => Number::ONNX_TENSOR_ELEMENT_DATA_TYPE_FLOAT16,
            Self::F64 => Number::ONNX_TENSOR_ELEMENT_DATA_TYPE_DOUBLE,
            Self::I64 => Number::ONNX_TENSOR_ELEMENT_DATA_TYPE_INT64,
            Self::I32 => Number::ONNX_TENSOR_ELEMENT_DATA_TYPE_INT32,
            Self::I8 => Number::ONNX_TENSOR_ELEMENT_DATA_TYPE_INT8,
            Self::U8 => Number::ONNX_TENSOR_ELEMENT_DATA_TYPE_UINT8,
            Self::Bool => Number::ONNX_TENSOR_ELEMENT_DATA_TYPE_BOOL,
            Self::Other(_) => Number::ONNX_TENSOR_ELEMENT_DATA_TYPE_UNDEFINED,
        }
    }
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

impl Elements<'_> {
    /// Their type.
    pub fn element(&self) -> Element {
        self.raw().0
    }

    /// How many there are.
    pub fn len(&self) -> usize {
        self.raw().3
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// How many bytes they take.
    pub fn bytes(&self) -> usize {
        self.raw().2
    }

    /// Their type, address, size in bytes, and number.
    fn raw(&self) -> (Element, *const c_void, usize, usize) {
        fn parts<T>(element: Element, values: &[T]) -> (Element, *const c_void, usize, usize) {
            (element, values.as_ptr().cast(), size_of_val(values), values.len())
        }
        match self {
            Self::F32(values) => parts(Element::F32, values),
            Self::F16(values) => parts(Element::F16, values),
            Self::F64(values) => parts(Element::F64, values),
            Self::I64(values) => parts(Element::I64, values),
            Self::I32(values) => parts(Element::I32, values),
            Self::I8(values) => parts(Element::I8, values),
            Self::U8(values) => parts(Element::U8, values),
            Self::Bool(values) => parts(Element::Bool, values),
        }
    }
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

/// Whether ONNX Runtime's function succeeded.
pub(crate) fn check(status: OrtStatusPtr) -> Result<(), ort::Error> {
    // SAFETY: every status comes from one of ONNX Runtime's functions and is taken once.
    unsafe { ort::Error::result_from_status(status) }
}

/// A value of ONNX Runtime's, which owns its memory or borrows it.
#[derive(Debug)]
pub(crate) struct Value(NonNull<OrtValue>);

impl Value {
    /// Takes ownership; `None` if ONNX Runtime gave nothing.
    ///
    /// # Safety
    /// `value` is null or a value that nobody else releases.
    pub unsafe fn take(value: *mut OrtValue) -> Option<Self> {
        NonNull::new(value).map(Self)
    }

    /// A tensor over memory that somebody else owns.
    ///
    /// # Safety
    /// The memory lies where `place` says, has `bytes` bytes, and outlives the value. It is not written.
    pub unsafe fn over(
        place: &MemoryInfo<'_>,
        (address, bytes): (*const c_void, usize),
        shape: &[usize],
        element: Element,
    ) -> Result<Self, ort::Error> {
        let dims: Vec<i64> = shape.iter().map(|&side| side as i64).collect();
        let mut value = ptr::null_mut();
        // SAFETY: the memory is promised by the caller, and ONNX Runtime does not write to a model's inputs; the
        // dimensions are as many as said.
        check(unsafe {
            (ort::api().CreateTensorWithDataAsOrtValue)(
                place.ptr(),
                address.cast_mut(),
                bytes,
                dims.as_ptr(),
                dims.len(),
                element.number(),
                &mut value,
            )
        })?;
        // SAFETY: just made, for us.
        unsafe { Self::take(value) }.ok_or_else(|| ort::Error::new("no tensor was made"))
    }

    /// A tensor over the caller's host memory, which it must outlive.
    pub fn of_feed<'a>(feed: &Feed<'a>, place: &MemoryInfo<'_>) -> Result<Borrowed<'a>, OrtError> {
        let (element, address, bytes, len) = feed.elements.raw();
        fits(feed.name, feed.shape, len)?;
        // SAFETY: the memory is the slice's, and `Borrowed` holds its lifetime.
        let value = unsafe { Self::over(place, (address, bytes), feed.shape, element) };
        let value = value.map_err(|error| wrong(feed.name, error.message()))?;
        Ok(Borrowed { value, _memory: std::marker::PhantomData })
    }

    pub fn as_ptr(&self) -> *mut OrtValue {
        self.0.as_ptr()
    }

    /// Element type and dimensions; `Err` says what it is if it is no tensor.
    pub fn describe(&self) -> Result<(Element, Vec<usize>), String> {
        let api = ort::api();
        // As a number: a later version may have kinds and types that no enumeration of ours has.
        let mut kind = 0_i32;
        // SAFETY: the value is live, and the enumeration has the size of an `i32`.
        check(unsafe { (api.GetValueType)(self.as_ptr(), (&raw mut kind).cast()) }).map_err(said)?;
        if kind != ONNXType::ONNX_TYPE_TENSOR as i32 {
            return Err(kind_name(kind).to_owned());
        }
        let mut info = ptr::null_mut();
        // SAFETY: the value is a live tensor.
        check(unsafe { (api.GetTensorTypeAndShape)(self.as_ptr(), &mut info) }).map_err(said)?;
        let (mut number, mut rank) = (0_i32, 0);
        // SAFETY: `info` is live until it is released below, and the enumeration has the size of an `i32`.
        let element = check(unsafe { (api.GetTensorElementType)(info, (&raw mut number).cast()) });
        // SAFETY: as above.
        let count = check(unsafe { (api.GetDimensionsCount)(info, &mut rank) });
        let mut dims = vec![0_i64; rank];
        // SAFETY: as above; there is room for `rank` dimensions.
        let shape = check(unsafe { (api.GetDimensions)(info, dims.as_mut_ptr(), rank) });
        // SAFETY: released once, and not used again.
        unsafe { (api.ReleaseTensorTypeAndShapeInfo)(info) };
        element.and(count).and(shape).map_err(said)?;
        let dims = dims.into_iter().map(|side| usize::try_from(side).unwrap_or(0)).collect();
        Ok((Element::from_onnx(number), dims))
    }

    /// Where the elements of a tensor start, on the host or on a GPU.
    pub fn address(&self) -> Result<*mut c_void, ort::Error> {
        let mut address = ptr::null_mut();
        // SAFETY: the value is a live tensor.
        check(unsafe { (ort::api().GetTensorMutableData)(self.as_ptr(), &mut address) })?;
        Ok(address)
    }

    /// The elements of a tensor in host memory.
    fn elements(&self, element: Element, len: usize) -> Result<Elements<'_>, String> {
        /// # Safety
        /// There are `len` values of type `T` at `address`, for as long as the slice is used.
        unsafe fn at<'a, T>(address: *mut c_void, len: usize) -> &'a [T] {
            match len {
                // The address of an empty tensor need not be one.
                0 => &[],
                // SAFETY: promised by the caller.
                len => unsafe { slice::from_raw_parts(address.cast::<T>(), len) },
            }
        }
        let unread = match element {
            Element::Other(8) => Some("text".to_owned()),
            Element::Other(number) => Some(format!("a tensor of ONNX's element type {number}")),
            _ => None,
        };
        if let Some(unread) = unread {
            return Err(unread);
        }
        let address = self.address().map_err(said)?;
        // SAFETY: the tensor is in host memory, aligned by ONNX Runtime for every type, has `len` elements of the type
        // that it was asked for, and lives as long as `self`. Every pattern of bits is a value of the numeric types.
        Ok(unsafe {
            match element {
                Element::F32 => Elements::F32(at(address, len)),
                Element::F16 => Elements::F16(at(address, len)),
                Element::F64 => Elements::F64(at(address, len)),
                Element::I64 => Elements::I64(at(address, len)),
                Element::I32 => Elements::I32(at(address, len)),
                Element::I8 => Elements::I8(at(address, len)),
                Element::Bool => {
                    let bytes: &[u8] = at(address, len);
                    if bytes.iter().any(|&byte| byte > 1) {
                        return Err("a tensor of truth values that are neither true nor false".to_owned());
                    }
                    // Looked at above: all of them are 0 or 1.
                    Elements::Bool(at(address, len))
                }
                _ => Elements::U8(at(address, len)),
            }
        })
    }

    /// The value as an output of a run on the host.
    pub fn output<'a>(&'a self, name: &'a str) -> Output<'a> {
        match self.describe() {
            Ok((element, shape)) => {
                let elements = self.elements(element, shape.iter().product());
                Output { name, shape, elements }
            }
            Err(what) => Output { name, shape: Vec::new(), elements: Err(what) },
        }
    }
}

impl Drop for Value {
    fn drop(&mut self) {
        // SAFETY: owned, and released once.
        unsafe { (ort::api().ReleaseValue)(self.as_ptr()) };
    }
}

/// A value over host memory of the caller's.
#[derive(Debug)]
pub(crate) struct Borrowed<'a> {
    value: Value,
    _memory: std::marker::PhantomData<&'a ()>,
}

impl Borrowed<'_> {
    pub fn as_ptr(&self) -> *mut OrtValue {
        self.value.as_ptr()
    }
}

/// Whether a shape has so many elements.
pub(crate) fn fits(name: &str, shape: &[usize], len: usize) -> Result<(), OrtError> {
    let elements = shape.iter().try_fold(1_usize, |product, &side| product.checked_mul(side));
    match elements == Some(len) {
        true => Ok(()),
        false => Err(wrong(name, &format!("its shape {shape:?} does not have this many elements: {len}"))),
    }
}

/// Whether what is fed is what the model wants.
pub(crate) fn suits(name: &str, element: Element, inputs: &[Port]) -> Result<(), OrtError> {
    match inputs.iter().find(|input| input.name == name).map(|input| &input.kind) {
        None => Err(wrong(name, "the model has no such input")),
        Some(Kind::Tensor { element: wanted, .. }) if *wanted == element => Ok(()),
        Some(Kind::Tensor { element: wanted, .. }) => {
            Err(wrong(name, &format!("its elements are {element:?}, and the model wants: {wanted:?}")))
        }
        Some(Kind::Other(what)) => Err(wrong(name, &format!("the model wants a value of this kind: {what}"))),
    }
}

pub(crate) fn wrong(name: &str, reason: &str) -> OrtError {
    OrtError::Feed { name: name.to_owned(), reason: reason.to_owned() }
}

fn said(error: ort::Error) -> String {
    error.message().to_owned()
}

fn kind_name(kind: i32) -> &'static str {
    match kind {
        2 => "a sequence",
        3 => "a map",
        5 => "a sparse tensor",
        6 => "an optional",
        _ => "no tensor",
    }
}
