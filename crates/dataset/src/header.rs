//! The header of a `.npy` file: NumPy's format, versions 1.0 to 3.0
//! (<https://numpy.org/doc/stable/reference/generated/numpy.lib.format.html>).

use std::io::{self, Read};
use std::panic;

use npyz::{DType, Endianness, NpyHeader, Order, TypeChar};

use crate::element::Stored;
use crate::error::ArrayError;

/// The longest header that is read, in bytes. NumPy's own limit is 10,000.
const MAX_BYTES: usize = 16 << 10;
/// How deep brackets may nest in one: the parser recurses, and a header of an array nests them once.
const MAX_DEPTH: usize = 8;
/// How many dimensions NumPy's arrays have at most (64 since 2.0).
const MAX_RANK: usize = 64;

/// What an array file says of itself.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Header {
    /// The array's dimensions.
    pub shape: Vec<u64>,
    /// Its elements.
    pub stored: Stored,
    /// Whether the first dimension runs fastest.
    pub fortran: bool,
    /// Where the elements begin, in bytes from the start of the header.
    pub start: u64,
}

impl Header {
    /// Reads it off the start of a file.
    pub fn read(mut reader: impl Read) -> Result<Self, ArrayError> {
        let mut bytes = Vec::new();
        let mut take = |count: usize, bytes: &mut Vec<u8>| {
            let found = reader.by_ref().take(count as u64).read_to_end(bytes)?;
            Ok::<_, io::Error>(found == count)
        };
        let corrupt = |reason: &str| ArrayError::Corrupt { reason: reason.to_owned() };
        if !take(8, &mut bytes)? {
            return Err(if bytes.is_empty() {
                ArrayError::Empty
            } else {
                corrupt("it is cut off in its header")
            });
        }
        if !bytes.starts_with(b"\x93NUMPY") {
            return Err(corrupt("it does not begin as NumPy's files do"));
        }
        let width = if bytes[6] == 1 { 2 } else { 4 };
        if !take(width, &mut bytes)? {
            return Err(corrupt("it is cut off in its header"));
        }
        let mut length = [0; 4];
        length[..width].copy_from_slice(&bytes[8..]);
        let length = u32::from_le_bytes(length) as usize;
        if length > MAX_BYTES {
            return Err(corrupt(&format!("its header claims to have {length} bytes")));
        }
        if !take(length, &mut bytes)? {
            return Err(corrupt("it is cut off in its header"));
        }
        if depth(&bytes[8 + width..]) > MAX_DEPTH {
            return Err(corrupt("brackets nest too deep in its header"));
        }
        Self::parse(&bytes)
    }

    fn parse(bytes: &[u8]) -> Result<Self, ArrayError> {
        // The parser multiplies dimensions without a check.
        let parsed = panic::catch_unwind(|| NpyHeader::from_reader(bytes));
        let header = parsed.unwrap_or_else(|_| Err(io::Error::other("its shape is beyond all measure")));
        let header = header.map_err(|error| ArrayError::Corrupt { reason: error.to_string() })?;
        let stored = stored(&header.dtype())?;
        if header.shape().len() > MAX_RANK {
            return Err(ArrayError::Corrupt { reason: "it has too many dimensions".to_owned() });
        }
        Ok(Self {
            shape: header.shape().to_vec(),
            stored,
            fortran: header.order() == Order::Fortran && header.shape().len() > 1,
            start: bytes.len() as u64,
        })
    }

    /// How many bytes the elements take; `None` if no file has so many.
    pub fn data_bytes(&self) -> Option<u64> {
        self.shape.iter().try_fold(self.stored.bytes as u64, |bytes, side| bytes.checked_mul(*side))
    }
}

/// How deep brackets nest in a text.
fn depth(text: &[u8]) -> usize {
    let (mut now, mut deepest) = (0usize, 0);
    for byte in text {
        match byte {
            b'(' | b'[' | b'{' => now += 1,
            b')' | b']' | b'}' => now = now.saturating_sub(1),
            _ => {}
        }
        deepest = deepest.max(now);
    }
    deepest
}

/// The elements, if they are numbers that can be read.
fn stored(dtype: &DType) -> Result<Stored, ArrayError> {
    let unknown = || ArrayError::Type { found: dtype.descr() };
    let DType::Plain(plain) = dtype else { return Err(unknown()) };
    let bytes = usize::try_from(plain.size_field()).map_err(|_| unknown())?;
    let (kind, sizes): (_, &[usize]) = match plain.type_char() {
        TypeChar::Float => ('f', &[2, 4, 8]),
        TypeChar::Int => ('i', &[1, 2, 4, 8]),
        TypeChar::Uint => ('u', &[1, 2, 4]),
        TypeChar::Bool => ('b', &[1]),
        _ => return Err(unknown()),
    };
    if !sizes.contains(&bytes) {
        return Err(unknown());
    }
    Ok(Stored { kind, bytes, big_endian: plain.endianness() == Endianness::Big })
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;

    /// A `.npy` file.
    pub(crate) fn npy(descr: &str, fortran: bool, shape: &str, data: &[u8]) -> Vec<u8> {
        let fortran = if fortran { "True" } else { "False" };
        let header = format!("{{'descr': {descr}, 'fortran_order': {fortran}, 'shape': {shape}, }}\n");
        let mut file = b"\x93NUMPY\x01\x00".to_vec();
        file.extend((header.len() as u16).to_le_bytes());
        file.extend(header.as_bytes());
        file.extend(data);
        file
    }

    #[test]
    fn a_header_says_shape_type_and_order() {
        for (descr, fortran, shape, expected, name) in [
            ("'<f4'", false, "(3, 224, 224)", vec![3, 224, 224], "float32"),
            ("'>f8'", true, "(2, 3)", vec![2, 3], "float64"),
            ("'|b1'", true, "(5,)", vec![5], "bool"),
            ("'<i8'", false, "()", vec![], "int64"),
            ("'|u1'", false, "(0, 4)", vec![0, 4], "uint8"),
        ] {
            let header = Header::read(npy(descr, fortran, shape, &[]).as_slice()).unwrap();
            assert_eq!((header.shape.as_slice(), header.stored.name().as_str()), (expected.as_slice(), name));
            assert_eq!(header.stored.big_endian, descr.contains('>'));
            // One dimension has one order.
            assert_eq!(header.fortran, fortran && expected.len() > 1);
        }
    }

    #[test]
    fn what_is_no_header_is_an_error_and_no_panic() {
        let deep = format!("({}", "(".repeat(10_000));
        let huge = format!("({0}, {0}, {0})", u64::MAX);
        for (bytes, words) in [
            (vec![], "empty"),
            (b"\x93NUM".to_vec(), "cut off"),
            (b"GIF89a..".to_vec(), "does not begin"),
            (b"\x93NUMPY\x01\x00\xff\x00{".to_vec(), "cut off"),
            (b"\x93NUMPY\x02\x00\xff\xff\xff\xff{".to_vec(), "claims"),
            (b"\x93NUMPY\x07\x00\x01\x00\x00\x00 ".to_vec(), "version"),
            (npy("'<f4'", false, &deep, &[]), "nest too deep"),
            (npy("'|O'", false, "(3,)", &[]), "cannot be read: "),
            (npy("'<c8'", false, "(3,)", &[]), "cannot be read: "),
            (npy("'<U7'", false, "(3,)", &[]), "cannot be read: "),
            (npy("'<u8'", false, "(3,)", &[]), "cannot be read: "),
            (npy("[('a', '<f4')]", false, "(3,)", &[]), "cannot be read: "),
            (npy("'<f4'", false, "(-1,)", &[]), "negative"),
            (npy("'<f4'", false, "'x'", &[]), "shape"),
        ] {
            let error = Header::read(bytes.as_slice()).unwrap_err().to_string();
            assert!(error.contains(words), "{error}");
        }
        let header = Header::read(npy("'<f4'", false, &huge, &[]).as_slice());
        assert!(header.is_err() || header.is_ok_and(|header| header.data_bytes().is_none()));
    }
}
