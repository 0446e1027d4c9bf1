//! How groups of samples become batches: which threads decode them, and which have them counted.

use std::panic::{self, AssertUnwindSafe};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Condvar, Mutex, PoisonError};
use std::thread;

use trt_inference::SourceError;

use super::Work;
use crate::error::DatasetError;
use crate::load::{Loader, reason_of};
use crate::queue::Queue;

/// What a thread does until there is nothing left to do.
type Task<'t> = &'t (dyn Fn() -> Result<(), DatasetError> + Sync);

impl Work<'_> {
    /// Works groups off, several at a time, until one fails.
    pub(super) fn pass(&self, groups: &[Vec<usize>]) -> Result<(), DatasetError> {
        let lanes = self.source.lanes().clamp(1, groups.len().max(1));
        match (lanes, self.rules.threads.max(1)) {
            (1, threads @ 2..) => self.ahead(groups, threads),
            (lanes, threads) => self.side_by_side(groups, lanes, threads),
        }
    }

    /// One thread has batches counted, in order; others decode ahead of it, sample by sample, within a window.
    fn ahead(&self, groups: &[Vec<usize>], threads: usize) -> Result<(), DatasetError> {
        let order = groups.concat();
        let longest = groups.iter().map(Vec::len).max().unwrap_or(1);
        let queue = Queue::new(order.len(), 2 * longest + threads);
        let lane = || {
            let mut start = 0;
            for group in groups {
                if (self.hooks.cancelled)() {
                    return Err(DatasetError::Interrupted);
                }
                let Some(samples) = queue.take(start..start + group.len()) else { break };
                start += group.len();
                self.group(samples)?;
            }
            Ok(())
        };
        let decoder = || {
            let mut loader = self.loader()?;
            while let Some(item) = queue.claim() {
                let at = order[item];
                queue.put(item, (at, loader.load(at)?));
            }
            Ok(())
        };
        let mut tasks: Vec<Task<'_>> = vec![&decoder; threads.min(order.len())];
        tasks.push(&lane);
        together(&tasks, &|| queue.close())
    }

    /// Each thread decodes whole batches and has them counted by itself, as many at once as there are lanes. A picture's memory
    /// goes back to the thread that took it: passing pictures from thread to thread costs a third of the rate on 16 cores.
    fn side_by_side(&self, groups: &[Vec<usize>], lanes: usize, threads: usize) -> Result<(), DatasetError> {
        // Where there are fewer lanes than threads, lanes wait for a GPU mostly; others have the processor meanwhile.
        let threads = if lanes < threads { threads + lanes / 2 } else { lanes };
        let (next, stop, free) = (AtomicUsize::new(0), AtomicBool::new(false), Lanes::new(lanes));
        let stopped = || stop.load(Ordering::Relaxed);
        let worker = || {
            let mut loader = self.loader()?;
            while !stopped() {
                let Some(group) = groups.get(next.fetch_add(1, Ordering::Relaxed)) else { break };
                if (self.hooks.cancelled)() {
                    return Err(DatasetError::Interrupted);
                }
                let samples = group.iter().map(|&at| Ok((at, loader.load(at)?)));
                let samples = samples.collect::<Result<_, DatasetError>>()?;
                let _lane = free.take();
                if stopped() {
                    break;
                }
                self.group(samples)?;
            }
            Ok(())
        };
        let tasks: Vec<Task<'_>> = vec![&worker; threads.min(groups.len())];
        together(&tasks, &|| stop.store(true, Ordering::Relaxed))
    }

    pub(super) fn loader(&self) -> Result<Loader<'_>, DatasetError> {
        Loader::new(self.dataset, self.source.wants(), self.rules.decode)
    }
}

/// How many threads more may have a batch counted.
struct Lanes {
    free: Mutex<usize>,
    freed: Condvar,
}

/// One of them, until it is dropped.
struct Lane<'a>(&'a Lanes);

impl Lanes {
    fn new(count: usize) -> Self {
        Self { free: Mutex::new(count), freed: Condvar::new() }
    }

    /// Waits for one.
    fn take(&self) -> Lane<'_> {
        let free = self.free.lock().unwrap_or_else(PoisonError::into_inner);
        let mut free = self.freed.wait_while(free, |free| *free == 0).unwrap_or_else(PoisonError::into_inner);
        *free -= 1;
        Lane(self)
    }
}

impl Drop for Lane<'_> {
    fn drop(&mut self) {
        *self.0.free.lock().unwrap_or_else(PoisonError::into_inner) += 1;
        self.0.freed.notify_one();
    }
}

/// Does each task on a thread of its own; after a failure, a panic too, `end` tells the others. The first error, once all
/// have ended.
fn together(tasks: &[Task<'_>], end: &(dyn Fn() + Sync)) -> Result<(), DatasetError> {
    let guarded = |task: Task<'_>| {
        let outcome = panic::catch_unwind(AssertUnwindSafe(task));
        let outcome =
            outcome.unwrap_or_else(|panic| Err(SourceError::Panicked { reason: reason_of(&*panic) }.into()));
        outcome.inspect_err(|_| end())
    };
    thread::scope(|scope| {
        let running: Vec<_> = tasks.iter().map(|&task| scope.spawn(move || guarded(task))).collect();
        let outcomes: Vec<_> = running.into_iter().filter_map(|thread| thread.join().ok()).collect();
        outcomes.into_iter().collect()
    })
}
