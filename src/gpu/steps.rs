//! The steps of an executor one at a time, with whatever values in front of them: for finding out which one is wrong.

use std::ops::Range;

use super::executor::GpuExecutor;
use super::scopes::{guarded, settle};
use super::source::PictureSource;
use crate::error::{Error, Result};
use crate::kernels::TensorId;

impl GpuExecutor {
    /// Puts words of a tensor's format into it, from its beginning: `[plane][batch · pixel]` of four channels.
    ///
    /// # Errors
    /// [`Error::Argument`] if the plan has no such tensor or it is shorter, [`Error::Gpu`] if memory is short.
    pub async fn write_tensor(&self, tensor: TensorId, words: &[u32]) -> Result<()> {
        let name = &self.plan.name;
        let info = self.plan.tensors.get(tensor.0 as usize);
        let info = info.ok_or_else(|| Error::argument(format!("{name}: there is no tensor {}", tensor.0)))?;
        if words.len() as u64 * 4 > info.bytes() {
            return Err(Error::argument(format!("{name}: {} words do not fit tensor {}", words.len(), tensor.0)));
        }
        let write = || {
            self.buffers.write_words(&self.context, &self.plan, tensor, words);
            self.context.submit(None);
        };
        let ((), scope) = guarded(&self.context.device, write);
        settle(&self.context, scope, || format!("uploading values of {name}")).await
    }

    /// Runs some of the plan's steps on what lies in their tensors.
    ///
    /// # Errors
    /// [`Error::Argument`] if the plan has no such steps, [`Error::Gpu`] if the device refuses,
    /// [`Error::DeviceLost`].
    pub async fn run_steps(&self, steps: Range<usize>) -> Result<()> {
        self.context.check()?;
        let name = &self.plan.name;
        let dispatches = self.dispatches.get(steps.clone());
        let dispatches = dispatches.ok_or_else(|| Error::argument(format!("{name}: there are no steps {steps:?}")))?;
        let ((), scope) = guarded(&self.context.device, || {
            let mut encoder = self.context.encoder("steps");
            let mut pass = encoder.begin_compute_pass(&wgpu::ComputePassDescriptor::default());
            dispatches.iter().for_each(|dispatch| dispatch.record(&mut pass));
            drop(pass);
            self.context.submit(Some(encoder.finish()));
        });
        settle(&self.context, scope, || format!("running steps {steps:?} of {name}")).await
    }
}

impl GpuExecutor {
    /// Prepares pictures as a run does, without running the network, and returns what lies in the network's input then:
    /// `[plane][batch · pixel]` of four channels.
    ///
    /// # Errors
    /// As [`submit_pictures`](Self::submit_pictures); [`Error::DeviceLost`].
    pub async fn prepare_pictures<'a, P>(&mut self, pictures: &'a [P]) -> Result<Vec<f32>>
    where
        PictureSource<'a>: From<&'a P>,
    {
        self.context.check()?;
        let device = self.context.device.clone();
        let (prepared, scope) = guarded(&device, || {
            let entering = self.upload_pictures(pictures)?;
            let mut encoder = self.context.encoder("pictures");
            self.pictures.iter().for_each(|input| input.record_copies(&entering, &mut encoder));
            let mut pass = encoder.begin_compute_pass(&wgpu::ComputePassDescriptor::default());
            let passes = self.pictures.iter().flat_map(|input| entering.iter().flat_map(|one| input.passes(one)));
            passes.for_each(|(_, dispatch)| dispatch.record(&mut pass));
            drop(pass);
            self.context.submit(Some(encoder.finish()));
            Ok(())
        });
        settle(&self.context, scope, || format!("preparing pictures for {}", self.plan.name)).await?;
        prepared?;
        let words = self.read_tensor(self.plan.input).await?;
        Ok(words.into_iter().map(f32::from_bits).collect())
    }
}
