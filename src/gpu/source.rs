//! Where pictures come from: the program's memory, or a texture that is on the device already.

use crate::error::{Error, Result};
use crate::picture::Picture;

/// A picture to be preprocessed and run, borrowed for the call.
#[derive(Clone, Copy, Debug)]
pub enum PictureSource<'a> {
    /// In the program's memory.
    Memory(&'a Picture),
    /// In a two-dimensional texture of the session's device with [`COPY_SRC`](wgpu::TextureUsages::COPY_SRC), of
    /// format `Rgba8Unorm` or `Rgba8UnormSrgb` (whose bytes are taken as they are): a camera's frame that is
    /// also drawn. One of another `wgpu::Instance` makes wgpu panic. Its pixels never pass through the program's memory. Rows run from top to bottom, alpha is ignored.
    Texture(&'a wgpu::Texture),
}

impl<'a> PictureSource<'a> {
    /// Columns and rows.
    pub fn size(&self) -> [u32; 2] {
        match self {
            PictureSource::Memory(picture) => [picture.width(), picture.height()],
            PictureSource::Texture(texture) => [texture.width(), texture.height()],
        }
    }

    /// Pixels from the beginning of one row to that of the next, in the buffer that the shaders read: copies out of
    /// textures begin rows at multiples of 256 bytes.
    pub(super) fn stride(&self) -> u32 {
        match self {
            PictureSource::Memory(picture) => picture.width(),
            PictureSource::Texture(texture) => texture.width().next_multiple_of(wgpu::COPY_BYTES_PER_ROW_ALIGNMENT / 4),
        }
    }

    /// The picture, for executors that only take those in memory.
    ///
    /// # Errors
    /// [`Error::Argument`] if it is a texture.
    pub fn in_memory(&self) -> Result<&'a Picture> {
        match self {
            PictureSource::Memory(picture) => Ok(picture),
            PictureSource::Texture(_) => Err(Error::argument(
                "a picture was given as a texture, which only a session on the same GPU can read: this one runs on \
                 the CPU; give it a Picture",
            )),
        }
    }

    /// Refuses textures that cannot be read as RGBA8.
    pub(super) fn check(&self) -> Result<()> {
        let PictureSource::Texture(texture) = self else { return Ok(()) };
        let fail = |what: String| Err(Error::argument(format!("the texture given as a picture {what}")));
        let format = texture.format();
        if !matches!(format, wgpu::TextureFormat::Rgba8Unorm | wgpu::TextureFormat::Rgba8UnormSrgb) {
            return fail(format!("has the format {format:?}; it must be Rgba8Unorm or Rgba8UnormSrgb"));
        }
        if texture.dimension() != wgpu::TextureDimension::D2 || texture.depth_or_array_layers() != 1 {
            return fail("has layers or another dimension than two; it must be one plain picture".to_owned());
        }
        if texture.sample_count() != 1 {
            return fail(format!("has {} samples a pixel; resolve it into one first", texture.sample_count()));
        }
        if !texture.usage().contains(wgpu::TextureUsages::COPY_SRC) {
            return fail("cannot be copied from; create it with TextureUsages::COPY_SRC".to_owned());
        }
        Ok(())
    }
}

impl<'a> From<&'a Picture> for PictureSource<'a> {
    fn from(picture: &'a Picture) -> Self {
        PictureSource::Memory(picture)
    }
}

impl<'a> From<&'a &Picture> for PictureSource<'a> {
    fn from(picture: &'a &Picture) -> Self {
        PictureSource::Memory(picture)
    }
}

impl<'a> From<&'a wgpu::Texture> for PictureSource<'a> {
    fn from(texture: &'a wgpu::Texture) -> Self {
        PictureSource::Texture(texture)
    }
}

impl<'a> From<&'a &wgpu::Texture> for PictureSource<'a> {
    fn from(texture: &'a &wgpu::Texture) -> Self {
        PictureSource::Texture(texture)
    }
}

impl<'a> From<&PictureSource<'a>> for PictureSource<'a> {
    fn from(source: &PictureSource<'a>) -> Self {
        *source
    }
}
