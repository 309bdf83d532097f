//! The browser's side: what `examples/web/build.sh` makes a package of. JavaScript holds an [`Engine`]; everything
//! that the web has of its own (fetching, caching, workers, video) is in the scripts of `examples/web/package`.

mod answer;
mod console;
mod failure;
mod options;

use std::cell::{RefCell, RefMut};

use js_sys::{Function, Object};
use wasm_bindgen::prelude::*;

use crate::error::Error;
use crate::gpu::{Arrival, ExternalImageSource, Watch};
use crate::kernels::MAX_TOP;
use crate::session::{Flight, Session};
use crate::{Features, Picture};
use failure::failed;
use options::Options;

/// A session, as JavaScript sees it.
#[wasm_bindgen]
pub struct Engine {
    session: RefCell<Session>,
    arrival: RefCell<Arrival>,
}

/// What every function here returns to JavaScript, where errors are thrown.
type Outcome<T> = std::result::Result<T, JsValue>;

#[wasm_bindgen]
impl Engine {
    /// Loads a checkpoint or model file. `options` are JSON; `progress` is called with a stage (`"fuse"`,
    /// `"compile"`), how much of it is done, and of how much.
    pub async fn load(bytes: Vec<u8>, options: String, progress: Function) -> Outcome<Engine> {
        let tell = move |stage: &str, done: usize, all: usize| {
            // What a listener throws is its own affair.
            let _ = progress.call3(&JsValue::NULL, &stage.into(), &(done as f64).into(), &(all as f64).into());
        };
        let options = Options::parse(&options).map_err(failed)?;
        tell("fuse", 0, 1);
        let model = options.model(bytes).map_err(failed)?;
        tell("fuse", 1, 1);
        let watch = Watch::new(move |done, all| tell("compile", done, all));
        let session = options.session(model).watch(watch).load().await.map_err(failed)?;
        Ok(Engine { session: RefCell::new(session), arrival: RefCell::default() })
    }

    /// What there is to know of model and device.
    pub fn info(&self) -> Outcome<Object> {
        Ok(answer::info(&mut *self.borrowed()?))
    }

    /// How many objects were made on the GPU so far; 0 on the CPU executor.
    #[wasm_bindgen(js_name = gpuObjects)]
    pub fn gpu_objects(&self) -> Outcome<f64> {
        Ok(self.borrowed()?.gpu().map_or(0.0, |executor| executor.context().counts().objects as f64))
    }

    /// The longest side of a frame that [`Engine::frame`] takes; 0 on the CPU executor, which takes none.
    #[wasm_bindgen(js_name = frameLimit)]
    pub fn frame_limit(&self) -> Outcome<u32> {
        Ok(self.borrowed()?.gpu().map_or(0, |executor| executor.context().device().limits().max_texture_dimension_2d))
    }

    /// Classifies a frame that the browser holds: an `ImageBitmap`, a `VideoFrame` or an `OffscreenCanvas`. Its
    /// pixels are taken before this returns; the promise is for the answer.
    pub fn frame(&self, frame: JsValue, top: usize, logits: bool) -> Outcome<js_sys::Promise> {
        let source = external(frame)?;
        let mut session = self.borrowed()?;
        let context = session.gpu().map(|executor| executor.context().clone());
        let Some(context) = context else {
            return Err(failed(Error::argument("the CPU executor cannot see what the browser holds: give its pixels")));
        };
        let texture = self.arrival.borrow_mut().take(&context, &source).map_err(failed)?;
        let flight = session.submit(&[texture], wanted(top, logits)).map_err(failed)?;
        Ok(landing(flight, top, logits))
    }

    /// Classifies a picture of which these are the pixels: red, green, blue, alpha, row by row.
    pub fn pixels(&self, width: u32, height: u32, rgba: Vec<u8>, top: usize, logits: bool) -> Outcome<js_sys::Promise> {
        let picture = Picture::from_rgba(width, height, rgba).map_err(failed)?;
        let flight = self.borrowed()?.submit(&[picture], wanted(top, logits)).map_err(failed)?;
        Ok(landing(flight, top, logits))
    }

    /// The values that the session keeps, for one picture; see [`Engine::pixels`]. Nothing else may run meanwhile.
    pub async fn features(&self, width: u32, height: u32, rgba: Vec<u8>) -> Outcome<Object> {
        let picture = Picture::from_rgba(width, height, rgba).map_err(failed)?;
        let features: Features = self.borrowed()?.features(&picture).await.map_err(failed)?;
        Ok(answer::features(&features))
    }

    /// Opens a device anew after the last was lost. Nothing else may run meanwhile.
    pub async fn reopen(&self) -> Outcome<()> {
        self.borrowed()?.reopen().await.map_err(failed)
    }

    /// Has the GPU stamp every run, or no longer; whether it can. Nothing else may run meanwhile.
    pub async fn stamp(&self, on: bool) -> Outcome<bool> {
        self.borrowed()?.stamp_runs(on).await.map_err(failed)
    }

    /// Milliseconds that the GPU took for the last run, if it was stamped. Nothing else may run meanwhile.
    #[wasm_bindgen(js_name = gpuTime)]
    pub async fn gpu_time(&self) -> Outcome<Option<f64>> {
        let took = self.borrowed()?.gpu_time().await.map_err(failed)?;
        Ok(took.map(|took| took.as_secs_f64() * 1e3))
    }

    /// The session, which only calls that wait hold on to. JavaScript sees to it that none come in between.
    fn borrowed(&self) -> Outcome<RefMut<'_, Session>> {
        let busy = |_| failed(Error::argument("the session is busy with a call that cannot be shared"));
        self.session.try_borrow_mut().map_err(busy)
    }
}

/// The names of all networks that `random` knows.
#[wasm_bindgen]
pub fn models() -> Vec<String> {
    crate::models::names().map(Into::into).collect()
}

/// How many classes to ask of a run for.
fn wanted(top: usize, logits: bool) -> usize {
    if logits { usize::MAX } else { top.min(usize::MAX - 1) }
}

/// A promise of a run's answer.
fn landing(flight: Flight, top: usize, logits: bool) -> js_sys::Promise {
    wasm_bindgen_futures::future_to_promise(async move {
        if logits || top > MAX_TOP {
            let answers = flight.answers().await.map_err(failed)?;
            let answer = answers.first().ok_or_else(|| failed(Error::argument("the network made no output")))?;
            return Ok(answer::ranked(&answer.top(top), logits.then(|| answer.logits())).into());
        }
        let landed = flight.wait().await.map_err(failed)?;
        Ok(answer::ranked(landed.answers.first().map_or(&[], Vec::as_slice), None).into())
    })
}

fn external(frame: JsValue) -> Outcome<ExternalImageSource> {
    let frame = match frame.dyn_into::<web_sys::ImageBitmap>() {
        Ok(bitmap) => return Ok(ExternalImageSource::ImageBitmap(bitmap)),
        Err(frame) => frame,
    };
    let frame = match frame.dyn_into::<web_sys::VideoFrame>() {
        Ok(frame) => return Ok(ExternalImageSource::VideoFrame(frame)),
        Err(frame) => frame,
    };
    let canvas = frame.dyn_into::<web_sys::OffscreenCanvas>();
    let unknown = |_| failed(Error::argument("a frame has to be an ImageBitmap, a VideoFrame or an OffscreenCanvas"));
    canvas.map(ExternalImageSource::OffscreenCanvas).map_err(unknown)
}
