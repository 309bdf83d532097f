//! Results on their way back: a ring of mappable buffers, mapped asynchronously.

use std::pin::Pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll, Waker};

use web_time::Instant;

use super::context::GpuContext;
use super::pack;
use super::sabotage::Moment;
use super::scopes::{ScopeError, guarded, settle};
use crate::error::{Error, Result};
use crate::kernels::{Ranking, TopRecord};
use crate::plan::Output;
use crate::tensor::Tensor;

/// Buffers made in advance: that many frames can be under way before another is allocated.
pub(super) const RING: usize = 3;

/// Readback buffers of one size that are free.
#[derive(Clone)]
pub(super) struct Ring {
    free: Arc<Mutex<Vec<wgpu::Buffer>>>,
    size: u64,
}

impl Ring {
    /// A ring of buffers of `size` bytes.
    pub fn new(context: &GpuContext, size: u64) -> Self {
        let free = (0..RING).map(|_| context.readback(size)).collect();
        Ring { free: Arc::new(Mutex::new(free)), size }
    }

    /// A free buffer; a new one if all are under way.
    pub fn take(&self, context: &GpuContext) -> wgpu::Buffer {
        let free = self.free.lock().unwrap_or_else(PoisonError::into_inner).pop();
        free.unwrap_or_else(|| context.readback(self.size))
    }

    fn give_back(&self, buffer: wgpu::Buffer) {
        self.free.lock().unwrap_or_else(PoisonError::into_inner).push(buffer);
    }
}

/// A submission under way, and the buffer that it copies its results to.
pub(super) struct Frame {
    pub context: GpuContext,
    pub ring: Ring,
    pub buffer: wgpu::Buffer,
    pub submission: wgpu::SubmissionIndex,
    /// When it was about to be handed to the queue.
    pub submitted: Instant,
    pub scope: ScopeError,
}

impl Frame {
    /// Waits for the results, reads them and gives the buffer back.
    async fn wait<T>(self, read: impl FnOnce(&[u32]) -> Result<T>) -> Result<T> {
        self.context.passing(Moment::Readback);
        // On the web this is a promise: ask for the mapping first, so that both run at once.
        let mapping = Mapping::start(&self.context, &self.buffer, self.submission);
        settle(&self.context, self.scope, || "running the network".to_owned()).await?;
        let mapped = mapping.await.map_err(|reason| self.context.loss(reason))?;
        let bytes = mapped.view()?;
        let words: &[u32] = bytemuck::try_cast_slice(&bytes)
            .map_err(|e| Error::Gpu { what: "reading outputs".to_owned(), reason: e.to_string() })?;
        let value = read(words)?;
        drop(bytes);
        drop(mapped);
        self.ring.give_back(self.buffer);
        Ok(value)
    }
}

/// A frame under way. [`Pending::wait`] for its outputs; several frames may be under way at once.
#[must_use = "the outputs come from `wait`"]
pub struct Pending {
    pub(super) frame: Frame,
    pub(super) outputs: Arc<Vec<Output>>,
    pub(super) batch: usize,
    pub(super) samples: usize,
}

impl Pending {
    /// When it was handed to the queue.
    pub fn submitted(&self) -> Instant {
        self.frame.submitted
    }

    /// The plan's outputs, each `[n, c, h, w]` with as many samples as were given.
    ///
    /// # Errors
    /// [`Error::DeviceLost`] if the device went away, [`Error::Gpu`] if it refused the frame.
    pub async fn wait(self) -> Result<Vec<Tensor>> {
        let Pending { frame, outputs, batch, samples } = self;
        let read = |words: &[u32]| {
            let values: &[f32] = bytemuck::cast_slice(words);
            let mut tensors = Vec::with_capacity(outputs.len());
            let mut start = 0;
            for output in outputs.iter() {
                let (shape, pixels) = (output.shape, output.shape.pixels());
                let end = start + output.layout.planes() * batch * pixels * 4;
                let values = pack::unpack(&values[start..end], &output.layout, batch, samples, pixels);
                tensors.push(Tensor::new([samples, shape.channels, shape.height, shape.width], values)?);
                start = end;
            }
            Ok(tensors)
        };
        frame.wait(read).await
    }
}

/// A frame under way of which only the best classes are read back.
#[must_use = "the classes come from `wait`"]
pub struct PendingTop {
    pub(super) frame: Frame,
    pub(super) record: TopRecord,
    pub(super) samples: usize,
}

impl PendingTop {
    /// When it was handed to the queue.
    pub fn submitted(&self) -> Instant {
        self.frame.submitted
    }

    /// The best classes of each sample.
    ///
    /// # Errors
    /// As [`Pending::wait`].
    pub async fn wait(self) -> Result<Vec<Ranking>> {
        let PendingTop { frame, record, samples } = self;
        let garbled = || Error::Gpu {
            what: "ranking the classes".to_owned(),
            reason: "the driver returned classes that do not exist".to_owned(),
        };
        let read = |words: &[u32]| {
            let records = words.chunks_exact(record.words()).take(samples);
            records.map(|words| record.read(words).ok_or_else(garbled)).collect()
        };
        frame.wait(read).await
    }
}

/// The contents of a buffer, once the submission that fills it is done.
pub(super) async fn read(
    context: &GpuContext,
    buffer: &wgpu::Buffer,
    submission: wgpu::SubmissionIndex,
) -> Result<Vec<u8>> {
    let mapped = Mapping::start(context, buffer, submission).await.map_err(|reason| context.loss(reason))?;
    Ok(mapped.view()?.to_vec())
}

/// Whether a device still does anything.
pub(super) async fn alive(context: &GpuContext) -> bool {
    if context.lost().is_some() {
        return false;
    }
    let (mapping, scope) = guarded(&context.device, || {
        let buffer = context.readback(16);
        Mapping::start(context, &buffer, context.submit(None))
    });
    // Of a lost device's buffer it would say only that it is invalid.
    drop(scope);
    mapping.await.is_ok()
}

/// A mapped buffer; unmapped when dropped.
struct Mapped<'c> {
    context: &'c GpuContext,
    buffer: wgpu::Buffer,
}

impl Mapped<'_> {
    fn view(&self) -> Result<wgpu::BufferView> {
        // The buffer was mapped a moment ago: it can only have gone with its device.
        let refused = |e: wgpu::MapRangeError| self.context.loss(&e.to_string());
        self.buffer.get_mapped_range(..).map_err(refused)
    }
}

impl Drop for Mapped<'_> {
    fn drop(&mut self) {
        // The device may have been lost since, which makes unmapping an error; a scope keeps it
        // from the caller's handler, which panics by default.
        drop(guarded(&self.context.device, || self.buffer.unmap()));
    }
}

#[derive(Default)]
struct Signal {
    result: Option<std::result::Result<(), wgpu::BufferAsyncError>>,
    waker: Option<Waker>,
}

/// A buffer being mapped. Natively nobody else polls the device, so this future does.
struct Mapping<'c> {
    context: &'c GpuContext,
    buffer: wgpu::Buffer,
    signal: Arc<Mutex<Signal>>,
    #[cfg_attr(target_arch = "wasm32", expect(dead_code, reason = "browsers poll by themselves"))]
    submission: wgpu::SubmissionIndex,
}

impl<'c> Mapping<'c> {
    fn start(context: &'c GpuContext, buffer: &wgpu::Buffer, submission: wgpu::SubmissionIndex) -> Self {
        let signal = Arc::<Mutex<Signal>>::default();
        let sender = signal.clone();
        let done = move |result| {
            let waker = {
                let mut signal = sender.lock().unwrap_or_else(PoisonError::into_inner);
                signal.result = Some(result);
                signal.waker.take()
            };
            if let Some(waker) = waker {
                waker.wake();
            }
        };
        // What the scope would catch also reaches the callback.
        drop(guarded(&context.device, || buffer.map_async(wgpu::MapMode::Read, .., done)));
        Mapping { context, buffer: buffer.clone(), signal, submission }
    }

    fn result(&self, waker: &Waker) -> Option<std::result::Result<Mapped<'c>, &'static str>> {
        let mut signal = self.signal.lock().unwrap_or_else(PoisonError::into_inner);
        match signal.result.take() {
            Some(Ok(())) => Some(Ok(Mapped { context: self.context, buffer: self.buffer.clone() })),
            // Our own unmapping aside, which cannot be: nothing else makes a mapping fail.
            Some(Err(_)) => Some(Err("its results could not be read back")),
            None => {
                signal.waker = Some(waker.clone());
                None
            }
        }
    }

    /// Waits for the submission; the mapping's callback runs in here, or on another thread that
    /// polls at the same time.
    #[cfg(not(target_arch = "wasm32"))]
    fn drive(&self) -> std::result::Result<(), &'static str> {
        let wait = wgpu::PollType::Wait { submission_index: Some(self.submission.clone()), timeout: None };
        // wgpu panics in `poll` when the driver reports a loss while it waits. Nothing of ours is
        // borrowed by it, and the device is not used again.
        let polled = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| self.context.device.poll(wait)));
        match polled {
            Ok(Ok(_)) => Ok(()),
            Ok(Err(_)) => Err("it does not know the work that it was given"),
            Err(_) => Err("the driver failed while it was computing"),
        }
    }
}

impl<'c> Future for Mapping<'c> {
    type Output = std::result::Result<Mapped<'c>, &'static str>;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        if let Some(result) = self.result(cx.waker()) {
            return Poll::Ready(result);
        }
        #[cfg(not(target_arch = "wasm32"))]
        {
            if let Err(reason) = self.drive() {
                return Poll::Ready(Err(reason));
            }
            if let Some(result) = self.result(cx.waker()) {
                return Poll::Ready(result);
            }
            // Another thread polled first and is about to run the callback.
            cx.waker().wake_by_ref();
            std::thread::yield_now();
        }
        if self.context.lost().is_some() {
            return Poll::Ready(Err("it was lost while computing"));
        }
        Poll::Pending
    }
}
