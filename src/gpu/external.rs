//! Pictures that the browser holds (video frames, bitmaps, canvases): they go to the device without their pixels
//! passing through the program's memory.

use wgpu::{ExternalImageSource, TextureUsages};

use super::executor::GpuExecutor;
use super::inputs::{Frame, PictureInput, Place};
use super::readback::{Pending, PendingTop};
use crate::error::{Error, Result};

/// Pixels that a row of a texture's copy begins at a multiple of: WebGPU wants 256 bytes.
const ROW: u32 = wgpu::COPY_BYTES_PER_ROW_ALIGNMENT / 4;

impl GpuExecutor {
    /// Starts a run on a picture that the browser holds; see [`submit_pictures`](Self::submit_pictures). Its pixels
    /// are taken at once.
    ///
    /// # Errors
    /// As [`submit_pictures`](Self::submit_pictures); [`Error::Argument`] if the picture is larger than the device's
    /// textures.
    pub fn submit_external(&mut self, picture: &ExternalImageSource) -> Result<Pending> {
        self.frame_whole(1, |executor| executor.upload_external(picture))
    }

    /// As [`submit_external`](Self::submit_external), of which only the best classes will be read back.
    ///
    /// # Errors
    /// As [`submit_external`](Self::submit_external); [`Error::Argument`] if the executor does not
    /// [rank](Self::ranks).
    pub fn submit_top_external(&mut self, picture: &ExternalImageSource) -> Result<PendingTop> {
        self.frame_top(1, |executor| executor.upload_external(picture))
    }

    fn upload_external(&mut self, picture: &ExternalImageSource) -> Result<Vec<usize>> {
        let place =
            Place { context: &self.context, plan: &self.plan, buffers: &self.buffers, pipelines: &self.pipelines };
        let Some(input) = &mut self.pictures else {
            return Err(Error::argument(format!("{}: the executor was made without preprocessing", self.plan.name)));
        };
        input.take(picture, place)?;
        Ok(vec![0])
    }
}

impl PictureInput {
    /// Hands the first sample's picture to the queue.
    fn take(&mut self, picture: &ExternalImageSource, place: Place<'_>) -> Result<()> {
        let size = [picture.width(), picture.height()];
        let [width, height] = size;
        let longest = place.context.limits.max_texture_dimension_2d;
        let fits = width.max(height) <= longest;
        if !fits || !self.prepare(0, Frame { size, pitch: width.next_multiple_of(ROW) }, place)? {
            return Err(Error::argument(format!(
                "a picture of {width}×{height} is more than this device takes from the browser ({longest} pixels a \
                 side); give its pixels as ImageData, or scale it down"
            )));
        }
        let Some(Some(sample)) = self.samples.first_mut() else {
            return Err(Error::argument("the plan has no sample"));
        };
        let extent = wgpu::Extent3d { width, height, depth_or_array_layers: 1 };
        if sample.texture.as_ref().is_none_or(|texture| texture.size() != extent) {
            sample.texture.take().iter().for_each(wgpu::Texture::destroy);
            sample.texture = Some(place.context.make().create_texture(&wgpu::TextureDescriptor {
                label: Some("picture"),
                size: extent,
                mip_level_count: 1,
                sample_count: 1,
                dimension: wgpu::TextureDimension::D2,
                format: wgpu::TextureFormat::Rgba8Unorm,
                // A browser draws into it.
                usage: TextureUsages::COPY_DST | TextureUsages::COPY_SRC | TextureUsages::RENDER_ATTACHMENT,
                view_formats: &[],
            }));
        }
        if let Some(texture) = &sample.texture {
            let source = wgpu::CopyExternalImageSourceInfo {
                source: picture.clone(),
                origin: wgpu::Origin2d::ZERO,
                flip_y: false,
            };
            // Colours as the file has them, transparent ones too: what native programs see.
            let destination = texture.as_image_copy().to_tagged(wgpu::PredefinedColorSpace::Srgb, false);
            place.context.queue.copy_external_image_to_texture(&source, destination, extent);
        }
        Ok(())
    }

    /// Records the way of a sample's picture from the texture, where it came by that, to the buffer that kernels read.
    pub(super) fn copy(&self, sample: usize, encoder: &mut wgpu::CommandEncoder) {
        let Some(Some(sample)) = self.samples.get(sample) else { return };
        let Some(texture) = &sample.texture else { return };
        let layout = wgpu::TexelCopyBufferLayout {
            offset: 0,
            bytes_per_row: Some(texture.width().next_multiple_of(ROW) * 4),
            rows_per_image: None,
        };
        let buffer = wgpu::TexelCopyBufferInfo { buffer: &sample.picture, layout };
        encoder.copy_texture_to_buffer(texture.as_image_copy(), buffer, texture.size());
    }
}
