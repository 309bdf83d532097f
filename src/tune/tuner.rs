//! The stages of tuning a network, one after the other.

use std::ops::ControlFlow;
use std::time::Duration;

use web_time::Instant;

use super::device::{DeviceTimer, Entry, Stage};
use super::estimate;
use super::network::{Contender, Course, Penalties, judge, wrong_output};
use super::outcome::{NetworkTimes, Outcome, Rejected, Second, TunedKernel, TunedTile};
use super::reference::Reference;
use super::search::{Candidate, Found, Measured, Rules, search};
use super::space::{KernelChoice, Space, TileChoice, Unit};
use super::{Options, Progress, Watch};
use crate::error::{Error, Result};
use crate::gpu::{Bench, GpuContext, Moment};
use crate::graph::Graph;
use crate::kernels::{Choices, Step, Target, Tile};

/// Shares of the budget at whose end a stage is to be done; the rest is for the network as a whole.
const TILES_UNTIL: f64 = 0.62;
const KERNELS_UNTIL: f64 = 0.75;
const CONTEST_UNTIL: f64 = 0.88;
/// Runs of the network step by step: to know which steps matter, and to choose between the two best.
const FIRST_PROFILES: usize = 3;
const PROFILES: std::ops::RangeInclusive<usize> = 5..=31;
/// Runs of the network without and with the choices.
const ROUNDS: std::ops::RangeInclusive<usize> = 7..=61;
/// Every step gets at least that share of the time, however short it is.
const LEAST_SHARE: f64 = 0.01;
/// A second choice is tried within the network if alone it takes at most so much longer.
const CLOSE: f64 = 1.15;

pub(super) async fn run(
    context: &GpuContext,
    graph: &Graph,
    target: &Target,
    options: &Options,
    watch: &mut Watch<'_>,
) -> Result<Outcome> {
    let start = Instant::now();
    let mut clock = Clock { start, budget: options.budget, cancelled: false, watch };
    clock.proceed("planning");
    context.passing(Moment::Tune);
    let course = Course { context, graph, target, batch: options.batch, safe_shaders: options.safe_shaders };
    let space = Space::new(graph, options.batch, target)?;
    clock.proceed("computing on the CPU what to expect");
    let reference = Reference::new(graph, options.batch, options.seed)?;
    clock.proceed("running the network untuned");
    let rules = course.enter(space.rules.clone(), &reference).await?;
    let (outcome, seconds, penalties) = (Outcome::default(), Choices::default(), Penalties::default());
    let mut tuner = Tuner { course, options, clock, reference, rules, outcome, seconds, penalties };
    let worked = tuner.stages(space).await;
    let Tuner { mut outcome, clock, .. } = tuner;
    if let Err(error) = worked {
        outcome.interrupted = Some(error.to_string());
    } else if clock.cancelled {
        outcome.interrupted = Some("it was cancelled".to_owned());
    }
    outcome.seconds = start.elapsed().as_secs_f64();
    Ok(outcome)
}

/// The budget, and who is told how it is spent.
struct Clock<'a, 'w> {
    start: Instant,
    budget: Duration,
    cancelled: bool,
    watch: &'a mut Watch<'w>,
}

impl Clock<'_, '_> {
    /// Tells what is done next; whether to do it.
    fn proceed(&mut self, what: &str) -> bool {
        let spent = self.start.elapsed().as_secs_f64() / self.budget.as_secs_f64().max(1e-9);
        if !self.cancelled {
            self.cancelled = (self.watch)(Progress { spent: spent.min(1.0), what }) == ControlFlow::Break(());
        }
        !self.cancelled
    }

    fn late(&self, share: f64) -> bool {
        self.start.elapsed() >= self.budget.mul_f64(share)
    }

    /// The moment by which something is to be done that gets `part` of `whole` of the time until that
    /// share of the budget is spent.
    fn deadline(&self, share: f64, part: f64, whole: f64) -> Duration {
        let now = self.start.elapsed();
        now + self.budget.mul_f64(share).saturating_sub(now).mul_f64((part / whole.max(1e-12)).clamp(0.0, 1.0))
    }
}

struct Tuner<'a, 'w> {
    course: Course<'a>,
    options: &'a Options,
    clock: Clock<'a, 'w>,
    reference: Reference,
    /// The network without tuning.
    rules: Contender,
    outcome: Outcome,
    /// Second choices that were nearly as fast.
    seconds: Choices,
    /// What compiling costs a run, in seconds, by key and what was taken.
    penalties: Penalties,
}

impl Tuner<'_, '_> {
    async fn stages(&mut self, space: Space) -> Result<()> {
        for _ in 0..FIRST_PROFILES {
            self.rules.profile().await?;
        }
        self.tiles(space.tiles).await?;
        self.kernels(space.kernels).await?;
        self.outcome.settle();
        if self.clock.cancelled {
            return Ok(());
        }
        self.contest().await?;
        self.network().await
    }

    /// How much some nodes matter: seconds, or multiply-accumulates where there is no clock.
    fn weight(&self, nodes: &[String]) -> f64 {
        let steps = || self.rules.plan().steps.iter();
        let macs = |steps: &mut dyn Iterator<Item = &Step>| steps.map(|step| step.macs as f64 + 1.0).sum::<f64>();
        match self.rules.nodes(nodes) {
            Some(samples) => samples.median(),
            None => macs(&mut steps().filter(|step| nodes.contains(&step.node))) / macs(&mut steps()),
        }
    }

    /// Choices in the order of their weight, with that of each and of it and all behind it.
    fn weighted<T>(&self, choices: Vec<T>, nodes: impl Fn(&T) -> &[String]) -> Vec<(T, f64, f64)> {
        let mut weighted: Vec<(T, f64)> =
            choices.into_iter().map(|c| (self.weight(nodes(&c)), c)).map(|(w, c)| (c, w)).collect();
        let all: f64 = weighted.iter().map(|(_, weight)| weight).sum();
        weighted.iter_mut().for_each(|(_, weight)| *weight = weight.max(all * LEAST_SHARE));
        weighted.sort_by(|a, b| b.1.total_cmp(&a.1));
        let mut left: f64 = weighted.iter().map(|(_, weight)| weight).sum();
        let with_rest = |(choice, weight)| {
            let rest = left;
            left -= weight;
            (choice, weight, rest)
        };
        weighted.into_iter().map(with_rest).collect()
    }

    async fn tiles(&mut self, tiles: Vec<TileChoice>) -> Result<()> {
        for (choice, weight, rest) in self.weighted(tiles, |choice| &choice.nodes) {
            if self.clock.late(TILES_UNTIL) || self.clock.cancelled {
                self.outcome.left += 1;
                continue;
            }
            let deadline = self.clock.deadline(TILES_UNTIL, weight, rest);
            match self.tile(choice, deadline).await {
                Err(error @ Error::DeviceLost { .. }) => {
                    self.outcome.settle();
                    return Err(error);
                }
                other => other?,
            }
            self.outcome.settle();
        }
        Ok(())
    }

    async fn tile(&mut self, choice: TileChoice, deadline: Duration) -> Result<()> {
        let TileChoice { key, unit, at, count, nodes } = choice;
        let parts = unit.excerpt.plan.steps.clone();
        let step = &parts[at];
        let context = self.course.context;
        let incumbents: Vec<Tile> = self.course.target.choices.tiles.get(&key).copied().into_iter().collect();
        let all = estimate::candidates(step, &incumbents, self.course.target, |step| Bench::fits(context, step));
        let (steps, candidates): (Vec<Step>, Vec<Candidate>) = all.into_iter().unzip();
        let (kernel, node) = (step.kernel.name, nodes.first().cloned().unwrap_or_default());
        let entry = |step: &Step| {
            let mut parts = parts.clone();
            parts[at] = step.clone();
            Entry { stage: 0, steps: parts, timed: Some(at) }
        };
        let entries = steps.iter().map(entry).collect();
        let tile = |candidate: usize| steps.get(candidate).and_then(|step| step.tile);
        let label = format!("tiles of {kernel}, {node}");
        let Some(found) = self.race(vec![unit], entries, &candidates, count, deadline, &label, &key).await? else {
            return Ok(());
        };
        for (candidate, reason) in found.rejected {
            let (kernel, key) = (kernel.to_owned(), key.clone());
            self.outcome.rejected.push(Rejected { kernel, tile: tile(candidate), key, reason });
        }
        let Some(Verdict { default, best, second }) = verdict(&found.ranked, count) else { return Ok(()) };
        let (Some(default_tile), Some(best_tile)) = (tile(0), tile(best.candidate)) else { return Ok(()) };
        for measured in &found.ranked {
            let label = tile(measured.candidate).map(|tile| tile.to_string()).unwrap_or_default();
            self.penalties.insert((key.clone(), label), measured.penalty);
        }
        let second = second.and_then(|second| {
            let (us, compile_ms) = (second.samples.median() * 1e6, second.compile * 1e3);
            Some(Second { tile: tile(second.candidate)?, us, compile_ms })
        });
        if let Some(second) = second {
            self.seconds.tiles.insert(key.clone(), second.tile);
        }
        self.outcome.tiles.push(TunedTile {
            key,
            kernel,
            node,
            steps: count,
            default: default_tile,
            tile: best_tile,
            before_us: default.samples.median() * 1e6,
            after_us: best.samples.median() * 1e6,
            compile_before_ms: default.compile * 1e3,
            compile_after_ms: best.compile * 1e3,
            tried: found.tried,
            candidates: candidates.len(),
            second,
            default_fails: default.candidate != 0,
        });
        Ok(())
    }

    /// Fills the stages and searches; `None` if a stage does not fit the device, which is reported.
    #[expect(clippy::too_many_arguments, reason = "what is raced, and how it is to be reported")]
    async fn race(
        &mut self,
        units: Vec<Unit>,
        entries: Vec<Entry>,
        candidates: &[Candidate],
        count: usize,
        deadline: Duration,
        label: &str,
        key: &str,
    ) -> Result<Option<Found>> {
        if !self.clock.proceed(label) {
            return Ok(None);
        }
        let (context, safe) = (self.course.context, self.options.safe_shaders);
        let mut stages = Vec::with_capacity(units.len());
        for unit in units {
            match Stage::new(context, unit, &self.reference, safe).await {
                Ok(stage) => stages.push(stage),
                Err(error @ Error::DeviceLost { .. }) => return Err(error),
                Err(error) => {
                    let (kernel, reason) = (label.to_owned(), error.to_string());
                    self.outcome.rejected.push(Rejected { kernel, tile: None, key: key.to_owned(), reason });
                    return Ok(None);
                }
            }
        }
        let mut timer = DeviceTimer::new(stages, entries, self.options.bound, self.clock.start);
        let Options { max_compile, repay, .. } = *self.options;
        let rules = Rules { deadline, max_compile, repay, count };
        search(&mut timer, candidates, rules, &mut || self.clock.proceed(label)).await.map(Some)
    }

    async fn kernels(&mut self, kernels: Vec<KernelChoice>) -> Result<()> {
        for (choice, weight, rest) in self.weighted(kernels, |choice| &choice.nodes) {
            if choice.options.len() < 2 {
                continue;
            }
            if self.clock.late(KERNELS_UNTIL) || self.clock.cancelled {
                self.outcome.left += 1;
                continue;
            }
            let deadline = self.clock.deadline(KERNELS_UNTIL, weight, rest);
            let raced = self.kernel(choice, deadline).await;
            self.outcome.settle();
            raced?;
        }
        Ok(())
    }

    async fn kernel(&mut self, choice: KernelChoice, deadline: Duration) -> Result<()> {
        let KernelChoice { decision, count, nodes, options } = choice;
        let (names, units): (Vec<&str>, Vec<Unit>) = options.into_iter().unzip();
        let tuned = |step: &Step| {
            let tile = self.outcome.choices.tiles.get(&step.key());
            tile.and_then(|tile| step.with_tile(*tile)).unwrap_or_else(|| step.clone())
        };
        let entry = |(stage, unit): (usize, &Unit)| {
            let steps = unit.excerpt.plan.steps.iter().map(tuned).collect();
            Entry { stage, steps, timed: None }
        };
        let entries = units.iter().enumerate().map(entry).collect();
        let candidates: Vec<Candidate> = (0..units.len()).map(|group| Candidate { group, size: 0 }).collect();
        let node = nodes.first().cloned().unwrap_or_default();
        let (key, label) = (decision.key, format!("kernels for {node}"));
        let Some(found) = self.race(units, entries, &candidates, count, deadline, &label, &key).await? else {
            return Ok(());
        };
        for (candidate, reason) in found.rejected {
            let kernel = names.get(candidate).copied().unwrap_or_default().to_owned();
            self.outcome.rejected.push(Rejected { kernel, tile: None, key: key.clone(), reason });
        }
        let Some(Verdict { default, best, second }) = verdict(&found.ranked, count) else { return Ok(()) };
        let name = |measured: &Measured| names.get(measured.candidate).copied().unwrap_or_default().to_owned();
        for measured in &found.ranked {
            self.penalties.insert((key.clone(), name(measured)), measured.penalty);
        }
        let second = second.map(|second| (name(second), second.samples.median() * 1e6));
        if let Some((kernel, _)) = &second {
            self.seconds.kernels.insert(key.clone(), kernel.clone());
        }
        self.outcome.kernels.push(TunedKernel {
            key,
            node,
            decisions: count,
            default: names.first().copied().unwrap_or_default().to_owned(),
            kernel: name(best),
            before_us: default.samples.median() * 1e6,
            after_us: best.samples.median() * 1e6,
            second,
            default_fails: default.candidate != 0,
        });
        Ok(())
    }

    /// The two best of everything, step by step within the network.
    async fn contest(&mut self) -> Result<()> {
        if self.outcome.changes() == Choices::default() && self.seconds == Choices::default() {
            return Ok(());
        }
        if self.clock.late(CONTEST_UNTIL) || !self.clock.proceed("the two best within the network") {
            return Ok(());
        }
        let mut second = self.outcome.choices.clone();
        second.tiles.extend(std::mem::take(&mut self.seconds.tiles));
        second.kernels.extend(std::mem::take(&mut self.seconds.kernels));
        let (first, second) = (self.course.plan(&self.outcome.choices)?, self.course.plan(&second)?);
        let differs = first.steps != second.steps;
        let mut first = self.course.enter(first, &self.reference).await?;
        let mut second = if differs { Some(self.course.enter(second, &self.reference).await?) } else { None };
        for round in 0..*PROFILES.end() {
            if round >= *PROFILES.start() && self.clock.late(CONTEST_UNTIL) {
                break;
            }
            if !self.clock.proceed("the two best within the network") {
                return Ok(());
            }
            for contender in [&mut self.rules, &mut first].into_iter().chain(second.as_mut()) {
                if !contender.profile().await? {
                    return Ok(());
                }
            }
        }
        let judged = judge(&self.outcome.choices, &self.penalties, &self.rules, &first, second.as_ref());
        self.outcome.adopt(&judged);
        Ok(())
    }

    /// How much more compiling the choices costs a run than compiling the defaults.
    fn handicap(&self) -> f64 {
        let penalty = |key: &str, label: String| self.penalties.get(&(key.to_owned(), label)).copied().unwrap_or(0.0);
        let more = |key: &str, taken: String, default: String| penalty(key, taken) - penalty(key, default);
        let tiles = self.outcome.tiles.iter().map(|t| more(&t.key, t.tile.to_string(), t.default.to_string()));
        let kernels = self.outcome.kernels.iter().map(|k| more(&k.key, k.kernel.clone(), k.default.clone()));
        tiles.chain(kernels).sum()
    }

    /// The network without and with the choices, in turn.
    async fn network(&mut self) -> Result<()> {
        let plan = self.course.plan(&self.outcome.choices)?;
        let changed = plan.steps != self.rules.plan().steps;
        let mut tuned = if changed { Some(self.course.enter(plan, &self.reference).await?) } else { None };
        for round in 0..*ROUNDS.end() {
            if round >= *ROUNDS.start() && self.clock.late(1.0) {
                break;
            }
            // What has not been measured is not taken.
            if !self.clock.proceed("the network without and with the choices") {
                return Ok(());
            }
            self.rules.run().await?;
            if let Some(tuned) = &mut tuned {
                tuned.run().await?;
            }
        }
        let (before, rounds) = (self.rules.total.median(), self.rules.total.len());
        let Some(tuned) = tuned else {
            let (before_ms, after_ms) = (before * 1e3, before * 1e3);
            self.outcome.network = Some(NetworkTimes { before_ms, after_ms, rounds, taken: false });
            return Ok(());
        };
        let (found, expected) = tuned.output(&self.reference).await?;
        let (untuned, _) = self.rules.output(&self.reference).await?;
        let wrong = wrong_output(&found, &untuned, &expected, self.options.bound);
        let taken = wrong.is_none() && tuned.total.shifted(self.handicap()).beats(&self.rules.total);
        if let Some(reason) = wrong {
            let (kernel, key) = ("all together".to_owned(), self.course.graph.name.clone());
            self.outcome.rejected.push(Rejected { kernel, tile: None, key, reason });
        }
        let after_ms = tuned.total.median() * 1e3;
        self.outcome.network = Some(NetworkTimes { before_ms: before * 1e3, after_ms, rounds, taken });
        if !taken {
            self.outcome.keep_defaults();
        }
        Ok(())
    }
}

/// What a race says.
struct Verdict<'a> {
    default: &'a Measured,
    best: &'a Measured,
    /// The next best, if it is nearly as fast.
    second: Option<&'a Measured>,
}

/// The best candidate if it wins by more than the noise, its share of compiling included, else the
/// default; the best also where the default itself was rejected.
fn verdict(ranked: &[Measured], count: usize) -> Option<Verdict<'_>> {
    let first = ranked.first()?;
    let default = ranked.iter().find(|measured| measured.candidate == 0).unwrap_or(first);
    let best = if first.costs(count).beats(&default.costs(count)) { first } else { default };
    let close = |other: &&Measured| other.costs(count).median() <= best.costs(count).median() * CLOSE;
    let second = ranked.iter().find(|other| other.candidate != best.candidate).filter(close);
    Some(Verdict { default, best, second })
}
