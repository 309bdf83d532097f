//! The buffers of a plan: one per memory slot, one per weight array.

use super::context::GpuContext;
use super::limits;
use super::readback::{read, readback_buffer};
use super::scopes::{guarded, settle};
use crate::error::{Error, Result};
use crate::kernels::{Binding, TensorId};
use crate::plan::Plan;

/// Bytes of the pattern behind each slot, where canaries are on.
const CANARY_BYTES: u64 = 256;
/// The pattern: a NaN, so that reading it shows as well.
const CANARY: u32 = 0x7fc0_dead;
/// Uploads are handed to the queue in portions, so that their staging memory is freed early.
const PORTION: u64 = 32 << 20;

/// The buffers of a plan.
pub(super) struct Buffers {
    slots: Vec<wgpu::Buffer>,
    weights: Vec<wgpu::Buffer>,
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
            let slots =
                plan.memory.slots.iter().map(|slot| storage(context, "activations", slot.bytes + tail)).collect();
            let weights = plan.weights.iter().map(|weights| storage(context, "weights", weights.bytes())).collect();
            Buffers { slots, weights, canaries }
        };
        let (buffers, scope) = guarded(&context.device, allocate);
        let bytes = plan.memory.bytes() + plan.weight_bytes();
        settle(scope, || format!("allocating {bytes} bytes for {}", plan.name)).await?;
        let ((), scope) = guarded(&context.device, || buffers.upload(context, plan));
        settle(scope, || format!("uploading the weights of {}", plan.name)).await?;
        Ok(buffers)
    }

    fn upload(&self, context: &GpuContext, plan: &Plan) {
        let mut waiting = 0;
        for (buffer, weights) in self.weights.iter().zip(&plan.weights) {
            context.queue.write_buffer(buffer, 0, bytemuck::cast_slice(&weights.words));
            waiting += weights.bytes();
            if waiting >= PORTION {
                context.queue.submit([]);
                waiting = 0;
            }
        }
        context.queue.submit([]);
    }

    /// The buffer that a tensor lies in, from its beginning.
    pub fn tensor(&self, plan: &Plan, tensor: TensorId) -> &wgpu::Buffer {
        &self.slots[plan.memory.slot_of(tensor)]
    }

    /// What a step binds; `None` for pictures and tables, which are not the plan's.
    pub fn binding(&self, plan: &Plan, binding: &Binding) -> Option<wgpu::BindingResource<'_>> {
        match binding {
            // With canaries the whole buffer is visible, or drivers would drop stray writes.
            Binding::Tensor(id) if self.canaries => Some(self.tensor(plan, *id).as_entire_binding()),
            Binding::Tensor(id) => Some(wgpu::BindingResource::Buffer(wgpu::BufferBinding {
                buffer: self.tensor(plan, *id),
                offset: 0,
                size: wgpu::BufferSize::new(plan.tensors[id.0 as usize].bytes()),
            })),
            Binding::Weights(id) => Some(self.weights[id.0 as usize].as_entire_binding()),
            Binding::Picture | Binding::Tables => None,
        }
    }

    /// Where canaries are on: fills all slots with NaN and the space behind them with the pattern.
    pub fn poison(&self, context: &GpuContext) {
        if !self.canaries {
            return;
        }
        for slot in &self.slots {
            let words = (slot.size() / 4) as usize;
            let mut poison = vec![f32::NAN.to_bits(); words];
            poison[words - (CANARY_BYTES / 4) as usize..].fill(CANARY);
            context.queue.write_buffer(slot, 0, bytemuck::cast_slice(&poison));
        }
    }

    /// Where canaries are on: whether the space behind every slot still holds the pattern.
    ///
    /// # Errors
    /// [`Error::Gpu`] naming the tensors of the slot that was written beyond its end.
    pub async fn check_canaries(&self, context: &GpuContext, plan: &Plan) -> Result<()> {
        if !self.canaries {
            return Err(Error::argument("the executor was made without canaries"));
        }
        let copy = || {
            let all = readback_buffer(&context.device, self.slots.len() as u64 * CANARY_BYTES);
            let mut encoder = context.device.create_command_encoder(&Default::default());
            for (slot, at) in self.slots.iter().zip((0..).step_by(CANARY_BYTES as usize)) {
                encoder.copy_buffer_to_buffer(slot, slot.size() - CANARY_BYTES, &all, at, CANARY_BYTES);
            }
            let submission = context.queue.submit([encoder.finish()]);
            (all, submission)
        };
        let ((all, submission), scope) = guarded(&context.device, copy);
        settle(scope, || "reading canaries".to_owned()).await?;
        let bytes = read(context, &all, submission).await?;
        for (canary, slot) in bytes.chunks_exact(CANARY_BYTES as usize).zip(&plan.memory.slots) {
            if canary.chunks_exact(4).any(|word| word != CANARY.to_le_bytes()) {
                let names: Vec<&str> = slot.tensors.iter().map(|t| plan.tensors[t.0 as usize].name.as_str()).collect();
                let reason = format!("a kernel wrote beyond the buffer of the values {}", names.join(", "));
                return Err(Error::Gpu { what: plan.name.clone(), reason });
            }
        }
        Ok(())
    }
}

/// A buffer for shaders that the host can write and read back from.
pub(super) fn storage(context: &GpuContext, label: &str, size: u64) -> wgpu::Buffer {
    let usage = wgpu::BufferUsages::STORAGE | wgpu::BufferUsages::COPY_DST | wgpu::BufferUsages::COPY_SRC;
    let descriptor = wgpu::BufferDescriptor { label: Some(label), size, usage, mapped_at_creation: false };
    context.device.create_buffer(&descriptor)
}
