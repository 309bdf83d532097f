//! Threads that go through the steps of a program together.
//!
//! Every thread walks the same list of steps. Of each it takes the pieces of its own share first, then
//! what is left of the others', and waits until the last piece is done before it goes on. Shares are
//! consecutive pieces, so a thread finds in its own cache what it wrote in the step before, where both
//! are cut in the same direction. Nobody waits for a *thread*, only for pieces that somebody is working on:
//! the calling thread alone would finish, and one that comes late finds its steps done. Handing each step to rayon instead costs a wake-up
//! per step, which for a network of sixty short steps is a tenth of the time.

#[cfg(not(target_arch = "wasm32"))]
use std::sync::atomic::{AtomicUsize, Ordering};

/// Calls `work(step, piece, memory)` for every piece of every step; a step begins when the one
/// before it is done. `pieces` has the number of each step's pieces, `memories` a scratch memory
/// for each thread.
pub(in crate::cpu) fn run<M: Send>(pieces: &[usize], memories: &mut [M], work: impl Fn(usize, usize, &mut M) + Sync) {
    #[cfg(not(target_arch = "wasm32"))]
    if let [first, others @ ..] = memories
        && !others.is_empty()
    {
        let shares = others.len() + 1;
        let steps: Vec<Step> = pieces.iter().map(|pieces| Step::new(*pieces, shares)).collect();
        let (steps, work) = (&steps, &work);
        return rayon::in_place_scope(|scope| {
            for (i, memory) in others.iter_mut().enumerate() {
                scope.spawn(move |_| participate(steps, i + 1, memory, work));
            }
            participate(steps, 0, first, work);
        });
    }
    if let Some(memory) = memories.first_mut() {
        for (step, pieces) in pieces.iter().enumerate() {
            (0..*pieces).for_each(|piece| work(step, piece, memory));
        }
    }
}

#[cfg(not(target_arch = "wasm32"))]
struct Step {
    pieces: usize,
    /// For each share, the next piece that nobody has taken.
    next: Vec<AtomicUsize>,
    /// Number of pieces that are done.
    done: AtomicUsize,
}

#[cfg(not(target_arch = "wasm32"))]
impl Step {
    fn new(pieces: usize, shares: usize) -> Self {
        let next = (0..shares).map(|share| AtomicUsize::new(share * pieces / shares)).collect();
        Step { pieces, next, done: AtomicUsize::new(0) }
    }

    /// A piece that nobody has taken, of this share if there is one left.
    fn take(&self, share: usize) -> Option<usize> {
        let shares = self.next.len();
        (share..share + shares).find_map(|share| {
            let share = share % shares;
            let end = (share + 1) * self.pieces / shares;
            let piece = self.next[share].fetch_add(1, Ordering::Relaxed);
            (piece < end).then_some(piece)
        })
    }

    fn wait(&self) {
        // A piece takes some ten microseconds; after that, somebody else may need the core.
        const SPINS: usize = 4096;
        let mut spins = 0;
        while self.done.load(Ordering::Acquire) < self.pieces {
            spins += 1;
            if spins < SPINS { std::hint::spin_loop() } else { std::thread::yield_now() }
        }
    }
}

/// Counts a piece as done when dropped, also by a panic: the others would wait for ever.
#[cfg(not(target_arch = "wasm32"))]
struct Done<'a>(&'a AtomicUsize);

#[cfg(not(target_arch = "wasm32"))]
impl Drop for Done<'_> {
    fn drop(&mut self) {
        self.0.fetch_add(1, Ordering::Release);
    }
}

#[cfg(not(target_arch = "wasm32"))]
fn participate<M>(steps: &[Step], share: usize, memory: &mut M, work: &impl Fn(usize, usize, &mut M)) {
    for (index, step) in steps.iter().enumerate() {
        while let Some(piece) = step.take(share) {
            let _done = Done(&step.done);
            work(index, piece, memory);
        }
        step.wait();
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::Mutex;

    #[test]
    fn every_piece_is_done_once_and_steps_in_order() {
        for threads in [1, 2, 5] {
            let log = Mutex::new(Vec::new());
            let mut memories = vec![0usize; threads];
            run(&[3, 0, 40, 1], &mut memories, |step, piece, memory| {
                *memory += 1;
                log.lock().unwrap().push((step, piece));
            });
            assert_eq!(memories.iter().sum::<usize>(), 44);
            let mut log = log.into_inner().unwrap();
            assert!(log.is_sorted_by_key(|entry| entry.0));
            log.sort();
            let expected = [(0, 3), (2, 40), (3, 1)].into_iter().flat_map(|(step, n)| (0..n).map(move |p| (step, p)));
            assert!(log.into_iter().eq(expected));
        }
    }

    #[test]
    fn a_panic_in_one_piece_does_not_hang_the_others() {
        let run = || run(&[8, 8], &mut [(), ()], |_, piece, _| assert!(piece != 3, "piece three"));
        assert!(std::panic::catch_unwind(run).is_err());
    }
}
