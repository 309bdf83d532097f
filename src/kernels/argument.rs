//! What kernels bind: each argument has one binding number in all kernels and, for every kind of
//! memory that it may lie in, a small file of accessors that is put in front of the kernel.

use super::{Source, source};

/// The kind of memory that vec4s lie in.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Storage {
    /// A storage buffer.
    #[default]
    Buffer,
    /// A two-dimensional `rgba32float` texture whose rows of [`TEXTURE_WIDTH`] texels follow each
    /// other. Texture units have a cache of their own, and software drivers fetch texels of several
    /// invocations at once where they walk through a buffer one by one.
    Texture,
}

/// Texels in a row of a texture; shaders know it as `TEXTURE_WIDTH`. A power of two, so that a
/// position costs a mask and a shift.
pub const TEXTURE_WIDTH: u64 = 4096;

/// Rows that every WebGPU device grants to a texture.
const TEXTURE_ROWS: u64 = 8192;

impl Storage {
    /// `self`, or a buffer where so many vec4s are beyond what a texture may hold.
    pub fn fitting(self, vec4s: u64) -> Storage {
        if vec4s > TEXTURE_WIDTH * TEXTURE_ROWS { Storage::Buffer } else { self }
    }

    /// One letter, for keys: `b` or `t`.
    pub fn letter(self) -> char {
        match self {
            Storage::Buffer => 'b',
            Storage::Texture => 't',
        }
    }

    /// Bytes that so many vec4s take: textures come in whole rows.
    pub fn bytes(self, vec4s: u64) -> u64 {
        match self {
            Storage::Buffer => vec4s * 16,
            Storage::Texture => vec4s.next_multiple_of(TEXTURE_WIDTH) * 16,
        }
    }
}

/// How a kernel uses an argument.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
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
    /// The files that declare it and define `name_at(i)` or `name_put(i, v)`: for a buffer, and for a
    /// texture. `None` for tables of integers, which the kernel's own file declares.
    pub accessors: Option<[Source; 2]>,
}

impl Argument {
    /// The accessor file for that kind of memory.
    pub fn accessor(&self, storage: Storage) -> Option<&Source> {
        let [buffer, texture] = self.accessors.as_ref()?;
        Some(match storage {
            Storage::Buffer => buffer,
            Storage::Texture => texture,
        })
    }
}

macro_rules! argument {
    ($binding:literal, $name:literal, $access:ident) => {
        Argument {
            name: $name,
            binding: $binding,
            access: Access::$access,
            accessors: Some([
                source!(concat!("operands/", $name, "_buffer.wgsl")),
                source!(concat!("operands/", $name, "_texture.wgsl")),
            ]),
        }
    };
}

/// Input activations, `x_at(i)`.
pub static X: Argument = argument!(0, "x", Read);
/// Packed weights, `w_at(i)`.
pub static W: Argument = argument!(1, "w", Read);
/// A second input, `x2_at(i)`.
pub static X2: Argument = argument!(2, "x2", Read);
/// What the epilogue adds, `residual_at(i)`.
pub static RESIDUAL: Argument = argument!(3, "residual", Read);
/// Output activations, `y_put(i, v)`.
pub static Y: Argument = argument!(4, "y", Write);
/// A table of integers.
pub static TABLE: Argument = Argument { name: "table", binding: 5, access: Access::Read, accessors: None };
/// Pictures, RGBA8, one u32 a pixel.
pub static PICTURE: Argument = Argument { name: "picture", binding: 5, access: Access::Read, accessors: None };
/// Resampling tables of pictures.
pub static TABLES: Argument = Argument { name: "tables", binding: 6, access: Access::Read, accessors: None };
