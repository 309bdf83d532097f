//! Pipelines that a browser compiles in the background.
//!
//! wgpu asks for a pipeline with `createComputePipeline`, and a browser compiles one after the other, on the thread that
//! all its pages' GPU work waits for. With `createComputePipelineAsync` it compiles several at once, beside that thread,
//! but wgpu has no such call. So each pipeline is asked for twice: in [`begin`] the second function stands in the place of
//! the first, and what wgpu makes of its promise is dropped; in [`finish`], once all promises are kept, the pipelines that
//! came of them are handed out in the same order.
//!
//! The functions are replaced only until these calls return, and nothing else runs meanwhile.

use std::cell::RefCell;
use std::rc::Rc;

use js_sys::{Array, Function, Object, Promise, Proxy, Reflect};
use wasm_bindgen::prelude::*;
use wasm_bindgen_futures::JsFuture;

const SYNC: &str = "createComputePipeline";
const ASYNC: &str = "createComputePipelineAsync";

/// A pipeline that is being compiled.
pub(super) struct Begun(Promise);

impl Begun {
    /// Waits for it.
    ///
    /// # Errors
    /// What the browser says of a pipeline that cannot be.
    pub async fn ready(self) -> Result<Ready, String> {
        let told =
            |error: JsValue| Reflect::get(&error, &"message".into()).ok().and_then(|message| message.as_string());
        JsFuture::from(self.0).await.map(Ready).map_err(|error| told(error).unwrap_or_default())
    }
}

/// A pipeline that is there.
pub(super) struct Ready(JsValue);

/// Begins all pipelines that wgpu asks for during `work`, whose own are none; `None` if this browser cannot, and then
/// `work` was not called.
pub(super) fn begin(work: impl FnOnce()) -> Option<Vec<Begun>> {
    let begun = Rc::new(RefCell::new(Vec::new()));
    let keep = begun.clone();
    let ask = move |create: Function, device: JsValue, given: Array| {
        let promise = create.apply(&device, &given).ok().and_then(|made| made.dyn_into::<Promise>().ok());
        keep.borrow_mut().extend(promise.map(Begun));
        JsValue::UNDEFINED
    };
    replaced(ASYNC, Box::new(ask), work)?;
    Some(begun.take())
}

/// Gives wgpu the pipelines that are there, in the order in which they were begun, when it asks for them during `work`.
pub(super) fn finish<T>(ready: Vec<Ready>, work: impl FnOnce() -> T) -> Option<T> {
    let mut ready = ready.into_iter();
    let give = move |_: Function, _: JsValue, _: Array| ready.next().map_or(JsValue::UNDEFINED, |Ready(made)| made);
    replaced(SYNC, Box::new(give), work)
}

type Trap = Box<dyn FnMut(Function, JsValue, Array) -> JsValue>;

/// Calls `work` with a stand-in for [`SYNC`] that gives `trap` the function of that name, the device and the arguments.
fn replaced<T>(name: &str, trap: Trap, work: impl FnOnce() -> T) -> Option<T> {
    let class = Reflect::get(&js_sys::global(), &"GPUDevice".into()).ok()?;
    let prototype: Object = Reflect::get(&class, &"prototype".into()).ok()?.dyn_into().ok()?;
    let function = |name: &str| Reflect::get(&prototype, &name.into()).ok()?.dyn_into::<Function>().ok();
    let (own, target) = (function(SYNC)?, function(name)?);
    let (trap, traps) = (Closure::<dyn FnMut(Function, JsValue, Array) -> JsValue>::wrap(trap), Object::new());
    Reflect::set(&traps, &"apply".into(), trap.as_ref()).ok()?;
    let set = |function: &JsValue| Reflect::set(&prototype, &SYNC.into(), function).unwrap_or(false);
    if !set(&Proxy::new(&target, &traps)) {
        return None;
    }
    let done = work();
    set(&own);
    Some(done)
}
