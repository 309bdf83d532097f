//! Pictures that the browser holds (bitmaps, canvases, video frames): they go to the device without their pixels
//! passing through the program's memory.

use wgpu::{ExternalImageSource, TextureUsages};

use super::context::GpuContext;
use crate::error::{Error, Result};

/// Where they arrive: a texture that is used again while pictures have the same size.
#[derive(Debug, Default)]
pub struct Arrival {
    texture: Option<(wgpu::Device, wgpu::Texture)>,
}

impl Arrival {
    /// Hands a picture to the queue of a device, whose later submissions find it in the texture: one for
    /// [`Session::submit`](crate::Session::submit). Its pixels are taken at once, colours as the file has them,
    /// transparent ones too.
    ///
    /// # Errors
    /// [`Error::Argument`] if it has no pixels, or more than the device's textures.
    pub fn take(&mut self, context: &GpuContext, picture: &ExternalImageSource) -> Result<wgpu::Texture> {
        let (width, height) = (picture.width(), picture.height());
        if width == 0 || height == 0 {
            return Err(Error::argument(format!("the picture is {width}×{height}: it has no pixels, or was closed")));
        }
        let longest = context.limits.max_texture_dimension_2d;
        if width.max(height) > longest {
            return Err(Error::argument(format!(
                "a picture of {width}×{height} is more than this device takes from the browser ({longest} pixels a \
                 side); give its pixels, or scale it down"
            )));
        }
        let size = wgpu::Extent3d { width, height, depth_or_array_layers: 1 };
        let known = self.texture.take_if(|(device, texture)| *device != context.device || texture.size() != size);
        // Frames under way keep what they read.
        drop(known);
        let make = || {
            context.make().create_texture(&wgpu::TextureDescriptor {
                label: Some("picture"),
                size,
                mip_level_count: 1,
                sample_count: 1,
                dimension: wgpu::TextureDimension::D2,
                format: wgpu::TextureFormat::Rgba8Unorm,
                // A browser draws into it.
                usage: TextureUsages::COPY_DST | TextureUsages::COPY_SRC | TextureUsages::RENDER_ATTACHMENT,
                view_formats: &[],
            })
        };
        let (_, texture) = self.texture.get_or_insert_with(|| (context.device.clone(), make()));
        let source =
            wgpu::CopyExternalImageSourceInfo { source: picture.clone(), origin: wgpu::Origin2d::ZERO, flip_y: false };
        let destination = texture.as_image_copy().to_tagged(wgpu::PredefinedColorSpace::Srgb, false);
        context.queue.copy_external_image_to_texture(&source, destination, size);
        Ok(texture.clone())
    }
}
