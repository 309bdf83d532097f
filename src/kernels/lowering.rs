//! The state of planning: which tensor holds which value, and the steps so far.

mod integers;
mod readers;
mod values;

use std::sync::Arc;

use readers::{only_readers, shares_params};
pub use values::{Operand, Piece, View};

use super::{
    Binding, Decision, Element, Format, Kernel, Layout, Output, Place, Step, Storage, Target, TensorId, TensorInfo,
    Tile, WeightBlob, WeightsId, gather, int8, layout,
};
use crate::error::{Error, Result};
use crate::graph::{Graph, Node, NodeId, ParamId, Params, Shape};
use crate::int8::Program;
use crate::ops::Op;
use crate::with_each_op;

/// Turns one node into steps. Implemented beside the kernel that computes the operator.
pub trait Lower {
    /// Adds the node's steps and says where its value is ([`Lowering::define`]).
    ///
    /// # Errors
    /// [`Error::Plan`] if no kernel takes the node as it is.
    fn lower(&self, id: NodeId, cx: &mut Lowering<'_>) -> Result<()>;
}

/// What [`Lowering`] comes to.
pub struct Lowered {
    /// The network's input.
    pub input: TensorId,
    /// Dispatches in order.
    pub steps: Vec<Step>,
    /// Activations.
    pub tensors: Vec<TensorInfo>,
    /// Packed weights.
    pub weights: Vec<WeightBlob>,
    /// Choices between kernels.
    pub decisions: Vec<Decision>,
    /// Where values lie.
    pub places: Vec<Place>,
}

/// The state of planning.
pub struct Lowering<'g> {
    graph: &'g Graph,
    /// The integer program that `graph` is the outline of, if it is one.
    program: Option<&'g Program>,
    batch: usize,
    target: Target,
    /// Which values are read back.
    read_back: Vec<bool>,
    layouts: Vec<Layout>,
    views: Vec<Option<View>>,
    /// The node that reads each value, if there is only one and it reads it once.
    readers: Vec<Option<NodeId>>,
    /// Values that are not computed by themselves but together with their only reader.
    deferred: Vec<bool>,
    current: NodeId,
    steps: Vec<Step>,
    tensors: Vec<TensorInfo>,
    weights: Vec<WeightBlob>,
    decisions: Vec<Decision>,
    /// Whether any weights of the graph belong to several nodes.
    shares_params: bool,
    places: Vec<Place>,
}

macro_rules! define_dispatch {
    ($($op:ident),*) => {
        fn lower(op: &Op, id: NodeId, cx: &mut Lowering<'_>) -> Result<()> {
            match op { $(Op::$op(op) => op.lower(id, cx)),* }
        }
    };
}
with_each_op!(define_dispatch);

impl<'g> Lowering<'g> {
    /// Starts with the graph's input in a tensor of its own. `layouts` has one entry per node,
    /// `read_back` are the values that will be asked for with [`Lowering::output`].
    pub fn new(
        graph: &'g Graph,
        batch: usize,
        target: Target,
        read_back: &[NodeId],
        layouts: Vec<Layout>,
    ) -> Result<Self> {
        let mut is_read = vec![false; graph.nodes().len()];
        read_back.iter().filter_map(|id| is_read.get_mut(id.index()).map(|is| *is = true)).for_each(drop);
        let read_back = is_read;
        let views = vec![None; graph.nodes().len()];
        let (readers, deferred) = (only_readers(graph), vec![false; graph.nodes().len()]);
        let (current, steps, tensors, weights, decisions) = (graph.input(), vec![], vec![], vec![], vec![]);
        let places = vec![];
        let mut cx = Lowering {
            graph,
            program: None,
            batch,
            target,
            read_back,
            layouts,
            views,
            readers,
            deferred,
            current,
            steps,
            tensors,
            weights,
            decisions,
            shares_params: shares_params(graph),
            places,
        };
        cx.new_output(graph.input())?;
        Ok(cx)
    }

    /// Lowers one node; its inputs must have been lowered.
    pub fn node(&mut self, id: NodeId) -> Result<()> {
        self.current = id;
        if let Some(node) = self.integer_node(id) {
            return int8::lower(node, id, self);
        }
        lower(&self.graph.node(id).op, id, self)
    }

    /// The graph's node.
    pub fn get(&self, id: NodeId) -> &'g Node {
        self.graph.node(id)
    }

    /// The graph's weights.
    pub fn params(&self) -> &'g Params {
        self.graph.params()
    }

    /// What the device is good at.
    pub fn target(&self) -> &Target {
        &self.target
    }

    /// Samples per run.
    pub fn batch(&self) -> usize {
        self.batch
    }

    /// Shape of a value.
    pub fn shape(&self, id: NodeId) -> Shape {
        self.graph.node(id).shape
    }

    /// Layout of a value.
    pub fn layout(&self, id: NodeId) -> &Layout {
        &self.layouts[id.index()]
    }

    /// Pixels of one plane of a value, batch included.
    pub fn pixels(&self, id: NodeId) -> usize {
        self.batch * self.shape(id).pixels()
    }

    /// An error about the node being lowered.
    pub fn error(&self, reason: impl Into<String>) -> Error {
        Error::Plan { node: self.graph.node(self.current).name.clone(), reason: reason.into() }
    }

    /// A number as a shader constant.
    pub fn constant(&self, value: usize) -> Result<u32> {
        u32::try_from(value).map_err(|_| self.error(format!("{value} does not fit the shaders' 32-bit integers")))
    }

    /// The node that a value exists for: its only reader, if it is not read back either.
    pub(super) fn only_reader(&self, id: NodeId) -> Option<NodeId> {
        if self.read_back[id.index()] { None } else { self.readers[id.index()] }
    }

    /// Leaves a node to its only reader, which then has to compute both.
    pub(super) fn defer(&mut self, id: NodeId) {
        self.deferred[id.index()] = true;
    }

    /// Whether a node was left to its reader.
    pub(super) fn is_deferred(&self, id: NodeId) -> bool {
        self.deferred[id.index()]
    }

    /// Chooses how some nodes are computed: the way that was tuned for this device, or `default`.
    /// `sizes` are what its speed depends on.
    pub(super) fn decide(
        &mut self,
        what: &str,
        sizes: &[(&str, usize)],
        nodes: &[NodeId],
        options: &[&'static str],
        default: &'static str,
    ) -> &'static str {
        let sizes: Vec<String> = sizes.iter().map(|(name, value)| format!("{name}={value}")).collect();
        let formats = [self.target.activations, self.target.weights].map(|storage| self.floats_in(storage).key());
        let key = format!("{what} {} {}", sizes.join(" "), formats.concat());
        let tuned = self.target.choices.kernels.get(&key);
        let taken = options.iter().find(|way| tuned.is_some_and(|tuned| tuned == *way)).copied().unwrap_or(default);
        let nodes: Vec<String> = nodes.iter().map(|id| self.get(*id).name.clone()).collect();
        // Nodes that are computed together ask once for each of them.
        if options.len() > 1 && self.decisions.iter().all(|known| known.nodes != nodes) {
            self.decisions.push(Decision { nodes, key, options: options.to_vec(), taken });
        }
        taken
    }

    /// A bias in a value's physical order, zeros if there is none.
    pub fn bias(&self, bias: Option<ParamId>, layout: &Layout) -> Vec<f32> {
        match bias {
            Some(id) => per_channel(layout, self.params().tensor(id).data()),
            None => vec![0.0; layout.planes() * 4],
        }
    }

    /// Weights for upload, whole vec4s of f32 whatever the target's number format.
    pub fn weights(&mut self, words: Vec<u32>) -> Binding {
        let storage = self.target.weights.fitting(words.len() as u64 / 4);
        self.constants(words, Format { storage, element: Element::F32 })
    }

    /// A table of 32-bit words for upload, in a buffer.
    pub fn table(&mut self, words: Vec<u32>) -> Binding {
        self.constants(words, Format::HOST)
    }

    pub(super) fn constants(&mut self, words: Vec<u32>, format: Format) -> Binding {
        // Only then can the same have been packed before; comparing ends at the first difference.
        if self.shares_params {
            let same = |blob: &WeightBlob| blob.format == format && *blob.words == words;
            if let Some(at) = self.weights.iter().position(same) {
                return Binding::Weights(WeightsId(at as u32));
            }
        }
        let name = self.graph.node(self.current).name.clone();
        self.weights.push(WeightBlob { name, len: words.len(), words: Arc::new(words), format });
        Binding::Weights(WeightsId(self.weights.len() as u32 - 1))
    }

    /// Adds a dispatch whose kernel leaves its tile open: the one that was tuned for this device, or
    /// what suits it by the number of invocations that it wants. `constants` are named, and must be
    /// exactly those that the kernel declares, in its order.
    pub fn push_tiled(
        &mut self,
        kernel: &'static Kernel,
        constants: &[(&str, usize)],
        bindings: Vec<Binding>,
        macs: u64,
    ) -> Result<()> {
        let step = self.step(kernel, constants, bindings, [0; 3], macs)?;
        let threads = |tile: &Tile| step.threads(*tile);
        let mut candidates = step.candidates();
        // Choices come from files: a tile that tuning would not have tried may take minutes to compile.
        let tuned = self.target.choices.tiles.get(&step.key()).filter(|tile| candidates.contains(tile));
        let tiled = tuned.and_then(|tile| step.with_tile(*tile)).or_else(|| {
            // A depthwise kernel's tile is part of a row, of one plane.
            let depthwise = kernel.tiling.is_some_and(|tiling| !tiling.constants.contains(&"TILE_PLANES"));
            let most = if depthwise { self.target.row } else { self.target.sums };
            candidates.retain(|tile| tile.pixels * tile.planes <= most);
            let enough = candidates.iter().find(|tile| threads(tile) >= Some(self.target.invocations));
            // Of several with most, `max_by_key` takes the last; the first are the better ones.
            let tile = enough.or_else(|| candidates.iter().rev().max_by_key(|tile| threads(tile)))?;
            step.with_tile(*tile)
        });
        let none = || self.error(format!("kernel {} has no tile for it: a row of its kernel is too wide", kernel.name));
        let step = tiled.ok_or_else(none)?;
        self.add(step);
        Ok(())
    }

    /// Adds a dispatch for the node being lowered. `constants` are named, and must be exactly
    /// those that the kernel declares, in its order. `threads` is the extent of the grid: along x
    /// in invocations, along y and z in workgroups.
    pub fn push(
        &mut self,
        kernel: &'static Kernel,
        constants: &[(&str, usize)],
        bindings: Vec<Binding>,
        threads: [usize; 3],
        macs: u64,
    ) -> Result<()> {
        let groups = [threads[0].div_ceil(kernel.workgroup as usize), threads[1], threads[2]];
        let step = self.step(kernel, constants, bindings, groups, macs)?;
        self.add(step);
        Ok(())
    }

    /// Adds a dispatch, which reads its sizes from memory where that is better.
    fn add(&mut self, mut step: Step) {
        if self.target.brief && !step.kernel.open.is_empty() {
            let words = step.sizes_to_read();
            let same = |blob: &WeightBlob| blob.format == Format::HOST && *blob.words == words;
            let binding = match self.weights.iter().position(same) {
                Some(at) => Binding::Weights(WeightsId(at as u32)),
                None => self.table(words),
            };
            step.formats.push(self.format(binding));
            step.bindings.push(binding);
        }
        self.steps.push(step);
    }

    fn step(
        &self,
        kernel: &'static Kernel,
        constants: &[(&str, usize)],
        bindings: Vec<Binding>,
        groups: [usize; 3],
        macs: u64,
    ) -> Result<Step> {
        let given = constants.iter().map(|(name, _)| *name);
        if !given.eq(kernel.constants.iter().copied()) || bindings.len() != kernel.arguments.len() {
            return Err(
                self.error(format!("kernel {} was given other constants or bindings than it declares", kernel.name))
            );
        }
        let constants = constants.iter().map(|(_, value)| self.constant(*value)).collect::<Result<Vec<_>>>()?;
        let mut grid = [0; 3];
        for (to, from) in grid.iter_mut().zip(groups) {
            *to = self.constant(from)?;
        }
        let node = self.graph.node(self.current).name.clone();
        let macs = macs.saturating_mul(self.batch as u64);
        let formats = bindings.iter().map(|binding| self.format(*binding)).collect();
        let unrolled = self.target.unrolled;
        Ok(Step { node, kernel, constants, tile: None, bindings, formats, grid, macs, unrolled })
    }

    fn format(&self, binding: Binding) -> Format {
        match binding {
            Binding::Tensor(id) => self.tensors[id.0 as usize].format,
            Binding::Weights(id) => self.weights[id.0 as usize].format,
            Binding::Picture | Binding::Tables | Binding::Lines | Binding::Best => Format::HOST,
        }
    }

    /// Where a value that is to be read back will be: f32 in a buffer, copied there if it is a view
    /// of another value that is stored otherwise. Integers become the floats that they stand for.
    pub fn output(&mut self, id: NodeId) -> Result<Output> {
        let Operand { mut tensor, mut first_plane, planes, layout } = self.operand(id)?;
        if self.integer_type(id).is_some() {
            tensor = self.floats_of(id, planes)?;
            first_plane = 0;
        }
        if self.format(Binding::Tensor(tensor)) != Format::HOST {
            let into = self.allocate_in(Format::HOST, id, planes)?;
            let channels: Vec<Option<usize>> = (0..planes * 4).map(Some).collect();
            gather::push(self, Piece { tensor, first_plane, planes }, self.pixels(id), &channels, into)?;
            (tensor, first_plane) = (into.tensor, 0);
        }
        Ok(Output { node: id, shape: self.shape(id), tensor, first_plane, layout })
    }

    /// What was planned.
    pub fn finish(self) -> Lowered {
        let Lowering { steps, tensors, weights, decisions, places, .. } = self;
        Lowered { input: TensorId(0), steps, tensors, weights, decisions, places }
    }
}

/// f32 values as words for [`Lowering::weights`].
pub fn words(values: impl IntoIterator<Item = f32>) -> Vec<u32> {
    values.into_iter().map(f32::to_bits).collect()
}

/// A per-channel vector in a value's physical order, zero in padding channels.
pub fn per_channel(layout: &layout::Layout, values: &[f32]) -> Vec<f32> {
    layout.physical().iter().map(|c| c.map_or(0.0, |c| values[c])).collect()
}
