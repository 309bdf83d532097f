//! A place for one value of which only the newest counts.

use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

/// What is put in replaces what nobody took, which is counted: whichever side is slower, the other does not wait.
pub struct Newest<T> {
    state: Mutex<State<T>>,
    came: Condvar,
}

struct State<T> {
    value: Option<T>,
    replaced: u64,
}

impl<T> Newest<T> {
    pub fn new() -> Newest<T> {
        Newest { state: Mutex::new(State { value: None, replaced: 0 }), came: Condvar::new() }
    }

    pub fn put(&self, value: T) {
        let mut state = self.lock();
        if state.value.replace(value).is_some() {
            state.replaced += 1;
        }
        drop(state);
        self.came.notify_one();
    }

    pub fn take(&self) -> Option<T> {
        self.lock().value.take()
    }

    /// Waits for a value, but not longer than that.
    pub fn wait(&self, longest: Duration) -> Option<T> {
        let state = self.lock();
        let waited = self.came.wait_timeout_while(state, longest, |state| state.value.is_none());
        waited.unwrap_or_else(PoisonError::into_inner).0.value.take()
    }

    /// Values that nobody took.
    pub fn replaced(&self) -> u64 {
        self.lock().replaced
    }

    fn lock(&self) -> MutexGuard<'_, State<T>> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_newest_wins_and_what_it_replaced_is_counted() {
        let place = Newest::new();
        assert_eq!(place.wait(Duration::ZERO), None);
        place.put(1);
        assert_eq!(place.take(), Some(1));
        place.put(2);
        place.put(3);
        assert_eq!((place.wait(Duration::from_secs(9)), place.replaced()), (Some(3), 1));
        assert_eq!(place.take(), None);
    }

    #[test]
    fn who_waits_is_woken() {
        let place = std::sync::Arc::new(Newest::new());
        let other = place.clone();
        let waiting = std::thread::spawn(move || other.wait(Duration::from_secs(60)));
        place.put(7);
        assert_eq!(waiting.join().unwrap(), Some(7));
    }
}
