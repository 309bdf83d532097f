//! The devices that GPU tests run on: Mesa's software drivers where they are, else real GPUs.
// Each test crate that includes this module uses a part of it.
#![allow(dead_code)]

use std::cell::RefCell;
use std::sync::{Mutex, MutexGuard, OnceLock, PoisonError};

use foveate::gpu::{Backend, DeviceRequest, GpuContext, select_adapter};
use pollster::block_on;

/// One device per backend, Vulkan and GL on Linux; elsewhere whatever the system has. `TEST_ADAPTER` names
/// another one than llvmpipe. Tests share them. Without any the caller's loop is empty, after a loud word; with `REQUIRE_GPU=1` that is a
/// failure.
///
/// Tests that ask take turns: wgpu panics when two threads use a GL device and one waits for a second.
pub fn contexts() -> &'static [GpuContext] {
    static TURN: Mutex<()> = Mutex::new(());
    thread_local! {
        /// Every test is a thread; its turn ends with it.
        static MINE: RefCell<Option<MutexGuard<'static, ()>>> = const { RefCell::new(None) };
    }
    MINE.with_borrow_mut(|mine| {
        mine.get_or_insert_with(|| TURN.lock().unwrap_or_else(PoisonError::into_inner));
    });
    static CONTEXTS: OnceLock<Vec<GpuContext>> = OnceLock::new();
    CONTEXTS.get_or_init(|| {
        let backends: &[Option<Backend>] =
            if cfg!(target_os = "linux") { &[Some(Backend::Vulkan), Some(Backend::Gl)] } else { &[None] };
        backends.iter().filter_map(|backend| open(*backend)).collect()
    })
}

/// A device of one's own, for tests that break it.
pub fn fresh() -> Option<GpuContext> {
    let backend = cfg!(target_os = "linux").then_some(Backend::Vulkan);
    open(backend)
}

fn open(backend: Option<Backend>) -> Option<GpuContext> {
    let named = std::env::var("TEST_ADAPTER").unwrap_or_else(|_| "llvmpipe".to_owned());
    let software = DeviceRequest::Named(named);
    let found = block_on(async {
        let choice = match select_adapter(&software, backend).await {
            Ok(choice) => choice,
            Err(_) => select_adapter(&DeviceRequest::Gpu, backend).await?,
        };
        GpuContext::request(&choice).await
    });
    match found {
        Ok(context) => Some(context),
        Err(error) => {
            let required = std::env::var("REQUIRE_GPU").is_ok_and(|value| value == "1");
            assert!(!required, "REQUIRE_GPU=1, but {error}");
            eprintln!("\n*** GPU TESTS SKIPPED for {backend:?}: {error} ***\n");
            None
        }
    }
}
