//! Histograms of tensors in the GPU's memory.

use std::ffi::CStr;
use std::sync::Arc;

use crate::module::{Argument, Kernel, Module};
use crate::share::share;
use crate::{Buffer, DriverError, Floats, Pinned, Stream};

/// The number of bins over `[0, 2^e)`, as in the crate `trt-calib`.
pub const FINE: usize = 1 << 14;
/// Threads of a block, as in the source.
pub(crate) const THREADS: u32 = 512;
/// The exponent of the range before the first finite value, as in `trt-calib`.
const MIN_EXPONENT: i32 = -100;
/// Bytes of `Segment`, `Seen` and `Totals` in the source.
const RECORD: usize = 32;

pub(crate) const PTX: &CStr =
    match CStr::from_bytes_with_nul(concat!(include_str!("../kernels/histogram.ptx"), "\0").as_bytes()) {
        Ok(text) => text,
        Err(_) => panic!("PTX is text"),
    };

/// What was counted of a tensor: the parts of a histogram of `trt-calib`.
#[derive(Debug, Clone, PartialEq)]
pub struct Counts {
    /// The bins cover `[0, 2^exponent)`.
    pub exponent: i32,
    /// [`FINE`] counts, or none where no finite value was seen.
    pub bins: Vec<u64>,
    /// The least finite value, and +infinity where there was none.
    pub min: f32,
    /// The greatest finite value, and -infinity where there was none.
    pub max: f32,
    /// The number of NaN.
    pub nan: u64,
    /// The number of infinities of both signs.
    pub infinite: u64,
}

/// What a tensor showed in one batch.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Seen {
    /// The number of NaN.
    pub nan: u64,
    /// The position of the first NaN.
    pub first_nan: Option<u32>,
    /// The number of infinities.
    pub infinite: u64,
}

/// What the host learns of a batch, when the GPU is done with it. It can be used again for another batch.
#[derive(Debug)]
pub struct Receipt(Pinned);

impl Receipt {
    /// Waits for the batch; what each of the counter's tensors showed in it.
    ///
    /// # Errors
    /// The failure of the batch, or of earlier work in its stream.
    pub fn wait(&mut self) -> Result<Vec<Seen>, DriverError> {
        let records = self.0.bytes()?.as_chunks::<RECORD>().0;
        Ok(records.iter().map(seen).collect())
    }
}

fn seen(record: &[u8; RECORD]) -> Seen {
    // As in the source: the complement, so that 0 is none.
    let first_nan = !word(record, 24);
    Seen {
        nan: long(record, 0),
        infinite: long(record, 8),
        first_nan: (first_nan != u32::MAX).then_some(first_nan),
    }
}

/// Histograms of many tensors, kept on one GPU and bit-equal to those of `trt-calib` on the CPU.
///
/// All its work goes into one stream, so that batches follow each other.
#[derive(Debug)]
pub struct Counter {
    tensors: usize,
    count: Kernel,
    settle: Kernel,
    /// 64-bit counts, [`FINE`] for each tensor.
    bins: Buffer,
    /// 32-bit counts of the batch, all 0 between batches.
    scratch: Buffer,
    /// A record of all batches for each tensor.
    totals: Buffer,
    /// A record of this batch for each tensor, and behind them the number of NaN.
    seen: Buffer,
    /// The blocks' shares, and what is written there.
    work: Buffer,
    known: Vec<u8>,
    stream: Arc<Stream>,
    /// Last, since the kernels are its.
    _module: Module,
}

impl Counter {
    /// Empty histograms of so many tensors. They take 192 KiB of the GPU's memory each.
    pub fn new(stream: &Arc<Stream>, tensors: usize) -> Result<Self, DriverError> {
        let context = stream.context();
        let module = Module::new(context, PTX)?;
        let count = module.kernel(c"count", THREADS, (FINE * size_of::<u32>()) as u32)?;
        let settle = module.kernel(c"settle", THREADS, 0)?;
        let mut counter = Self {
            tensors,
            count,
            settle,
            bins: Buffer::new(context, tensors * FINE * size_of::<u64>())?,
            scratch: Buffer::new(context, tensors * FINE * size_of::<u32>())?,
            totals: Buffer::new(context, tensors * RECORD)?,
            seen: Buffer::new(context, tensors * RECORD + size_of::<u64>())?,
            work: Buffer::new(context, 0)?,
            known: Vec::new(),
            stream: Arc::clone(stream),
            _module: module,
        };
        counter.clear()?;
        Ok(counter)
    }

    /// How many tensors there are.
    pub fn tensors(&self) -> usize {
        self.tensors
    }

    /// A place for what the host is to learn of a batch.
    pub fn receipt(&self) -> Result<Receipt, DriverError> {
        Ok(Receipt(Pinned::new(self.stream.context(), self.tensors * RECORD)?))
    }

    /// Puts forgetting all counts into the stream.
    pub fn clear(&mut self) -> Result<(), DriverError> {
        if self.tensors == 0 {
            return Ok(());
        }
        let stream = &self.stream;
        self.bins.fill_in(stream, 0)?;
        self.scratch.fill_in(stream, 0)?;
        let mut empty = [0; RECORD];
        empty[24..28].copy_from_slice(&MIN_EXPONENT.to_ne_bytes());
        self.totals.write_in(stream, &empty.repeat(self.tensors))
    }

    /// Puts counting a batch into the stream; nobody waits. `batch` has the floats of each tensor by its number, ascending.
    ///
    /// With `refuse_nan` a batch with a NaN in any tensor leaves nothing behind.
    ///
    /// # Errors
    /// [`DriverError::TooLong`], and what the driver reports of earlier work.
    ///
    /// # Panics
    /// Where `batch` names a tensor that the counter has not got, or names one twice; and where floats lie on another GPU or
    /// belong to another stream.
    pub fn count(
        &mut self,
        batch: &[(usize, Floats<'_>)],
        refuse_nan: bool,
        receipt: &mut Receipt,
    ) -> Result<(), DriverError> {
        if let Some((_, long)) = batch.iter().find(|(_, floats)| u32::try_from(floats.len).is_err()) {
            return Err(DriverError::TooLong { values: long.len });
        }
        assert!(batch.iter().all(|(tensor, _)| *tensor < self.tensors), "a tensor of this counter");
        assert!(batch.is_sorted_by(|(one, _), (next, _)| one < next), "each tensor once");
        assert!(batch.iter().all(|(_, floats)| floats.readable_in(&self.stream)), "floats of this stream");
        if self.tensors == 0 {
            return Ok(());
        }
        let (work, blocks) = self.work(batch);
        let stream = &self.stream;
        // Batch after batch, ONNX Runtime puts the activations of equal shapes into the same places.
        if work != self.known {
            self.known.clear();
            if work.len() > self.work.len() {
                self.work = Buffer::new(stream.context(), work.len().next_power_of_two())?;
            }
            self.work.write_in(stream, &work)?;
            self.known = work;
        }
        self.seen.fill_in(stream, 0)?;
        let nan = self.seen.address() + (self.tensors * RECORD) as u64;
        let first = self.work.address();
        let segments = first + first_len(blocks) as u64;
        let refuse = u32::from(refuse_nan);
        for round in 0..2 {
            use Argument::{Address, Word};
            let [bins, scratch, totals, seen] =
                [&self.bins, &self.scratch, &self.totals, &self.seen].map(|buffer| Address(buffer.address()));
            let mut arguments =
                [Address(segments), Address(first), totals, scratch, seen, Address(nan), Word(round)];
            // SAFETY: the module is beside the kernels, and the arguments are those of the source: buffers of ours with a
            // record or `FINE` counters for each tensor, and shares that name tensors that there are. They are freed
            // only when the stream has passed, and written in this stream alone. What floats there are says `Floats`; they
            // are only read.
            unsafe { self.count.launch(stream, [blocks as u32, 1, 1], [THREADS, 1], &mut arguments) }?;
            let mut arguments = [totals, bins, scratch, seen, Address(nan), Word(refuse), Word(round)];
            // SAFETY: as above.
            unsafe { self.settle.launch(stream, [self.tensors as u32, 1, 1], [THREADS, 1], &mut arguments) }?;
        }
        receipt.0.fetch(self.tensors * RECORD, &self.seen, stream)
    }

    /// The shares in the form that the source has, and their number: for each block its first part, then all parts.
    fn work(&self, batch: &[(usize, Floats<'_>)]) -> (Vec<u8>, usize) {
        let lens: Vec<usize> = batch.iter().map(|(_, floats)| floats.len).collect();
        let shares = share(&lens, self.count.resident() as usize);
        let mut work = Vec::with_capacity(first_len(shares.len()) + RECORD * (batch.len() + shares.len()));
        let mut first = 0_u32;
        for parts in &shares {
            work.extend(first.to_ne_bytes());
            first += parts.len() as u32;
        }
        work.extend(first.to_ne_bytes());
        work.resize(first_len(shares.len()), 0);
        for part in shares.iter().flatten() {
            let (tensor, Floats { address, half, .. }) = batch[part.tensor];
            work.extend(address.to_ne_bytes());
            work.extend((part.start as u64).to_ne_bytes());
            for number in [part.len as u32, tensor as u32, u32::from(half), 0] {
                work.extend(number.to_ne_bytes());
            }
        }
        (work, shares.len())
    }

    /// Waits for the stream, and brings the counts of all batches to the host.
    pub fn read(&self) -> Result<Vec<Counts>, DriverError> {
        self.stream.synchronize()?;
        let mut totals = vec![0; self.totals.len()];
        self.totals.read(&mut totals)?;
        let mut bins = vec![0; self.bins.len()];
        self.bins.read(&mut bins)?;
        let bins = bins.chunks_exact(FINE * size_of::<u64>());
        Ok(totals
            .as_chunks::<RECORD>()
            .0
            .iter()
            .zip(bins)
            .map(|(record, bins)| counts(record, bins))
            .collect())
    }
}

/// Bytes before the parts, with `blocks` shares.
fn first_len(blocks: usize) -> usize {
    ((blocks + 1) * size_of::<u32>()).next_multiple_of(RECORD)
}

fn counts(record: &[u8; RECORD], bins: &[u8]) -> Counts {
    let (greatest, least) = (word(record, 16), !word(record, 20));
    let (nan, infinite) = (long(record, 0), long(record, 8));
    if greatest == 0 {
        let (min, max) = (f32::INFINITY, f32::NEG_INFINITY);
        return Counts { exponent: MIN_EXPONENT, bins: Vec::new(), min, max, nan, infinite };
    }
    Counts {
        exponent: word(record, 24).cast_signed(),
        bins: bins.as_chunks().0.iter().map(|bytes| u64::from_ne_bytes(*bytes)).collect(),
        // Adding 0 turns -0 into 0.
        min: value_of(least) + 0.0,
        max: value_of(greatest) + 0.0,
        nan,
        infinite,
    }
}

/// A float from its key: see `key_of` in the source.
fn value_of(key: u32) -> f32 {
    f32::from_bits(if key >> 31 == 1 { key & 0x7fff_ffff } else { !key })
}

fn word(record: &[u8; RECORD], at: usize) -> u32 {
    u32::from_ne_bytes(std::array::from_fn(|byte| record[at + byte]))
}

fn long(record: &[u8; RECORD], at: usize) -> u64 {
    u64::from_ne_bytes(std::array::from_fn(|byte| record[at + byte]))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn records_are_read_as_the_kernels_write_them() {
        let key = |x: f32| match x.to_bits() {
            bits if bits >> 31 == 1 => !bits,
            bits => bits | 0x8000_0000,
        };
        for (min, max) in [(-3.5_f32, 7.25_f32), (0.0, 0.0), (-1e-40, 3e38), (-2.0, -1.0)] {
            let mut record = [0; RECORD];
            record[0..8].copy_from_slice(&3_u64.to_ne_bytes());
            record[16..20].copy_from_slice(&key(max).to_ne_bytes());
            record[20..24].copy_from_slice(&(!key(min)).to_ne_bytes());
            record[24..28].copy_from_slice(&(-7_i32).to_ne_bytes());
            let bins = [1_u64.to_ne_bytes(), 2_u64.to_ne_bytes()].concat();
            let found = counts(&record, &bins);
            assert_eq!((found.min, found.max, found.exponent, found.nan), (min, max, -7, 3));
            assert_eq!(found.bins, [1, 2]);
        }
        let nothing = counts(&[0; RECORD], &[0; 16]);
        assert_eq!((nothing.exponent, nothing.bins.len(), nothing.min), (-100, 0, f32::INFINITY));
    }

    #[test]
    fn the_first_nan_is_kept_as_a_complement() {
        let mut record = [0; RECORD];
        assert_eq!(seen(&record), Seen { nan: 0, infinite: 0, first_nan: None });
        record[24..28].copy_from_slice(&(!5_u32).to_ne_bytes());
        record[0] = 2;
        assert_eq!(seen(&record), Seen { nan: 2, infinite: 0, first_nan: Some(5) });
    }
}
