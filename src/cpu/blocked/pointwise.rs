//! What is done to each value by itself: activations, sums of two values, gates, batch norms.

use pulp::{Simd, WithSimd};

use super::depthwise::cut;
use super::kernel::{Kernel, Reads, Scratch};
use super::layout::{Block, LANES, Map};
use super::slots::{Rect, Window};
use super::vectors::{activate, load, store, vectors};
use crate::cpu::simd::Vectors;
use crate::ops::Activation;

/// What comes before the activation.
pub(super) enum Form {
    /// `x`
    Plain,
    /// `x + y`; the map of `y`.
    Sum(Map),
    /// `x · y`, where `y` has one value per channel; its map.
    Gate(Map),
    /// `scale · x + shift`, a block of each per plane.
    Affine(Vec<[Block; 2]>),
}

pub(super) struct Pointwise {
    form: Form,
    activation: Activation,
    input: Map,
    output: Map,
    pieces: Vec<Rect>,
}

impl Pointwise {
    pub(super) fn new(form: Form, activation: Activation, input: Map, output: Map, threads: usize) -> Self {
        let pieces = cut(&output, output.planes() * LANES, threads);
        Pointwise { form, activation, input, output, pieces }
    }
}

impl Form {
    /// [`Form::Affine`] of a scale and a shift per channel.
    pub(super) fn affine(channels: &[(f64, f64)]) -> Self {
        let block = |chunk: &[(f64, f64)]| {
            let mut blocks = [Block::ZERO; 2];
            for (lane, (scale, shift)) in chunk.iter().enumerate() {
                (blocks[0].0[lane], blocks[1].0[lane]) = (*scale as f32, *shift as f32);
            }
            blocks
        };
        Form::Affine(channels.chunks(LANES).map(block).collect())
    }
}

impl Kernel for Pointwise {
    fn name(&self) -> &'static str {
        match self.form {
            Form::Plain => "activation",
            Form::Sum(_) => "sum",
            Form::Gate(_) => "gate",
            Form::Affine(_) => "affine",
        }
    }

    fn output(&self) -> Map {
        self.output
    }

    fn pieces(&self) -> usize {
        self.pieces.len()
    }

    fn rect(&self, piece: usize) -> Rect {
        self.pieces[piece].clone()
    }

    fn run(&self, _piece: usize, reads: &Reads, out: &mut Window, _scratch: &mut Scratch) {
        Vectors::new().dispatch(Job { kernel: self, reads, out });
    }
}

struct Job<'a, 'r, 'w> {
    kernel: &'a Pointwise,
    reads: &'a Reads<'r>,
    out: &'a mut Window<'w>,
}

impl WithSimd for Job<'_, '_, '_> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(self, simd: S) {
        let Pointwise { form, activation, input, output, .. } = self.kernel;
        let [x, other] = self.reads.values;
        let Rect { planes, rows, .. } = self.out.rect().clone();
        for plane in planes {
            for y in rows.clone() {
                let x = &x[input.at(plane, y, 0)..][..output.width];
                let out = self.out.row(plane, y);
                for (i, (x, out)) in x.iter().zip(out).enumerate() {
                    for v in 0..vectors::<S>() {
                        let value = load::<S>(x, v);
                        let value = match form {
                            Form::Plain => value,
                            Form::Sum(map) => simd.add_f32s(value, load::<S>(&other[map.at(plane, y, i)], v)),
                            Form::Gate(map) => simd.mul_f32s(value, load::<S>(&other[map.at(plane, 0, 0)], v)),
                            Form::Affine(blocks) => {
                                let [scale, shift] = &blocks[plane];
                                simd.mul_add_e_f32s(value, load::<S>(scale, v), load::<S>(shift, v))
                            }
                        };
                        store::<S>(out, v, activate(simd, *activation, value));
                    }
                }
            }
        }
    }
}
