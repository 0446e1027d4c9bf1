//! Samples out of `.npy` and `.npz` files, one at a time.
//!
//! An array is never read as a whole unless it is one sample: of a stack, the bytes of one sample are sought out. Where a
//! stack is compressed, a [`Reader`] goes through it once, as samples are asked for in ascending order.

use std::fs::File;
use std::io::{self, BufReader, Read, Seek as _, SeekFrom};
use std::path::{Path, PathBuf};

use flate2::bufread::DeflateDecoder;
use trt_inference::Values;
use zip::{CompressionMethod, ZipArchive};

use crate::element::{Elem, Lossy};
use crate::error::ArrayError;
use crate::header::Header;

/// The largest sample, in bytes as the file holds it.
const MAX_SAMPLE_BYTES: u64 = 1 << 30;
/// How many members an archive has at most.
const MAX_MEMBERS: usize = 4096;
/// How many samples a stack has at most: each of them is remembered.
const MAX_ROWS: u64 = 1 << 22;
/// How much deflate makes of a byte at most (<https://zlib.net/zlib_tech.html>).
const MAX_INFLATION: u64 = 1032;
/// What `numpy.savez(path, array)` calls an array that was given no name.
const UNNAMED: &str = "arr_0";

/// An array, found in a file.
#[derive(Debug)]
struct Place {
    header: Header,
    lies: Lies,
    /// How many bytes there are for the elements.
    available: u64,
}

/// Where it lies.
#[derive(Debug)]
enum Lies {
    /// As it is, from this byte of the file on (header included).
    Plain(u64),
    /// Compressed, from this byte of the file on; the member's name in the archive.
    Deflated(u64, String),
}

impl Place {
    /// Whether the array is all there.
    fn check(&self) -> Result<u64, ArrayError> {
        let expected = self.header.data_bytes().unwrap_or(u64::MAX);
        match self.available {
            found if found < expected => Err(ArrayError::Truncated { expected, found }),
            _ => Ok(expected),
        }
    }
}

/// How many samples an array is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Rows {
    /// One, without an axis for it.
    One,
    /// So many, along the first axis.
    Stack(u64),
}

impl Rows {
    fn of(array: &[u64], sample: &[usize]) -> Result<Self, ArrayError> {
        let is_sample = |sides: &[u64]| {
            sides.len() == sample.len() && sides.iter().zip(sample).all(|(side, own)| *side == *own as u64)
        };
        match array {
            one if is_sample(one) => Ok(Self::One),
            [rows, rest @ ..] if *rows > MAX_ROWS && is_sample(rest) => {
                Err(ArrayError::TooMany { samples: *rows, limit: MAX_ROWS })
            }
            [rows, rest @ ..] if *rows > 0 && is_sample(rest) => Ok(Self::Stack(*rows)),
            _ => Err(ArrayError::Shape { expected: shown(sample), found: shown(array) }),
        }
    }
}

/// A shape, for people.
fn shown<T: ToString>(shape: &[T]) -> String {
    match shape {
        [] => "scalar".to_owned(),
        sides => sides.iter().map(T::to_string).collect::<Vec<_>>().join("x"),
    }
}

/// The shape of the array for `input`.
pub(crate) fn shape(path: &Path, input: &str) -> Result<Vec<u64>, ArrayError> {
    Ok(locate(path, input)?.header.shape)
}

/// How many samples a file has for `input`, each of the shape `sample`.
pub(crate) fn rows(path: &Path, input: &str, sample: &[usize]) -> Result<Rows, ArrayError> {
    let place = locate(path, input)?;
    place.check()?;
    Rows::of(&place.header.shape, sample)
}

fn locate(path: &Path, input: &str) -> Result<Place, ArrayError> {
    let (mut file, size) = trt_files::open(path)?;
    let mut magic = [0; 4];
    let is_archive = file.read_exact(&mut magic).is_ok() && magic.starts_with(b"PK");
    file.rewind()?;
    if !is_archive {
        let header = Header::read(BufReader::new(file))?;
        let available = size.saturating_sub(header.start);
        return Ok(Place { header, lies: Lies::Plain(0), available });
    }
    let mut archive = ZipArchive::new(BufReader::new(file)).map_err(broken)?;
    if archive.len() > MAX_MEMBERS {
        return Err(ArrayError::Archive { reason: format!("it has {} members", archive.len()) });
    }
    let member = member(&archive, input)?;
    let mut array = archive.by_name(&member).map_err(broken)?;
    let start = array.data_start().unwrap_or_default();
    let lies = match array.compression() {
        CompressionMethod::Stored => Lies::Plain(start),
        CompressionMethod::Deflated => Lies::Deflated(start, member),
        other => {
            return Err(ArrayError::Archive { reason: format!("its compression is not known: {other}") });
        }
    };
    let size = array.size();
    let header = Header::read(&mut array)?;
    // What the archive says of itself is not yet true.
    let there = trt_files::open(path)?.1.saturating_sub(start);
    let size = match lies {
        Lies::Plain(_) => size.min(there),
        Lies::Deflated(..) => size.min(there.saturating_mul(MAX_INFLATION)),
    };
    let available = size.saturating_sub(header.start);
    Ok(Place { header, lies, available })
}

/// The member that is the array for `input`: that of its name, or the only one if it was given no name.
fn member<R>(archive: &ZipArchive<R>, input: &str) -> Result<String, ArrayError>
where
    R: Read + io::Seek,
{
    let names = archive.file_names().filter_map(Result::ok);
    let mut known: Vec<String> =
        names.filter_map(|name| name.strip_suffix(".npy").map(str::to_owned)).collect();
    match known.as_slice() {
        known if known.iter().any(|name| name == input) => Ok(format!("{input}.npy")),
        [only] if only == UNNAMED => Ok(format!("{UNNAMED}.npy")),
        _ => {
            known.sort();
            known.truncate(16);
            Err(ArrayError::NoArray { name: input.to_owned(), known })
        }
    }
}

fn broken(error: zip::result::ZipError) -> ArrayError {
    ArrayError::Archive { reason: error.to_string() }
}

/// Reads samples for one input, on one thread.
#[derive(Debug, Default)]
pub(crate) struct Reader {
    cursor: Option<Cursor>,
    /// A sample's bytes, used again and again.
    bytes: Vec<u8>,
}

/// A compressed array, read up to somewhere.
#[derive(Debug)]
struct Cursor {
    path: PathBuf,
    start: u64,
    at: u64,
    stream: DeflateDecoder<BufReader<File>>,
}

impl Reader {
    /// A sample: the only one of the file, or that in `row` of a stack.
    pub fn read(
        &mut self,
        path: &Path,
        input: &str,
        row: Option<u64>,
        shape: &[usize],
        elem: Elem,
    ) -> Result<Values, ArrayError> {
        let place = locate(path, input)?;
        let all = place.check()?;
        let header = &place.header;
        let row = match (Rows::of(&header.shape, shape)?, row) {
            (Rows::One | Rows::Stack(1), None) => 0,
            (Rows::Stack(rows), Some(row)) if row < rows => row,
            _ => return Err(ArrayError::Shape { expected: shown(shape), found: shown(&header.shape) }),
        };
        if header.fortran && header.shape.len() > shape.len() && header.shape[0] > 1 {
            return Err(ArrayError::Fortran);
        }
        let one = shape.iter().product::<usize>() as u64 * header.stored.bytes as u64;
        if one > MAX_SAMPLE_BYTES {
            return Err(ArrayError::TooLarge { bytes: one, limit: MAX_SAMPLE_BYTES });
        }
        self.bytes.resize(one as usize, 0);
        self.fill(path, &place, header.start + row * one, one == all)?;
        let stored = header.stored;
        if header.fortran {
            self.bytes = to_c_order(&self.bytes, &header.shape, stored.bytes);
        }
        let lossy = |Lossy { at, value }| ArrayError::Lossy { stored: stored.name(), elem, at, value };
        stored.convert(&self.bytes, elem).map_err(lossy)
    }

    /// Reads the sample's bytes, from `offset` of the array file on.
    fn fill(&mut self, path: &Path, place: &Place, offset: u64, whole: bool) -> Result<(), ArrayError> {
        match &place.lies {
            Lies::Plain(start) => {
                let (mut file, _) = trt_files::open(path)?;
                file.seek(SeekFrom::Start(start + offset))?;
                Ok(file.read_exact(&mut self.bytes)?)
            }
            // As a whole, so that the archive's checksum is compared.
            Lies::Deflated(_, member) if whole => {
                let (file, _) = trt_files::open(path)?;
                let mut archive = ZipArchive::new(BufReader::new(file)).map_err(broken)?;
                let mut array = archive.by_name(member).map_err(broken)?;
                io::copy(&mut array.by_ref().take(offset), &mut io::sink())?;
                array.read_exact(&mut self.bytes)?;
                // The end is where the checksum is found to be wrong.
                array.read_exact(&mut [0]).map_or_else(
                    |error| {
                        if error.kind() == io::ErrorKind::UnexpectedEof { Ok(()) } else { Err(error.into()) }
                    },
                    |()| Ok(()),
                )
            }
            Lies::Deflated(start, _) => {
                let mut cursor = match self.cursor.take() {
                    Some(cursor) if cursor.path == path && cursor.start == *start && cursor.at <= offset => {
                        cursor
                    }
                    _ => {
                        let (mut file, _) = trt_files::open(path)?;
                        file.seek(SeekFrom::Start(*start))?;
                        let stream = DeflateDecoder::new(BufReader::new(file));
                        Cursor { path: path.to_owned(), start: *start, at: 0, stream }
                    }
                };
                io::copy(&mut cursor.stream.by_ref().take(offset - cursor.at), &mut io::sink())?;
                cursor.stream.read_exact(&mut self.bytes)?;
                cursor.at = offset + self.bytes.len() as u64;
                self.cursor = Some(cursor);
                Ok(())
            }
        }
    }
}

/// Elements whose first dimension runs fastest, with the last one fastest.
fn to_c_order(bytes: &[u8], shape: &[u64], size: usize) -> Vec<u8> {
    let mut strides = vec![0; shape.len()];
    let mut step = 1;
    for (stride, side) in strides.iter_mut().zip(shape) {
        *stride = step;
        step *= *side as usize;
    }
    let mut index = vec![0; shape.len()];
    let mut ordered = Vec::with_capacity(bytes.len());
    for _ in 0..bytes.len() / size {
        let at: usize = index.iter().zip(&strides).map(|(index, stride)| index * stride).sum();
        ordered.extend_from_slice(&bytes[at * size..][..size]);
        for (index, side) in index.iter_mut().zip(shape).rev() {
            *index += 1;
            if *index < *side as usize {
                break;
            }
            *index = 0;
        }
    }
    ordered
}
