//! Element types: what a model's input takes, what a file holds, and the way from one to the other without loss.

use half::f16;
use trt_inference::Values;
use trt_onnx::proto::elem;

/// An element type that a model's input can take here.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Elem {
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
    /// Truth values.
    Bool,
}

impl Elem {
    /// The type of an ONNX number (`TensorProto.DataType`); `None` for types that no sample is made of.
    pub fn of_onnx(elem_type: i32) -> Option<Self> {
        Some(match elem_type {
            elem::FLOAT => Self::F32,
            elem::FLOAT16 => Self::F16,
            elem::DOUBLE => Self::F64,
            elem::INT64 => Self::I64,
            elem::INT32 => Self::I32,
            elem::INT8 => Self::I8,
            elem::UINT8 => Self::U8,
            elem::BOOL => Self::Bool,
            _ => return None,
        })
    }

    /// NumPy's name of it.
    pub fn name(self) -> &'static str {
        match self {
            Self::F32 => "float32",
            Self::F16 => "float16",
            Self::F64 => "float64",
            Self::I64 => "int64",
            Self::I32 => "int32",
            Self::I8 => "int8",
            Self::U8 => "uint8",
            Self::Bool => "bool",
        }
    }
}

/// What people call an ONNX element type.
pub(crate) fn onnx_name(elem_type: i32) -> String {
    match elem_type {
        elem::UINT8 => "8-bit unsigned integers".to_owned(),
        elem::INT8 => "8-bit integers".to_owned(),
        elem::INT32 => "32-bit integers".to_owned(),
        elem::INT64 => "64-bit integers".to_owned(),
        elem::STRING => "strings".to_owned(),
        elem::BOOL => "booleans".to_owned(),
        elem::FLOAT16 => "16-bit floats".to_owned(),
        elem::DOUBLE => "64-bit floats".to_owned(),
        elem::BFLOAT16 => "bfloat16".to_owned(),
        other => format!("of ONNX type {other}"),
    }
}

/// An element type of an array file, with the order of its bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Stored {
    /// `f`, `i`, `u` or `b` for truth values.
    pub kind: char,
    /// Its bytes: 1, 2, 4 or 8.
    pub bytes: usize,
    /// Whether the byte of most weight comes first.
    pub big_endian: bool,
}

/// The first value that the input's type cannot hold.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Lossy {
    /// Which element.
    pub at: usize,
    /// The value.
    pub value: String,
}

impl Stored {
    /// NumPy's name of it.
    pub fn name(self) -> String {
        match self.kind {
            'b' => "bool".to_owned(),
            'f' => format!("float{}", 8 * self.bytes),
            'u' => format!("uint{}", 8 * self.bytes),
            _ => format!("int{}", 8 * self.bytes),
        }
    }

    /// The elements in `bytes` as `elem`, if each of them is the same number there. NaN stays NaN.
    pub fn convert(self, bytes: &[u8], elem: Elem) -> Result<Values, Lossy> {
        Ok(match elem {
            Elem::F32 if (self.kind, self.bytes, self.big_endian) == ('f', 4, false) => {
                Values::F32(bytes.as_chunks().0.iter().map(|&value| f32::from_le_bytes(value)).collect())
            }
            Elem::F32 => Values::F32(self.exactly(bytes)?),
            Elem::F16 => Values::F16(self.exactly(bytes)?),
            Elem::F64 => Values::F64(self.exactly(bytes)?),
            Elem::I64 => Values::I64(self.exactly(bytes)?),
            Elem::I32 => Values::I32(self.exactly(bytes)?),
            Elem::I8 => Values::I8(self.exactly(bytes)?),
            Elem::U8 => Values::U8(self.exactly(bytes)?),
            Elem::Bool => Values::Bool(self.exactly(bytes)?),
        })
    }

    fn exactly<T: Exact>(self, bytes: &[u8]) -> Result<Vec<T>, Lossy> {
        let convert = |(at, raw)| {
            let number = self.number(raw);
            let exact = match number {
                Number::Int(value) => T::of_int(value),
                Number::Float(value) => T::of_float(value),
            };
            exact.ok_or_else(|| Lossy { at, value: number.to_string() })
        };
        bytes.chunks_exact(self.bytes).enumerate().map(convert).collect()
    }

    /// One element; `raw` has as many bytes as it.
    fn number(self, raw: &[u8]) -> Number {
        let mut little = [0; 8];
        little[..raw.len()].copy_from_slice(raw);
        if self.big_endian {
            little[..raw.len()].reverse();
        }
        let bits = u64::from_le_bytes(little);
        match (self.kind, self.bytes) {
            ('f', 2) => Number::Float(f16::from_bits(bits as u16).to_f64()),
            ('f', 4) => Number::Float(f64::from(f32::from_bits(bits as u32))),
            ('f', _) => Number::Float(f64::from_bits(bits)),
            ('i', size) => {
                // Its sign, into the bits above.
                let unused = 64 - 8 * size as u32;
                Number::Int(((bits << unused) as i64) >> unused)
            }
            // Unsigned ones have 4 bytes at most.
            _ => Number::Int(bits as i64),
        }
    }
}

/// Any element, without loss.
#[derive(Clone, Copy)]
enum Number {
    Int(i64),
    Float(f64),
}

impl std::fmt::Display for Number {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Int(value) => value.fmt(f),
            Self::Float(value) => value.fmt(f),
        }
    }
}

/// A type that takes a number only if it can hold just that number.
trait Exact: Sized {
    fn of_int(value: i64) -> Option<Self>;
    fn of_float(value: f64) -> Option<Self>;
}

macro_rules! exact_float {
    ($($float:ty, $narrow:expr, $widen:expr;)*) => {$(
        impl Exact for $float {
            fn of_int(value: i64) -> Option<Self> {
                let wide = value as f64;
                // 2^63 itself is no i64, though the largest ones round to it.
                (wide as i128 == i128::from(value)).then(|| Self::of_float(wide)).flatten()
            }

            fn of_float(value: f64) -> Option<Self> {
                let narrow: $float = $narrow(value);
                let same: f64 = $widen(narrow);
                (same == value || value.is_nan()).then_some(narrow)
            }
        }
    )*};
}

exact_float! {
    f16, f16::from_f64, f16::to_f64;
    f32, |value| value as f32, f64::from;
    f64, |value| value, |value| value;
}

macro_rules! exact_int {
    ($($int:ty)*) => {$(
        impl Exact for $int {
            fn of_int(value: i64) -> Option<Self> {
                value.try_into().ok()
            }

            fn of_float(value: f64) -> Option<Self> {
                // The cast saturates, and makes zero of NaN.
                let int = value as i64;
                (int as f64 == value && int != i64::MAX).then(|| Self::of_int(int)).flatten()
            }
        }
    )*};
}

exact_int!(i64 i32 i8 u8);

impl Exact for bool {
    fn of_int(value: i64) -> Option<Self> {
        matches!(value, 0 | 1).then_some(value == 1)
    }

    fn of_float(value: f64) -> Option<Self> {
        (value == 0.0 || value == 1.0).then_some(value == 1.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn stored(kind: char, bytes: usize) -> Stored {
        Stored { kind, bytes, big_endian: false }
    }

    fn lossy(at: usize, value: &str) -> Result<Values, Lossy> {
        Err(Lossy { at, value: value.to_owned() })
    }

    #[test]
    fn numbers_are_converted_if_they_stay_the_same() {
        let (f4, f8, i8, u1) = (stored('f', 4), stored('f', 8), stored('i', 8), stored('u', 1));
        let floats = |values: &[f32]| values.iter().flat_map(|v| v.to_le_bytes()).collect::<Vec<u8>>();
        let doubles = |values: &[f64]| values.iter().flat_map(|v| v.to_le_bytes()).collect::<Vec<u8>>();
        let ints = |values: &[i64]| values.iter().flat_map(|v| v.to_le_bytes()).collect::<Vec<u8>>();
        let cases = [
            (f4, floats(&[1.5, -0.0]), Elem::F32, Ok(Values::F32(vec![1.5, -0.0]))),
            (f4, floats(&[0.1]), Elem::F64, Ok(Values::F64(vec![f64::from(0.1f32)]))),
            (f4, floats(&[1.0, 0.1]), Elem::F16, lossy(1, "0.10000000149011612")),
            (f8, doubles(&[0.5, f64::INFINITY]), Elem::F32, Ok(Values::F32(vec![0.5, f32::INFINITY]))),
            (f8, doubles(&[0.1]), Elem::F32, lossy(0, "0.1")),
            (f8, doubles(&[1e300]), Elem::F32, lossy(0, &1e300f64.to_string())),
            (f8, doubles(&[2.0, -3.0]), Elem::I32, Ok(Values::I32(vec![2, -3]))),
            (f8, doubles(&[f64::NAN]), Elem::I32, lossy(0, "NaN")),
            (f8, doubles(&[9_223_372_036_854_775_808.0]), Elem::I64, lossy(0, "9223372036854776000")),
            (i8, ints(&[-7, 1 << 40]), Elem::I64, Ok(Values::I64(vec![-7, 1 << 40]))),
            (i8, ints(&[7, 1 << 40]), Elem::I32, lossy(1, "1099511627776")),
            (i8, ints(&[(1 << 24) + 1]), Elem::F32, lossy(0, "16777217")),
            (i8, ints(&[i64::MAX]), Elem::F64, lossy(0, "9223372036854775807")),
            (i8, ints(&[0, 1]), Elem::Bool, Ok(Values::Bool(vec![false, true]))),
            (i8, ints(&[2]), Elem::Bool, lossy(0, "2")),
            (u1, vec![0, 255], Elem::U8, Ok(Values::U8(vec![0, 255]))),
            (u1, vec![0, 255], Elem::I8, lossy(1, "255")),
            (u1, vec![0, 255], Elem::F32, Ok(Values::F32(vec![0.0, 255.0]))),
            (stored('i', 1), vec![255], Elem::I8, Ok(Values::I8(vec![-1]))),
            (stored('i', 2), vec![0xfe, 0xff], Elem::I32, Ok(Values::I32(vec![-2]))),
            (stored('b', 1), vec![1, 0], Elem::Bool, Ok(Values::Bool(vec![true, false]))),
        ];
        for (stored, bytes, elem, expected) in cases {
            assert_eq!(stored.convert(&bytes, elem), expected, "{} to {}", stored.name(), elem.name());
        }
    }

    #[test]
    fn the_order_of_bytes_is_that_of_the_file() {
        for (kind, bytes) in [('f', 1.25f32.to_be_bytes()), ('i', (-3i32).to_be_bytes())] {
            let big = Stored { kind, bytes: 4, big_endian: true };
            let value = if kind == 'f' { 1.25 } else { -3.0 };
            assert_eq!(big.convert(&bytes, Elem::F32), Ok(Values::F32(vec![value])));
        }
    }

    #[test]
    fn nan_stays_nan() {
        let Ok(Values::F16(values)) = stored('f', 8).convert(&f64::NAN.to_le_bytes(), Elem::F16) else {
            panic!("16-bit floats have NaN")
        };
        assert!(values[0].is_nan());
    }
}
