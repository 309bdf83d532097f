//! What takes little time: the input onto its grid, sums of two values, gates, means, affine maps, tables.
//! Loops over lanes, which the compiler turns into vector instructions of each set.

use std::ops::Range;

use super::depthwise::cut;
use super::isa::{Dot, Isa, Job};
use super::kernel::{Ending, Kernel, Out, Reads, Scratch};
use super::layout::{Bytes, LANES, Rescale, Words};
use crate::cpu::blocked::layout::Map;
use crate::cpu::blocked::slots::Rect;
use crate::int8::arith::{LARGEST, ToGrid, shift_round};
use crate::int8::program::{Add, Affine, Gate, Pool};
use crate::int8::table::{Finish, Table};

/// What is computed, value by value.
pub(super) enum Form {
    /// The network's input, on the grid.
    Quantize(ToGrid),
    /// Sum of two values.
    Add { multipliers: [i32; 2], shift: u32 },
    /// Product with a value per channel.
    Gate(Box<Rescale>),
    /// Factors and offsets of a block of channels per plane.
    Affine { multiplier: Vec<Words>, offset: Vec<Words>, shift: Vec<Words> },
    /// Bytes of the input are the indices.
    Table,
}

/// An operation on pixels of one place.
pub(super) struct Elementwise {
    form: Form,
    ending: Ending,
    inputs: [Map; 2],
    output: Map,
    pieces: Vec<Rect>,
}

impl Elementwise {
    fn new(form: Form, finish: &Finish, inputs: [Map; 2], output: Map, threads: usize) -> Self {
        let pieces = cut(&output, output.planes() * LANES, threads);
        Elementwise { form, ending: Ending::new(finish), inputs, output, pieces }
    }

    pub(super) fn quantize(scale: f32, input: Map, output: Map, threads: usize) -> Self {
        Self::new(Form::Quantize(ToGrid::new(scale)), &Finish::Clamp { low: -127 }, [input; 2], output, threads)
    }

    /// Of two operands.
    pub(super) fn add(op: &Add, inputs: [Map; 2], output: Map, threads: usize) -> Option<Self> {
        let multipliers = <[i32; 2]>::try_from(op.blend.multipliers.as_slice()).ok()?;
        let form = Form::Add { multipliers, shift: op.blend.shift };
        Some(Self::new(form, &op.finish, inputs, output, threads))
    }

    pub(super) fn gate(op: &Gate, inputs: [Map; 2], output: Map, threads: usize) -> Self {
        Self::new(Form::Gate(Box::new(Rescale::new(&[op.requant; LANES]))), &op.finish, inputs, output, threads)
    }

    pub(super) fn affine(op: &Affine, input: Map, output: Map, threads: usize) -> Self {
        let blocks = |values: &[i32]| -> Vec<Words> {
            let block = |part: &[i32]| Words(std::array::from_fn(|lane| part.get(lane).copied().unwrap_or(0)));
            values.chunks(LANES).map(block).collect()
        };
        let shift: Vec<i32> = op.shift.iter().map(|shift| *shift as i32).collect();
        let form =
            Form::Affine { multiplier: blocks(&op.multiplier), offset: blocks(&op.offset), shift: blocks(&shift) };
        Self::new(form, &op.finish, [input; 2], output, threads)
    }

    /// Of a table whose entries are those of the grid's integers.
    pub(super) fn activate(table: &Table, input: Map, output: Map, threads: usize) -> Self {
        Self::new(Form::Table, &Finish::Table(Box::new(table.clone())), [input; 2], output, threads)
    }
}

impl Kernel for Elementwise {
    fn name(&self) -> &'static str {
        match self.form {
            Form::Quantize(_) => "quantize",
            Form::Add { .. } => "add i8",
            Form::Gate(_) => "gate i8",
            Form::Affine { .. } => "affine i8",
            Form::Table => "table i8",
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

    fn run(&self, isa: Isa, _piece: usize, reads: &Reads, out: &mut Out, _scratch: &mut Scratch) {
        let Rect { planes, rows, .. } = out.rect();
        let Out::Bytes(window) = out else { return };
        for plane in planes.clone() {
            for y in rows.clone() {
                isa.dispatch(Row { op: self, reads, at: [plane, y], row: window.row(plane, y) });
            }
        }
        self.ending.look_up(isa, planes, out);
    }
}

struct Row<'a, 'r> {
    op: &'a Elementwise,
    reads: &'a Reads<'r>,
    at: [usize; 2],
    row: &'a mut [Bytes],
}

impl Job for Row<'_, '_> {
    type Output = ();

    #[inline(always)]
    fn run<D: Dot>(self, dot: D) {
        let Row { op, reads, at: [plane, y], row } = self;
        let read = |i: usize| &reads.values[i][op.inputs[i].at(plane, y, 0)..][..op.output.width];
        match &op.form {
            Form::Quantize(grid) => quantize(reads.image, &op.inputs[0], [plane, y], *grid, row),
            Form::Table => row.copy_from_slice(read(0)),
            Form::Add { multipliers, shift } => {
                for ((out, a), b) in row.iter_mut().zip(read(0)).zip(read(1)) {
                    let mut values = Words::ZERO;
                    for i in 0..LANES {
                        let sum = integer(a, i) * multipliers[0] + integer(b, i) * multipliers[1];
                        values.0[i] = shift_round(sum, *shift);
                    }
                    *out = dot.pack(dot.load(&values), op.ending.add, op.ending.low);
                }
            }
            Form::Gate(rescale) => {
                let rescale = dot.factors(rescale);
                let gate = reads.values[1][op.inputs[1].at(plane, 0, 0)];
                for (out, x) in row.iter_mut().zip(read(0)) {
                    let mut products = Words::ZERO;
                    for i in 0..LANES {
                        products.0[i] = integer(x, i) * integer(&gate, i);
                    }
                    let values = dot.rescale(dot.load(&products), &rescale);
                    *out = dot.pack(values, op.ending.add, op.ending.low);
                }
            }
            Form::Affine { multiplier, offset, shift } => {
                let [multiplier, offset, shift] = [multiplier, offset, shift].map(|all| &all[plane].0);
                for (out, x) in row.iter_mut().zip(read(0)) {
                    let mut values = Words::ZERO;
                    for i in 0..LANES {
                        values.0[i] = shift_round(integer(x, i) * multiplier[i] + offset[i], shift[i] as u32);
                    }
                    *out = dot.pack(dot.load(&values), op.ending.add, op.ending.low);
                }
            }
        }
    }
}

#[inline(always)]
fn integer(block: &Bytes, lane: usize) -> i32 {
    i32::from(block.0[lane]) - 128
}

/// A row of the image's channels that are a plane's.
#[inline(always)]
fn quantize(image: &[f32], map: &Map, [plane, y]: [usize; 2], grid: ToGrid, row: &mut [Bytes]) {
    for channel in plane * LANES..map.channels.min((plane + 1) * LANES) {
        let values = &image[(channel * map.height + y) * map.width..][..map.width];
        // In two loops, for the first to become vector instructions.
        for (blocks, values) in row.chunks_mut(64).zip(values.chunks(64)) {
            let mut bytes = [0; 64];
            for (q, v) in bytes.iter_mut().zip(values) {
                *q = on_grid(*v, grid);
            }
            for (block, q) in blocks.iter_mut().zip(bytes) {
                block.0[channel % LANES] = q;
            }
        }
    }
}

/// The byte of [`ToGrid::apply`], in operations that all become vector instructions: adding 1.5 · 2^23 to a number
/// of that size leaves its nearest integer, half to even, in the lowest bits.
#[inline(always)]
fn on_grid(value: f32, grid: ToGrid) -> u8 {
    const TO_INTEGER: f32 = 12_582_912.0;
    let x = if value > grid.limit { grid.limit } else { value };
    let x = if x < -grid.limit { -grid.limit } else { x } * grid.inverse;
    let x = if x > LARGEST as f32 { LARGEST as f32 } else { x };
    let x = if x < -(LARGEST as f32) { -(LARGEST as f32) } else { x };
    // False for NaN as well.
    let x = if value.abs() >= f32::MIN_POSITIVE { x } else { 0.0 };
    ((x + TO_INTEGER).to_bits() as u8) ^ 128
}

/// The mean over all of a map.
pub(super) struct GlobalPool {
    rescale: Rescale,
    input: Map,
    output: Map,
    pieces: Vec<Range<usize>>,
}

impl GlobalPool {
    pub(super) fn fits(op: &Pool, input: &Map) -> bool {
        op.kernel == [input.height, input.width] && op.padding == 0
    }

    pub(super) fn new(op: &Pool, input: Map, output: Map, threads: usize) -> Self {
        let parts = threads.clamp(1, output.planes());
        let pieces = crate::cpu::blocked::conv::even_parts(output.planes(), parts).collect();
        GlobalPool { rescale: Rescale::new(&[op.requant; LANES]), input, output, pieces }
    }
}

impl Kernel for GlobalPool {
    fn name(&self) -> &'static str {
        "mean i8"
    }

    fn output(&self) -> Map {
        self.output
    }

    fn pieces(&self) -> usize {
        self.pieces.len()
    }

    fn rect(&self, piece: usize) -> Rect {
        Rect { planes: self.pieces[piece].clone(), ..Rect::whole(&self.output) }
    }

    fn run(&self, isa: Isa, piece: usize, reads: &Reads, out: &mut Out, _scratch: &mut Scratch) {
        let Out::Bytes(window) = out else { return };
        for plane in self.pieces[piece].clone() {
            let out = &mut window.row(plane, 0)[0];
            isa.dispatch(Mean { pool: self, x: reads.values[0], plane, out });
        }
    }
}

struct Mean<'a> {
    pool: &'a GlobalPool,
    x: &'a [Bytes],
    plane: usize,
    out: &'a mut Bytes,
}

impl Job for Mean<'_> {
    type Output = ();

    #[inline(always)]
    fn run<D: Dot>(self, dot: D) {
        let Map { height, width, .. } = self.pool.input;
        let mut sums = Words::ZERO;
        for y in 0..height {
            for block in &self.x[self.pool.input.at(self.plane, y, 0)..][..width] {
                for lane in 0..LANES {
                    sums.0[lane] += integer(block, lane);
                }
            }
        }
        *self.out = dot.pack(dot.rescale(dot.load(&sums), &dot.factors(&self.pool.rescale)), 128, 1);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bytes_are_those_of_the_grid() {
        let ends = [f32::NAN, f32::INFINITY, f32::NEG_INFINITY, 1e30, -1e30, 1e-40, -0.0];
        let near = (-2600..=2600).map(|i| i as f32 * 0.05);
        for value in near.chain(ends) {
            for scale in [1.0, 0.1, 0.3, 1e-20] {
                let grid = ToGrid::new(scale);
                assert_eq!(on_grid(value, grid) ^ 128, grid.apply(value) as u8, "{value} {scale}");
            }
        }
    }
}
