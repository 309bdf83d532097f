//! A session as what is measured.

use std::collections::VecDeque;
use std::rc::Rc;

use web_time::Instant;

use super::frames::Frames;
use super::protocol::{Burst, Collected, FrameTimes, Subject};
use super::record::{Device, Measured, Mode};
use crate::error::Result;
use crate::picture::Picture;
use crate::session::{DeviceKind, Flight, Session};

/// Labels asked of every run.
const LABELS: usize = 5;

/// Runs under way when the queue is kept full.
const UNDER_WAY: usize = 3;

/// A network on a device, fed with a camera's frames.
pub struct Network {
    session: Session,
    frames: Rc<Frames>,
    next: usize,
    /// What is known before anything runs.
    described: Measured,
}

impl Network {
    /// Readies a session; the GPU stamps its runs from now on, if it can and they come one by one. `weights`
    /// says where its weights come from.
    ///
    /// # Errors
    /// [`Error::Gpu`](crate::Error::Gpu) if memory is short.
    pub async fn new(
        mut session: Session,
        weights: impl Into<String>,
        safe_shaders: bool,
        frames: Rc<Frames>,
        mode: Mode,
    ) -> Result<Network> {
        session.stamp_runs(mode != Mode::Throughput).await?;
        let described = describe(&mut session, weights.into(), safe_shaders);
        Ok(Network { session, frames, next: 0, described })
    }

    /// What it is, without times: its name, its device, what loading and compiling took.
    pub fn described(&self) -> &Measured {
        &self.described
    }

    /// Says how long its model took to be quantised in memory, in milliseconds, if it was.
    pub fn quantized_in(&mut self, ms: Option<f64>) {
        // A model's loading time counts it in.
        self.described.load_ms = (self.described.load_ms - ms.unwrap_or(0.0)).max(0.0);
        self.described.quantize_ms = ms;
    }

    /// The session.
    pub fn session(&mut self) -> &mut Session {
        &mut self.session
    }

    /// What was measured of it.
    pub fn measured(&self, collected: &Collected, mode: Mode) -> Measured {
        Measured {
            first_ms: collected.first.map_or(0.0, |first| first.end_to_end.as_secs_f64() * 1e3),
            clocks: collected.clocks(),
            began_s: (mode == Mode::Sustained)
                .then(|| collected.began.iter().map(|began| began.as_millis() as f64 / 1e3).collect()),
            runs_per_second: collected.runs_per_second().filter(|_| mode == Mode::Throughput),
            error: collected.error.as_ref().map(ToString::to_string),
            ..self.described.clone()
        }
    }

    /// The next frames, as many as a run takes.
    fn pictures(&mut self) -> Result<Vec<Picture>> {
        let first = self.next;
        self.next = first.wrapping_add(1);
        (0..self.session.batch()).map(|at| self.frames.picture(first.wrapping_add(at))).collect()
    }
}

fn describe(session: &mut Session, weights: String, safe_shaders: bool) -> Measured {
    let (timing, batch, device) = (session.timing(), session.batch(), Device::of(session, safe_shaders));
    let graph = session.model().graph();
    let (nodes, macs) = (graph.nodes().len().saturating_sub(1), graph.macs() * batch as u64);
    let held = graph.weight_bytes();
    let mut measured = Measured {
        model: session.model().name().to_owned(),
        weights,
        precision: session.precision().to_string(),
        note: session.precision_note().map(str::to_owned),
        batch,
        macs,
        weight_bytes: held,
        steps: nodes,
        load_ms: timing.load,
        compile_ms: timing.compile,
        device,
        ..Measured::default()
    };
    if let Some(executor) = session.gpu() {
        let plan = executor.plan();
        (measured.weight_bytes, measured.steps) = (plan.weight_bytes(), plan.steps.len());
    }
    measured
}

impl Device {
    /// What a session runs on. Whether shaders are checked, sessions do not say.
    pub fn of(session: &mut Session, safe_shaders: bool) -> Device {
        let info = session.device().clone();
        let executor = session.gpu();
        Device {
            kind: if info.kind == DeviceKind::Gpu { "gpu" } else { "cpu" }.to_owned(),
            name: info.name,
            backend: info.backend,
            driver: info.driver,
            software: executor.as_ref().is_some_and(|executor| executor.context().summary().is_software()),
            safe_shaders,
            timestamp_ns: executor.and_then(|executor| executor.timestamp_period()),
            tuning: info.tuning.unwrap_or_else(|| "untuned".to_owned()),
        }
    }
}

impl Subject for Network {
    async fn run(&mut self) -> Result<FrameTimes> {
        let start = Instant::now();
        let pictures = self.pictures()?;
        let landed = self.session.submit(&pictures, LABELS)?.wait().await?;
        let end_to_end = start.elapsed();
        let submit_to_readback = landed.submit_to_readback;
        // A clock that stands still, or counts in units of its own, is none.
        let gpu = self.session.gpu_time().await?;
        let gpu = gpu.filter(|gpu| !gpu.is_zero() && *gpu < submit_to_readback * 2);
        Ok(FrameTimes { gpu, submit_to_readback, end_to_end })
    }

    async fn burst(&mut self, runs: usize) -> Result<Burst> {
        let start = Instant::now();
        let mut under_way: VecDeque<(Instant, Flight)> = VecDeque::with_capacity(UNDER_WAY);
        let mut times = Vec::with_capacity(runs);
        for _ in 0..runs {
            if under_way.len() == UNDER_WAY {
                times.extend(land(under_way.pop_front()).await?);
            }
            let began = Instant::now();
            let pictures = self.pictures()?;
            under_way.push_back((began, self.session.submit(&pictures, LABELS)?));
        }
        while let Some(time) = land(under_way.pop_front()).await? {
            times.push(time);
        }
        Ok(Burst { times, took: start.elapsed() })
    }
}

async fn land(flight: Option<(Instant, Flight)>) -> Result<Option<FrameTimes>> {
    let Some((began, flight)) = flight else { return Ok(None) };
    let submit_to_readback = flight.wait().await?.submit_to_readback;
    Ok(Some(FrameTimes { gpu: None, submit_to_readback, end_to_end: began.elapsed() }))
}
