//! Who runs when: warm-ups, then rounds in which every subject runs once, so that a machine that grows
//! warm or busy favours none.

use std::future::Future;
use std::ops::ControlFlow;
use std::time::Duration;

use web_time::Instant;

use super::record::{Clocks, Mode, Protocol, Samples};
use crate::error::{Error, Result};

/// How long one frame took, by three clocks.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct FrameTimes {
    /// The device's own time from the first dispatch to the last; `None` without timestamps.
    pub gpu: Option<Duration>,
    /// From handing the commands to the queue until the result is in the program's memory. On the CPU
    /// executor the network alone, without preprocessing.
    pub submit_to_readback: Duration,
    /// From the frame's bytes to labels.
    pub end_to_end: Duration,
}

/// Runs with the queue kept full.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Burst {
    /// The time of each: from its frame's bytes to its labels, other runs being under way.
    pub times: Vec<FrameTimes>,
    /// From the first one's beginning to the last one's end.
    pub took: Duration,
}

/// What is measured: one model, precision, batch and device.
pub trait Subject {
    /// Runs once, alone.
    fn run(&mut self) -> impl Future<Output = Result<FrameTimes>>;

    /// Runs so many times with several runs under way at once.
    fn burst(&mut self, runs: usize) -> impl Future<Output = Result<Burst>>;
}

/// How far a measurement is.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Progress {
    /// Runs done, warm-ups included.
    pub done: u64,
    /// Runs known to be needed; more may follow until the least time is full.
    pub of: u64,
}

/// What was measured of one subject.
#[derive(Debug, Default)]
pub struct Collected {
    /// The very first run.
    pub first: Option<FrameTimes>,
    /// The runs that count, in order.
    pub times: Vec<FrameTimes>,
    /// When each of them began, counted from the first; [`Mode::Sustained`] only.
    pub began: Vec<Duration>,
    /// How long they took together.
    pub busy: Duration,
    /// Why it stopped before the end.
    pub error: Option<Error>,
    warm_ups: usize,
    /// Of a run in the last turn.
    rate: Option<Duration>,
    start: Option<Instant>,
}

/// A burst takes about this long: the queue's filling and draining at its ends are then a small part, and
/// turns are still short against what makes a machine warm.
const BURST: Duration = Duration::from_millis(500);

impl Collected {
    /// The times by clock.
    pub fn clocks(&self) -> Clocks {
        // Clocks count whole nanoseconds: three decimals, and no more in files.
        let us = |time: Duration| time.as_nanos() as f64 / 1e3;
        let gpu: Vec<f64> = self.times.iter().filter_map(|times| times.gpu.map(us)).collect();
        Clocks {
            // A clock that was not there in every run says nothing of all.
            gpu: Samples::new(gpu).filter(|gpu| gpu.us.len() == self.times.len()),
            submit_to_readback: Samples::new(self.times.iter().map(|times| us(times.submit_to_readback)).collect()),
            end_to_end: Samples::new(self.times.iter().map(|times| us(times.end_to_end)).collect()),
        }
    }

    /// Runs done, warm-ups included.
    fn runs(&self) -> usize {
        self.warm_ups + self.times.len()
    }

    /// Runs a second, all of them together.
    pub fn runs_per_second(&self) -> Option<f64> {
        (!self.busy.is_zero()).then(|| self.times.len() as f64 / self.busy.as_secs_f64())
    }

    /// Runs that are known to be needed still.
    fn missing(&self, protocol: &Protocol) -> usize {
        let counted = protocol.runs.saturating_sub(self.times.len());
        let more = usize::from(counted == 0 && self.busy.as_secs_f64() < protocol.seconds);
        let all = protocol.warm_ups.saturating_sub(self.warm_ups).saturating_add(counted).saturating_add(more);
        if self.error.is_some() { 0 } else { all }
    }

    /// How many runs make a burst of about [`BURST`].
    fn burst(&self) -> usize {
        let runs = self.rate.map_or(0.0, |rate| BURST.as_secs_f64() / rate.as_secs_f64().max(1e-9));
        (runs as usize).clamp(4, 256)
    }

    /// One turn.
    async fn turn<S: Subject>(&mut self, subject: &mut S, protocol: &Protocol) {
        let sustained = protocol.mode == Mode::Sustained;
        let since = self.start.get_or_insert_with(Instant::now).elapsed();
        let runs = match protocol.mode {
            Mode::Throughput => subject.burst(self.burst()).await,
            _ => subject.run().await.map(|times| Burst { times: vec![times], took: times.end_to_end }),
        };
        match runs {
            Err(error) => self.error = Some(error),
            Ok(Burst { times, took }) => {
                self.first = self.first.or(times.first().copied());
                self.rate = Some(took / times.len().max(1) as u32);
                if self.warm_ups < protocol.warm_ups {
                    self.warm_ups += times.len();
                    self.start = None;
                } else {
                    self.began.extend(sustained.then_some(since));
                    self.times.extend(times);
                    self.busy = self.busy.saturating_add(took);
                }
            }
        }
    }
}

impl Protocol {
    /// The protocol of a mode, with its least counts.
    pub fn of(mode: Mode) -> Protocol {
        let (warm_ups, runs, seconds) = match mode {
            Mode::Latency | Mode::Throughput => (50, 200, 1.0),
            Mode::SingleStream => (50, 1024, 600.0),
            Mode::Sustained => (0, 1, 60.0),
        };
        Protocol { mode, warm_ups, runs, seconds, frame: [640, 480] }
    }
}

/// Measures all subjects in turn, one run each ([`Mode::Throughput`]: one burst), until every one has its warm-ups, runs and seconds. One
/// that fails is left out from then on. `watch` is called before every run and may end it all.
pub async fn interleave<S: Subject>(
    subjects: &mut [S],
    protocol: &Protocol,
    mut watch: impl FnMut(Progress) -> ControlFlow<()>,
) -> (Vec<Collected>, ControlFlow<()>) {
    let mut all: Vec<Collected> = subjects.iter().map(|_| Collected::default()).collect();
    let mut done = 0;
    loop {
        let mut ran = false;
        for at in 0..subjects.len() {
            let missing =
                |all: &[Collected]| all.iter().map(|one| one.missing(protocol) as u64).fold(0, u64::saturating_add);
            if all[at].missing(protocol) == 0 {
                continue;
            }
            if watch(Progress { done, of: missing(&all).saturating_add(done) }).is_break() {
                return (all, ControlFlow::Break(()));
            }
            let before = all[at].runs();
            all[at].turn(&mut subjects[at], protocol).await;
            (ran, done) = (true, done + (all[at].runs() - before) as u64);
        }
        if !ran {
            return (all, ControlFlow::Continue(()));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::cell::RefCell;
    use std::rc::Rc;

    /// Takes a millisecond, writes down who ran, and fails in one run if told to.
    struct Fake {
        name: char,
        log: Rc<RefCell<String>>,
        fails_at: Option<usize>,
        runs: usize,
    }

    impl Subject for Fake {
        async fn run(&mut self) -> Result<FrameTimes> {
            self.log.borrow_mut().push(self.name);
            self.runs += 1;
            if self.fails_at == Some(self.runs) {
                return Err(Error::argument("planted"));
            }
            let end_to_end = Duration::from_millis(self.runs as u64);
            Ok(FrameTimes { gpu: Some(end_to_end / 4), submit_to_readback: end_to_end / 2, end_to_end })
        }

        async fn burst(&mut self, runs: usize) -> Result<Burst> {
            self.log.borrow_mut().push(self.name);
            self.runs += runs;
            // Two at a time.
            let times = FrameTimes { end_to_end: Duration::from_millis(100), ..FrameTimes::default() };
            Ok(Burst { times: vec![times; runs], took: Duration::from_millis(50) * runs as u32 })
        }
    }

    fn fakes(names: &str) -> (Vec<Fake>, Rc<RefCell<String>>) {
        let log = Rc::<RefCell<String>>::default();
        (names.chars().map(|name| Fake { name, log: log.clone(), fails_at: None, runs: 0 }).collect(), log)
    }

    fn protocol(warm_ups: usize, runs: usize, seconds: f64) -> Protocol {
        Protocol { warm_ups, runs, seconds, ..Protocol::of(Mode::Latency) }
    }

    #[test]
    fn subjects_take_turns_and_warm_ups_do_not_count() {
        let (mut subjects, log) = fakes("ab");
        let protocol = protocol(2, 3, 0.0);
        let run = interleave(&mut subjects, &protocol, |_| ControlFlow::Continue(()));
        let (all, flow) = pollster::block_on(run);
        assert!(flow.is_continue());
        assert_eq!(*log.borrow(), "ababababab");
        for one in &all {
            let ms: Vec<u128> = one.times.iter().map(|times| times.end_to_end.as_millis()).collect();
            assert_eq!((ms, one.first.unwrap().end_to_end.as_millis()), (vec![3, 4, 5], 1));
            let clocks = one.clocks();
            assert_eq!(clocks.end_to_end.unwrap().us, [3000.0, 4000.0, 5000.0]);
            assert_eq!(clocks.gpu.unwrap().summary.p50, 1000.0);
        }
    }

    #[test]
    fn it_goes_on_until_the_time_is_full() {
        let (mut subjects, _) = fakes("a");
        let protocol = protocol(0, 2, 0.0155);
        let run = interleave(&mut subjects, &protocol, |_| ControlFlow::Continue(()));
        // 1 + 2 + 3 + 4 + 5 = 15 ms are not enough.
        assert_eq!(pollster::block_on(run).0[0].times.len(), 6);
    }

    #[test]
    fn one_that_fails_does_not_end_the_others() {
        let (mut subjects, log) = fakes("ab");
        subjects[0].fails_at = Some(2);
        let protocol = protocol(0, 3, 0.0);
        let run = interleave(&mut subjects, &protocol, |_| ControlFlow::Continue(()));
        let (all, _) = pollster::block_on(run);
        assert_eq!(*log.borrow(), "ababb");
        assert!(all[0].error.is_some() && all[0].times.len() == 1, "{all:?}");
        assert!(all[1].error.is_none() && all[1].times.len() == 3, "{all:?}");
    }

    #[test]
    fn an_interrupt_keeps_what_there_is() {
        let (mut subjects, _) = fakes("ab");
        let protocol = protocol(1, 100, 0.0);
        let run = interleave(&mut subjects, &protocol, |progress| {
            assert!(progress.done < progress.of);
            if progress.done == 7 { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
        });
        let (all, flow) = pollster::block_on(run);
        assert!(flow.is_break());
        assert_eq!((all[0].times.len(), all[1].times.len()), (3, 2));
    }

    #[test]
    fn bursts_take_turns_and_make_a_rate() {
        let (mut subjects, log) = fakes("ab");
        let protocol = Protocol { warm_ups: 3, runs: 12, seconds: 0.0, ..Protocol::of(Mode::Throughput) };
        let run = interleave(&mut subjects, &protocol, |_| ControlFlow::Continue(()));
        let (all, _) = pollster::block_on(run);
        // A first burst of four warms up; from then on half a second is ten runs.
        assert_eq!(*log.borrow(), "ababab");
        assert_eq!(all.iter().map(|one| one.times.len()).collect::<Vec<_>>(), [20, 20]);
        assert_eq!(all[0].runs_per_second(), Some(20.0));
        assert_eq!(Collected::default().runs_per_second(), None);
    }

    #[test]
    fn a_sustained_run_says_when_each_began() {
        let (mut subjects, _) = fakes("a");
        let protocol = Protocol { seconds: 0.009, ..Protocol::of(Mode::Sustained) };
        let run = interleave(&mut subjects, &protocol, |_| ControlFlow::Continue(()));
        let (all, _) = pollster::block_on(run);
        assert_eq!((all[0].times.len(), all[0].began.len()), (4, 4));
        assert!(all[0].began.is_sorted());
    }

    #[test]
    fn a_clock_that_was_missing_once_is_not_shown() {
        let times = |gpu| FrameTimes { gpu, ..FrameTimes::default() };
        let some = Some(Duration::from_micros(5));
        let collected = Collected { times: vec![times(some), times(None)], ..Collected::default() };
        assert_eq!(collected.clocks().gpu, None);
        assert!(collected.clocks().end_to_end.is_some());
    }
}
