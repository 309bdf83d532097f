//! The window's surface, and egui drawn on it with the shared device.

use std::sync::Arc;

use egui_wgpu::{Renderer, RendererOptions, ScreenDescriptor};
use foveate::gpu::{Backend, GpuContext};
use foveate::{DeviceChoice, wgpu};
use winit::event_loop::OwnedDisplayHandle;
use winit::window::Window;

use super::screenshot::Capture;
use crate::device;

/// Everything that has to be made anew when the device is lost.
pub struct Painter {
    instance: wgpu::Instance,
    surface: wgpu::Surface<'static>,
    config: wgpu::SurfaceConfiguration,
    context: Arc<GpuContext>,
    renderer: Renderer,
    window: Arc<Window>,
}

/// What became of a frame.
pub enum Painted {
    Done,
    /// There is nothing to draw on now; the next event will tell.
    Skipped,
    /// The surface or the device has to be made anew.
    Lost(String),
}

/// What is to be drawn.
pub struct Scene<'a> {
    pub textures: egui::TexturesDelta,
    pub triangles: &'a [egui::ClippedPrimitive],
    pub pixels_per_point: f32,
}

impl Painter {
    /// Opens a device that can draw on the window.
    ///
    /// # Errors
    /// A sentence that says what there is.
    pub fn new(
        window: Arc<Window>,
        display: OwnedDisplayHandle,
        choice: &DeviceChoice,
        backend: Option<Backend>,
    ) -> Result<Painter, String> {
        let descriptor = wgpu::InstanceDescriptor::new_with_display_handle_from_env(Box::new(display));
        let instance = wgpu::Instance::new(descriptor);
        let surface = instance.create_surface(window.clone()).map_err(|e| format!("cannot draw on the window: {e}"))?;
        let opened = device::open(&instance, Some(&surface), choice, backend)?;
        let size = window.inner_size();
        let mut config = surface
            .get_default_config(&opened.adapter, size.width.max(1), size.height.max(1))
            .ok_or_else(|| format!("{} cannot draw on this window", device::line(opened.context.summary())))?;
        // egui blends in gamma space and says so.
        let plain = |format: &wgpu::TextureFormat| !format.is_srgb();
        let formats = surface.get_capabilities(&opened.adapter).formats;
        config.format = formats.iter().copied().find(plain).unwrap_or(config.format);
        // What is seen is new; nothing is drawn ahead.
        config.desired_maximum_frame_latency = 1;
        surface.configure(opened.context.device(), &config);
        let renderer = Renderer::new(opened.context.device(), config.format, RendererOptions::default());
        Ok(Painter { instance, surface, config, context: opened.context, renderer, window })
    }

    pub fn device(&self) -> &wgpu::Device {
        self.context.device()
    }

    pub fn context(&self) -> &Arc<GpuContext> {
        &self.context
    }

    /// A texture of ours under the id that egui knows it by; a new id if there is none yet.
    pub fn show(&mut self, view: &wgpu::TextureView, id: Option<egui::TextureId>) -> egui::TextureId {
        let (device, filter) = (self.context.device(), wgpu::FilterMode::Linear);
        match id {
            Some(id) => {
                self.renderer.update_egui_texture_from_wgpu_texture(device, view, filter, id);
                id
            }
            None => self.renderer.register_native_texture(device, view, filter),
        }
    }

    /// Draws a frame. A window without a size is not drawn.
    pub fn paint(&mut self, mut scene: Scene<'_>) -> Painted {
        for (id, deltas) in scene.textures.set.drain() {
            for delta in deltas {
                self.renderer.update_texture(self.context.device(), self.context.queue(), id, &delta);
            }
        }
        let painted = self.paint_updated(scene.triangles, scene.pixels_per_point);
        scene.textures.free.drain().for_each(|id| self.renderer.free_texture(&id));
        painted
    }

    fn paint_updated(&mut self, triangles: &[egui::ClippedPrimitive], pixels_per_point: f32) -> Painted {
        let size = self.window.inner_size();
        if size.width == 0 || size.height == 0 {
            return Painted::Skipped;
        }
        if [self.config.width, self.config.height] != [size.width, size.height] {
            (self.config.width, self.config.height) = (size.width, size.height);
            self.surface.configure(self.context.device(), &self.config);
        }
        match self.surface.get_current_texture() {
            wgpu::CurrentSurfaceTexture::Success(frame) => {
                self.draw(&frame.texture, triangles, pixels_per_point);
                self.context.queue().present(frame);
                Painted::Done
            }
            wgpu::CurrentSurfaceTexture::Suboptimal(frame) => {
                self.draw(&frame.texture, triangles, pixels_per_point);
                self.context.queue().present(frame);
                self.surface.configure(self.context.device(), &self.config);
                Painted::Done
            }
            wgpu::CurrentSurfaceTexture::Outdated => {
                self.surface.configure(self.context.device(), &self.config);
                self.window.request_redraw();
                Painted::Skipped
            }
            wgpu::CurrentSurfaceTexture::Timeout | wgpu::CurrentSurfaceTexture::Occluded => Painted::Skipped,
            wgpu::CurrentSurfaceTexture::Lost => match self.instance.create_surface(self.window.clone()) {
                Ok(surface) => {
                    surface.configure(self.context.device(), &self.config);
                    self.surface = surface;
                    self.window.request_redraw();
                    Painted::Skipped
                }
                Err(e) => Painted::Lost(e.to_string()),
            },
            wgpu::CurrentSurfaceTexture::Validation => Painted::Lost("the device refuses to draw".to_owned()),
        }
    }

    /// Draws the window once more, to be copied to memory.
    pub fn capture(&mut self, triangles: &[egui::ClippedPrimitive], pixels_per_point: f32) -> Capture {
        let (device, queue) = (self.context.device().clone(), self.context.queue().clone());
        let texture = device.create_texture(&wgpu::TextureDescriptor {
            label: Some("screenshot"),
            size: wgpu::Extent3d { width: self.config.width, height: self.config.height, depth_or_array_layers: 1 },
            mip_level_count: 1,
            sample_count: 1,
            dimension: wgpu::TextureDimension::D2,
            format: self.config.format,
            usage: wgpu::TextureUsages::RENDER_ATTACHMENT | wgpu::TextureUsages::COPY_SRC,
            view_formats: &[],
        });
        self.draw(&texture, triangles, pixels_per_point);
        Capture::of(&device, &queue, &texture)
    }

    fn draw(&mut self, to: &wgpu::Texture, triangles: &[egui::ClippedPrimitive], pixels_per_point: f32) {
        let (device, queue) = (self.context.device(), self.context.queue());
        let screen = ScreenDescriptor { size_in_pixels: [to.width(), to.height()], pixels_per_point };
        let mut encoder = device.create_command_encoder(&wgpu::CommandEncoderDescriptor { label: Some("window") });
        let before = self.renderer.update_buffers(device, queue, &mut encoder, triangles, &screen);
        let view = to.create_view(&wgpu::TextureViewDescriptor::default());
        let attachment = wgpu::RenderPassColorAttachment {
            view: &view,
            depth_slice: None,
            resolve_target: None,
            ops: wgpu::Operations { load: wgpu::LoadOp::Clear(wgpu::Color::BLACK), store: wgpu::StoreOp::Store },
        };
        let mut pass = encoder
            .begin_render_pass(&wgpu::RenderPassDescriptor {
                label: Some("window"),
                color_attachments: &[Some(attachment)],
                ..Default::default()
            })
            .forget_lifetime();
        self.renderer.render(&mut pass, triangles, &screen);
        drop(pass);
        queue.submit(before.into_iter().chain([encoder.finish()]));
    }

    /// Destroys the device, to see what happens then.
    pub fn lose(&self) {
        self.context.device().destroy();
        let _ = self.context.device().poll(wgpu::PollType::Poll);
    }
}
