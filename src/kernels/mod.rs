//! The kernel table: which WGSL file computes which operator, with which bindings and constants.
//!
//! Nothing here names a wgpu type: a [`Step`] is a plain value, so that scheduling, memory reuse
//! and dispatch sizes are tested without a device. One file per kernel, named like its WGSL file;
//! it holds the [`Kernel`] declaration and the lowering of the operators it computes. Kernels of integers, for networks
//! quantised as w8a8, have a folder of their own.
//!
//! A shader's text is put together from whole files, in this order: a generated prelude of
//! `const NAME: u32 = …;` lines ([`Step::prelude`]), an accessor file for each argument, by the format
//! that it is stored in, the kernel's shared files, the kernel's own file. Shapes are therefore literals for the driver's compiler, and every file stays plain WGSL.

mod add;
mod affine;
mod argument;
mod avg_pool;
mod conv;
mod conv_brief;
mod copy_conv;
mod decision;
mod depthwise;
mod format;
mod gate;
mod gather;
mod gemm;
mod global_avg_pool;
mod int8;
mod layout;
mod linear;
mod lowering;
mod mlp;
mod mlp_direct;
mod open;
mod pointwise;
mod pool_linear;
mod preprocess;
mod software;
mod source;
mod target;
mod tile;
mod tiling;
mod token_mixer;
mod top;
mod unroll;
mod values;
mod views;
mod weights;
mod winograd;
mod winograd_input;
mod winograd_matmul;
mod winograd_output;
mod workgroup;

pub use argument::{Access, Accessor, Argument};
pub use decision::Decision;
pub use format::{Element, Format, Storage, TEXTURE_WIDTH};
pub use layout::Layout;
pub use lowering::{Lower, Lowered, Lowering, Operand, Piece, View};
pub use preprocess::{Passes, PreprocessSteps, preprocess_words};
#[cfg(not(all(target_arch = "wasm32", feature = "web")))]
pub(crate) use software::tested;
pub use source::Source;
pub use target::{Choices, Target};
pub use tiling::{Placement, Sizes, Tile, Tiling};
pub use top::{MAX_TOP, Ranking, TopRecord, top_step};
pub use values::{Output, Place, TensorInfo, WeightBlob};

use std::fmt;

use argument::{BIAS, PICTURE, RESIDUAL, SIZES, TABLE, TABLES, W, X, X2, Y};
pub(crate) use source::source;

use crate::ops::Activation;

/// `activate(v)` by the constant `ACTIVATION`.
static ACTIVATION: Source = source!("activation.wgsl");
/// `store(plane, pixel, sum)`: residual, activation, output.
static EPILOGUE: Source = source!("epilogue.wgsl");
/// `w_pair(first, second)`: two blocks of weights.
static BLOCKS: Source = Source { subgroup: Some(&source!("blocks_subgroup.wgsl")), ..source!("blocks.wgsl") };

/// The values of the constant `ACTIVATION`.
const ACTIVATIONS: &[(&str, u32)] = &[
    ("RELU", tile::activation(Activation::Relu) as u32),
    ("GELU", tile::activation(Activation::Gelu) as u32),
    ("SIGMOID", tile::activation(Activation::Sigmoid) as u32),
];

/// A compute kernel: its text, bindings and the constants that its prelude has to define.
#[derive(Debug)]
pub struct Kernel {
    /// Name in plans, profiles and messages.
    pub name: &'static str,
    /// What it binds, in the order in which steps give it.
    pub arguments: &'static [&'static Argument],
    /// Files put behind the arguments' accessors, in order; the last is the kernel's own.
    pub sources: &'static [&'static Source],
    /// Names of the constants, all u32, in the order in which steps give them; behind them follow
    /// those of the tiling.
    pub constants: &'static [&'static str],
    /// Invocations of a workgroup along x where there is no tiling to say it; y and z are 1.
    pub workgroup: u32,
    /// How its work can be divided, where that is open.
    pub tiling: Option<&'static Tiling>,
    /// Those of [`Kernel::constants`] that a shader may as well read from memory ([`Target::brief`]): no array is as
    /// long, no loop is written out as many times, and no branch is for good or never taken.
    pub open: &'static [&'static str],
    /// Constants that are the same in every step: numbers that Rust and WGSL have to agree on.
    pub fixed: &'static [(&'static str, u32)],
}

impl Kernel {
    /// Whether its products are those of `dot4I8Packed`. Other kernels of integers multiply one by one, in
    /// integers or exactly in floats.
    pub fn multiplies_bytes(&self) -> bool {
        self.sources.iter().any(|source| source.file == int8::PRODUCTS.file)
    }
}

/// Every kernel.
pub static KERNELS: &[&Kernel] = &[
    &add::KERNEL,
    &affine::KERNEL,
    &avg_pool::KERNEL,
    &conv::KERNEL,
    &conv_brief::KERNEL,
    &copy_conv::KERNEL,
    &depthwise::KERNEL,
    &gate::KERNEL,
    &gather::KERNEL,
    &gemm::KERNEL,
    &global_avg_pool::KERNEL,
    &int8::activate::KERNEL,
    &int8::add::KERNEL,
    &int8::affine::KERNEL,
    &int8::conv::KERNEL,
    &int8::conv_float::KERNEL,
    &int8::gemm::KERNEL,
    &int8::linear::KERNEL,
    &int8::depthwise::KERNEL,
    &int8::dequantize::KERNEL,
    &int8::gate::KERNEL,
    &int8::gather::KERNEL,
    &int8::global_pool::KERNEL,
    &int8::pool::KERNEL,
    &int8::quantize::KERNEL,
    &int8::token_mixer::KERNEL,
    &linear::KERNEL,
    &mlp::KERNEL,
    &mlp_direct::KERNEL,
    &pointwise::KERNEL,
    &pool_linear::KERNEL,
    &preprocess::KERNEL,
    &preprocess::ROWS,
    &preprocess::COLUMNS,
    &token_mixer::KERNEL,
    &top::KERNEL,
    &winograd_input::KERNEL,
    &winograd_matmul::KERNEL,
    &winograd_output::KERNEL,
];

impl PartialEq for Kernel {
    fn eq(&self, other: &Kernel) -> bool {
        self.name == other.name
    }
}

/// A physical activation tensor of a plan: planes of four channels, `[planes][batch][h·w]` of vec4.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct TensorId(pub u32);

/// A packed weight array of a plan.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct WeightsId(pub u32);

/// What a step binds.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Binding {
    /// An activation tensor.
    Tensor(TensorId),
    /// Packed weights.
    Weights(WeightsId),
    /// The uploaded pictures, RGBA8 (preprocessing only).
    Picture,
    /// The resampling tables that belong to the pictures (preprocessing only).
    Tables,
    /// Lines between the two passes over a picture (preprocessing only).
    Lines,
    /// The best classes ([`top_step`] only).
    Best,
}

/// One dispatch: a kernel with its constants, bindings and grid. A plain value.
#[derive(Clone, Debug, PartialEq)]
pub struct Step {
    /// Name of the graph node it computes.
    pub node: String,
    /// The kernel.
    pub kernel: &'static Kernel,
    /// Values for [`Kernel::constants`] and behind them for [`Tiling::constants`], in that order.
    pub constants: Vec<u32>,
    /// How its work is divided, if its kernel leaves that open.
    pub tile: Option<Tile>,
    /// What is bound, in the order of [`Step::arguments`].
    pub bindings: Vec<Binding>,
    /// How each of them is stored.
    pub formats: Vec<Format>,
    /// Number of workgroups.
    pub grid: [u32; 3],
    /// Multiply-accumulates, for the whole batch.
    pub macs: u64,
    /// Whether short loops are written out in the shader ([`Target::unrolled`]).
    pub unrolled: bool,
}

impl Step {
    /// What it binds: its kernel's arguments, and behind them the table of its sizes if it reads them from memory.
    pub fn arguments(&self) -> impl Iterator<Item = &'static Argument> {
        self.kernel.arguments.iter().copied().chain(self.reads_sizes().then_some(&SIZES))
    }

    /// Whether its shader reads [`Kernel::open`] from memory.
    fn reads_sizes(&self) -> bool {
        !self.kernel.open.is_empty() && self.bindings.len() > self.kernel.arguments.len()
    }

    /// The values of [`Kernel::open`].
    fn sizes_to_read(&self) -> Vec<u32> {
        let value = |name: &&str| self.names().zip(&self.constants).find(|(known, _)| known == name).map(|(_, v)| *v);
        self.kernel.open.iter().filter_map(value).collect()
    }

    /// The names of all constants, in the order of their values.
    fn names(&self) -> impl Iterator<Item = &'static str> {
        self.kernel.constants.iter().chain(self.kernel.tiling.iter().flat_map(|tiling| tiling.constants)).copied()
    }

    /// Invocations of a workgroup.
    pub fn workgroup(&self) -> u32 {
        self.tile.map_or(self.kernel.workgroup, |tile| tile.workgroup)
    }

    /// What tuning remembers its tile by: kernel, sizes and formats.
    pub fn key(&self) -> String {
        let formats = self.formats.iter().take(self.kernel.arguments.len());
        let formats: String = formats.map(|format| format.key()).collect();
        format!("{} {} {formats}", self.kernel.name, self.sizes().map(|sizes| sizes.key()).unwrap_or_default())
    }

    /// Tiles worth trying; none if its kernel has only one way.
    pub fn candidates(&self) -> Vec<Tile> {
        let Some((tiling, sizes)) = self.kernel.tiling.zip(self.sizes()) else { return Vec::new() };
        (tiling.candidates)(&sizes)
    }

    /// The same step with its work divided otherwise; `None` if the kernel does not take that tile.
    pub fn with_tile(&self, tile: Tile) -> Option<Step> {
        // None that is worth trying comes near; what is computed from larger ones could overflow.
        let possible = tile.workgroup > 0 && tile.pixels.max(tile.planes) <= 1 << 12;
        let tiling = self.kernel.tiling.filter(|_| possible)?;
        let sizes = self.sizes()?;
        let placed = (tiling.place)(&sizes, tile)?;
        let mut constants = sizes.values().to_vec();
        let small = |value: &usize| u32::try_from(*value).ok();
        constants.extend(placed.constants.iter().map(small).collect::<Option<Vec<u32>>>()?);
        let [x, y, z] = placed.threads;
        let grid = [small(&x.div_ceil(tile.workgroup as usize))?, small(&y)?, small(&z)?];
        Some(Step { constants, grid, tile: Some(tile), ..self.clone() })
    }

    /// The invocations that have work under a tile, which is fewer than are started.
    fn threads(&self, tile: Tile) -> Option<u64> {
        let placed = (self.kernel.tiling?.place)(&self.sizes()?, tile)?;
        placed.threads.iter().try_fold(1u64, |all, n| all.checked_mul(*n as u64))
    }

    /// The constants that do not depend on the tile; `None` if there are fewer than its kernel declares,
    /// as only a step made by hand has.
    fn sizes(&self) -> Option<Sizes<'_>> {
        Sizes::new(self.kernel, self.constants.get(..self.kernel.constants.len())?)
    }

    /// The generated head of the shader: one `const` line per constant.
    pub fn prelude(&self) -> String {
        let mut text = format!("const WORKGROUP: u32 = {}u;\n", self.workgroup());
        if self.formats.iter().any(|format| format.storage == Storage::Texture) {
            text += &format!("const TEXTURE_WIDTH: u32 = {TEXTURE_WIDTH}u;\n");
        }
        if self.kernel.arguments.iter().any(|argument| argument.name == BIAS.name) {
            let scaled = self.formats.iter().any(|format| format.element == Element::Snorm8);
            text += &format!("const WEIGHTS_SCALED: u32 = {}u;\n", u32::from(scaled));
        }
        let fixed = self.kernel.fixed.iter().map(|(name, value)| (name, value));
        let constants = fixed.map(|(name, value)| (*name, value)).chain(self.names().zip(&self.constants));
        constants.fold(text, |text, (name, value)| text + &format!("const {name}: u32 = {value}u;\n"))
    }

    /// The whole shader. Steps of equal kernel and constants share it, and so share a pipeline.
    pub fn shader(&self) -> String {
        let arguments = self.kernel.arguments.iter().zip(&self.formats);
        let accessors = arguments.filter_map(|(argument, format)| argument.accessor(*format));
        let shared = self.uses_subgroups();
        let sources = self.kernel.sources.iter().map(|source| source.subgroup.filter(|_| shared).unwrap_or(source));
        let text = accessors.chain(sources).fold(self.prelude(), |text, source| text + source.text);
        let text = if self.reads_sizes() { open::open(&text, self.kernel.open, &self.sizes_to_read()) } else { text };
        if self.unrolled { unroll::unroll(&text) } else { text }
    }

    /// What [`Step::shader`] goes by, without making it.
    pub fn shader_key(&self) -> String {
        let sizes = if self.reads_sizes() { self.sizes_to_read() } else { Vec::new() };
        let opened: Vec<&str> = open::opened(self.kernel.open, &sizes).map(|(_, name)| name).collect();
        let constants = self.names().zip(&self.constants).filter(|(name, _)| !opened.contains(name));
        let constants: Vec<&u32> = constants.map(|(_, value)| value).collect();
        let Step { kernel, formats, unrolled, .. } = self;
        format!("{} {} {unrolled} {opened:?} {constants:?} {formats:?}", kernel.name, self.workgroup())
    }

    /// Whether the shader needs a device with subgroup operations, and subgroups of the size that its
    /// constant `SUBGROUP` says.
    pub fn uses_subgroups(&self) -> bool {
        self.names().zip(&self.constants).any(|(name, value)| name == "SUBGROUP" && *value > 0)
    }
}

impl fmt::Display for Step {
    /// `conv grid 28×3×1 x←t0 w←w1 …  IN_PLANES=1 …`
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let [x, y, z] = self.grid;
        write!(f, "{} {x}×{y}×{z}", self.kernel.name)?;
        for (argument, binding) in self.arguments().zip(&self.bindings) {
            match binding {
                Binding::Tensor(id) => write!(f, " {}=t{}", argument.name, id.0)?,
                Binding::Weights(id) => write!(f, " {}=w{}", argument.name, id.0)?,
                Binding::Picture => write!(f, " {}=picture", argument.name)?,
                Binding::Tables => write!(f, " {}=tables", argument.name)?,
                Binding::Lines => write!(f, " {}=lines", argument.name)?,
                Binding::Best => write!(f, " {}=best", argument.name)?,
            }
        }
        for (name, value) in self.names().zip(&self.constants) {
            write!(f, " {name}={value}")?;
        }
        Ok(())
    }
}
