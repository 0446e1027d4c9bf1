//! From images to histograms, on all cores.
//!
//! As many threads as the backend has lanes; each takes the next group of images, decodes and preprocesses them, and
//! has the backend count them, so that one thread decodes while another runs the model and nothing waits in a queue.
//! Memory holds one group per thread, however many images there are.

use std::any::Any;
use std::collections::BTreeMap;
use std::panic;
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::thread;

use trt_inference::{Batch, Content, HistogramSource, SourceError, Tensor};
use trt_imaging::{Decoded, ImagingError, Limits, Note, Runner};

use super::error::{CalibrateError, ImageError};
use super::input::ImageInput;
use super::{Event, Events};
use trt_files::{ReadError, read_capped};
use crate::interrupt::Interrupt;

/// What became of the images.
#[derive(Debug, Default)]
pub struct Tally {
    /// Positions of the images that were counted, ascending.
    pub used: Vec<usize>,
    /// Images that could not be decoded, and why, by position.
    pub undecodable: BTreeMap<usize, ImageError>,
    /// Positions of images that fill no batch of a model whose batch size is fixed, ascending.
    pub left_over: Vec<usize>,
    /// What decoding changed, and for how many images.
    pub notes: BTreeMap<String, usize>,
}

/// How the images are taken.
#[derive(Debug, Clone, Copy)]
pub struct Rules {
    /// Images per run, where the model leaves it open; at least 1.
    pub batch: usize,
    /// The share of images that may be undecodable.
    pub max_undecodable: f64,
    /// What decodes an image file; tests have others.
    pub decode: fn(&[u8]) -> Result<Decoded, ImagingError>,
}

/// Has `source` count all `files`.
///
/// Where the model's batch size is fixed, images of groups that a broken image has left incomplete are put together
/// into whole batches in the end, in the order of `files`; what remains is left over.
///
/// # Errors
/// [`CalibrateError::Source`], [`CalibrateError::Read`], [`CalibrateError::Undecodable`],
/// [`CalibrateError::AllUndecodable`], [`CalibrateError::SmallBatch`] and [`CalibrateError::Interrupted`].
pub fn count(
    source: &dyn HistogramSource,
    files: &[PathBuf],
    input: &ImageInput,
    rules: Rules,
    events: &Events<'_>,
    interrupt: &Interrupt,
) -> Result<Tally, CalibrateError> {
    let size = input.fixed_batch.unwrap_or(rules.batch).max(1);
    let tolerated = (rules.max_undecodable * files.len() as f64).floor() as usize;
    let tally = Mutex::default();
    let decode = rules.decode;
    let done = AtomicUsize::new(0);
    let work = Work { source, files, input, tolerated, decode, events, interrupt, tally, done };
    let all: Vec<usize> = (0..files.len()).collect();
    work.run(&all.chunks(size).collect::<Vec<_>>())?;
    let mut rest = std::mem::take(&mut work.tally().left_over);
    rest.sort_unstable();
    let left_over = rest.split_off(rest.len() / size * size);
    work.run(&rest.chunks(size).collect::<Vec<_>>())?;

    let mut tally = work.tally.into_inner().unwrap_or_else(PoisonError::into_inner);
    tally.used.sort_unstable();
    tally.left_over = left_over;
    if tally.undecodable.len() == files.len()
        && let Some((at, source)) = tally.undecodable.pop_first()
    {
        return Err(CalibrateError::AllUndecodable { count: files.len(), path: files[at].clone(), source });
    }
    if tally.undecodable.len() > tolerated {
        let name = |(at, error): (&usize, &ImageError)| format!("{}: {error}", files[*at].display());
        let bad = tally.undecodable.iter().map(name).collect();
        return Err(CalibrateError::Undecodable { bad, total: files.len(), limit: rules.max_undecodable });
    }
    if tally.used.is_empty() {
        return Err(CalibrateError::SmallBatch { batch: size, images: tally.left_over.len() });
    }
    Ok(tally)
}

struct Work<'a> {
    source: &'a dyn HistogramSource,
    files: &'a [PathBuf],
    input: &'a ImageInput,
    /// How many images may be undecodable.
    tolerated: usize,
    decode: fn(&[u8]) -> Result<Decoded, ImagingError>,
    events: &'a Events<'a>,
    interrupt: &'a Interrupt,
    tally: Mutex<Tally>,
    done: AtomicUsize,
}

impl Work<'_> {
    fn tally(&self) -> MutexGuard<'_, Tally> {
        self.tally.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Works groups off, several at a time, until one fails.
    fn run(&self, groups: &[&[usize]]) -> Result<(), CalibrateError> {
        let (next, stop) = (AtomicUsize::new(0), AtomicBool::new(false));
        let lane = || {
            let mut runner = self.input.pipeline.runner().map_err(|source| self.misfit(source))?;
            while !stop.load(Ordering::Relaxed) {
                let Some(group) = groups.get(next.fetch_add(1, Ordering::Relaxed)) else { break };
                self.interrupt.check()?;
                self.group(group, &mut runner)?;
            }
            Ok(())
        };
        let guarded = || lane().inspect_err(|_: &CalibrateError| stop.store(true, Ordering::Relaxed));
        thread::scope(|scope| {
            let lanes = self.source.lanes().min(groups.len());
            let threads: Vec<_> = (0..lanes).map(|_| scope.spawn(guarded)).collect();
            let results = threads.into_iter().map(|thread| {
                // A panic of the backend is its own; another thread's groups are not worth finishing.
                thread
                    .join()
                    .unwrap_or_else(|panic| Err(SourceError::Panicked { reason: reason_of(&*panic) }.into()))
            });
            // All are joined before the first error is taken.
            results.collect::<Vec<_>>().into_iter().collect()
        })
    }

    /// Decodes a group and has it counted.
    fn group(&self, group: &[usize], runner: &mut Runner) -> Result<(), CalibrateError> {
        let one = self.input.pipeline.output_len();
        let mut values = Vec::with_capacity(one * group.len());
        let (mut kept, mut notes) = (Vec::new(), Vec::new());
        for &at in group {
            match self.image(at)? {
                Ok(decoded) => {
                    let start = values.len();
                    values.resize(start + one, 0.0);
                    runner
                        .run(&decoded.picture, &mut values[start..])
                        .map_err(|source| self.misfit(source))?;
                    kept.push(at);
                    notes.extend(decoded.notes);
                }
                Err(error) => {
                    self.tally().undecodable.insert(at, error);
                    self.progress(1);
                }
            }
        }
        if self.input.fixed_batch.is_some_and(|batch| kept.len() < batch) {
            self.tally().left_over.extend(kept);
            return Ok(());
        }
        // Past the limit there will be no table: from then on, broken images are only looked for, to list them all.
        if kept.is_empty() || self.tally().undecodable.len() > self.tolerated {
            return Ok(());
        }
        let mut shape = self.input.pipeline.shape();
        shape[0] = kept.len();
        let samples = kept.iter().map(|&at| self.files[at].display().to_string()).collect();
        let tensor = Tensor::f32(&self.input.name, shape, values);
        self.source.accumulate(Batch { content: Content::Tensors(vec![tensor]), samples })?;
        self.progress(kept.len());
        let mut tally = self.tally();
        tally.used.extend(kept);
        for note in notes {
            *tally.notes.entry(about(note)).or_default() += 1;
        }
        Ok(())
    }

    /// Reads and decodes an image; whatever is wrong with it is its own fault, even a panic of the decoder.
    fn image(&self, at: usize) -> Result<Result<Decoded, ImageError>, CalibrateError> {
        let path = &self.files[at];
        let bytes = match read_capped(path, Limits::default().file_bytes) {
            Ok(bytes) => bytes,
            Err(ReadError::TooLarge { bytes, limit }) => {
                return Ok(Err(ImagingError::FileTooLarge { bytes, limit }.into()));
            }
            Err(ReadError::Io(source)) => return Err(CalibrateError::Read { path: path.clone(), source }),
        };
        let decode = self.decode;
        Ok(match panic::catch_unwind(|| decode(&bytes)) {
            Ok(decoded) => decoded.map_err(ImageError::from),
            Err(panic) => Err(ImageError::Panicked { reason: reason_of(&*panic) }),
        })
    }

    fn progress(&self, images: usize) {
        let done = self.done.fetch_add(images, Ordering::Relaxed) + images;
        (self.events)(Event::Images { done, total: self.files.len() });
    }

    fn misfit(&self, source: ImagingError) -> CalibrateError {
        CalibrateError::Preprocess { input: self.input.name.clone(), source }
    }
}

/// What a panic says of itself.
fn reason_of(panic: &(dyn Any + Send)) -> String {
    let text = panic.downcast_ref::<String>().map(String::as_str);
    text.or(panic.downcast_ref::<&str>().copied()).unwrap_or("no reason given").to_owned()
}

/// A note without what differs from image to image.
fn about(note: Note) -> String {
    match note {
        Note::Oriented(_) => "rotated by EXIF orientation".to_owned(),
        note => note.to_string(),
    }
}

#[cfg(test)]
mod tests {
use trt_imaging::{Preprocess, Size};

    use trt_inference::{Backend, Histograms};

    use super::*;

    /// Counts images, and nothing of them.
    struct Nothing;

    impl HistogramSource for Nothing {
        fn backend(&self) -> Backend {
            Backend { name: "nothing", version: "0".to_owned(), settings: vec![] }
        }

        fn lanes(&self) -> usize {
            2
        }

        fn accumulate(&self, _: Batch) -> Result<(), SourceError> {
            Ok(())
        }

        fn snapshot(&self) -> Result<Histograms, SourceError> {
            Ok(Histograms::default())
        }

        fn finish(self: Box<Self>) -> Result<Histograms, SourceError> {
            self.snapshot()
        }
    }

    /// A decoder with a defect that one image brings out.
    fn defective(bytes: &[u8]) -> Result<Decoded, ImagingError> {
        assert_ne!(bytes, b"strange", "index out of bounds");
        trt_imaging::decode(bytes)
    }

    #[test]
    fn a_panic_of_the_decoder_costs_one_image() {
        let folder = tempfile::tempdir().unwrap();
        let files = ["a.png", "b.png", "c.png"].map(|name| folder.path().join(name));
        files.iter().for_each(|file| image::RgbImage::new(4, 4).save(file).unwrap());
        std::fs::write(&files[1], b"strange").unwrap();
        let size = Some(Size { width: 4, height: 4 });
        let pipeline = Preprocess::default().resolve(size).unwrap();
        let input = ImageInput { name: "x".to_owned(), pipeline, fixed_batch: None };
        let mut rules = Rules { batch: 1, max_undecodable: 0.5, decode: defective };
        let run = |rules| count(&Nothing, &files, &input, rules, &|_| {}, &Interrupt::default());
        let tally = run(rules).unwrap();
        assert_eq!(tally.used, [0, 2]);
        let why = tally.undecodable[&1].to_string();
        assert!(why.contains("the decoder failed") && why.contains("index out of bounds"), "{why}");
        rules.max_undecodable = 0.0;
        let error = run(rules).unwrap_err();
        assert!(error.undecodable()[0].contains("b.png"), "{error}");
    }
}
