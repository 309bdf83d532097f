//! An integer program made ready to run: kernels with packed weights, and a place for every value.

use std::ops::Range;

use web_time::Instant;

use super::isa::Isa;
use super::kernel::{Kernel, Out, Reads, Scratch};
use super::layout::{Bytes, Words};
use super::plain::{self, Values};
use super::steps;
use crate::cpu::StepTime;
use crate::cpu::blocked::layout::Map;
use crate::cpu::blocked::slots::Slots;
use crate::cpu::blocked::team;
use crate::error::Result;
use crate::int8::program::{IntOp, Program, Type, ValueId};
use crate::tensor::Tensor;

/// Where a value lies.
#[derive(Clone, Copy, Debug)]
pub(super) enum Place {
    /// Integers of a grid, in a slot of bytes.
    Bytes(usize, Map),
    /// Sums, in a slot of words.
    Words(usize, Map),
    /// Floats, among the plain values.
    Floats,
}

/// One node's computation.
struct Step {
    value: ValueId,
    inputs: Vec<Place>,
    output: Place,
    /// Nothing: plain loops, or an operator on floats.
    kernel: Option<Box<dyn Kernel>>,
}

/// A prepared program. It computes the output for one sample at a time.
pub(super) struct Prepared {
    isa: Isa,
    steps: Vec<Step>,
    /// Consecutive steps that threads go through together, with the number of pieces of each; those without a
    /// kernel stand alone.
    runs: Vec<(Range<usize>, Vec<usize>)>,
    bytes: Vec<usize>,
    words: Vec<usize>,
    places: Vec<Place>,
}

/// Memory for one sample's run, used again for the next.
#[derive(Default)]
pub(super) struct Workspace {
    pub bytes: Vec<Vec<Bytes>>,
    pub words: Vec<Vec<Words>>,
    pub floats: Values,
    scratch: Vec<Scratch>,
}

/// Blocks behind a slot's last: four pixels are read at a time.
const SLACK: usize = 4;

impl Prepared {
    /// Chooses kernels and lays out memory. With `keep` no value's memory is used for another.
    pub(super) fn new(program: &Program, isa: Isa, threads: usize, keep: bool) -> Self {
        let mut halos = vec![0; program.nodes.len()];
        for node in &program.nodes {
            if let Some(first) = node.inputs.first() {
                halos[first.0] = steps::halo(program, node).max(halos[first.0]);
            }
        }
        let mut memory = Memory { keep, ..Memory::default() };
        let mut reads = program.reads();
        let mut places = Vec::with_capacity(program.nodes.len());
        let mut all = Vec::new();
        for (i, node) in program.nodes.iter().enumerate() {
            let map = Map::new(node.shape, halos[i]);
            let output = match node.ty {
                Type::F32 => Place::Floats,
                Type::I8 { .. } => Place::Bytes(memory.take(map), map),
                Type::I32 { .. } => {
                    memory.words.push(map.len());
                    Place::Words(memory.words.len() - 1, map)
                }
            };
            places.push(output);
            if matches!(node.op, IntOp::Input) {
                continue;
            }
            let inputs: Vec<Place> = node.inputs.iter().map(|id| places[id.0]).collect();
            let kernel = steps::has_kernel(program, node).then(|| {
                let maps: Vec<Map> =
                    node.inputs.iter().map(|id| Map::new(program.node(*id).shape, halos[id.0])).collect();
                steps::kernel(node, isa, &maps, map, threads)
            });
            for id in &node.inputs {
                reads[id.0] -= 1;
                if let (0, Place::Bytes(slot, map)) = (reads[id.0], places[id.0]) {
                    memory.free.push((slot, map));
                }
            }
            all.push(Step { value: ValueId(i), inputs, output, kernel: kernel.flatten() });
        }
        let Memory { bytes, words, .. } = memory;
        let prepared = Prepared { isa, runs: runs(&all), steps: all, bytes, words, places };
        prepared.check();
        prepared
    }

    /// What the unsafe code of [`run`](Self::run) relies on.
    fn check(&self) {
        for step in &self.steps {
            let Some(kernel) = &step.kernel else { continue };
            let (map, rects) = (kernel.output(), (0..kernel.pieces()).map(|i| kernel.rect(i)).collect::<Vec<_>>());
            let apart = |i: usize| rects[..i].iter().all(|other| !rects[i].overlaps(other));
            let sound = (0..rects.len()).all(|i| rects[i].lies_within(&map) && apart(i));
            let slot = |place: &Place| if let Place::Bytes(slot, _) = place { Some(*slot) } else { None };
            let distinct =
                step.inputs.iter().filter_map(slot).all(|input| slot(&step.output).is_none_or(|out| out != input));
            let fits = match step.output {
                Place::Bytes(slot, _) => !kernel.makes_sums() && map.len() <= self.bytes[slot],
                Place::Words(slot, _) => kernel.makes_sums() && map.len() <= self.words[slot],
                Place::Floats => false,
            };
            assert!(distinct && sound && fits, "a step's pieces overlap: a defect of {}", kernel.name());
        }
    }

    /// Where a value lies after a run; another's, if it was not kept.
    pub(super) fn place(&self, id: ValueId) -> Place {
        self.places[id.0]
    }

    /// Runs one sample, `[c, h, w]`, by up to that many threads.
    pub(super) fn run(&self, program: &Program, image: &[f32], threads: usize, memory: &mut Workspace) -> Result<()> {
        self.begin(program, image, threads, memory)?;
        for (steps, pieces) in &self.runs {
            self.run_steps(program, image, steps.clone(), pieces, threads, memory)?;
        }
        Ok(())
    }

    /// Like [`run`](Self::run), with a pause after each step: how long each took.
    pub(super) fn run_timed(
        &self,
        program: &Program,
        image: &[f32],
        threads: usize,
        memory: &mut Workspace,
    ) -> Result<Vec<StepTime>> {
        self.begin(program, image, threads, memory)?;
        let mut times = Vec::with_capacity(self.steps.len());
        for (i, step) in self.steps.iter().enumerate() {
            let start = Instant::now();
            let pieces = step.kernel.as_ref().map_or(1, |kernel| kernel.pieces());
            self.run_steps(program, image, i..i + 1, &[pieces], threads, memory)?;
            let node = program.node(step.value);
            let kernel = step.kernel.as_ref().map_or(node.op.name(), |kernel| kernel.name());
            times.push(StepTime { node: node.origin, kernel, time: start.elapsed() });
        }
        Ok(times)
    }

    fn begin(&self, program: &Program, image: &[f32], threads: usize, memory: &mut Workspace) -> Result<()> {
        if memory.bytes.is_empty() && memory.words.is_empty() {
            memory.bytes = self.bytes.iter().map(|len| vec![Bytes::ZERO; len + SLACK]).collect();
            memory.words = self.words.iter().map(|len| vec![Words::ZERO; *len]).collect();
        }
        let threads = threads.max(memory.scratch.len()).max(1);
        memory.scratch.resize_with(threads, Scratch::default);
        memory.floats = Values::new(program);
        // Only what computes in floats reads the image from there.
        let reads_floats = |step: &Step| step.kernel.is_none() && program.node(step.value).inputs.contains(&ValueId(0));
        if self.steps.iter().any(reads_floats) || program.output == ValueId(0) {
            let shape = program.nodes[0].shape;
            memory.floats.put(ValueId(0), Tensor::new([1, shape.channels, shape.height, shape.width], image.to_vec())?);
        }
        Ok(())
    }

    fn run_steps(
        &self,
        program: &Program,
        image: &[f32],
        steps: Range<usize>,
        pieces: &[usize],
        threads: usize,
        memory: &mut Workspace,
    ) -> Result<()> {
        let steps = &self.steps[steps];
        if let [step @ Step { kernel: None, .. }] = steps {
            return plain::run(program, step.value, &step.inputs, step.output, memory);
        }
        let Workspace { bytes, words, scratch, .. } = memory;
        let (bytes, words) = (Slots::new(bytes), Slots::new(words));
        team::run(pieces, &mut scratch[..threads.max(1)], |step, piece, scratch| {
            let step = &steps[step];
            let Some(kernel) = &step.kernel else { return };
            let read = |i: usize| match step.inputs.get(i) {
                // SAFETY: a step writes no slot that it reads, and steps follow one another.
                Some(Place::Bytes(slot, _)) => unsafe { bytes.read(*slot) },
                _ => &[],
            };
            let reads = Reads { image, values: [read(0), read(1)] };
            let (map, rect) = (kernel.output(), kernel.rect(piece));
            let mut out = match step.output {
                // SAFETY: windows of one step do not overlap, and each is taken once.
                Place::Bytes(slot, _) => Out::Bytes(unsafe { bytes.window(slot, map, rect) }),
                // SAFETY: as above.
                Place::Words(slot, _) => Out::Words(unsafe { words.window(slot, map, rect) }),
                Place::Floats => return,
            };
            kernel.run(self.isa, piece, &reads, &mut out, scratch);
        });
        Ok(())
    }
}

/// Slots of bytes and words, and those of bytes that are free.
#[derive(Default)]
struct Memory {
    bytes: Vec<usize>,
    words: Vec<usize>,
    free: Vec<(usize, Map)>,
    keep: bool,
}

impl Memory {
    /// A slot for such a value. Only values of the same size and frame share one, so that the frame stays zero.
    fn take(&mut self, map: Map) -> usize {
        let extent = |map: &Map| (map.planes(), map.height, map.width, map.halo);
        let found = self.free.iter().rposition(|(_, free)| extent(free) == extent(&map)).filter(|_| !self.keep);
        if let Some(found) = found {
            return self.free.remove(found).0;
        }
        self.bytes.push(map.len());
        self.bytes.len() - 1
    }
}

fn runs(steps: &[Step]) -> Vec<(Range<usize>, Vec<usize>)> {
    let mut runs: Vec<(Range<usize>, Vec<usize>)> = Vec::new();
    for (i, step) in steps.iter().enumerate() {
        let pieces = step.kernel.as_ref().map_or(1, |kernel| kernel.pieces());
        match runs.last_mut() {
            Some((range, all)) if step.kernel.is_some() && steps[range.start].kernel.is_some() => {
                range.end = i + 1;
                all.push(pieces);
            }
            _ => runs.push((i..i + 1, vec![pieces])),
        }
    }
    runs
}
