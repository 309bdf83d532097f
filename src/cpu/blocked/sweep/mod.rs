//! The innermost loops of depthwise convolutions: all taps for the outputs of a row. Browsers' engines and LLVM want
//! them written differently: `native.rs` and `wasm.rs`.

use std::ops::Range;

use pulp::Simd;

use super::layout::Block;
use super::vectors::{load, relu, store};

// `tests/miri.sh` looks at those of WebAssembly, in place of the loops that native machines have.
#[cfg_attr(any(all(target_arch = "wasm32", target_feature = "simd128"), wasm_loops), path = "wasm.rs")]
mod native;

pub(super) use native::line;

/// Blocks, and the distance of their rows.
#[derive(Clone, Copy)]
pub(super) struct Plane<'a> {
    pub blocks: &'a [Block],
    pub pitch: usize,
}

/// What a row of outputs reads: taps of a kernel, `size` of them, from a place in a plane.
#[derive(Clone, Copy)]
pub(super) struct Sweep<'a> {
    pub plane: Plane<'a>,
    /// Where the first tap of the row's first output is.
    pub start: usize,
    pub taps: Plane<'a>,
    pub size: [usize; 2],
}

/// The outputs of a row, of one vector of each block.
pub(super) struct Line<'a> {
    pub vector: usize,
    /// What the sums begin with.
    pub bias: &'a Block,
    pub columns: Range<usize>,
    pub first: Sweep<'a>,
    /// More products, of inputs that are next to each other.
    pub second: Option<Sweep<'a>>,
    /// Whether ReLU is all that is done to the sums, or nothing.
    pub relu: bool,
    /// From the first column on.
    pub out: &'a mut [Block],
}

/// Stores sums. Plain loops: closures do not always become part of the vector function.
#[inline(always)]
fn put<S: Simd, const P: usize>(simd: S, rectified: bool, vector: usize, sums: [S::f32s; P], out: &mut [Block]) {
    let out = &mut out[..P];
    if rectified {
        for p in 0..P {
            store::<S>(&mut out[p], vector, relu(simd, sums[p]));
        }
    } else {
        for p in 0..P {
            store::<S>(&mut out[p], vector, sums[p]);
        }
    }
}

/// The bias, for each output.
#[inline(always)]
fn begin<S: Simd, const P: usize>(bias: &Block, vector: usize) -> [S::f32s; P] {
    [load::<S>(bias, vector); P]
}
