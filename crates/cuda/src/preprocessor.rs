//! From decoded pictures to a network's input, on the GPU.

use std::ffi::CStr;

use crate::module::{Argument, Kernel, Module};
use crate::{Buffer, Context, DriverError, Event, Pinned, Stream};

/// Threads of a block, across and down.
const BLOCK: [u32; 2] = [32, 8];
/// Bytes of `Picture` and `Tap` in the source.
const PICTURE: usize = 64;
const TAP: usize = 16;

const PTX: &CStr =
    match CStr::from_bytes_with_nul(concat!(include_str!("../kernels/preprocess.ptx"), "\0").as_bytes()) {
        Ok(text) => text,
        Err(_) => panic!("PTX is text"),
    };

/// What every picture becomes.
#[derive(Debug, Clone)]
pub struct Canvas {
    /// Columns of the output.
    pub width: u32,
    /// Rows.
    pub height: u32,
    /// Whether the channels come in the order blue, green, red.
    pub swap: bool,
    /// Whether the channels of a pixel lie together.
    pub nhwc: bool,
    /// The pixel value around a picture.
    pub pad: u8,
    /// For each channel of the output, three or luma alone, what each pixel value becomes.
    pub tables: Vec<[f32; 256]>,
}

/// From which pixels of a line a pixel of the output is made.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Tap {
    /// The first of them.
    pub start: u32,
    /// Their weights, 0 behind the last, in units of 2^-bits.
    pub weights: [i16; 3],
}

/// The taps of all output columns, or of all rows.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Taps {
    /// Weights are multiples of 2^-bits; at least 1.
    pub bits: u32,
    /// One for each column or row.
    pub taps: Vec<Tap>,
}

/// A picture and where it comes to lie.
#[derive(Debug, Clone, Copy)]
pub struct Placed<'a> {
    /// Interleaved red, green and blue, rows from the top.
    pub pixels: &'a [u8],
    /// Columns of the picture.
    pub width: u32,
    /// Its rows.
    pub height: u32,
    /// Columns of the output left of it.
    pub left: u32,
    /// Rows of the output above it.
    pub top: u32,
    /// For each of its columns in the output.
    pub columns: &'a Taps,
    /// For each of its rows there.
    pub rows: &'a Taps,
}

/// Pictures on their way to the GPU. Two in turn: one is filled while the other one is copied and read.
#[derive(Debug)]
pub struct Upload {
    host: Pinned,
    device: Buffer,
    pictures: usize,
    /// Happens when the copy is done.
    copied: Event,
    /// Happens when the kernel has read them.
    read: Event,
    context: Context,
}

impl Upload {
    /// Nothing yet.
    pub fn new(context: &Context) -> Result<Self, DriverError> {
        Ok(Self {
            host: Pinned::new(context, 0)?,
            device: Buffer::new(context, 0)?,
            pictures: 0,
            copied: Event::quiet(context)?,
            read: Event::quiet(context)?,
            context: context.clone(),
        })
    }
}

/// Why pictures cannot be preprocessed.
fn misplaced(what: &Placed<'_>, canvas: &Canvas) -> bool {
    let fits = |taps: &Taps, before: u32, outside: u32, inside: u32| {
        let reach = |tap: &Tap| {
            let used = tap.weights.iter().rposition(|weight| *weight != 0).map_or(0, |last| last as u64 + 1);
            u64::from(tap.start) + used <= u64::from(inside)
        };
        before as usize + taps.taps.len() <= outside as usize
            && (1..=22).contains(&taps.bits)
            && taps.taps.iter().all(reach)
    };
    let expected = 3 * what.width as usize * what.height as usize;
    what.pixels.len() != expected
        || !fits(what.columns, what.left, canvas.width, what.width)
        || !fits(what.rows, what.top, canvas.height, what.height)
}

/// Preprocesses pictures as `trt-imaging` does, value for value.
#[derive(Debug)]
pub struct Preprocessor {
    canvas: Canvas,
    tables: Buffer,
    kernel: Kernel,
    _module: Module,
}

impl Preprocessor {
    /// Gets the kernel and the tables ready.
    ///
    /// # Panics
    /// Where there are not one or three tables.
    pub fn new(context: &Context, canvas: Canvas) -> Result<Self, DriverError> {
        let name = match canvas.tables.len() {
            1 => c"preprocess_grey",
            3 => c"preprocess_colour",
            other => panic!("one or three channels, not {other}"),
        };
        let module = Module::new(context, PTX)?;
        let kernel = module.kernel(name, BLOCK[0] * BLOCK[1], 0)?;
        let bytes: Vec<u8> = canvas.tables.iter().flatten().flat_map(|value| value.to_ne_bytes()).collect();
        let mut tables = Buffer::new(context, bytes.len())?;
        tables.write(&bytes)?;
        Ok(Self { canvas, tables, kernel, _module: module })
    }

    /// Bytes of one image of the output.
    pub fn image_len(&self) -> usize {
        self.canvas.tables.len() * self.canvas.width as usize * self.canvas.height as usize * size_of::<f32>()
    }

    /// Fills an upload and puts the copy into a stream, which may be another one than the kernel's.
    ///
    /// # Panics
    /// Where a picture has not as many pixels as it says, or its taps lie outside of it or of the canvas.
    pub fn load(
        &self,
        upload: &mut Upload,
        pictures: &[Placed<'_>],
        stream: &Stream,
    ) -> Result<(), DriverError> {
        assert!(
            !pictures.iter().any(|picture| misplaced(picture, &self.canvas)),
            "pictures lie in the canvas"
        );
        // Descriptions, then the taps and pixels of each picture.
        let taps = |taps: &Taps| taps.taps.len() * TAP;
        let bytes_of = |picture: &Placed<'_>| {
            taps(picture.columns) + taps(picture.rows) + picture.pixels.len().next_multiple_of(TAP)
        };
        let len = pictures.len() * PICTURE + pictures.iter().map(bytes_of).sum::<usize>();
        // Until all of it is there, there are none.
        upload.pictures = 0;
        // Nobody reads the last pictures any more, so that they can be replaced.
        upload.read.synchronize()?;
        if len > upload.host.len() {
            let room = len + len / 4;
            upload.host = Pinned::new(&upload.context, room)?;
            upload.device = Buffer::new(&upload.context, room)?;
        }
        let device = upload.device.address();
        let (descriptions, mut rest) = upload.host.bytes()?.split_at_mut(pictures.len() * PICTURE);
        let mut address = device + descriptions.len() as u64;
        for (description, picture) in descriptions.chunks_exact_mut(PICTURE).zip(pictures) {
            let mut put = |bytes: usize| {
                let (part, after) = std::mem::take(&mut rest).split_at_mut(bytes.next_multiple_of(TAP));
                rest = after;
                let own = address;
                address += part.len() as u64;
                (part, own)
            };
            let (part, columns) = put(taps(picture.columns));
            write_taps(part, picture.columns);
            let (part, rows) = put(taps(picture.rows));
            write_taps(part, picture.rows);
            let (part, pixels) = put(picture.pixels.len());
            part[..picture.pixels.len()].copy_from_slice(picture.pixels);
            for (place, value) in description.chunks_exact_mut(8).zip([pixels, columns, rows]) {
                place.copy_from_slice(&value.to_ne_bytes());
            }
            let inner = [picture.columns, picture.rows].map(|taps| taps.taps.len() as u32);
            let words = [
                picture.width,
                picture.height,
                inner[0],
                inner[1],
                picture.left,
                picture.top,
                picture.columns.bits,
                picture.rows.bits,
            ];
            for (place, value) in description[24..].chunks_exact_mut(4).zip(words) {
                place.copy_from_slice(&value.to_ne_bytes());
            }
        }
        upload.host.send(len, &mut upload.device, stream)?;
        upload.copied.record(stream)?;
        upload.pictures = pictures.len();
        Ok(())
    }

    /// Puts preprocessing of what was loaded, once, into a stream; the images lie in `out`, one after the other.
    ///
    /// # Errors
    /// [`DriverError::Length`] where `out` is too small.
    pub fn run(&self, upload: &mut Upload, stream: &Stream, out: &mut Buffer) -> Result<(), DriverError> {
        let needed = upload.pictures * self.image_len();
        if out.len() < needed {
            return Err(DriverError::Length { device: out.len(), host: needed });
        }
        stream.wait_for(&upload.copied)?;
        use Argument::{Address, Word};
        let Canvas { width, height, swap, nhwc, pad, .. } = self.canvas;
        let mut arguments = [
            Address(upload.device.address()),
            Address(self.tables.address()),
            Address(out.address()),
            Word(width),
            Word(height),
            Word(swap.into()),
            Word(nhwc.into()),
            Word(pad.into()),
        ];
        let blocks = [width.div_ceil(BLOCK[0]), height.div_ceil(BLOCK[1]), upload.pictures as u32];
        // Two streams could read them otherwise, and `load` would wait for one.
        upload.pictures = 0;
        // SAFETY: the module is beside the kernel, the arguments are those of the source, `out` has room, and `load` has
        // checked that what the descriptions name lies in the upload. It replaces them only after this. All memory is freed
        // only when the stream has passed.
        unsafe { self.kernel.launch(stream, blocks, BLOCK, &mut arguments) }?;
        upload.read.record(stream).inspect_err(|_| {
            // Without the event, only the whole stream tells.
            let _ = stream.synchronize();
        })
    }
}

fn write_taps(out: &mut [u8], taps: &Taps) {
    for (place, tap) in out.chunks_exact_mut(TAP).zip(&taps.taps) {
        place[..4].copy_from_slice(&tap.start.to_ne_bytes());
        for (place, weight) in place[4..].chunks_exact_mut(4).zip(tap.weights) {
            place.copy_from_slice(&i32::from(weight).to_ne_bytes());
        }
    }
}
