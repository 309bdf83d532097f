//! The module that computes on WebGPU.

use std::cell::{RefCell, RefMut};
use std::future::Future;
use std::pin::Pin;
use std::rc::Rc;

use js_sys::{Function, Object, Promise};
use wasm_bindgen::prelude::*;

use super::answer::{self, About};
use super::options::Options;
use super::{Outcome, failed};
use crate::Picture;
use crate::error::{Error, Result};
use crate::gpu::{Arrival, ExternalImageSource, Watch};
use crate::kernels::MAX_TOP;
use crate::session::{DeviceChoice, Flight, Session};

/// A session, as JavaScript sees it.
#[wasm_bindgen]
pub struct Engine {
    session: Rc<RefCell<Session>>,
    arrival: RefCell<Arrival>,
}

#[wasm_bindgen]
impl Engine {
    /// Loads a model file. `options` are JSON; `progress` is called with a stage (`"compile"`), how much of it is done,
    /// and of how much. The promise is for an [`Engine`].
    pub fn load(bytes: Vec<u8>, options: String, progress: Function) -> Promise {
        promise(async move {
            let tell = move |done: usize, all: usize| {
                // What a listener throws is its own affair.
                let _ = progress.call3(&JsValue::NULL, &"compile".into(), &(done as f64).into(), &(all as f64).into());
            };
            let options = Options::parse(&options)?;
            let model = options.model(&bytes)?;
            drop(bytes);
            // A browser shows one adapter.
            let session = Session::builder().model(model).device(DeviceChoice::Index(0));
            let session = session.safe_shaders(options.safe_shaders).watch(Watch::new(tell));
            let session = session.wishes(options.wishes()).load().await?;
            let engine = Engine { session: Rc::new(RefCell::new(session)), arrival: RefCell::default() };
            Ok(engine.into())
        })
    }

    /// What there is to know of model and device.
    pub fn info(&self) -> Outcome<Object> {
        let mut session = borrowed(&self.session).map_err(failed)?;
        let executor = session.gpu().ok_or_else(|| failed(no_gpu()))?;
        let (plan, software) = (executor.plan(), executor.context().summary().is_software());
        let (weight_bytes, steps, timestamp_period) =
            (plan.weight_bytes(), plan.steps.len(), executor.timestamp_period());
        let about = About {
            model: session.model(),
            device: session.device(),
            timing: session.timing(),
            labels: session.labels(),
            precision: session.precision(),
            note: session.precision_note(),
            kept: session.kept().collect(),
            weight_bytes,
            steps,
            software,
            timestamp_period,
        };
        Ok(answer::info(&about))
    }

    /// How many objects were made on the GPU so far.
    #[wasm_bindgen(js_name = gpuObjects)]
    pub fn gpu_objects(&self) -> Outcome<f64> {
        let mut session = borrowed(&self.session).map_err(failed)?;
        Ok(session.gpu().map_or(0.0, |executor| executor.context().counts().objects as f64))
    }

    /// The longest side of a frame that [`Engine::frame`] takes.
    #[wasm_bindgen(js_name = frameLimit)]
    pub fn frame_limit(&self) -> Outcome<u32> {
        let mut session = borrowed(&self.session).map_err(failed)?;
        Ok(session.gpu().map_or(0, |executor| executor.context().device().limits().max_texture_dimension_2d))
    }

    /// Classifies a frame that the browser holds: an `ImageBitmap`, a `VideoFrame` or an `OffscreenCanvas`. Its
    /// pixels are taken before this returns; the promise is for the answer.
    pub fn frame(&self, frame: JsValue, top: usize, logits: bool) -> Outcome<Promise> {
        let flight = || {
            let source = external(frame)?;
            let mut session = borrowed(&self.session)?;
            let context = session.gpu().map(|executor| executor.context().clone()).ok_or_else(no_gpu)?;
            let texture = self.arrival.borrow_mut().take(&context, &source)?;
            session.submit(&[texture], wanted(top, logits))
        };
        Ok(landing(flight().map_err(failed)?, top, logits))
    }

    /// Classifies a picture of which these are the pixels: red, green, blue, alpha, row by row.
    pub fn pixels(&self, width: u32, height: u32, rgba: Vec<u8>, top: usize, logits: bool) -> Outcome<Promise> {
        let flight = || {
            let picture = Picture::from_rgba(width, height, rgba)?;
            borrowed(&self.session)?.submit(&[picture], wanted(top, logits))
        };
        Ok(landing(flight().map_err(failed)?, top, logits))
    }

    /// The values that the session keeps, for one picture; see [`Engine::pixels`]. Nothing else may run meanwhile.
    pub fn features(&self, width: u32, height: u32, rgba: Vec<u8>) -> Promise {
        let session = self.session.clone();
        promise(async move {
            let picture = Picture::from_rgba(width, height, rgba)?;
            let features = borrowed(&session)?.features(&picture).await?;
            Ok(answer::features(&features).into())
        })
    }

    /// Opens a device anew after the last was lost. Nothing else may run meanwhile.
    pub fn reopen(&self) -> Promise {
        let session = self.session.clone();
        promise(async move {
            borrowed(&session)?.reopen().await?;
            Ok(JsValue::UNDEFINED)
        })
    }

    /// Has the GPU stamp every run, or no longer; whether it can. Nothing else may run meanwhile.
    pub fn stamp(&self, on: bool) -> Promise {
        let session = self.session.clone();
        promise(async move { Ok(borrowed(&session)?.stamp_runs(on).await?.into()) })
    }

    /// Milliseconds that the GPU took for the last run, if it was stamped. Nothing else may run meanwhile.
    #[wasm_bindgen(js_name = gpuTime)]
    pub fn gpu_time(&self) -> Promise {
        let session = self.session.clone();
        promise(async move {
            let took = borrowed(&session)?.gpu_time().await?;
            Ok(took.map_or(JsValue::UNDEFINED, |took| (took.as_secs_f64() * 1e3).into()))
        })
    }
}

/// A promise of what comes of some work. Boxed, so that there is one such machine and not one for each kind of work:
/// together they were a fortieth of the module.
fn promise(work: impl Future<Output = Result<JsValue>> + 'static) -> Promise {
    let work: Pin<Box<dyn Future<Output = Result<JsValue>>>> = Box::pin(work);
    wasm_bindgen_futures::future_to_promise(async move { work.await.map_err(failed) })
}

/// The session, which only calls that wait hold on to. JavaScript sees to it that none come in between.
fn borrowed(session: &RefCell<Session>) -> Result<RefMut<'_, Session>> {
    let busy = |_| Error::argument("the session is busy with a call that cannot be shared");
    session.try_borrow_mut().map_err(busy)
}

fn no_gpu() -> Error {
    Error::argument("this session has no GPU")
}

/// How many classes to ask of a run for.
fn wanted(top: usize, logits: bool) -> usize {
    if logits { usize::MAX } else { top.min(usize::MAX - 1) }
}

/// A promise of a run's answer.
fn landing(flight: Flight, top: usize, logits: bool) -> Promise {
    promise(async move {
        if logits || top > MAX_TOP {
            let answers = flight.answers().await?;
            let answer = answers.first().ok_or_else(|| Error::argument("the network made no output"))?;
            return Ok(answer::ranked(&answer.top(top), logits.then(|| answer.logits())).into());
        }
        let landed = flight.wait().await?;
        Ok(answer::ranked(landed.answers.first().map_or(&[], Vec::as_slice), None).into())
    })
}

fn external(frame: JsValue) -> Result<ExternalImageSource> {
    let frame = match frame.dyn_into::<web_sys::ImageBitmap>() {
        Ok(bitmap) => return Ok(ExternalImageSource::ImageBitmap(bitmap)),
        Err(frame) => frame,
    };
    let frame = match frame.dyn_into::<web_sys::VideoFrame>() {
        Ok(frame) => return Ok(ExternalImageSource::VideoFrame(frame)),
        Err(frame) => frame,
    };
    let canvas = frame.dyn_into::<web_sys::OffscreenCanvas>();
    let unknown = |_| Error::argument("a frame has to be an ImageBitmap, a VideoFrame or an OffscreenCanvas");
    canvas.map(ExternalImageSource::OffscreenCanvas).map_err(unknown)
}
