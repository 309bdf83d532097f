//! The instruction sets with which sums of 8-bit products are computed; all give the same integers.
//!
//! A job is written once over [`Dot`] and compiled for each of them; [`Isa::dispatch`] picks one when it runs.

#[cfg(target_arch = "x86_64")]
mod avx2;
#[cfg(target_arch = "x86_64")]
mod avx512;
#[cfg(target_arch = "aarch64")]
mod neon;
#[cfg(not(all(target_arch = "wasm32", target_feature = "simd128")))]
mod portable;
#[cfg(all(target_arch = "wasm32", target_feature = "simd128"))]
mod simd128;

use super::layout::{Bytes, Enlarges, LANES, Lut, Panel, Rescale, Words};

/// An instruction set that this machine has.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::cpu) enum Isa {
    /// Plain code, vectorised by the compiler for what every machine of its kind has. WebAssembly has its vectors or
    /// none: there is nothing to choose when it runs, and the other half would only be fetched.
    #[cfg(not(all(target_arch = "wasm32", target_feature = "simd128")))]
    Portable,
    /// AVX2: products by `vpmaddubsw`, of magnitudes and signed weights, so that pairs cannot saturate.
    #[cfg(target_arch = "x86_64")]
    Avx2,
    /// AVX2 with `vpdpbusd`.
    #[cfg(target_arch = "x86_64")]
    AvxVnni,
    /// AVX-512 with `vpdpbusd`.
    #[cfg(target_arch = "x86_64")]
    Avx512,
    /// The same with permutations of bytes.
    #[cfg(target_arch = "x86_64")]
    Avx512Vbmi,
    /// The vectors of aarch64.
    #[cfg(target_arch = "aarch64")]
    Neon,
    /// WebAssembly's vectors: pairs of products of 16 bits.
    #[cfg(all(target_arch = "wasm32", target_feature = "simd128"))]
    Simd128,
    /// The same with four products of bytes at once, the activations' without a sign.
    #[cfg(all(target_arch = "wasm32", target_feature = "relaxed-simd"))]
    Unsigned,
    /// The same with signed activations.
    #[cfg(all(target_arch = "wasm32", target_feature = "relaxed-simd"))]
    Signed,
}

impl Isa {
    /// What every machine that this was compiled for has.
    #[cfg(not(all(target_arch = "wasm32", target_feature = "simd128")))]
    const ALWAYS: Isa = Isa::Portable;
    #[cfg(all(target_arch = "wasm32", target_feature = "simd128"))]
    const ALWAYS: Isa = Isa::Simd128;

    /// All that this machine has, the fastest last.
    pub(in crate::cpu) fn available() -> Vec<Isa> {
        #[allow(unused_mut, reason = "some targets have no other")]
        let mut all = vec![Isa::ALWAYS];
        #[cfg(target_arch = "x86_64")]
        {
            let avx2 = is_x86_feature_detected!("avx2");
            let vnni = avx2 && is_x86_feature_detected!("avxvnni");
            let avx512 = is_x86_feature_detected!("avx512f")
                && is_x86_feature_detected!("avx512bw")
                && is_x86_feature_detected!("avx512vl")
                && is_x86_feature_detected!("avx512dq")
                && is_x86_feature_detected!("avx512vnni");
            let vbmi = avx512 && is_x86_feature_detected!("avx512vbmi");
            let found = [(Isa::Avx2, avx2), (Isa::AvxVnni, vnni), (Isa::Avx512, avx512), (Isa::Avx512Vbmi, vbmi)];
            all.extend(found.into_iter().filter(|(_, there)| *there).map(|(isa, _)| isa));
        }
        #[cfg(target_arch = "aarch64")]
        all.push(Isa::Neon);
        #[cfg(all(target_arch = "wasm32", target_feature = "relaxed-simd"))]
        {
            all.extend(simd128::computes::<true>().then_some(Isa::Unsigned));
            all.extend(simd128::computes::<false>().then_some(Isa::Signed));
        }
        all
    }

    /// The fastest of this machine.
    pub(in crate::cpu) fn best() -> Isa {
        Isa::available().pop().unwrap_or(Isa::ALWAYS)
    }

    /// Name in device lines.
    pub(in crate::cpu) fn name(self) -> &'static str {
        match self {
            #[cfg(not(all(target_arch = "wasm32", target_feature = "simd128")))]
            Isa::Portable => "portable",
            #[cfg(target_arch = "x86_64")]
            Isa::Avx2 => "avx2",
            #[cfg(target_arch = "x86_64")]
            Isa::AvxVnni => "avx-vnni",
            #[cfg(target_arch = "x86_64")]
            Isa::Avx512 => "avx512-vnni",
            #[cfg(target_arch = "x86_64")]
            Isa::Avx512Vbmi => "avx512-vnni-vbmi",
            #[cfg(target_arch = "aarch64")]
            Isa::Neon => "neon",
            #[cfg(all(target_arch = "wasm32", target_feature = "simd128"))]
            Isa::Simd128 => "simd128",
            #[cfg(all(target_arch = "wasm32", target_feature = "relaxed-simd"))]
            Isa::Unsigned => "relaxed-simd-u8",
            #[cfg(all(target_arch = "wasm32", target_feature = "relaxed-simd"))]
            Isa::Signed => "relaxed-simd-i8",
        }
    }

    /// What it looks like to code that prepares weights: the largest tile, and whether activations count with
    /// their offset.
    pub(super) fn traits(self) -> Traits {
        struct Ask;
        impl Job for Ask {
            type Output = Traits;
            #[inline(always)]
            fn run<D: Dot>(self, _: D) -> Traits {
                Traits { tile: D::TILE, pixels: D::PIXELS, offset: if D::OFFSET { 128 } else { 0 }, paired: D::PAIRED }
            }
        }
        self.dispatch(Ask)
    }

    /// Runs a job with this instruction set.
    #[inline]
    pub(super) fn dispatch<J: Job>(self, job: J) -> J::Output {
        match self {
            #[cfg(not(all(target_arch = "wasm32", target_feature = "simd128")))]
            Isa::Portable => job.run(portable::Portable),
            #[cfg(target_arch = "x86_64")]
            Isa::Avx2 => {
                // SAFETY: such a value exists only where `available` found the features.
                unsafe { avx2::plain(job) }
            }
            #[cfg(target_arch = "x86_64")]
            Isa::AvxVnni => {
                // SAFETY: as for AVX2.
                unsafe { avx2::vnni(job) }
            }
            #[cfg(target_arch = "x86_64")]
            Isa::Avx512 => {
                // SAFETY: as for AVX2.
                unsafe { avx512::vnni(job) }
            }
            #[cfg(target_arch = "x86_64")]
            Isa::Avx512Vbmi => {
                // SAFETY: as for AVX2.
                unsafe { avx512::vbmi(job) }
            }
            #[cfg(target_arch = "aarch64")]
            Isa::Neon => job.run(neon::Neon),
            #[cfg(all(target_arch = "wasm32", target_feature = "simd128"))]
            Isa::Simd128 => job.run(simd128::Pairs),
            #[cfg(all(target_arch = "wasm32", target_feature = "relaxed-simd"))]
            Isa::Unsigned => job.run(simd128::Quads::<true>),
            #[cfg(all(target_arch = "wasm32", target_feature = "relaxed-simd"))]
            Isa::Signed => job.run(simd128::Quads::<false>),
        }
    }
}

/// See [`Isa::traits`].
#[derive(Clone, Copy, Debug)]
pub(super) struct Traits {
    /// Most blocks of output channels in a tile.
    pub tile: usize,
    /// Most pixels in a tile.
    pub pixels: usize,
    /// What is added to every activation: 0 or 128.
    pub offset: i32,
    /// See [`Dot::PAIRED`].
    pub paired: bool,
}

impl Traits {
    /// Appends the weights `of(channel, input)` of sixteen channels for four inputs.
    pub(super) fn pack(&self, to: &mut Vec<Panel>, of: impl Fn(usize, usize) -> i8) {
        if self.paired {
            let mut panels = [Panel::ZERO; 2];
            let pairs: &mut [[[[[i8; 2]; 2]; 4]; 2]; 4] = bytemuck::cast_mut(&mut panels);
            for (channel, input) in (0..LANES).flat_map(|channel| (0..4).map(move |input| (channel, input))) {
                let weight = i16::from(of(channel, input)).to_le_bytes().map(|byte| byte as i8);
                pairs[channel / 4][input / 2][channel % 4][input % 2] = weight;
            }
            to.extend(panels);
        } else {
            to.push(Panel(std::array::from_fn(|i| of(i / 4, i % 4))));
        }
    }
}

/// Work that is compiled for every instruction set. `run` must be `#[inline(always)]`.
pub(super) trait Job {
    type Output;
    fn run<D: Dot>(self, dot: D) -> Self::Output;
}

/// Sixteen sums at a time, one per output channel, of products of 8-bit integers.
///
/// Activations are bytes `q + 128`. Where [`OFFSET`](Self::OFFSET) is set, products are those of the bytes, and
/// biases have to be lower by 128 times the sum of the weights; elsewhere they are those of `q`.
pub(super) trait Dot: Copy {
    /// Sixteen sums.
    type Sums: Copy;
    /// Four weights for each of sixteen channels.
    type Weights: Copy;
    /// Four activations, the same for all channels.
    type Quad: Copy;
    /// Four activations for each of sixteen channels.
    type Columns: Copy;
    /// [`Rescale`] in registers.
    type Factors: Copy;
    /// Whether activations count as bytes.
    const OFFSET: bool;
    /// Whether products are those of 16 bits, in pairs. Weights then lie in two panels: of every four channels those for
    /// the first two inputs, then those for the other two. If not, one panel has four in a row for each channel. And
    /// convolutions but depthwise ones read activations that were [widened](Self::widen).
    const PAIRED: bool = false;
    /// Panels of sixteen channels' weights for four inputs, and blocks of sixteen channels' activations.
    const PARTS: usize = if Self::PAIRED { 2 } else { 1 };
    /// Most blocks of output channels in a tile.
    const TILE: usize;
    /// Most pixels in a tile.
    const PIXELS: usize;

    fn load(self, sums: &Words) -> Self::Sums;
    fn store(self, sums: Self::Sums, to: &mut Words);
    fn add(self, a: Self::Sums, b: Self::Sums) -> Self::Sums;
    /// Of [`PARTS`](Self::PARTS) panels.
    fn weights(self, panels: &[Panel]) -> Self::Weights;
    /// One of the four quads of a pixel's [`PARTS`](Self::PARTS) blocks.
    fn quad(self, blocks: &[Bytes], index: usize) -> Self::Quad;
    fn dot(self, sums: Self::Sums, quad: Self::Quad, weights: Self::Weights) -> Self::Sums;
    /// Four neighbouring pixels, channel by channel.
    fn columns(self, blocks: &[Bytes; 4]) -> Self::Columns;
    fn dot_columns(self, sums: Self::Sums, columns: Self::Columns, weights: Self::Weights) -> Self::Sums;

    /// Adds the products of one of the four quads of `P` pixels, which are `STRIDE` apart, with the panels of `V` blocks of
    /// channels.
    #[inline(always)]
    fn products<const V: usize, const P: usize, const STRIDE: usize>(
        self,
        x: &[Bytes],
        quad: usize,
        panels: &[Panel],
        mut sums: [[Self::Sums; V]; P],
    ) -> [[Self::Sums; V]; P] {
        // Loops, not closures: those would not be compiled for the set's instructions.
        let panels = &panels[..V * Self::PARTS];
        let mut weights = [self.weights(panels); V];
        for v in 1..V {
            weights[v] = self.weights(&panels[v * Self::PARTS..]);
        }
        for p in 0..P {
            let x = self.quad(&x[p * STRIDE * Self::PARTS..], quad);
            for v in 0..V {
                sums[p][v] = self.dot(sums[p][v], x, weights[v]);
            }
        }
        sums
    }

    /// Adds the products of four taps of a row, channel by channel, for `P` outputs whose first taps are `STRIDE`
    /// apart.
    #[inline(always)]
    fn column_products<const P: usize, const STRIDE: usize>(
        self,
        row: &[Bytes],
        taps: &[Panel],
        sums: &mut [Self::Sums; P],
    ) {
        let taps = self.weights(taps);
        for p in 0..P {
            if let Some(pixels) = row[p * STRIDE..].first_chunk::<4>() {
                sums[p] = self.dot_columns(sums[p], self.columns(pixels), taps);
            }
        }
    }

    /// Adds a residual's values, brought into the sums' units.
    fn enlarge(self, sums: Self::Sums, residual: &Bytes, by: &Enlarges) -> Self::Sums;
    fn factors(self, of: &Rescale) -> Self::Factors;
    /// [`Requant::apply`](crate::int8::arith::Requant::apply), though without its saturation.
    fn rescale(self, sums: Self::Sums, by: &Self::Factors) -> Self::Sums;
    /// `clamp(value + add, low, 255)` as bytes.
    fn pack(self, values: Self::Sums, add: i32, low: i32) -> Bytes;

    /// Bytes as 16 bits.
    #[inline(always)]
    fn widen(self, block: &Bytes) -> [Bytes; 2] {
        let halves: [[[u8; 2]; 8]; 2] =
            std::array::from_fn(|half| std::array::from_fn(|i| u16::from(block.0[half * 8 + i]).to_le_bytes()));
        halves.map(|half| Bytes(bytemuck::cast(half)))
    }

    /// Replaces every byte by its entry.
    #[inline(always)]
    fn look_up(self, table: &Lut, blocks: &mut [Bytes]) {
        for byte in blocks.iter_mut().flat_map(|block| &mut block.0) {
            *byte = table.0[usize::from(*byte)];
        }
    }
}

/// What sets without instructions of their own for it do with sums in memory.
pub(super) mod scalar {
    use super::*;

    #[inline(always)]
    pub(in super::super) fn enlarge(sums: &mut Words, residual: &Bytes, by: &Enlarges) {
        for lane in 0..LANES {
            let q = i32::from(residual.0[lane]) - 128;
            let product = (q * by.multiplier[lane]) << by.left[lane];
            let odd = (product >> by.right[lane]) & by.odd[lane];
            sums.0[lane] = sums.0[lane].wrapping_add((product + by.half[lane] + odd) >> by.right[lane]);
        }
    }

    #[inline(always)]
    pub(in super::super) fn rescale(sums: &mut Words, by: &Rescale) {
        for lane in 0..LANES {
            let sum = sums.0[lane].clamp(-by.bound[lane], by.bound[lane]);
            let product = i64::from(sum) * i64::from(by.multiplier[lane]);
            let odd = (product >> by.shift[lane]) & 1;
            let half = (1i64 << (by.shift[lane] - 1)) - 1;
            sums.0[lane] = ((product + half + odd) >> by.shift[lane]) as i32;
        }
    }
}
