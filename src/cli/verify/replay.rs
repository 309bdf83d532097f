//! `--repro`: a layer from a file.

use std::path::Path;
use std::time::Duration;

use foveate::Error;
use foveate::gpu::GpuContext;
use foveate::verify::{ReplayReport, Replayed, Repro};

use super::super::{Failure, Outcome, say, tell};
use super::{Verify, adapters, show};

pub fn run(args: &Verify, file: &Path) -> Outcome {
    let repro = Repro::open(file)?;
    tell(format_args!("{}: {}", file.display(), repro.origin()));
    tell(format_args!("there: {}", repro.fault()));
    let adapters = adapters(args)?;
    watchdog(args.time_limit, file);
    let replay = |choice: &foveate::gpu::AdapterChoice| {
        let work = async {
            let context = GpuContext::request(choice).await?;
            match args.unchecked {
                false => repro.replay(&context).await,
                // SAFETY: the user says that the file is to be trusted.
                true => unsafe { repro.replay_unchecked(&context) }.await,
            }
        };
        let (replay, error) = match pollster::block_on(work) {
            Ok(replay) => (Some(replay), None),
            Err(error) => (None, Some(error.to_string())),
        };
        Replayed { adapter: choice.summary.clone(), replay, error }
    };
    let report = ReplayReport::new(&repro, !args.unchecked, adapters.iter().map(replay).collect());
    if args.json {
        say(serde_json::to_string(&report).map_err(Error::argument)?);
    } else {
        show::replayed(&report.devices).iter().for_each(say);
    }
    if report.agrees { Ok(()) } else { Err(Failure::Said) }
}

/// Ends the program if the file's shaders do not end: no device can be told to stop one.
fn watchdog(seconds: u64, file: &Path) {
    let file = file.display().to_string();
    std::thread::spawn(move || {
        std::thread::sleep(Duration::from_secs(seconds));
        tell(format_args!("error: {file}: its shaders were not done after {seconds} s (--time-limit)"));
        std::process::exit(1);
    });
}
