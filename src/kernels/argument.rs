//! What kernels bind: each argument has one binding number in all kernels and, for every format that
//! it may be stored in, a small file of accessors that is put in front of the kernel.

use super::{Element, Format, Source, Storage, source};

/// How a kernel uses an argument.
#[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Access {
    /// Only read.
    Read,
    /// Only written.
    Write,
}

/// An argument of kernels: `@group(0) @binding(binding)`.
#[derive(Debug)]
pub struct Argument {
    /// Name of the WGSL variable.
    pub name: &'static str,
    /// Its binding number, the same in every kernel.
    pub binding: u32,
    /// How it is used.
    pub access: Access,
    /// The files that declare it and define `name_at(i)` or `name_put(i, v)`. None for tables of
    /// integers, which the kernel's own file declares.
    pub accessors: &'static [Accessor],
}

/// A file that declares an argument and defines how kernels read or write it: floats always as `vec4<f32>`,
/// integers as `vec4<i32>` or packed.
#[derive(Debug)]
pub struct Accessor {
    /// The kind of memory that it is for.
    pub storage: Storage,
    /// The number formats that it is for: texture units convert by themselves.
    pub elements: &'static [Element],
    /// The file.
    pub source: Source,
}

impl Argument {
    /// The accessor file for that format.
    pub fn accessor(&self, format: Format) -> Option<&'static Source> {
        let takes = |a: &&Accessor| a.storage == format.storage && a.elements.contains(&format.element);
        self.accessors.iter().find(takes).map(|accessor| &accessor.source)
    }
}

macro_rules! accessor {
    ($storage:ident, $elements:expr, $file:expr) => {
        Accessor { storage: Storage::$storage, elements: $elements, source: source!(concat!("operands/", $file)) }
    };
}

macro_rules! read {
    ($binding:literal, $name:literal, [$($more:expr),*]) => {
        Argument {
            name: $name,
            binding: $binding,
            access: Access::Read,
            accessors: &[
                accessor!(Buffer, &[Element::F32], concat!($name, "_buffer.wgsl")),
                accessor!(Buffer, &[Element::F16], concat!($name, "_buffer_f16.wgsl")),
                accessor!(Texture, &Element::FLOATS, concat!($name, "_texture.wgsl")),
                $($more),*
            ],
        }
    };
}

/// Input activations, `x_at(i)`.
///
/// Of integers `x_word(i)`, four to a `u32`, and `x_integers(i)`, a `vec4<i32>`; sums have the latter only.
pub static X: Argument = read!(
    0,
    "x",
    [
        accessor!(Buffer, &[Element::I8], "x_buffer_i8.wgsl"),
        accessor!(Texture, &[Element::I8], "x_texture_i8.wgsl"),
        accessor!(Buffer, &[Element::I32], "x_buffer_i32.wgsl")
    ]
);
/// Packed weights, `w_at(i)`; of bytes that stand for floats, q / 127. Of integers `w_word(i)`, four to a `u32`,
/// or `w_block(i)`, four of those.
pub static W: Argument = read!(
    1,
    "w",
    [
        accessor!(Buffer, &[Element::Snorm8], "w_buffer_snorm8.wgsl"),
        accessor!(Buffer, &[Element::I8], "w_buffer_i8.wgsl"),
        accessor!(Texture, &[Element::I8], "w_texture_i8.wgsl"),
        accessor!(Buffer, &[Element::I8Block], "w_buffer_i8_block.wgsl"),
        accessor!(Texture, &[Element::I8Block], "w_texture_i8_block.wgsl")
    ]
);
/// A second input, `x2_at(i)`; of integers `x2_integers(i)`.
pub static X2: Argument = read!(
    2,
    "x2",
    [accessor!(Buffer, &[Element::I8], "x2_buffer_i8.wgsl"), accessor!(Texture, &[Element::I8], "x2_texture_i8.wgsl")]
);
/// What the epilogue adds, `residual_at(i)`; of integers `residual_integers(i)`.
pub static RESIDUAL: Argument = read!(
    3,
    "residual",
    [
        accessor!(Buffer, &[Element::I8], "residual_buffer_i8.wgsl"),
        accessor!(Texture, &[Element::I8], "residual_texture_i8.wgsl")
    ]
);
/// Output activations, `y_put(i, v)`; of integers a `vec4<i32>`.
pub static Y: Argument = Argument {
    name: "y",
    binding: 4,
    access: Access::Write,
    accessors: &[
        accessor!(Buffer, &[Element::F32], "y_buffer.wgsl"),
        accessor!(Buffer, &[Element::F16], "y_buffer_f16.wgsl"),
        accessor!(Texture, &[Element::F32], "y_texture.wgsl"),
        accessor!(Texture, &[Element::F16], "y_texture_f16.wgsl"),
        accessor!(Buffer, &[Element::I8], "y_buffer_i8.wgsl"),
        accessor!(Texture, &[Element::I8], "y_texture_i8.wgsl"),
        accessor!(Buffer, &[Element::I32], "y_buffer_i32.wgsl"),
    ],
};
/// A table of integers.
pub static TABLE: Argument = Argument { name: "table", binding: 5, access: Access::Read, accessors: &[] };
/// Pictures, RGBA8, one u32 a pixel.
pub static PICTURE: Argument = Argument { name: "picture", binding: 5, access: Access::Read, accessors: &[] };
/// Resampling tables of pictures.
pub static TABLES: Argument = Argument { name: "tables", binding: 6, access: Access::Read, accessors: &[] };
/// What belongs to the output channels of [`W`]: `bias_at(plane)`, where a sum starts, and
/// `scaled(plane, sum)`, what becomes of it.
pub static BIAS: Argument = Argument {
    name: "bias",
    binding: 7,
    access: Access::Read,
    accessors: &[accessor!(Buffer, &[Element::F32], "bias.wgsl")],
};
/// What integer kernels rescale by: a table that `int8/arith.wgsl` declares.
pub static FACTORS: Argument = Argument { name: "factors", binding: 7, access: Access::Read, accessors: &[] };
/// The sizes of a step whose shader does not have them as constants: a table that [`open`](super::open) declares.
pub static SIZES: Argument = Argument { name: "sizes", binding: 8, access: Access::Read, accessors: &[] };
