//! Items that several threads make, and others take in order: never more than a window of them at a time.

use std::collections::BTreeMap;
use std::ops::Range;
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};

/// Numbered items on their way from makers to takers.
pub(crate) struct Queue<T> {
    total: usize,
    /// How far makers may be ahead of takers, in items.
    window: usize,
    state: Mutex<State<T>>,
    changed: Condvar,
}

struct State<T> {
    ready: BTreeMap<usize, T>,
    /// The next item to be made.
    next: usize,
    /// How many were taken.
    taken: usize,
    closed: bool,
}

impl<T> Queue<T> {
    /// A queue of `total` items. Takers must never wait for more than `window` of them together.
    pub fn new(total: usize, window: usize) -> Self {
        let state = State { ready: BTreeMap::new(), next: 0, taken: 0, closed: false };
        Self { total, window, state: Mutex::new(state), changed: Condvar::new() }
    }

    fn state(&self) -> MutexGuard<'_, State<T>> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The number of an item that the caller is to make, once there is room for it; `None` if there is nothing to do any
    /// more.
    pub fn claim(&self) -> Option<usize> {
        let full = |state: &mut State<T>| {
            !state.closed && state.next < self.total && state.next >= state.taken + self.window
        };
        let mut state = self.changed.wait_while(self.state(), full).unwrap_or_else(PoisonError::into_inner);
        if state.closed || state.next >= self.total {
            return None;
        }
        state.next += 1;
        Some(state.next - 1)
    }

    /// Puts an item that was claimed.
    pub fn put(&self, at: usize, item: T) {
        self.state().ready.insert(at, item);
        self.changed.notify_all();
    }

    /// These items, in order, once all of them are there; `None` if there will be no more.
    pub fn take(&self, range: Range<usize>) -> Option<Vec<T>> {
        let missing =
            |state: &mut State<T>| !state.closed && state.ready.range(range.clone()).count() < range.len();
        let mut state =
            self.changed.wait_while(self.state(), missing).unwrap_or_else(PoisonError::into_inner);
        if state.closed {
            return None;
        }
        let items = range.clone().filter_map(|at| state.ready.remove(&at)).collect();
        state.taken += range.len();
        self.changed.notify_all();
        Some(items)
    }

    /// Ends it for everybody.
    pub fn close(&self) {
        self.state().closed = true;
        self.changed.notify_all();
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicUsize, Ordering};
    use std::thread;

    use super::*;

    #[test]
    fn items_come_in_order_and_never_more_than_a_window_of_them() {
        let queue = Queue::new(1000, 10);
        let (alive, most) = (AtomicUsize::new(0), AtomicUsize::new(0));
        thread::scope(|scope| {
            for _ in 0..4 {
                scope.spawn(|| {
                    while let Some(at) = queue.claim() {
                        most.fetch_max(alive.fetch_add(1, Ordering::SeqCst) + 1, Ordering::SeqCst);
                        queue.put(at, at);
                    }
                });
            }
            for start in (0..1000).step_by(5) {
                let items = queue.take(start..start + 5).unwrap();
                assert_eq!(items, (start..start + 5).collect::<Vec<_>>());
                alive.fetch_sub(5, Ordering::SeqCst);
            }
        });
        assert!(most.load(Ordering::SeqCst) <= 15, "{most:?}");
    }

    #[test]
    fn who_waits_is_released_when_it_closes() {
        let queue = Queue::<()>::new(5, 1);
        assert_eq!(queue.claim(), Some(0));
        thread::scope(|scope| {
            let maker = scope.spawn(|| queue.claim());
            let taker = scope.spawn(|| queue.take(0..1));
            queue.close();
            assert_eq!((maker.join().unwrap(), taker.join().unwrap()), (None, None));
        });
    }
}
