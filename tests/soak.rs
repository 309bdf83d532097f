//! Soak: frames of changing sizes in changing number formats, and callers who change their minds.
//! `SOAK_FRAMES=10000 cargo test --release --test soak -- --nocapture` for the long one, which also holds the
//! process's memory to one percent; without the variable it is short.

mod device;

use std::collections::HashMap;

use foveate::gpu::{DeviceRequest, GpuContext, select_adapter_of};
use foveate::{DeviceChoice, Model, Picture, Precision, Session, quant, wgpu};
use pollster::block_on;
use rand::{RngExt, SeedableRng};
use rand_pcg::Pcg64;

/// Frames between two sessions, each in the next number format.
const SPAN: usize = 50;

/// Of the largest logit, against the CPU executor; integers are the same bits.
const BOUNDS: [(Precision, f32); 4] =
    [(Precision::F32, 1e-4), (Precision::W8, 1e-4), (Precision::F16, 2e-2), (Precision::W8a8, 0.0)];

/// Sets of buffers that a session has for frames under way, beyond the first.
const SPARE: usize = 4;

/// From here on, memory is told from noise.
const LONG: usize = 5000;

fn frames() -> usize {
    let asked = std::env::var("SOAK_FRAMES").ok();
    asked.map_or(400, |text| text.parse().expect("SOAK_FRAMES is a whole number"))
}

/// A device, and the instance that knows what lives on it.
fn open() -> Option<(wgpu::Instance, GpuContext)> {
    // What is required of a machine is told there.
    let found = device::contexts().iter().find(|context| context.summary().backend != "gl")?;
    let instance = wgpu::Instance::new(wgpu::InstanceDescriptor::new_without_display_handle_from_env());
    let request = DeviceRequest::Named(found.summary().name.clone());
    let choice = block_on(select_adapter_of(&instance, &request, Some(wgpu::Backend::Vulkan), |_| true)).unwrap();
    Some((instance, block_on(GpuContext::request(&choice)).unwrap()))
}

/// Objects of each kind that live on the instance's devices.
fn objects(instance: &wgpu::Instance) -> [usize; 8] {
    let hub = instance.generate_report().unwrap().hub;
    let counted = [&hub.buffers, &hub.textures, &hub.texture_views, &hub.bind_groups, &hub.bind_group_layouts];
    let others = [&hub.shader_modules, &hub.compute_pipelines, &hub.command_buffers];
    let all: Vec<usize> = counted.into_iter().chain(others).map(|registry| registry.num_allocated).collect();
    all.try_into().unwrap()
}

/// KiB that the process holds, where the system says so.
fn resident() -> Option<usize> {
    let status = std::fs::read_to_string("/proc/self/status").ok()?;
    status.lines().find_map(|line| line.strip_prefix("VmRSS:"))?.trim().strip_suffix("kB")?.trim().parse().ok()
}

/// A picture that is the same whenever it has this size.
fn picture([width, height]: [u32; 2]) -> Picture {
    let mut rng = Pcg64::seed_from_u64(u64::from(width * 1000 + height));
    let bytes = (0..width * height * 4).map(|_| rng.random()).collect();
    Picture::from_rgba(width, height, bytes).unwrap()
}

fn model(precision: Precision) -> Model {
    let float = Model::builtin().unwrap();
    if precision == Precision::W8a8 { quant::calibrated_on_noise(&float).unwrap() } else { float }
}

/// The CPU executor's answers.
struct Oracle(HashMap<([u32; 2], usize), Vec<f32>>, Vec<Session>);

impl Oracle {
    fn new() -> Self {
        let on_cpu = |&(precision, _): &(Precision, f32)| {
            let builder = Session::builder().model(model(precision)).device(DeviceChoice::Cpu);
            let asked = if precision == Precision::F16 { Precision::F32 } else { precision };
            block_on(builder.precision(asked).load()).unwrap()
        };
        Oracle(HashMap::new(), BOUNDS.iter().map(on_cpu).collect())
    }

    /// Holds an answer to the CPU's, and to the first of the same picture: exactly.
    fn check(&mut self, format: usize, size: [u32; 2], picture: &Picture, logits: &[f32]) {
        let (precision, bound) = BOUNDS[format];
        let session = &mut self.1[format];
        let known = self.0.entry((size, format)).or_insert_with(|| {
            let expected = block_on(session.run(picture)).unwrap().logits().to_vec();
            let largest = expected.iter().fold(0f32, |most, value| most.max(value.abs()));
            let apart = expected.iter().zip(logits).fold(0f32, |most, (a, b)| most.max((a - b).abs()));
            assert!(apart <= bound * largest, "{precision:?} {size:?}: {apart} apart, the largest is {largest}");
            logits.to_vec()
        });
        assert_eq!(known, logits, "{precision:?} {size:?}: otherwise than the first time");
    }
}

#[test]
fn frames_of_all_kinds_leave_nothing_behind() {
    let Some((instance, context)) = open() else { return };
    let frames = frames();
    let mut rng = Pcg64::seed_from_u64(7);
    let (mut oracle, mut answered, mut dropped) = (Oracle::new(), 0, 0);
    let (mut live, mut counts, mut memory) = (Vec::new(), Vec::new(), Vec::new());
    let parts = frames.div_ceil(SPAN).max(2 * BOUNDS.len());
    for part in 0..parts {
        let format = part % BOUNDS.len();
        let builder = Session::builder().model(model(BOUNDS[format].0)).precision(BOUNDS[format].0);
        let builder = builder.wgpu(context.device().clone(), context.queue().clone());
        let mut session = block_on(builder.load()).unwrap();
        assert_eq!(session.precision(), BOUNDS[format].0, "{:?}", session.precision_note());
        for _ in 0..SPAN / 2 {
            // Two frames under way at once, some of which nobody waits for.
            let sizes = [(); 2].map(|()| [(); 2].map(|()| 8 + rng.random_range(0..5u32) * 14));
            let pictures = sizes.map(picture);
            let flights = [0, 1].map(|at| session.submit(&pictures[at..=at], usize::MAX).unwrap());
            for (at, flight) in flights.into_iter().enumerate() {
                match rng.random_range(0..10) {
                    0 => drop(flight),
                    1 => drop(flight.wait()),
                    _ => {
                        let answers = block_on(flight.answers()).unwrap();
                        oracle.check(format, sizes[at], &pictures[at], answers[0].logits());
                        answered += 1;
                        continue;
                    }
                }
                dropped += 1;
            }
        }
        live.push(objects(&instance));
        drop(session);
        context.device().poll(wgpu::PollType::wait_indefinitely()).unwrap();
        counts.push(objects(&instance));
        memory.extend(resident());
    }
    println!("{answered} answered, {dropped} dropped, {parts} sessions");
    println!(
        "objects with a session {:?} → {:?}, without {:?}",
        live[0],
        live[parts - BOUNDS.len()],
        counts[parts - 1]
    );
    assert!(answered > frames / 2 && dropped > frames / 20, "{answered} answered, {dropped} dropped");
    // As many as the first session of the number format had, but for those (buffers, bind groups) of frames that nobody
    // waited for; without a session, none.
    for (part, objects) in live.iter().enumerate() {
        assert!(objects[0] > 0 && objects[6] > 0, "{objects:?}");
        let first = live[part % BOUNDS.len()];
        for kind in 0..objects.len() {
            let spare = if matches!(kind, 0 | 3) { SPARE } else { 0 };
            assert!(objects[kind].abs_diff(first[kind]) <= spare, "session {part}: {objects:?}, the first {first:?}");
        }
        assert_eq!(counts[part], [0; 8], "after session {part}");
    }
    // Once every number format has been.
    let half = |at: usize| {
        let mut kept = memory[BOUNDS.len()..][at * (memory.len() - BOUNDS.len()) / 2..].to_vec();
        kept.truncate((memory.len() - BOUNDS.len()) / 2);
        kept.sort_unstable();
        kept[kept.len() / 2]
    };
    if memory.len() == parts {
        let [first, second] = [half(0), half(1)];
        println!("resident, median of each half: {first} → {second} KiB");
        assert!(frames < LONG || second as f64 <= 1.01 * first as f64, "{first} → {second} KiB: {memory:?}");
    }
}
