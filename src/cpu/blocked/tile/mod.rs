//! The innermost loops of [`conv`](super::conv): a tile of pixels × blocks of output channels, in registers.
//!
//! Browsers' engines and LLVM want them written differently: `native.rs` and `wasm.rs`.

use std::ops::Range;

use pulp::{Simd, WithSimd};

use super::gelu::Gelu;
use super::layout::{Block, LANES, Map};
use super::vectors::{load, relu, sigmoid, store, vectors};
use crate::ops::Activation;

/// Does something for every pixel of a tile, written out whatever the optimisation level: a loop over sums would
/// keep them in memory.
macro_rules! each_pixel {
    ($pixels:expr, |$p:ident| $body:block) => {
        each_pixel!(@ $pixels, $p, $body, 0 1 2 3 4 5 6)
    };
    (@ $pixels:expr, $p:ident, $body:block, $($at:literal)*) => {
        $(if $at < $pixels {
            const { assert!($at < MAX_SEGMENT) };
            let $p = $at;
            $body
        })*
    };
}

// `tests/miri.sh` looks at those of WebAssembly, in place of the loops that native machines have.
#[cfg_attr(any(all(target_arch = "wasm32", target_feature = "simd128"), wasm_loops), path = "wasm.rs")]
mod native;

pub(super) use native::{largest, segments, sum};

/// Most pixels of a tile.
pub(super) const MAX_SEGMENT: usize = 7;

/// Most blocks of output channels in a tile; a fourth would not leave registers for the operands.
pub(super) const MAX_TILE: usize = 3;

/// What a tile reads of the input.
pub(super) struct Taps {
    pub kernel: [usize; 2],
    /// Rows and columns from the input's frame to the first tap of the first output.
    pub offset: [usize; 2],
    /// Input planes of a group, and channels in the last of them.
    pub planes: usize,
    pub last: usize,
    pub plane_len: usize,
    #[cfg_attr(
        all(target_arch = "wasm32", target_feature = "simd128"),
        allow(dead_code, reason = "known to the steps")
    )]
    pub pitch: usize,
    /// Rows of taps (input planes × rows of the kernel) whose products are added up in one go.
    pub run: usize,
    #[cfg_attr(
        not(all(target_arch = "wasm32", target_feature = "simd128")),
        allow(dead_code, reason = "nothing is known beforehand there")
    )]
    steps: native::Steps,
}

impl Taps {
    /// Of a group's input channels, which are a multiple of 16 where there are several groups. Planes are
    /// `plane_len` blocks apart.
    pub(super) fn new(
        kernel: [usize; 2],
        padding: [usize; 2],
        channels: usize,
        input: &Map,
        plane_len: usize,
        run: usize,
    ) -> Self {
        let most = (run / (kernel[1] * LANES)).max(1);
        let (planes, last, pitch) = (channels.div_ceil(LANES), (channels - 1) % LANES + 1, input.pitch());
        Taps {
            kernel,
            offset: padding.map(|p| input.halo - p),
            planes,
            last,
            plane_len,
            pitch,
            run: native::run(channels.div_ceil(LANES) * kernel[0], most),
            steps: native::Steps::new(kernel, [planes, last], plane_len, pitch),
        }
    }

    /// Number of products of some rows of taps.
    pub(super) fn products(&self, rows: &Range<usize>) -> usize {
        let last = (self.planes - 1) * self.kernel[0];
        let in_last = rows.end.saturating_sub(rows.start.max(last));
        (rows.len() - in_last) * self.kernel[1] * LANES + in_last * self.kernel[1] * self.last
    }
}

/// Neighbouring pixels whose products are summed together.
#[derive(Clone, Copy, Debug)]
pub(super) struct Spot {
    /// Position in the input of the first pixel's first tap.
    pub start: usize,
    pub pixels: usize,
    /// The first pixel's place in the totals.
    pub at: usize,
}

/// Where the pixels of a spot go.
#[derive(Clone, Copy, Debug)]
pub(super) struct Place {
    /// The first pixel, in blocks from the first of a window's rows.
    pub start: usize,
    /// Pixels up to the end of its row; those after it begin the next.
    pub before: usize,
}

/// The output of the last rows of taps, in place of totals: `total + bias`, or zero where that is less than a limit. What
/// is finished in registers is not stored and loaded once more: 3 % of MobileOne-S0's time in a browser.
pub(super) struct Out<'a> {
    /// Of each spot.
    pub places: &'a [Place],
    /// A block for each block of output channels.
    pub bias: &'a [Block],
    /// 0 for ReLU, minus infinity for no activation.
    pub limit: f32,
    /// The window's rows of each plane, from the first one's first pixel to the last one's last.
    pub planes: [&'a mut [Block]; MAX_TILE],
    /// Blocks between the end of a row and the next.
    pub gap: usize,
}

/// Sums of the products of some rows of taps, `[pixel][block]`; the first rows begin the totals, later ones are added.
pub(super) struct Sums<'a> {
    pub taps: &'a Taps,
    /// From the first plane of the group on.
    pub x: &'a [Block],
    pub spots: &'a [Spot],
    /// Blocks from one pixel to the next.
    pub stride: usize,
    pub rows: Range<usize>,
    /// All weights, and which are those of these rows.
    pub panels: &'a [Block],
    pub panel: Range<usize>,
    /// Blocks of output channels.
    pub blocks: usize,
    /// How many of their channels there are, for who can leave out the others.
    #[cfg_attr(
        not(all(target_arch = "wasm32", target_feature = "simd128")),
        allow(dead_code, reason = "vectors are a whole block")
    )]
    pub channels: usize,
    pub totals: &'a mut [Block],
    /// With the last rows: where all goes, and not into the totals.
    pub out: Option<Out<'a>>,
}

/// `out = activation(total + bias [+ residual])` for one block of output channels; `totals` begins with
/// the first pixel's, the next pixel's is `blocks` further.
pub(super) struct Finish<'a> {
    pub totals: &'a [Block],
    pub blocks: usize,
    /// How many of the block's channels there are.
    pub channels: usize,
    pub bias: &'a Block,
    pub residual: Option<&'a [Block]>,
    pub activation: Activation,
    pub out: &'a mut [Block],
}

impl WithSimd for Finish<'_> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(self, simd: S) {
        match self.activation {
            Activation::None => self.each(simd, Identity),
            Activation::Relu => self.each(simd, Relu),
            Activation::Gelu => self.each(simd, Gelu::new()),
            Activation::Sigmoid => self.each(simd, Sigmoid),
        }
    }
}

impl Finish<'_> {
    #[inline(always)]
    fn each<S: Simd>(mut self, simd: S, activation: impl Activate) {
        let count = self.channels.div_ceil(S::F32_LANES).min(vectors::<S>());
        for p in 0..self.out.len() {
            if vectors::<S>() == 4 && count == 4 {
                self.vectors::<S, 4>(simd, activation, p, 0);
            } else {
                for v in 0..if cfg!(target_arch = "wasm32") { count } else { vectors::<S>() } {
                    self.vectors::<S, 1>(simd, activation, p, v);
                }
            }
        }
    }

    /// The `N` vectors from `first` on of a pixel.
    #[inline(always)]
    fn vectors<S: Simd, const N: usize>(&mut self, simd: S, activation: impl Activate, p: usize, first: usize) {
        let total = &self.totals[p * self.blocks];
        let mut sums: [S::f32s; N] =
            std::array::from_fn(|v| simd.add_f32s(load::<S>(total, first + v), load::<S>(self.bias, first + v)));
        if let Some(residual) = self.residual {
            for (v, sum) in sums.iter_mut().enumerate() {
                *sum = simd.add_f32s(*sum, load::<S>(&residual[p], first + v));
            }
        }
        for (v, value) in activation.of(simd, sums).into_iter().enumerate() {
            store::<S>(&mut self.out[p], first + v, value);
        }
    }
}

/// An activation of some vectors.
trait Activate: Copy {
    fn of<S: Simd, const N: usize>(self, simd: S, x: [S::f32s; N]) -> [S::f32s; N];
}

macro_rules! activations {
    ($($name:ident: |$this:ident, $simd:ident, $x:ident| $value:expr;)*) => {
        $(impl Activate for $name {
            #[inline(always)]
            fn of<S: Simd, const N: usize>($this, $simd: S, $x: [S::f32s; N]) -> [S::f32s; N] {
                $value
            }
        })*
    };
}

#[derive(Clone, Copy)]
struct Identity;
#[derive(Clone, Copy)]
struct Relu;
#[derive(Clone, Copy)]
struct Sigmoid;

activations! {
    Identity: |self, _simd, x| x;
    Relu: |self, simd, x| x.map(|x| relu(simd, x));
    Gelu: |self, simd, x| Gelu::of(self, simd, x);
    Sigmoid: |self, _simd, x| x.map(sigmoid::<S>);
}
