//! How vec4s lie in memory: the kind of memory and the number format. Kernels see neither: they read and
//! write `vec4<f32>` through accessors, and compute in f32; those of integers four integers.

/// The kind of memory that vec4s lie in.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Storage {
    /// A storage buffer.
    #[default]
    Buffer,
    /// A two-dimensional texture whose rows of [`TEXTURE_WIDTH`] texels follow each
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
}

/// The number format that vec4s are stored in.
///
/// No format needs an optional feature of the device: buffers of 16-bit floats are read with
/// `unpack2x16float`, which every WebGPU device has, not as `array<vec4<f16>>`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Element {
    /// 32-bit floats; textures are `rgba32float`.
    #[default]
    F32,
    /// 16-bit floats; textures are `rgba16float`. What is beyond ±65504 becomes infinite.
    F16,
    /// Signed bytes q that stand for q / 127; textures are `rgba8snorm`. Weights only.
    Snorm8,
    /// Signed bytes that are integers, four to a `u32`; textures are `r32uint`.
    I8,
    /// Four times four signed bytes, four `u32`; textures are `rgba32uint`. Weights only: for each of four
    /// outputs those of four inputs.
    I8Block,
    /// Integers of 32 bits. Sums only, in buffers.
    I32,
}

impl Element {
    /// Those that stand for floats.
    pub const FLOATS: [Element; 3] = [Element::F32, Element::F16, Element::Snorm8];

    /// Bytes of a vec4.
    pub fn bytes(self) -> u64 {
        match self {
            Element::F32 | Element::I8Block | Element::I32 => 16,
            Element::F16 => 8,
            Element::Snorm8 | Element::I8 => 4,
        }
    }

    /// As tables and files name it.
    pub fn name(self) -> &'static str {
        match self {
            Element::F32 => "f32",
            Element::F16 => "f16",
            Element::Snorm8 => "snorm8",
            Element::I8 => "i8",
            Element::I8Block => "i8 block",
            Element::I32 => "i32",
        }
    }

    /// Whether values are integers, not floats.
    pub fn is_integer(self) -> bool {
        matches!(self, Element::I8 | Element::I8Block | Element::I32)
    }
}

/// How a tensor or a weight array is stored.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, serde::Serialize, serde::Deserialize)]
pub struct Format {
    /// The kind of memory.
    pub storage: Storage,
    /// The number format.
    pub element: Element,
}

impl Format {
    /// What the host reads and writes, and tables of integers: 32-bit words in a buffer.
    pub const HOST: Format = Format { storage: Storage::Buffer, element: Element::F32 };

    /// Bytes that so many vec4s take: textures come in whole rows.
    pub fn bytes(self, vec4s: u64) -> u64 {
        let stored = match self.storage {
            Storage::Buffer => vec4s,
            Storage::Texture => vec4s.next_multiple_of(TEXTURE_WIDTH),
        };
        stored * self.element.bytes()
    }

    /// For keys: the storage's letter, and behind it `h` for 16-bit floats, `q` for bytes that stand for floats,
    /// `i`, `k` and `s` for integers, blocks of them and sums.
    pub fn key(self) -> String {
        let element = match self.element {
            Element::F32 => "",
            Element::F16 => "h",
            Element::Snorm8 => "q",
            Element::I8 => "i",
            Element::I8Block => "k",
            Element::I32 => "s",
        };
        format!("{}{element}", self.storage.letter())
    }
}
