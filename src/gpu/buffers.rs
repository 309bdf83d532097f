//! The memory of a plan: a buffer or texture per memory slot, one per weight array.

use super::context::GpuContext;
use super::limits;
use super::pack;
use super::pipelines::texture_format;
use super::readback::read;
use super::scopes::{guarded, settle};
use crate::error::{Error, Result};
use crate::kernels::{Binding, Element, Storage, TEXTURE_WIDTH, TensorId};
use crate::plan::{Plan, Slot, WeightBlob};

/// Bytes of the pattern behind each slot, where canaries are on.
const CANARY_BYTES: u64 = 256;
/// The pattern: a NaN, so that reading it shows as well.
const CANARY: u32 = 0x7fc0_dead;
/// A NaN as a 32-bit float, and two as 16-bit ones.
const POISON: u32 = 0x7fc0_7fc0;
/// Uploads are handed to the queue in portions, so that their staging memory is freed early.
const PORTION: u64 = 32 << 20;

/// Memory on the device.
enum Memory {
    Buffer(wgpu::Buffer),
    Texture(wgpu::Texture, wgpu::TextureView),
}

/// The memory of a plan.
pub(super) struct Buffers {
    slots: Vec<Memory>,
    weights: Vec<Memory>,
    canaries: bool,
}

impl Buffers {
    /// Allocates all buffers and uploads the weights.
    ///
    /// # Errors
    /// [`Error::Gpu`] if memory is short.
    pub async fn new(context: &GpuContext, plan: &Plan, canaries: bool) -> Result<Self> {
        limits::check_bindings(plan)?;
        let tail = if canaries { CANARY_BYTES } else { 0 };
        let allocate = || {
            let written = wgpu::TextureUsages::STORAGE_BINDING;
            let slot = |slot: &Slot| match slot.format.storage {
                Storage::Buffer => Memory::Buffer(context.storage("activations", slot.bytes + tail)),
                Storage::Texture => texture(context, "activations", slot.bytes, slot.format.element, written),
            };
            let read = wgpu::TextureUsages::empty();
            let weights = |weights: &WeightBlob| match weights.format.storage {
                Storage::Buffer => Memory::Buffer(context.storage("weights", weights.bytes())),
                Storage::Texture => texture(context, "weights", weights.bytes(), weights.format.element, read),
            };
            let slots = plan.memory.slots.iter().map(slot).collect();
            let weights = plan.weights.iter().map(weights).collect();
            Buffers { slots, weights, canaries }
        };
        let (buffers, scope) = guarded(&context.device, allocate);
        let bytes = plan.memory.bytes() + plan.weight_bytes();
        settle(context, scope, || format!("allocating {bytes} bytes for {}", plan.name)).await?;
        let ((), scope) = guarded(&context.device, || buffers.upload(context, plan));
        settle(context, scope, || format!("uploading the weights of {}", plan.name)).await?;
        Ok(buffers)
    }

    fn upload(&self, context: &GpuContext, plan: &Plan) {
        let mut waiting = 0;
        for (memory, weights) in self.weights.iter().zip(&plan.weights) {
            match memory {
                Memory::Buffer(buffer) => context.queue.write_buffer(buffer, 0, bytemuck::cast_slice(&weights.words)),
                Memory::Texture(texture, _) => fill(context, texture, weights.format.element, &weights.words),
            }
            waiting += weights.bytes();
            if waiting >= PORTION {
                context.submit(None);
                waiting = 0;
            }
        }
        context.submit(None);
    }

    /// The buffer that a tensor lies in, from its beginning. The network's input and outputs always
    /// lie in buffers.
    ///
    /// # Errors
    /// [`Error::Plan`] if it lies in a texture.
    pub fn tensor(&self, plan: &Plan, tensor: TensorId) -> Result<&wgpu::Buffer> {
        match &self.slots[plan.memory.slot_of(tensor)] {
            Memory::Buffer(buffer) => Ok(buffer),
            Memory::Texture(..) => {
                let reason = "it lies in a texture, but the host wants it in a buffer".to_owned();
                Err(Error::Plan { node: plan.tensors[tensor.0 as usize].name.clone(), reason })
            }
        }
    }

    /// What a step binds; `None` for what is not the plan's: pictures and
    /// what belongs to them, the best classes, and what another plan's step binds that this one has not.
    pub fn binding(&self, plan: &Plan, binding: &Binding) -> Option<wgpu::BindingResource<'_>> {
        match binding {
            // With canaries the whole buffer is visible, or drivers would drop stray writes.
            Binding::Tensor(id) => {
                let info = plan.tensors.get(id.0 as usize)?;
                Some(match &self.slots[plan.memory.slot_of(*id)] {
                    Memory::Buffer(buffer) if !self.canaries => {
                        let size = wgpu::BufferSize::new(info.bytes());
                        wgpu::BindingResource::Buffer(wgpu::BufferBinding { buffer, offset: 0, size })
                    }
                    memory => memory.whole(),
                })
            }
            Binding::Weights(id) => Some(self.weights.get(id.0 as usize)?.whole()),
            Binding::Picture | Binding::Tables | Binding::Lines | Binding::Best => None,
        }
    }

    /// Puts values into a tensor, `[plane][batch · pixel]` of four channels.
    pub fn write(&self, context: &GpuContext, plan: &Plan, tensor: TensorId, values: &[f32]) {
        let element = plan.tensors[tensor.0 as usize].format.element;
        self.write_words(context, plan, tensor, &pack::encode(element, values));
    }

    /// The same in words of the tensor's format.
    pub fn write_words(&self, context: &GpuContext, plan: &Plan, tensor: TensorId, words: &[u32]) {
        let element = plan.tensors[tensor.0 as usize].format.element;
        match &self.slots[plan.memory.slot_of(tensor)] {
            Memory::Buffer(buffer) => context.queue.write_buffer(buffer, 0, bytemuck::cast_slice(words)),
            Memory::Texture(texture, _) => fill(context, texture, element, words),
        }
    }

    /// The values of a tensor, as [`write`](Self::write) takes them, and from textures the rest of their
    /// last row behind them.
    ///
    /// # Errors
    /// [`Error::Gpu`] if memory is short, [`Error::DeviceLost`].
    pub async fn read(&self, context: &GpuContext, plan: &Plan, tensor: TensorId) -> Result<Vec<f32>> {
        let bytes = self.read_bytes(context, plan, tensor).await?;
        Ok(pack::decode(plan.tensors[tensor.0 as usize].format.element, &bytes))
    }

    /// The same as they are stored.
    pub async fn read_bytes(&self, context: &GpuContext, plan: &Plan, tensor: TensorId) -> Result<Vec<u8>> {
        let info = &plan.tensors[tensor.0 as usize];
        let (bytes, element) = (info.bytes(), info.format.element);
        let ((readback, submission), scope) = guarded(&context.device, || {
            let readback = context.readback(bytes);
            let mut encoder = context.encoder("reading");
            match &self.slots[plan.memory.slot_of(tensor)] {
                Memory::Buffer(buffer) => encoder.copy_buffer_to_buffer(buffer, 0, &readback, 0, bytes),
                Memory::Texture(texture, _) => {
                    let rows = bytes.div_ceil(row_bytes(element)) as u32;
                    let size = wgpu::Extent3d { width: TEXTURE_WIDTH as u32, height: rows, depth_or_array_layers: 1 };
                    let layout = wgpu::TexelCopyBufferLayout {
                        offset: 0,
                        bytes_per_row: Some(row_bytes(element) as u32),
                        rows_per_image: None,
                    };
                    let target = wgpu::TexelCopyBufferInfo { buffer: &readback, layout };
                    encoder.copy_texture_to_buffer(texture.as_image_copy(), target, size);
                }
            }
            let submission = context.submit(Some(encoder.finish()));
            (readback, submission)
        });
        settle(context, scope, || format!("reading {bytes} bytes of {}", plan.name)).await?;
        read(context, &readback, submission).await
    }

    /// Where canaries are on: fills all slots with NaN and the space behind them with the pattern.
    pub fn poison(&self, context: &GpuContext, plan: &Plan) {
        if !self.canaries {
            return;
        }
        for (memory, slot) in self.slots.iter().zip(&plan.memory.slots) {
            match memory {
                Memory::Buffer(buffer) => {
                    let words = (buffer.size() / 4) as usize;
                    let mut poison = vec![POISON; words];
                    poison[words - (CANARY_BYTES / 4) as usize..].fill(CANARY);
                    context.queue.write_buffer(buffer, 0, bytemuck::cast_slice(&poison));
                }
                Memory::Texture(texture, _) => {
                    fill(context, texture, slot.format.element, &vec![POISON; (slot.bytes / 4) as usize]);
                }
            }
        }
    }

    /// Where canaries are on: whether the space behind every buffer still holds the pattern. Nothing
    /// can be written behind a texture.
    ///
    /// # Errors
    /// [`Error::Gpu`] naming the tensors of the slot that was written beyond its end.
    pub async fn check_canaries(&self, context: &GpuContext, plan: &Plan) -> Result<()> {
        if !self.canaries {
            return Err(Error::argument("the executor was made without canaries"));
        }
        let buffers: Vec<(&wgpu::Buffer, &Slot)> = (self.slots.iter().zip(&plan.memory.slots))
            .filter_map(|(memory, slot)| match memory {
                Memory::Buffer(buffer) => Some((buffer, slot)),
                Memory::Texture(..) => None,
            })
            .collect();
        let copy = || {
            let all = context.readback(buffers.len() as u64 * CANARY_BYTES);
            let mut encoder = context.encoder("canaries");
            for ((buffer, _), at) in buffers.iter().zip((0..).step_by(CANARY_BYTES as usize)) {
                encoder.copy_buffer_to_buffer(buffer, buffer.size() - CANARY_BYTES, &all, at, CANARY_BYTES);
            }
            let submission = context.submit(Some(encoder.finish()));
            (all, submission)
        };
        let ((all, submission), scope) = guarded(&context.device, copy);
        settle(context, scope, || "reading canaries".to_owned()).await?;
        let bytes = read(context, &all, submission).await?;
        for (canary, (_, slot)) in bytes.chunks_exact(CANARY_BYTES as usize).zip(&buffers) {
            if canary.chunks_exact(4).any(|word| word != CANARY.to_le_bytes()) {
                let names: Vec<&str> = slot.tensors.iter().map(|t| plan.tensors[t.0 as usize].name.as_str()).collect();
                let reason = format!("a kernel wrote beyond the buffer of the values {}", names.join(", "));
                return Err(Error::Gpu { what: plan.name.clone(), reason });
            }
        }
        Ok(())
    }
}

impl Memory {
    fn whole(&self) -> wgpu::BindingResource<'_> {
        match self {
            Memory::Buffer(buffer) => buffer.as_entire_binding(),
            Memory::Texture(_, view) => wgpu::BindingResource::TextureView(view),
        }
    }
}

/// Bytes of a row of a texture.
pub(super) fn row_bytes(element: Element) -> u64 {
    TEXTURE_WIDTH * element.bytes()
}

/// A texture of whole rows that shaders read and the host can fill and read, and what else `usage` says.
fn texture(context: &GpuContext, label: &str, bytes: u64, element: Element, usage: wgpu::TextureUsages) -> Memory {
    let host = wgpu::TextureUsages::COPY_DST | wgpu::TextureUsages::COPY_SRC;
    let usage = wgpu::TextureUsages::TEXTURE_BINDING | host | usage;
    let height = bytes.div_ceil(row_bytes(element)).max(1) as u32;
    let texture = context.make().create_texture(&wgpu::TextureDescriptor {
        label: Some(label),
        size: wgpu::Extent3d { width: TEXTURE_WIDTH as u32, height, depth_or_array_layers: 1 },
        mip_level_count: 1,
        sample_count: 1,
        dimension: wgpu::TextureDimension::D2,
        format: texture_format(element),
        usage,
        view_formats: &[],
    });
    let view = texture.create_view(&wgpu::TextureViewDescriptor::default());
    Memory::Texture(texture, view)
}

/// Writes the texels of a texture from its first on; whole rows, then what is left of the last.
pub(super) fn fill(context: &GpuContext, texture: &wgpu::Texture, element: Element, words: &[u32]) {
    let row_bytes = row_bytes(element);
    let row_words = row_bytes as usize / 4;
    let (rows, rest) = words.split_at(words.len() - words.len() % row_words);
    let write = |words: &[u32], y: u32, width: u32, height: u32| {
        if words.is_empty() {
            return;
        }
        let origin = wgpu::Origin3d { x: 0, y, z: 0 };
        let target = wgpu::TexelCopyTextureInfo { texture, mip_level: 0, origin, aspect: wgpu::TextureAspect::All };
        let layout =
            wgpu::TexelCopyBufferLayout { offset: 0, bytes_per_row: Some(row_bytes as u32), rows_per_image: None };
        let size = wgpu::Extent3d { width, height, depth_or_array_layers: 1 };
        context.queue.write_texture(target, bytemuck::cast_slice(words), layout, size);
    };
    let whole = (rows.len() / row_words) as u32;
    write(rows, 0, TEXTURE_WIDTH as u32, whole);
    write(rest, whole, rest.len() as u32 * 4 / element.bytes() as u32, 1);
}
