//! `foveate tune --precision auto`: which number format is fastest.

use std::time::Duration;

use foveate::gpu::GpuContext;
use foveate::session::precision::{self, Measured, Options, Timed};
use foveate::tune::{DeviceKey, Store};
use foveate::{Error, Model, Precision, Result, quant};
use serde::Serialize;

use super::super::table::{Align, Table};
use super::super::{Outcome as Done, progress, say, tell, tuning};
use super::Tune;

/// A network's line of JSON.
#[derive(Serialize)]
struct Line<'a> {
    schema_version: u32,
    model: &'a str,
    batch: usize,
    device: &'a DeviceKey,
    #[serde(flatten)]
    measured: &'a Measured,
}

/// Measures every model's formats and remembers the fastest.
pub fn run(args: &Tune, models: &[Model], context: &GpuContext, store: &mut Store) -> Done {
    let device = context.tuning_key();
    for (at, model) in models.iter().enumerate() {
        let calibrated = match args.random && model.precision() == Precision::F32 {
            true => {
                tell(format_args!("{}: random weights, calibrated on noise", model.name()));
                Some(progress::during("calibrating on noise", || quant::calibrated_on_noise(model))?)
            }
            false => None,
        };
        let model = calibrated.as_ref().unwrap_or(model);
        let options = Options {
            device: args.device.clone(),
            backend: args.backend.map(Into::into),
            batch: args.batch,
            budget: Duration::from_secs(args.budget),
            safe_shaders: args.safe_shaders,
            store: store.clone(),
        };
        let measured =
            progress::during("timing number formats", || pollster::block_on(precision::measure(model, &options)))?;
        store.merge(device.clone(), measured.choices.clone());
        show(args, model, &device, &measured)?;
        let path = tuning::save(context, &measured.choices, args.reset && at == 0)?;
        tell(format_args!("remembered in {}", path.display()));
    }
    Ok(())
}

fn show(args: &Tune, model: &Model, device: &DeviceKey, measured: &Measured) -> Result<()> {
    if args.json {
        let line = Line { schema_version: 1, model: model.name(), batch: args.batch, device, measured };
        say(serde_json::to_string(&line).map_err(Error::argument)?);
        return Ok(());
    }
    let mut table =
        Table::new([("format", Align::Left), ("ms", Align::Right), ("runs", Align::Right), ("", Align::Left)]);
    for Timed { precision, ms, runs, note } in &measured.formats {
        let ms = ms.map_or("not taken".to_owned(), |ms| format!("{ms:.2}"));
        table.row([precision.clone(), ms, runs.to_string(), note.clone()]);
    }
    say(format_args!("{}, batch {}, held as {}:", model.name(), args.batch, model.precision()));
    table.lines().iter().for_each(|line| say(format_args!("  {line}")));
    say(format_args!("  --precision auto takes {} (medians, run by run in turn)", measured.taken));
    Ok(())
}
