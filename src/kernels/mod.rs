//! The kernel table: which WGSL file computes which operator, with which bindings and constants.
//!
//! Nothing here names a wgpu type: a [`Step`] is a plain value, so that scheduling, memory reuse
//! and dispatch sizes are tested without a device. One file per kernel, named like its WGSL file;
//! it holds the [`Kernel`] declaration and the lowering of the operators it computes.
//!
//! A shader's text is put together from whole files, in this order: a generated prelude of
//! `const NAME: u32 = …;` lines ([`Step::prelude`]), the kernel's shared files, the kernel's own
//! file. Shapes are therefore literals for the driver's compiler, and every file stays plain WGSL.

mod add;
mod affine;
mod avg_pool;
mod conv;
mod copy_conv;
mod depthwise;
mod gate;
mod gather;
mod global_avg_pool;
mod layout;
mod linear;
mod lowering;
mod pointwise;
mod preprocess;
mod tile;
mod token_mixer;
mod values;
mod views;

pub use layout::Layout;
pub use lowering::{Lower, Lowering, Operand, View};
pub use preprocess::{preprocess_step, preprocess_tables};
pub use values::{Output, TensorInfo, WeightBlob};

use std::fmt;

use crate::ops::Activation;

/// A file of WGSL.
#[derive(Debug)]
pub struct Source {
    /// Path below `shaders/`.
    pub file: &'static str,
    /// Its whole text.
    pub text: &'static str,
}

macro_rules! source {
    ($file:literal) => {
        $crate::kernels::Source { file: $file, text: include_str!(concat!("../../shaders/", $file)) }
    };
}
pub(crate) use source;

/// Input activations in a storage buffer, `x_at(i)`, at binding 0.
static X_BUFFER: Source = source!("operands/x_buffer.wgsl");
/// Packed weights in a storage buffer, `w_at(i)`, at binding 1.
static W_BUFFER: Source = source!("operands/w_buffer.wgsl");
/// `activate(v)` by the constant `ACTIVATION`.
static ACTIVATION: Source = source!("activation.wgsl");

/// The values of the constant `ACTIVATION`.
const ACTIVATIONS: &[(&str, u32)] = &[
    ("RELU", tile::activation(Activation::Relu) as u32),
    ("GELU", tile::activation(Activation::Gelu) as u32),
    ("SIGMOID", tile::activation(Activation::Sigmoid) as u32),
];

/// How a kernel uses one of its bindings, all of them storage buffers in group 0.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Access {
    /// `var<storage, read>`.
    Read,
    /// `var<storage, read_write>`; kernels only write it.
    Write,
}

/// One binding of a kernel.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Slot {
    /// Name of the WGSL variable.
    pub name: &'static str,
    /// How it is used.
    pub access: Access,
}

const fn read(name: &'static str) -> Slot {
    Slot { name, access: Access::Read }
}

const fn write(name: &'static str) -> Slot {
    Slot { name, access: Access::Write }
}

/// A compute kernel: its text, bindings and the constants that its prelude has to define.
#[derive(Debug)]
pub struct Kernel {
    /// Name in plans, profiles and messages.
    pub name: &'static str,
    /// Files put behind the prelude, in order; the last is the kernel's own.
    pub sources: &'static [&'static Source],
    /// `@group(0) @binding(i)` for each i.
    pub bindings: &'static [Slot],
    /// Names of the constants, all u32, in the order in which steps give them.
    pub constants: &'static [&'static str],
    /// Invocations of a workgroup along x; y and z are 1.
    pub workgroup: u32,
    /// Constants that are the same in every step: numbers that Rust and WGSL have to agree on.
    pub fixed: &'static [(&'static str, u32)],
}

/// Every kernel.
pub static KERNELS: &[&Kernel] = &[
    &add::KERNEL,
    &affine::KERNEL,
    &avg_pool::KERNEL,
    &conv::KERNEL,
    &copy_conv::KERNEL,
    &depthwise::KERNEL,
    &gate::KERNEL,
    &gather::KERNEL,
    &global_avg_pool::KERNEL,
    &linear::KERNEL,
    &pointwise::KERNEL,
    &preprocess::KERNEL,
    &token_mixer::KERNEL,
];

impl PartialEq for Kernel {
    fn eq(&self, other: &Kernel) -> bool {
        self.name == other.name
    }
}

/// A physical activation tensor of a plan: planes of four channels, `[planes][batch][h·w]` of
/// `vec4<f32>`.
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
}

/// One dispatch: a kernel with its constants, bindings and grid. A plain value.
#[derive(Clone, Debug, PartialEq)]
pub struct Step {
    /// Name of the graph node it computes.
    pub node: String,
    /// The kernel.
    pub kernel: &'static Kernel,
    /// Values for [`Kernel::constants`], in that order.
    pub constants: Vec<u32>,
    /// What is bound, in the order of [`Kernel::bindings`].
    pub bindings: Vec<Binding>,
    /// Number of workgroups.
    pub grid: [u32; 3],
    /// Multiply-accumulates, for the whole batch.
    pub macs: u64,
}

impl Step {
    /// The generated head of the shader: one `const` line per constant.
    pub fn prelude(&self) -> String {
        let workgroup = format!("const WORKGROUP: u32 = {}u;\n", self.kernel.workgroup);
        let fixed = self.kernel.fixed.iter().map(|(name, value)| (name, value));
        let constants = fixed.chain(self.kernel.constants.iter().zip(&self.constants));
        constants.fold(workgroup, |text, (name, value)| text + &format!("const {name}: u32 = {value}u;\n"))
    }

    /// The whole shader. Steps of equal kernel and constants share it, and so share a pipeline.
    pub fn shader(&self) -> String {
        self.kernel.sources.iter().fold(self.prelude(), |text, source| text + source.text)
    }
}

impl fmt::Display for Step {
    /// `conv grid 28×3×1 x←t0 w←w1 …  IN_PLANES=1 …`
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let [x, y, z] = self.grid;
        write!(f, "{} {x}×{y}×{z}", self.kernel.name)?;
        for (slot, binding) in self.kernel.bindings.iter().zip(&self.bindings) {
            match binding {
                Binding::Tensor(id) => write!(f, " {}=t{}", slot.name, id.0)?,
                Binding::Weights(id) => write!(f, " {}=w{}", slot.name, id.0)?,
                Binding::Picture => write!(f, " {}=picture", slot.name)?,
                Binding::Tables => write!(f, " {}=tables", slot.name)?,
            }
        }
        for (name, value) in self.kernel.constants.iter().zip(&self.constants) {
            write!(f, " {name}={value}")?;
        }
        Ok(())
    }
}
