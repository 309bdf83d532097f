//! From the device arguments to a session.

use foveate::gpu::PipelineCache;
use foveate::{DriverTests, Model, OnRebuild, Result, Session, SessionBuilder};

use super::args::{DeviceArgs, PrecisionArg};
use super::{progress, tell, tuning, weights};

/// Puts the model on the device that the arguments name, `batch` pictures to a run, and tells which
/// device that is on stderr.
pub fn open(model: Model, device: &DeviceArgs, precision: Option<PrecisionArg>, batch: usize) -> Result<Session> {
    start(builder(model, device, precision, batch)?)
}

/// What the arguments say, for commands that want more of the session. With `--tune` the network is tuned
/// here.
///
/// # Errors
/// Those of tuning.
pub fn builder(
    model: Model,
    device: &DeviceArgs,
    precision: Option<PrecisionArg>,
    batch: usize,
) -> Result<SessionBuilder> {
    let store = match device {
        DeviceArgs { untuned: true, .. } => None,
        DeviceArgs { tune: true, .. } => Some(tuning::before(&model, device, precision, batch)?),
        _ => Some(tuning::load()),
    };
    let precision = match precision {
        Some(PrecisionArg::Auto) => Some(tuning::precision(&model, device, batch, store.as_ref())?),
        named => named.and_then(PrecisionArg::named),
    };
    let mut builder =
        Session::builder().model(model).device(device.device.clone()).safe_shaders(device.safe_shaders).batch(batch);
    // Nowhere to keep them is no reason not to run.
    if let Ok(folder) = weights::cache_folder() {
        builder = builder.pipeline_cache(PipelineCache::Folder(folder.join("pipelines")));
    }
    let file = weights::cache_folder().ok().map(|folder| folder.join("drivers.json"));
    builder = builder.driver_tests(DriverTests { when: device.test_driver.into(), file });
    builder = builder.on_rebuild(OnRebuild::new(|rebuilt| {
        let (reason, device) = (&rebuilt.reason, &rebuilt.device);
        tell(format_args!("warning: the device was lost ({reason}); the run is repeated on {device}"));
    }));
    if let Some(budget) = device.memory_budget {
        builder = builder.memory_budget(budget);
    }
    if let Some(backend) = device.backend {
        builder = builder.backend(backend.into());
    }
    if let Some(precision) = precision {
        builder = builder.precision(precision);
    }
    Ok(match store {
        Some(store) => builder.tuned(store),
        None => builder.untuned(),
    })
}

/// Opens the device and tells on stderr which one it is.
pub fn start(builder: SessionBuilder) -> Result<Session> {
    let session = progress::during("opening the device", || pollster::block_on(builder.load()))?;
    session.device().faults.iter().for_each(|fault| tell(format_args!("warning: {fault}")));
    tell(format_args!("device: {}", session.device()));
    if let Some(note) = session.precision_note() {
        tell(format_args!("precision: {}; {note}", session.precision()));
    }
    Ok(session)
}
