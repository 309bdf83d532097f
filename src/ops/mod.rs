//! What each operator means: attributes, shapes, parameters, multiply-accumulates.
//!
//! One file per operator. How an operator is computed lives beside it in name: `cpu/<op>.rs` for
//! the CPU executor, `kernels/<op>.rs` and `shaders/` for the GPU. The list of operators is
//! [`with_each_op!`](crate::with_each_op) below and nowhere else; the compiler names whatever a new operator lacks.

mod activate;
mod add;
mod avg_pool;
mod batch_norm;
mod chunk_conv;
mod concat;
mod conv2d;
mod copy_conv;
mod gate;
mod global_avg_pool;
mod input;
mod linear;
mod scale;
mod slice;

pub use activate::{Activate, Activation};
pub use add::Add;
pub use avg_pool::AvgPool;
pub use batch_norm::BatchNorm;
pub use chunk_conv::{ChunkConv, Depthwise};
pub use concat::Concat;
pub use conv2d::Conv2d;
pub use copy_conv::CopyConv;
pub use gate::Gate;
pub use global_avg_pool::GlobalAvgPool;
pub use input::Input;
pub use linear::Linear;
pub use scale::Scale;
pub use slice::Slice;

use crate::graph::{ParamId, Params, Shape};
use serde::{Deserialize, Serialize};

/// What the graph has to know of an operator.
pub trait Operator {
    /// Name in dumps and messages, in snake case.
    const NAME: &'static str;

    /// Shape of the output for one sample, or what is wrong with inputs or parameters. Must check
    /// everything that the executors rely on: graphs also come from files.
    fn infer(&self, inputs: &[Shape], params: &Params) -> Result<Shape, String>;

    /// The parameters it reads, each with its role (`weight`, `bias`, …).
    fn params(&self) -> Vec<(&'static str, ParamId)> {
        Vec::new()
    }

    /// Renumbers the parameters.
    fn remap(&mut self, _to: &mut dyn FnMut(ParamId) -> ParamId) {}

    /// Multiply-accumulates for one sample, as papers count them: convolutions and linear layers.
    fn macs(&self, _inputs: &[Shape], _output: Shape, _params: &Params) -> u64 {
        0
    }

    /// The windows that it moves over its input; several for operators that are made of several
    /// convolutions.
    fn windows(&self, _inputs: &[Shape], _params: &Params) -> Vec<Window> {
        Vec::new()
    }

    /// How far from its own pixel an output looks, along (rows, columns), in the input's pixels: 1 for
    /// a 3×3 window. Proofs choose maps large enough for every tap to meet a pixel.
    fn reach(&self, _params: &Params) -> [usize; 2] {
        [0, 0]
    }

    /// The activation at its end, for those that have one.
    fn activation_mut(&mut self) -> Option<&mut Activation> {
        None
    }

    /// Attributes for the text dump: `", stride 2, relu"` or nothing.
    fn attributes(&self, _params: &Params) -> String {
        String::new()
    }
}

/// A window of a convolution or a pooling. Pairs are (vertical, horizontal).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize)]
pub struct Window {
    /// Its size, without dilation.
    pub kernel: [usize; 2],
    /// Step between windows.
    pub stride: [usize; 2],
    /// Step between the pixels of a window.
    pub dilation: [usize; 2],
    /// Groups of channels that see only their own: as many as channels where each is by itself.
    pub groups: usize,
}

/// Calls the macro `$then` with the list of all operators.
#[macro_export]
#[doc(hidden)]
macro_rules! with_each_op {
    ($then:ident) => {
        $then! {
            Input, Conv2d, BatchNorm, Activate, Add, Scale, Slice, Concat, ChunkConv, CopyConv,
            AvgPool, GlobalAvgPool, Linear, Gate
        }
    };
}

macro_rules! define_op {
    ($($op:ident),*) => {
        /// Any operator.
        #[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
        pub enum Op { $(
            #[doc = concat!("See [`", stringify!($op), "`].")]
            $op($op),
        )* }

        impl Op {
            /// Names of all operators.
            pub const NAMES: &'static [&'static str] = &[$(<$op as Operator>::NAME),*];

            /// [`Operator::NAME`].
            pub fn name(&self) -> &'static str {
                match self { $(Op::$op(_) => <$op as Operator>::NAME),* }
            }

            /// [`Operator::infer`].
            pub fn infer(&self, inputs: &[Shape], params: &Params) -> Result<Shape, String> {
                match self { $(Op::$op(op) => op.infer(inputs, params)),* }
            }

            /// [`Operator::params`].
            pub fn params(&self) -> Vec<(&'static str, ParamId)> {
                match self { $(Op::$op(op) => op.params()),* }
            }

            /// [`Operator::remap`].
            pub fn remap(&mut self, to: &mut dyn FnMut(ParamId) -> ParamId) {
                match self { $(Op::$op(op) => op.remap(to)),* }
            }

            /// [`Operator::macs`].
            pub fn macs(&self, inputs: &[Shape], output: Shape, params: &Params) -> u64 {
                match self { $(Op::$op(op) => op.macs(inputs, output, params)),* }
            }

            /// [`Operator::windows`].
            pub fn windows(&self, inputs: &[Shape], params: &Params) -> Vec<Window> {
                match self { $(Op::$op(op) => op.windows(inputs, params)),* }
            }

            /// [`Operator::reach`].
            pub fn reach(&self, params: &Params) -> [usize; 2] {
                match self { $(Op::$op(op) => op.reach(params)),* }
            }

            /// [`Operator::activation_mut`].
            pub fn activation_mut(&mut self) -> Option<&mut Activation> {
                match self { $(Op::$op(op) => op.activation_mut()),* }
            }

            /// [`Operator::attributes`].
            pub fn attributes(&self, params: &Params) -> String {
                match self { $(Op::$op(op) => op.attributes(params)),* }
            }
        }

        $(impl From<$op> for Op {
            fn from(op: $op) -> Op { Op::$op(op) }
        })*
    };
}
with_each_op!(define_op);

/// Checks the number of inputs.
fn arity(inputs: &[Shape], allowed: std::ops::RangeInclusive<usize>) -> Result<(), String> {
    if allowed.contains(&inputs.len()) {
        return Ok(());
    }
    Err(format!("takes {} to {} inputs, got {}", allowed.start(), allowed.end(), inputs.len()))
}

/// Checks a parameter's shape.
fn param_shape(params: &Params, what: &str, id: ParamId, expected: &[usize]) -> Result<(), String> {
    let found = params.shape(id);
    if found == expected {
        return Ok(());
    }
    Err(format!("{what} {:?} has shape {found:?}, expected {expected:?}", params.get(id).name))
}

/// Length of a convolution's output along one axis, if there is room for one position.
fn conv_len(input: usize, kernel: usize, stride: usize, padding: usize, dilation: usize) -> Option<usize> {
    let window = dilation.checked_mul(kernel.checked_sub(1)?)?.checked_add(1)?;
    let room = padding.checked_mul(2)?.checked_add(input)?.checked_sub(window)?;
    room.checked_div(stride)?.checked_add(1)
}
