//! Error scopes: what went wrong on the device becomes an error of the call that caused it.

use std::pin::Pin;

use super::context::GpuContext;
use super::readback::alive;
use crate::error::{Error, Result};

/// The first error of a scope, once it is known: at once natively, after a round trip on the web.
#[cfg(not(target_arch = "wasm32"))]
pub(super) type ScopeError = Pin<Box<dyn Future<Output = Option<wgpu::Error>> + Send>>;
/// The first error of a scope, once it is known: at once natively, after a round trip on the web.
#[cfg(target_arch = "wasm32")]
pub(super) type ScopeError = Pin<Box<dyn Future<Output = Option<wgpu::Error>>>>;

/// Calls `work` with error scopes around it. Scopes belong to the thread and are not `Send`, so
/// they are popped before anybody awaits.
pub(super) fn guarded<T>(device: &wgpu::Device, work: impl FnOnce() -> T) -> (T, ScopeError) {
    let memory = device.push_error_scope(wgpu::ErrorFilter::OutOfMemory);
    let validation = device.push_error_scope(wgpu::ErrorFilter::Validation);
    let internal = device.push_error_scope(wgpu::ErrorFilter::Internal);
    let value = work();
    let (internal, validation, memory) = (internal.pop(), validation.pop(), memory.pop());
    let first = async move {
        let (internal, validation, memory) = (internal.await, validation.await, memory.await);
        memory.or(validation).or(internal)
    };
    (value, Box::pin(first))
}

/// Waits for a scope and turns its error into ours. `what` names the operation.
///
/// # Errors
/// [`Error::DeviceLost`] if that is why; [`Error::Gpu`].
pub(super) async fn settle(context: &GpuContext, scope: ScopeError, what: impl FnOnce() -> String) -> Result<()> {
    let reason = match scope.await {
        None => return Ok(()),
        Some(wgpu::Error::OutOfMemory { .. }) => {
            "the device is out of memory; a smaller batch or another device may do".to_owned()
        }
        // What is made on a device that is gone is invalid, and all that is said about its use is that.
        Some(_) if !alive(context).await => return Err(context.loss("it was lost before it was used")),
        Some(error) => error.to_string(),
    };
    Err(Error::Gpu { what: what(), reason })
}
