//! Finding the fastest of many candidates within a time: a quick look at as many as there is time
//! for, then fewer and fewer of them more and more often (successive halving, Jamieson and Talwalkar
//! 2016), always in turn so that a device which slows down favours none.

use std::time::Duration;

use super::stats::Samples;
use crate::error::Result;

/// What runs candidates, and the clock.
pub(super) trait Timer {
    /// Time since some moment.
    fn now(&self) -> Duration;

    /// How long a timed run has to take to be worth anything.
    fn least(&self) -> Duration;

    /// Compiles a candidate, runs it once and looks at the result.
    async fn prepare(&mut self, candidate: usize) -> Result<Prepared>;

    /// Runs a candidate so many times and returns how long all of them took.
    async fn run(&mut self, candidate: usize, repetitions: u32) -> Result<Duration>;

    /// The candidate is not needed any more.
    fn discard(&mut self, candidate: usize);
}

/// A candidate that was compiled and run once.
pub(super) enum Prepared {
    /// Its result is right.
    Ready {
        /// How long compiling and the first run took.
        compile: Duration,
    },
    /// It was refused, or its result is wrong.
    Rejected(String),
}

/// What is known of a candidate before it is tried.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Candidate {
    /// Only the first of a group is tried at first; the others if that was among the best.
    pub group: usize,
    /// How much code it is: where one takes too long to compile, larger ones are not tried.
    pub size: usize,
}

/// What decides.
#[derive(Clone, Copy, Debug)]
pub(super) struct Rules {
    /// When to be done, by the timer's clock.
    pub deadline: Duration,
    /// A candidate that takes longer to compile, and longer than the default, is not taken, however fast it
    /// is.
    pub max_compile: Duration,
    /// Runs within which a longer time for compiling has to be made good; `None` where drivers keep
    /// what they have compiled.
    pub repay: Option<f64>,
    /// How often the network has the step.
    pub count: usize,
}

/// A candidate that was measured.
#[derive(Clone, Debug)]
pub(super) struct Measured {
    pub candidate: usize,
    /// Seconds of compiling and the first run.
    pub compile: f64,
    /// Seconds of a run.
    pub samples: Samples,
    repetitions: u32,
    /// What compiling costs a run, in seconds.
    pub penalty: f64,
}

impl Measured {
    /// Seconds of a run with its share of compiling, of which `count` steps pay one.
    pub fn costs(&self, count: usize) -> Samples {
        self.samples.shifted(self.penalty / count.max(1) as f64)
    }
}

/// What came of it.
#[derive(Debug, Default)]
pub(super) struct Found {
    /// The best first. Candidate 0 is among them unless it was rejected, the others only as far as
    /// they came.
    pub ranked: Vec<Measured>,
    /// Candidates that were compiled.
    pub tried: usize,
    /// Candidates that were refused or wrong, and why.
    pub rejected: Vec<(usize, String)>,
}

/// Candidates that are looked at more than once.
const KEPT: usize = 8;
/// Rounds before half of them are dropped, and in the end.
const ROUNDS: usize = 2;
const LAST_ROUNDS: usize = 9;
/// Of the last rounds, those that are made even after the deadline.
const LEAST_ROUNDS: usize = 3;
/// Shares of the time after which no more groups, and no more members of groups, are tried.
const GROUPS_UNTIL: f64 = 0.55;
const MEMBERS_UNTIL: f64 = 0.75;
/// Groups whose other members are tried.
const BEST_GROUPS: usize = 2;
/// Repetitions of a run at most: a submission must not take so long that the system thinks that the
/// device hangs.
const MAX_REPETITIONS: u32 = 1 << 13;

/// Finds the fastest candidate. The first is what is taken without tuning, and always measured; the
/// rest are in the order in which they are to be tried. `proceed` is asked before each; once it says
/// no, what was measured so far decides.
pub(super) async fn search<T: Timer>(
    timer: &mut T,
    candidates: &[Candidate],
    rules: Rules,
    proceed: &mut (dyn FnMut() -> bool + Send),
) -> Result<Found> {
    let start = timer.now();
    let allowed = rules.deadline.saturating_sub(start);
    let mut race = Race { timer, candidates, rules, found: Found::default(), too_large: usize::MAX };
    let mut groups: Vec<usize> = Vec::new();
    let is_first = |(at, candidate): (usize, &Candidate)| {
        let new = !groups.contains(&candidate.group);
        groups.push(candidate.group);
        (new || at == 0).then_some(at)
    };
    let first: Vec<usize> = candidates.iter().enumerate().filter_map(is_first).collect();
    race.try_all(&first, start + allowed.mul_f64(GROUPS_UNTIL), proceed).await?;
    let best: Vec<usize> = race.best_groups();
    let others = |at: &usize| best.contains(&candidates[*at].group) && !first.contains(at);
    let members: Vec<usize> = (0..candidates.len()).filter(others).collect();
    race.try_all(&members, start + allowed.mul_f64(MEMBERS_UNTIL), proceed).await?;
    race.halve(proceed).await?;
    Ok(race.found)
}

struct Race<'t, T> {
    timer: &'t mut T,
    candidates: &'t [Candidate],
    rules: Rules,
    found: Found,
    too_large: usize,
}

impl<T: Timer> Race<'_, T> {
    /// A quick look at each; candidate 0 is measured whatever the time.
    async fn try_all(
        &mut self,
        which: &[usize],
        until: Duration,
        proceed: &mut (dyn FnMut() -> bool + Send),
    ) -> Result<()> {
        for &candidate in which {
            let late = self.timer.now() >= until || !proceed();
            if late && candidate != 0 {
                break;
            }
            if candidate == 0 || self.candidates[candidate].size < self.too_large {
                self.attempt(candidate).await?;
            }
        }
        Ok(())
    }

    async fn attempt(&mut self, candidate: usize) -> Result<()> {
        self.found.tried += 1;
        let compile = match self.timer.prepare(candidate).await? {
            Prepared::Ready { compile } => compile,
            Prepared::Rejected(reason) => {
                self.found.rejected.push((candidate, reason));
                self.timer.discard(candidate);
                return Ok(());
            }
        };
        if candidate == 0 {
            // What compiles faster than the default does not take too long.
            self.rules.max_compile = self.rules.max_compile.max(compile);
        }
        if compile > self.rules.max_compile {
            self.too_large = self.candidates[candidate].size;
            self.timer.discard(candidate);
            return Ok(());
        }
        log::debug!("candidate {candidate} took {compile:?} to compile");
        let compile = compile.as_secs_f64();
        let penalty = self.rules.repay.map_or(0.0, |runs| compile / runs.max(1.0));
        let mut measured = Measured { candidate, compile, samples: Samples::default(), repetitions: 1, penalty };
        self.sample(&mut measured).await?;
        self.found.ranked.push(measured);
        self.rank();
        self.keep(KEPT);
        Ok(())
    }

    /// One more sample: as many repetitions as make the run long enough for the clock.
    async fn sample(&mut self, measured: &mut Measured) -> Result<()> {
        let least = self.timer.least().as_secs_f64();
        loop {
            let took = self.timer.run(measured.candidate, measured.repetitions).await?.as_secs_f64();
            let enough = took >= least || measured.repetitions >= MAX_REPETITIONS;
            let each = took / f64::from(measured.repetitions);
            if enough {
                measured.samples.push(each);
                break;
            }
            // Little that was measured is not to be trusted much.
            let wanted = if took > 0.0 { 1.3 * least / took } else { f64::INFINITY };
            let times = wanted.clamp(2.0, 16.0);
            measured.repetitions = ((f64::from(measured.repetitions) * times) as u32).min(MAX_REPETITIONS);
        }
        Ok(())
    }

    fn rank(&mut self) {
        let cost = |measured: &Measured| measured.costs(self.rules.count).median();
        self.found.ranked.sort_by(|a, b| cost(a).total_cmp(&cost(b)));
    }

    /// Drops all but the `most` best, and candidate 0.
    fn keep(&mut self, most: usize) {
        let ranked = std::mem::take(&mut self.found.ranked);
        for (place, measured) in ranked.into_iter().enumerate() {
            if place < most || measured.candidate == 0 {
                self.found.ranked.push(measured);
            } else {
                self.timer.discard(measured.candidate);
            }
        }
    }

    fn best_groups(&self) -> Vec<usize> {
        self.found.ranked.iter().take(BEST_GROUPS).map(|m| self.candidates[m.candidate].group).collect()
    }

    async fn round(&mut self) -> Result<()> {
        let mut ranked = std::mem::take(&mut self.found.ranked);
        for measured in &mut ranked {
            self.sample(measured).await?;
        }
        self.found.ranked = ranked;
        self.rank();
        Ok(())
    }

    async fn halve(&mut self, proceed: &mut (dyn FnMut() -> bool + Send)) -> Result<()> {
        while self.found.ranked.len() > 3 && self.timer.now() < self.rules.deadline && proceed() {
            for _ in 0..ROUNDS {
                self.round().await?;
            }
            self.keep(self.found.ranked.len() / 2);
        }
        self.keep(2);
        if self.found.ranked.len() < 2 {
            return Ok(());
        }
        for round in 0..LAST_ROUNDS {
            if round >= LEAST_ROUNDS && (self.timer.now() >= self.rules.deadline || !proceed()) {
                break;
            }
            self.round().await?;
        }
        Ok(())
    }
}

#[cfg(test)]
#[path = "search/tests.rs"]
mod tests;
