//! The agent's messages, read on a thread of their own: waiting for one can be interrupted, and has no busy loop.

use std::io::{self, BufReader, Read};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::{self, Receiver, RecvTimeoutError, TryRecvError};
use std::time::Duration;

use trt_wire::frame::{Frame, FrameError};

use crate::interrupt::Interrupt;

/// How often a wait looks at Ctrl-C.
const TICK: Duration = Duration::from_millis(50);

/// Frames as they arrive.
pub struct Replies {
    frames: Receiver<Result<Frame, FrameError>>,
    received: Arc<AtomicU64>,
}

/// Why there is no frame.
pub enum NoFrame {
    /// The stream ended or broke.
    Frame(FrameError),
    /// Ctrl-C.
    Interrupted,
    /// Nothing came in the time given.
    Late,
}

impl Replies {
    /// Reads from now on; ends with the stream, or when this is dropped and something arrives.
    pub fn new(reader: Box<dyn Read + Send>) -> Self {
        let received = Arc::new(AtomicU64::new(0));
        let (sender, frames) = mpsc::sync_channel(16);
        let counted = Counted { inner: reader, count: Arc::clone(&received) };
        std::thread::spawn(move || {
            let mut reader = BufReader::new(counted);
            loop {
                let frame = Frame::read(&mut reader);
                let ended = frame.is_err();
                if sender.send(frame).is_err() || ended {
                    return;
                }
            }
        });
        Self { frames, received }
    }

    /// Bytes that arrived so far.
    pub fn received(&self) -> u64 {
        self.received.load(Ordering::Relaxed)
    }

    /// The next frame if it is here already.
    pub fn waiting(&self) -> Option<Result<Frame, FrameError>> {
        match self.frames.try_recv() {
            Ok(frame) => Some(frame),
            Err(TryRecvError::Empty) => None,
            Err(TryRecvError::Disconnected) => Some(Err(FrameError::Closed)),
        }
    }

    /// The next frame, or Ctrl-C if `interrupt` is given, or nothing within `limit`.
    pub fn next(&self, interrupt: Option<&Interrupt>, limit: Option<Duration>) -> Result<Frame, NoFrame> {
        let mut waited = Duration::ZERO;
        loop {
            match self.frames.recv_timeout(TICK) {
                Ok(frame) => return frame.map_err(NoFrame::Frame),
                Err(RecvTimeoutError::Disconnected) => return Err(NoFrame::Frame(FrameError::Closed)),
                Err(RecvTimeoutError::Timeout) => waited += TICK,
            }
            if interrupt.is_some_and(Interrupt::is_raised) {
                return Err(NoFrame::Interrupted);
            }
            if limit.is_some_and(|limit| waited >= limit) {
                return Err(NoFrame::Late);
            }
        }
    }
}

struct Counted<R> {
    inner: R,
    count: Arc<AtomicU64>,
}

impl<R: Read> Read for Counted<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let read = self.inner.read(buffer)?;
        self.count.fetch_add(read as u64, Ordering::Relaxed);
        Ok(read)
    }
}
