//! The ways out of a frame: what is copied to the host, and the dispatch that makes it, if any.

use super::buffers::Buffers;
use super::context::GpuContext;
use super::executor::{Dispatch, dispatch};
use super::pipelines::Pipelines;
use super::readback::Ring;
use crate::error::Result;
use crate::kernels::{Step, TopRecord};
use crate::plan::{Output, Plan};

/// One of them.
pub(super) struct Exit {
    step: Option<(Step, Dispatch)>,
    copies: Vec<Copy>,
    pub ring: Ring,
}

/// A value's way into the readback buffer.
struct Copy {
    source: wgpu::Buffer,
    source_offset: u64,
    target_offset: u64,
    bytes: u64,
}

impl Exit {
    /// All outputs of a plan, one behind the other; `bytes` together.
    ///
    /// # Errors
    /// [`Error::Plan`](crate::Error::Plan) if one of them lies in a texture.
    pub fn whole(context: &GpuContext, plan: &Plan, buffers: &Buffers, bytes: u64) -> Result<Self> {
        let mut target_offset = 0;
        let copy = |output: &Output| {
            let (bytes, source) = (output_bytes(plan, output), buffers.tensor(plan, output.tensor)?.clone());
            let source_offset = output.first_plane as u64 * plane_bytes(plan, output);
            let copy = Copy { source, source_offset, target_offset, bytes };
            target_offset += bytes;
            Ok(copy)
        };
        let copies = plan.outputs.iter().map(copy).collect::<Result<_>>()?;
        Ok(Exit { step: None, copies, ring: Ring::new(context, bytes) })
    }

    /// The best classes.
    ///
    /// # Errors
    /// [`Error::Plan`](crate::Error::Plan) if the step was not compiled.
    pub fn best(
        context: &GpuContext,
        plan: &Plan,
        step: Step,
        record: &TopRecord,
        buffers: &Buffers,
        pipelines: &Pipelines,
    ) -> Result<Self> {
        let bytes = (plan.batch * record.words() * 4) as u64;
        let source = context.storage("best classes", bytes);
        let dispatch = dispatch(context, plan, &step, buffers, pipelines, &|_| Some(&source))?;
        let copies = vec![Copy { source, source_offset: 0, target_offset: 0, bytes }];
        Ok(Exit { step: Some((step, dispatch)), copies, ring: Ring::new(context, bytes) })
    }

    /// The step that makes what is copied, if the plan's own do not.
    pub fn step(&self) -> Option<&Step> {
        self.step.as_ref().map(|(step, _)| step)
    }

    /// That step, ready to be recorded.
    pub fn dispatch(&self) -> Option<&Dispatch> {
        self.step.as_ref().map(|(_, dispatch)| dispatch)
    }

    /// Records the copies.
    pub fn copy(&self, encoder: &mut wgpu::CommandEncoder, readback: &wgpu::Buffer) {
        for Copy { source, source_offset, target_offset, bytes } in &self.copies {
            encoder.copy_buffer_to_buffer(source, *source_offset, readback, *target_offset, *bytes);
        }
    }
}

/// Bytes of one plane of an output, batch included.
fn plane_bytes(plan: &Plan, output: &Output) -> u64 {
    (plan.batch * output.shape.pixels() * 16) as u64
}

/// Bytes of an output.
pub(super) fn output_bytes(plan: &Plan, output: &Output) -> u64 {
    output.layout.planes() as u64 * plane_bytes(plan, output)
}
