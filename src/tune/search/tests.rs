//! The search with a clock of our own: nothing here depends on how fast anything is.

use pollster::block_on;

use super::*;

/// What a candidate of the fake device does.
#[derive(Clone, Copy)]
struct Fake {
    micros: f64,
    compile: f64,
    wrong: bool,
}

const PLAIN: Fake = Fake { micros: 100.0, compile: 0.01, wrong: false };

struct FakeTimer {
    fakes: Vec<Fake>,
    clock: f64,
    /// What the device's clock ticks in, in seconds.
    tick: f64,
    /// The device becomes slower by that each second.
    drift: f64,
    prepared: Vec<usize>,
    alive: Vec<usize>,
    noise: u32,
}

impl FakeTimer {
    fn new(fakes: Vec<Fake>) -> Self {
        FakeTimer { fakes, clock: 0.0, tick: 1e-9, drift: 0.0, prepared: vec![], alive: vec![], noise: 1 }
    }
}

impl Timer for FakeTimer {
    fn now(&self) -> Duration {
        Duration::from_secs_f64(self.clock)
    }

    fn least(&self) -> Duration {
        Duration::from_secs_f64(self.tick * 100.0)
    }

    async fn prepare(&mut self, candidate: usize) -> Result<Prepared> {
        assert!(!self.prepared.contains(&candidate), "{candidate} is compiled twice");
        self.prepared.push(candidate);
        self.alive.push(candidate);
        let Fake { compile, wrong, .. } = self.fakes[candidate];
        self.clock += compile;
        if wrong {
            return Ok(Prepared::Rejected("relative error 0.3".into()));
        }
        Ok(Prepared::Ready { compile: Duration::from_secs_f64(compile) })
    }

    async fn run(&mut self, candidate: usize, repetitions: u32) -> Result<Duration> {
        assert!(self.alive.contains(&candidate), "{candidate} was discarded");
        // A small generator of our own: up to 1 % of noise.
        self.noise = self.noise.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        let noise = 1.0 + f64::from(self.noise >> 16) / 65536.0 * 0.01;
        let slower = 1.0 + self.drift * self.clock;
        let took = self.fakes[candidate].micros * 1e-6 * f64::from(repetitions) * noise * slower;
        self.clock += took;
        Ok(Duration::from_secs_f64((took / self.tick).floor() * self.tick))
    }

    fn discard(&mut self, candidate: usize) {
        self.alive.retain(|alive| *alive != candidate);
    }
}

fn rules(seconds: f64) -> Rules {
    Rules { deadline: Duration::from_secs_f64(seconds), max_compile: Duration::from_secs(1), repay: None, count: 1 }
}

fn groups(count: usize) -> Vec<Candidate> {
    (0..count).map(|group| Candidate { group, size: 1 }).collect()
}

fn found(timer: &mut FakeTimer, candidates: &[Candidate], rules: Rules) -> Found {
    block_on(search(timer, candidates, rules, &mut || true)).unwrap()
}

/// `count` candidates, of which the one at `best` is the fastest.
fn fakes(count: usize, best: usize) -> Vec<Fake> {
    (0..count).map(|i| Fake { micros: if i == best { 80.0 } else { 100.0 + i as f64 }, ..PLAIN }).collect()
}

#[test]
fn the_fastest_is_found_and_the_default_is_measured_beside_it() {
    for best in [0, 1, 7, 29] {
        let mut timer = FakeTimer::new(fakes(30, best));
        let found = found(&mut timer, &groups(30), rules(5.0));
        assert_eq!(found.ranked[0].candidate, best);
        assert!(found.ranked.iter().any(|m| m.candidate == 0));
        assert_eq!(found.tried, 30);
        assert!((found.ranked[0].samples.median() - 80e-6).abs() < 1e-6);
        if best != 0 {
            let default = found.ranked.iter().find(|m| m.candidate == 0).unwrap();
            assert!(found.ranked[0].samples.beats(&default.samples));
        }
    }
}

#[test]
fn a_coarse_clock_and_a_device_that_slows_down_do_not_mislead() {
    let mut timer = FakeTimer::new(fakes(12, 5));
    (timer.tick, timer.drift) = (1e-4, 0.2);
    let found = found(&mut timer, &groups(12), rules(5.0));
    assert_eq!(found.ranked[0].candidate, 5, "kernels as short as a tick");
    assert!(found.ranked[0].repetitions > 50);
}

#[test]
fn a_wrong_candidate_is_reported_however_fast_it_is() {
    let mut all = fakes(10, 4);
    all[6] = Fake { micros: 1.0, wrong: true, ..PLAIN };
    let found = found(&mut FakeTimer::new(all), &groups(10), rules(5.0));
    assert_eq!(found.ranked[0].candidate, 4);
    assert_eq!(found.rejected, [(6, "relative error 0.3".to_owned())]);
}

#[test]
fn a_wrong_default_leaves_the_others() {
    let mut all = fakes(4, 2);
    all[0].wrong = true;
    let found = found(&mut FakeTimer::new(all), &groups(4), rules(5.0));
    assert_eq!(found.ranked[0].candidate, 2);
    assert!(found.ranked.iter().all(|m| m.candidate != 0) && found.rejected.len() == 1);
}

#[test]
fn the_budget_is_kept_up_to_one_candidate_and_the_last_rounds() {
    let slow = Fake { micros: 20_000.0, compile: 0.1, wrong: false };
    for budget in [0.0, 0.5, 1.0, 3.0] {
        let mut timer = FakeTimer::new(vec![slow; 200]);
        let found = found(&mut timer, &groups(200), rules(budget));
        assert!(timer.clock < budget + 0.4, "{budget} → {}", timer.clock);
        assert!(found.tried >= 1 && found.tried < 40, "{}", found.tried);
        assert!(!found.ranked.is_empty());
    }
}

#[test]
fn what_compiles_for_too_long_is_dropped_and_larger_ones_are_not_tried() {
    let mut all = fakes(9, 8);
    all[3] = Fake { micros: 1.0, compile: 2.0, wrong: false };
    let candidates: Vec<Candidate> =
        (0..9).map(|i| Candidate { group: i, size: [1, 1, 1, 50, 49, 50, 80, 2, 3][i] }).collect();
    let mut timer = FakeTimer::new(all);
    let found = found(&mut timer, &candidates, rules(50.0));
    assert_eq!(found.ranked[0].candidate, 8);
    assert_eq!(timer.prepared, [0, 1, 2, 3, 4, 7, 8]);
}

#[test]
fn compiling_has_to_be_made_good_where_that_is_asked_for() {
    let mut all = fakes(2, 1);
    all[1].compile = 0.5;
    let with = |repay, count| {
        let rules = Rules { repay, count, ..rules(5.0) };
        found(&mut FakeTimer::new(all.clone()), &groups(2), rules).ranked[0].candidate
    };
    assert_eq!(with(None, 1), 1);
    assert_eq!(with(Some(1e3), 1), 0, "0.49 s more for 20 µs a run");
    assert_eq!(with(Some(1e3), 100), 1, "one pipeline for a hundred steps");
    assert_eq!(with(Some(1e6), 1), 1);
}

#[test]
fn members_of_the_best_groups_are_tried_and_no_others() {
    let mut all = fakes(12, 4);
    all[5].micros = 60.0;
    let candidates: Vec<Candidate> = (0..12).map(|i| Candidate { group: i / 2, size: 1 }).collect();
    let mut timer = FakeTimer::new(all);
    let found = found(&mut timer, &candidates, rules(5.0));
    assert_eq!(found.ranked[0].candidate, 5, "slower at first sight: its group's first took 80 µs");
    assert!(!timer.prepared.contains(&11) && timer.prepared.contains(&10));
}

#[test]
fn it_can_be_cancelled_between_candidates() {
    let mut timer = FakeTimer::new(fakes(30, 20));
    let mut left = 5;
    let mut proceed = || {
        left -= 1;
        left > 0
    };
    let found = block_on(search(&mut timer, &groups(30), rules(5.0), &mut proceed)).unwrap();
    assert!(found.tried <= 5 && !found.ranked.is_empty());
}
