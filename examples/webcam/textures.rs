//! Frames on their way to the GPU: one upload each, into textures that take turns.

use std::collections::HashMap;
use std::sync::Arc;

use foveate::gpu::GpuContext;
use foveate::wgpu;

use crate::frame::{Frame, Layout};

/// How many frames may be held at once: shown, being classified, waiting, and being filled, with room to spare. More
/// are made if all are held, and dropped when they come back.
const KEPT: usize = 6;

/// A frame on the GPU, RGBA8.
pub struct Textured {
    gpu: Arc<GpuContext>,
    texture: wgpu::Texture,
    view: wgpu::TextureView,
}

impl Textured {
    /// Texture and view for that device. None if it is not where the texture is: a frame may still be on its way when
    /// its device was lost and replaced.
    pub fn on(&self, gpu: &Arc<GpuContext>) -> Option<(&wgpu::Texture, &wgpu::TextureView)> {
        // Handles of wgpu's are alike across instances.
        Arc::ptr_eq(&self.gpu, gpu).then_some((&self.texture, &self.view))
    }
}

/// Fills textures with frames. Whoever holds an `Arc` of one keeps it from being filled anew.
pub struct Textures {
    gpu: Arc<GpuContext>,
    shader: wgpu::ShaderModule,
    pipelines: HashMap<Layout, wgpu::ComputePipeline>,
    /// The bytes of a frame that is to be converted.
    raw: Option<wgpu::Buffer>,
    kept: Vec<Arc<Textured>>,
}

impl Textures {
    pub fn new(gpu: Arc<GpuContext>) -> Textures {
        let shader = gpu.device().create_shader_module(wgpu::include_wgsl!("frame.wgsl"));
        Textures { gpu, shader, pipelines: HashMap::new(), raw: None, kept: Vec::new() }
    }

    /// Uploads a frame and converts it on the GPU.
    ///
    /// # Errors
    /// A sentence, if it is larger than the device's textures or buffers.
    pub fn fill(&mut self, frame: &Frame) -> Result<Arc<Textured>, String> {
        let ([width, height], limits) = (frame.size(), self.gpu.device().limits());
        let most = limits.max_texture_dimension_2d;
        if width.max(height) > most {
            return Err(format!("a frame of {width}×{height} is more than this GPU's textures hold ({most}×{most})"));
        }
        if frame.bytes().len() as u64 > limits.max_storage_buffer_binding_size.min(limits.max_buffer_size) {
            return Err(format!("a frame of {} bytes is more than this GPU's buffers hold", frame.bytes().len()));
        }
        let to = self.free(width, height);
        match frame.layout().entry_point() {
            None => {
                let bytes_per_row = Some(width * 4);
                let layout = wgpu::TexelCopyBufferLayout { offset: 0, bytes_per_row, rows_per_image: None };
                self.gpu.queue().write_texture(to.texture.as_image_copy(), frame.bytes(), layout, to.texture.size());
            }
            Some(entry_point) => self.convert(frame, entry_point, &to),
        }
        Ok(to)
    }

    /// A texture of that size that nobody else holds.
    fn free(&mut self, width: u32, height: u32) -> Arc<Textured> {
        // Frames of another size are not coming back.
        self.kept.retain(|kept| kept.texture.width() == width && kept.texture.height() == height);
        if let Some(free) = self.kept.iter().find(|kept| Arc::strong_count(kept) == 1) {
            return free.clone();
        }
        let texture = self.gpu.device().create_texture(&wgpu::TextureDescriptor {
            label: Some("frame"),
            size: wgpu::Extent3d { width, height, depth_or_array_layers: 1 },
            mip_level_count: 1,
            sample_count: 1,
            dimension: wgpu::TextureDimension::D2,
            format: wgpu::TextureFormat::Rgba8Unorm,
            usage: wgpu::TextureUsages::COPY_DST
                | wgpu::TextureUsages::COPY_SRC
                | wgpu::TextureUsages::STORAGE_BINDING
                | wgpu::TextureUsages::TEXTURE_BINDING,
            view_formats: &[],
        });
        let view = texture.create_view(&wgpu::TextureViewDescriptor::default());
        let made = Arc::new(Textured { gpu: self.gpu.clone(), texture, view });
        if self.kept.len() < KEPT {
            self.kept.push(made.clone());
        }
        made
    }

    fn convert(&mut self, frame: &Frame, entry_point: &'static str, to: &Textured) {
        let Textures { gpu, shader, .. } = self;
        let (device, queue) = (gpu.device(), gpu.queue());
        let pipeline = self.pipelines.entry(frame.layout()).or_insert_with(|| {
            device.create_compute_pipeline(&wgpu::ComputePipelineDescriptor {
                label: Some(entry_point),
                layout: None,
                module: shader,
                entry_point: Some(entry_point),
                compilation_options: wgpu::PipelineCompilationOptions::default(),
                cache: None,
            })
        });
        // Writes are in whole words.
        let (whole, rest) = frame.bytes().split_at(frame.bytes().len() / 4 * 4);
        let size = (whole.len() + 4) as u64;
        let raw = self.raw.take().filter(|raw| raw.size() >= size).unwrap_or_else(|| {
            let usage = wgpu::BufferUsages::STORAGE | wgpu::BufferUsages::COPY_DST;
            device.create_buffer(&wgpu::BufferDescriptor {
                label: Some("frame"),
                size,
                usage,
                mapped_at_creation: false,
            })
        });
        let mut last = [0; 4];
        last[..rest.len()].copy_from_slice(rest);
        queue.write_buffer(&raw, 0, whole);
        queue.write_buffer(&raw, whole.len() as u64, &last);
        let bind_group = device.create_bind_group(&wgpu::BindGroupDescriptor {
            label: Some("frame"),
            layout: &pipeline.get_bind_group_layout(0),
            entries: &[
                wgpu::BindGroupEntry { binding: 0, resource: raw.as_entire_binding() },
                wgpu::BindGroupEntry { binding: 1, resource: wgpu::BindingResource::TextureView(&to.view) },
            ],
        });
        let mut encoder = device.create_command_encoder(&wgpu::CommandEncoderDescriptor { label: Some("frame") });
        let mut pass = encoder.begin_compute_pass(&wgpu::ComputePassDescriptor::default());
        pass.set_pipeline(pipeline);
        pass.set_bind_group(0, &bind_group, &[]);
        let [width, height] = frame.size();
        pass.dispatch_workgroups(width.div_ceil(8), height.div_ceil(8), 1);
        drop(pass);
        queue.submit([encoder.finish()]);
        self.raw = Some(raw);
    }
}

#[cfg(test)]
mod tests {
    use foveate::PictureSource;

    use super::*;
    use crate::device;

    /// What the GPU makes of a frame is what the CPU does, to one level: GPUs may round otherwise.
    #[test]
    fn every_layout_is_converted_as_on_the_cpu() {
        let Some((_, context)) = device::for_tests() else { return };
        let (device, queue) = (context.device(), context.queue());
        let mut textures = Textures::new(context.clone());
        let layouts = [Layout::Rgba, Layout::Rgb, Layout::Bgr, Layout::Gray, Layout::Yuyv, Layout::Nv12];
        for layout in layouts {
            for (width, height) in [(2, 2), (70, 50), (64, 8)] {
                let size = layout.bytes(width, height).unwrap();
                let bytes = (0..size as u32).map(|i| (i.wrapping_mul(2_654_435_761) >> 23) as u8).collect();
                let frame = Frame::new(layout, width, height, bytes).unwrap();
                let textured = textures.fill(&frame).unwrap();
                let (texture, _) = textured.on(&context).unwrap();
                let found = read(device, queue, texture);
                let expected = frame.to_picture().unwrap();
                assert_eq!(PictureSource::from(texture).size(), [width, height]);
                assert_eq!(found.len(), expected.rgba().len());
                for (at, (a, b)) in found.iter().zip(expected.rgba()).enumerate() {
                    assert!(a.abs_diff(*b) <= 1, "{layout:?} {width}×{height}, byte {at}: {a} {b}");
                }
            }
        }
    }

    #[test]
    fn a_texture_is_not_offered_to_another_device() {
        let (Some((_, one)), Some((_, other))) = (device::for_tests(), device::for_tests()) else { return };
        let mut textures = Textures::new(one.clone());
        let textured = textures.fill(&Frame::new(Layout::Gray, 8, 8, vec![1; 64]).unwrap()).unwrap();
        assert!(textured.on(&one).is_some() && textured.on(&other).is_none());
    }

    #[test]
    fn textures_are_used_again_when_nobody_holds_them() {
        let Some((_, context)) = device::for_tests() else { return };
        let mut textures = Textures::new(context);
        let frame = Frame::new(Layout::Gray, 8, 8, vec![1; 64]).unwrap();
        let held = textures.fill(&frame).unwrap();
        for _ in 0..100 {
            let other = textures.fill(&frame).unwrap();
            assert!(!Arc::ptr_eq(&held, &other));
        }
        assert_eq!(textures.kept.len(), 2);
    }

    fn read(device: &wgpu::Device, queue: &wgpu::Queue, texture: &wgpu::Texture) -> Vec<u8> {
        let row = (texture.width() * 4).next_multiple_of(256);
        let size = u64::from(row) * u64::from(texture.height());
        let usage = wgpu::BufferUsages::COPY_DST | wgpu::BufferUsages::MAP_READ;
        let buffer =
            device.create_buffer(&wgpu::BufferDescriptor { label: None, size, usage, mapped_at_creation: false });
        let mut encoder = device.create_command_encoder(&wgpu::CommandEncoderDescriptor::default());
        let layout = wgpu::TexelCopyBufferLayout { offset: 0, bytes_per_row: Some(row), rows_per_image: None };
        let to = wgpu::TexelCopyBufferInfo { buffer: &buffer, layout };
        encoder.copy_texture_to_buffer(texture.as_image_copy(), to, texture.size());
        queue.submit([encoder.finish()]);
        buffer.map_async(wgpu::MapMode::Read, .., |result| result.unwrap());
        device.poll(wgpu::PollType::wait_indefinitely()).unwrap();
        let bytes = buffer.get_mapped_range(..).unwrap();
        bytes.chunks_exact(row as usize).flat_map(|row| &row[..texture.width() as usize * 4]).copied().collect()
    }
}
