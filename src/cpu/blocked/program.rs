//! A graph made ready to run: kernels with packed weights, and a slot of memory for every value.

use std::ops::Range;

use web_time::Instant;

use super::super::{StepTime, kernel as plain_kernel, parallel};
use super::choose::Choice;
use super::kernel::{Kernel, Reads, Scratch};
use super::layout::{Block, Map};
use super::slots::Slots;
use super::team;
use crate::graph::{Graph, NodeId, Shape};
use crate::tensor::Tensor;

/// A value's place.
#[derive(Clone, Copy, Debug)]
struct Place {
    slot: usize,
    map: Map,
}

/// One node's computation.
struct Step {
    node: NodeId,
    /// The places of its inputs; none for the network's input where it is read as it came.
    inputs: Vec<Option<Place>>,
    output: Place,
    /// Nothing: the operator's general implementation.
    kernel: Option<Box<dyn Kernel>>,
}

/// A prepared graph. It computes the graph's output for one sample at a time.
pub(in crate::cpu) struct Program {
    steps: Vec<Step>,
    /// Consecutive steps that threads go through together, with the number of pieces of each;
    /// general implementations stand alone.
    runs: Vec<(Range<usize>, Vec<usize>)>,
    /// Number of blocks of each slot.
    slots: Vec<usize>,
    input: Option<Place>,
    output: Place,
}

/// Memory for one sample's run, used again for the next.
#[derive(Default)]
pub(in crate::cpu) struct Workspace {
    slots: Vec<Vec<Block>>,
    scratch: Vec<Scratch>,
}

/// Memory that a program may take beyond twice what the values need without frames and padding
/// of channels.
const SPARE_BYTES: usize = 64 << 20;

impl Program {
    /// Prepares a graph, or nothing where it does not suit: an output that is the input, or values
    /// of few channels that would grow too much.
    pub(in crate::cpu) fn new(graph: &Graph, threads: usize) -> Option<Self> {
        let needed = needed(graph);
        let nodes: Vec<NodeId> = graph.ids().skip(1).filter(|id| needed[id.index()]).collect();
        let choices: Vec<Choice> = graph.ids().map(|id| Choice::of(graph, id)).collect();
        let mut halos = vec![0; graph.nodes().len()];
        let mut enters = false;
        for id in &nodes {
            let (node, choice) = (graph.node(*id), choices[id.index()]);
            let first = node.inputs.first()?.index();
            halos[first] = choice.halo(&node.op, node.shape).max(halos[first]);
            enters |= choice != Choice::Stem && node.inputs.contains(&graph.input());
        }
        let map = |id: NodeId| Map::new(graph.node(id).shape, halos[id.index()]);
        let all = nodes.iter().copied().chain(enters.then_some(graph.input()));
        if !affordable(all.map(|id| (graph.node(id).shape, map(id)))) {
            return None;
        }
        let mut memory = Memory::default();
        let mut places: Vec<Option<Place>> = vec![None; graph.nodes().len()];
        let mut reads = readings(graph, &nodes);
        let input = enters.then(|| memory.take(map(graph.input())));
        places[0] = input;
        let mut steps = Vec::new();
        let mut inputs_of = Vec::new();
        for id in nodes {
            let (node, choice) = (graph.node(id), choices[id.index()]);
            let output = memory.take(map(id));
            places[id.index()] = Some(output);
            let inputs: Vec<Option<Place>> = match choice {
                Choice::Stem => vec![None],
                _ => node.inputs.iter().map(|input| places[input.index()]).collect(),
            };
            inputs_of.push(node.inputs.iter().map(|input| map(*input)).collect::<Vec<Map>>());
            for input in &node.inputs {
                reads[input.index()] -= 1;
                if let (0, Some(place)) = (reads[input.index()], places[input.index()]) {
                    memory.free.push(place);
                }
            }
            steps.push(Step { node: id, inputs, output, kernel: None });
        }
        let work = |(step, maps): &mut (&mut Step, Vec<Map>)| {
            let choice = choices[step.node.index()];
            step.kernel = choice.kernel(graph, step.node, maps, step.output.map, threads);
        };
        parallel::on_threads(steps.iter_mut().zip(inputs_of).collect(), threads, work);
        let output = places[graph.output().index()]?;
        let program = Program { runs: runs(&steps), steps, slots: memory.slots, input, output };
        program.check();
        (!program.steps.is_empty()).then_some(program)
    }

    /// What the unsafe code of [`run`](Self::run) relies on.
    fn check(&self) {
        for step in &self.steps {
            let distinct = step.inputs.iter().flatten().all(|input| input.slot != step.output.slot);
            let Some(kernel) = &step.kernel else { continue };
            let (map, rects) = (kernel.output(), (0..kernel.pieces()).map(|i| kernel.rect(i)).collect::<Vec<_>>());
            let apart = |i: usize| rects[..i].iter().all(|other| !rects[i].overlaps(other));
            let sound = (0..rects.len()).all(|i| rects[i].lies_within(&map) && apart(i));
            let fits = map.len() <= self.slots[step.output.slot];
            assert!(distinct && sound && fits, "a step's pieces overlap: a defect of {}", kernel.name());
        }
    }

    /// The output of one sample, `[c, h, w]`, by up to that many threads.
    pub(in crate::cpu) fn run(
        &self,
        graph: &Graph,
        image: &[f32],
        threads: usize,
        memory: &mut Workspace,
        output: &mut [f32],
    ) {
        self.begin(image, threads, memory);
        for (steps, pieces) in &self.runs {
            self.run_steps(graph, image, steps.clone(), pieces, threads, memory);
        }
        self.output.map.leave(&memory.slots[self.output.slot], output);
    }

    /// Like [`run`](Self::run), with a pause after each step: how long each took.
    pub(in crate::cpu) fn run_timed(
        &self,
        graph: &Graph,
        image: &[f32],
        threads: usize,
        memory: &mut Workspace,
        output: &mut [f32],
    ) -> Vec<StepTime> {
        self.begin(image, threads, memory);
        let mut times = Vec::with_capacity(self.steps.len());
        for (i, step) in self.steps.iter().enumerate() {
            let start = Instant::now();
            let pieces = step.kernel.as_ref().map_or(1, |kernel| kernel.pieces());
            self.run_steps(graph, image, i..i + 1, &[pieces], threads, memory);
            let kernel = step.kernel.as_ref().map_or("general", |kernel| kernel.name());
            times.push(StepTime { node: step.node, kernel, time: start.elapsed() });
        }
        self.output.map.leave(&memory.slots[self.output.slot], output);
        times
    }

    fn begin(&self, image: &[f32], threads: usize, memory: &mut Workspace) {
        if memory.slots.is_empty() {
            memory.slots = self.slots.iter().map(|len| vec![Block::ZERO; *len]).collect();
        }
        let threads = threads.max(memory.scratch.len()).max(1);
        memory.scratch.resize_with(threads, Scratch::default);
        if let Some(Place { slot, map }) = self.input {
            map.enter(image, &mut memory.slots[slot]);
        }
    }

    fn run_steps(
        &self,
        graph: &Graph,
        image: &[f32],
        steps: Range<usize>,
        pieces: &[usize],
        threads: usize,
        memory: &mut Workspace,
    ) {
        let steps = &self.steps[steps];
        if let [step @ Step { kernel: None, .. }] = steps {
            return step.run_plain(graph, image, &mut memory.slots);
        }
        let Workspace { slots, scratch } = memory;
        let slots = Slots::new(slots);
        team::run(pieces, &mut scratch[..threads.max(1)], |step, piece, scratch| {
            let step = &steps[step];
            let Some(kernel) = &step.kernel else { return };
            // SAFETY: a step writes no slot that it reads, and steps follow one another.
            let read = |i: usize| step.inputs.get(i).copied().flatten().map(|place| unsafe { slots.read(place.slot) });
            let reads = Reads { image, values: [0, 1].map(|i| read(i).unwrap_or(&[])) };
            // SAFETY: windows of one step do not overlap, and each is taken once.
            let mut window = unsafe { slots.window(step.output.slot, kernel.output(), kernel.rect(piece)) };
            kernel.run(piece, &reads, &mut window, scratch);
        });
    }
}

impl Step {
    /// Converts the inputs, computes the node with its general implementation, converts back.
    fn run_plain(&self, graph: &Graph, image: &[f32], slots: &mut [Vec<Block>]) {
        let node = graph.node(self.node);
        let value = |(place, id): (&Option<Place>, &NodeId)| {
            let Shape { channels, height, width } = graph.node(*id).shape;
            let mut tensor = Tensor::zeros([1, channels, height, width]);
            match place {
                Some(Place { slot, map }) => map.leave(&slots[*slot], tensor.data_mut()),
                None => tensor.data_mut().copy_from_slice(image),
            }
            tensor
        };
        let inputs: Vec<Tensor> = self.inputs.iter().zip(&node.inputs).map(value).collect();
        let inputs: Vec<&Tensor> = inputs.iter().collect();
        let output = plain_kernel(&node.op).run(&inputs, node.shape, graph.params());
        self.output.map.enter(output.data(), &mut slots[self.output.slot]);
    }
}

/// Which nodes the output depends on.
fn needed(graph: &Graph) -> Vec<bool> {
    let mut needed = vec![false; graph.nodes().len()];
    needed[graph.output().index()] = true;
    for id in graph.ids().rev() {
        if needed[id.index()] {
            graph.node(id).inputs.iter().for_each(|input| needed[input.index()] = true);
        }
    }
    needed
}

/// How often each value is read; the output once more.
fn readings(graph: &Graph, nodes: &[NodeId]) -> Vec<usize> {
    let mut reads = vec![0; graph.nodes().len()];
    nodes.iter().flat_map(|id| &graph.node(*id).inputs).for_each(|input| reads[input.index()] += 1);
    reads[graph.output().index()] += 1;
    reads
}

/// Whether blocks and frames do not make the values much larger.
fn affordable(values: impl Iterator<Item = (Shape, Map)>) -> bool {
    let mut bytes = [0usize; 2];
    for (shape, map) in values {
        let blocks = map.pitch().checked_mul(map.height + 2 * map.halo).and_then(|n| n.checked_mul(map.planes()));
        let padded = blocks.and_then(|n| n.checked_mul(size_of::<Block>())).and_then(|n| n.checked_add(bytes[1]));
        let Some(padded) = padded else { return false };
        bytes = [bytes[0].saturating_add(shape.len() * size_of::<f32>()), padded];
    }
    bytes[1] <= bytes[0].saturating_mul(2).saturating_add(SPARE_BYTES)
}

/// Slots, and those that are free.
#[derive(Default)]
struct Memory {
    slots: Vec<usize>,
    free: Vec<Place>,
}

impl Memory {
    /// A slot for such a value. Only values of the same size and frame share one, so that the frame is
    /// zero from the beginning and stays so.
    fn take(&mut self, map: Map) -> Place {
        let extent = |map: &Map| (map.planes(), map.height, map.width, map.halo);
        // The one that was freed last is the likeliest to be in the cache.
        if let Some(found) = self.free.iter().rposition(|place| extent(&place.map) == extent(&map)) {
            return Place { map, ..self.free.remove(found) };
        }
        self.slots.push(map.len());
        Place { slot: self.slots.len() - 1, map }
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
