//! Work done ahead on several threads, its results taken in order: at most a window of them is under
//! way or waiting, whatever the threads' timing.
//!
//! The threads are not rayon's: they wait for room, and a waiting thread of the pool that the CPU
//! executor shares would hold the executor up, or stop both for good.

use std::collections::BTreeMap;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use crate::error::{Error, Result};

/// Results of `work(0)`, `work(1)` and so on, each as soon as it and all before it are there.
pub(super) struct Feed<T> {
    count: usize,
    window: usize,
    state: Mutex<State<T>>,
    /// A result came.
    came: Condvar,
    /// A result was taken, or no more are wanted.
    went: Condvar,
}

struct State<T> {
    begun: usize,
    taken: usize,
    stopped: bool,
    waiting: BTreeMap<usize, Result<T>>,
    busy: Duration,
}

/// Calls `consume` with the feed while `threads` threads do the work. Returns what it returns, and
/// the time that the threads were at work, summed.
///
/// # Errors
/// [`Error::Argument`] if not even one thread can be had.
pub(super) fn with<T: Send, R>(
    count: usize,
    threads: usize,
    window: usize,
    work: impl Fn(usize) -> Result<T> + Sync,
    consume: impl FnOnce(&Feed<T>) -> R,
) -> Result<(R, Duration)> {
    let state = State { begun: 0, taken: 0, stopped: false, waiting: BTreeMap::new(), busy: Duration::ZERO };
    let (came, went) = (Condvar::new(), Condvar::new());
    let feed = Feed { count, window: window.max(1), state: Mutex::new(state), came, went };
    let result = thread::scope(|scope| {
        for number in 0..threads.max(1) {
            let spawned = thread::Builder::new().name("decode".into()).spawn_scoped(scope, || feed.work(&work));
            if let Err(error) = spawned
                && number == 0
            {
                return Err(Error::argument(format!("cannot start a thread for decoding: {error}")));
            }
        }
        // Whatever becomes of the consumer, the threads must end, or the scope never would.
        let _stop = Stop(&feed);
        Ok(consume(&feed))
    })?;
    let busy = feed.lock().busy;
    Ok((result, busy))
}

struct Stop<'a, T>(&'a Feed<T>);

impl<T> Drop for Stop<'_, T> {
    fn drop(&mut self) {
        self.0.lock().stopped = true;
        self.0.went.notify_all();
    }
}

impl<T> Feed<T> {
    /// The next result; `None` after the last.
    pub(super) fn next(&self) -> Option<Result<T>> {
        let mut state = self.lock();
        let index = state.taken;
        if index >= self.count {
            return None;
        }
        loop {
            if let Some(result) = state.waiting.remove(&index) {
                state.taken += 1;
                self.went.notify_all();
                return Some(result);
            }
            state = self.came.wait(state).unwrap_or_else(PoisonError::into_inner);
        }
    }

    fn work(&self, work: &(impl Fn(usize) -> Result<T> + Sync)) {
        while let Some(index) = self.begin() {
            let start = Instant::now();
            // A decoder that panics on a damaged file must not leave the consumer waiting.
            let result = catch_unwind(AssertUnwindSafe(|| work(index)))
                .unwrap_or_else(|_| Err(Error::argument("the decoder failed in a way that it should not (a defect)")));
            let mut state = self.lock();
            state.busy += start.elapsed();
            state.waiting.insert(index, result);
            drop(state);
            self.came.notify_all();
        }
    }

    /// The next index to work on, as soon as there is room for it; `None` if there is no more to do.
    fn begin(&self) -> Option<usize> {
        let mut state = self.lock();
        while !state.stopped && state.begun < self.count && state.begun - state.taken >= self.window {
            state = self.went.wait(state).unwrap_or_else(PoisonError::into_inner);
        }
        if state.stopped || state.begun >= self.count {
            return None;
        }
        state.begun += 1;
        Some(state.begun - 1)
    }

    /// Nothing that holds the lock panics; if it did, the state would still be whole.
    fn lock(&self) -> MutexGuard<'_, State<T>> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicUsize, Ordering};

    use super::*;

    fn take_all(feed: &Feed<usize>) -> Vec<Option<usize>> {
        std::iter::from_fn(|| feed.next()).map(Result::ok).collect()
    }

    #[test]
    fn results_come_in_order_however_long_each_takes() {
        for (threads, window) in [(1, 1), (4, 1), (3, 8), (8, 3), (0, 0)] {
            let slow_first = |index: usize| {
                thread::sleep(Duration::from_micros(if index.is_multiple_of(7) { 500 } else { 5 }));
                if index == 5 { Err(Error::argument("five")) } else { Ok(index) }
            };
            let (all, busy) = with(60, threads, window, slow_first, take_all).unwrap();
            let expected: Vec<_> = (0..60).map(|i| (i != 5).then_some(i)).collect();
            assert_eq!(all, expected, "{threads} threads, window {window}");
            assert!(busy > Duration::ZERO);
        }
        assert!(with(0, 4, 4, Ok, take_all).unwrap().0.is_empty());
    }

    #[test]
    fn no_more_than_the_window_is_under_way_or_waiting() {
        let begun = AtomicUsize::new(0);
        let work = |index: usize| {
            begun.fetch_add(1, Ordering::SeqCst);
            Ok(index)
        };
        let most = |feed: &Feed<usize>| {
            let mut taken = 0;
            let mut most = 0;
            while feed.next().is_some() {
                taken += 1;
                thread::sleep(Duration::from_micros(200));
                // One more may have begun since this one was taken: the one that took its place.
                most = most.max(begun.load(Ordering::SeqCst) - taken);
            }
            most
        };
        let (most, _) = with(100, 4, 5, work, most).unwrap();
        assert!((1..=5).contains(&most), "{most}");
    }

    #[test]
    fn a_consumer_that_leaves_early_stops_the_work() {
        let begun = AtomicUsize::new(0);
        let work = |index: usize| {
            begun.fetch_add(1, Ordering::SeqCst);
            Ok(index)
        };
        let (first, _) = with(1_000_000, 4, 5, work, |feed| feed.next()).unwrap();
        assert_eq!(first.unwrap().unwrap(), 0);
        assert!(begun.load(Ordering::SeqCst) <= 6);
    }

    #[test]
    fn a_panic_is_an_error_of_that_one() {
        let work = |index: usize| if index == 1 { panic!("on purpose") } else { Ok(index) };
        assert_eq!(with(3, 2, 2, work, take_all).unwrap().0, [Some(0), None, Some(2)]);
    }
}
