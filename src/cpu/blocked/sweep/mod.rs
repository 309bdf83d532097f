//! The innermost loops of depthwise convolutions: all taps for the outputs of a row. Browsers' engines and LLVM want
//! them written differently: `native.rs` and `wasm.rs`.

use std::ops::Range;

use pulp::Simd;

use super::layout::Block;
use super::vectors::{load, relu, store};

// `tests/miri.sh` looks at those of WebAssembly, in place of the loops that native machines have.
#[cfg_attr(any(all(target_arch = "wasm32", target_feature = "simd128"), wasm_loops), path = "wasm.rs")]
mod native;

pub(super) use native::lines;

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

/// The outputs of some rows, of some vectors of each block.
pub(super) struct Lines<'a> {
    pub vectors: Range<usize>,
    /// What the sums begin with.
    pub bias: &'a Block,
    /// Outputs of a row.
    pub columns: usize,
    pub rows: usize,
    /// Of the first row. The next one's is as many blocks further as `step` says.
    pub first: Sweep<'a>,
    pub step: usize,
    /// More products, of inputs that are next to each other; for a single row.
    pub second: Option<Sweep<'a>>,
    /// Whether ReLU is all that is done to the sums, or nothing.
    pub relu: bool,
    /// From the first row's first column on, with the distance of rows.
    pub out: &'a mut [Block],
    pub pitch: usize,
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
