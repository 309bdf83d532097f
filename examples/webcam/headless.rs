//! The same without a window: feed and classifier, frame by frame.

use std::num::NonZeroU64;
use std::sync::Arc;
use std::sync::mpsc::{RecvTimeoutError, channel};
use std::time::{Duration, Instant};

use foveate::DeviceChoice;
use foveate::bench::Summary;
use foveate::wgpu;
use serde::Serialize;

use crate::args::Args;
use crate::classifier::{Classifier, Event, Place};
use crate::device;
use crate::feed::{Feed, Outlets, Said, Shot};
use crate::footprint::Footprint;
use crate::latency::Times;
use crate::newest::Newest;
use crate::source::Spec;

/// How long a frame may take before it is said that none come.
const PATIENCE: Duration = Duration::from_secs(60);

/// What `--json` prints.
#[derive(Serialize)]
struct Report {
    schema_version: u32,
    source: String,
    model: String,
    precision: String,
    device: String,
    /// Frames that were classified.
    frames: u64,
    /// Frames that came and were not, because a newer one was there.
    dropped: u64,
    /// Of the whole run, from the first frame.
    frames_per_second: f64,
    gpu_ms: Option<Summary>,
    wall_ms: Option<Summary>,
    end_to_end_ms: Option<Summary>,
    /// The pictures by name, each with the best class of its last turn.
    labels: Vec<Label>,
    /// The best class of the last frame.
    last: Option<String>,
    /// What the program held when a fifth of the frames were classified, and when all were.
    footprints: [Footprint; 2],
}

#[derive(Serialize)]
struct Label {
    picture: String,
    label: String,
    score: f32,
}

enum Message {
    Of(Event),
    Source(Said),
}

/// Classifies so many frames and prints the figures.
///
/// # Errors
/// A sentence: no source, no device, no model, or no frames.
pub fn run(args: &Args, frames: NonZeroU64) -> Result<(), String> {
    let (send, messages) = channel();
    let instance = wgpu::Instance::new(wgpu::InstanceDescriptor::new_without_display_handle_from_env());
    let place = match &args.device {
        DeviceChoice::Cpu => Place::Cpu,
        choice => match device::open(&instance, None, choice, args.backend) {
            Ok(opened) => Place::Shared(opened.context),
            Err(reason) if *choice == DeviceChoice::Auto && args.backend.is_none() => {
                eprintln!("{reason}: on the CPU instead");
                Place::Cpu
            }
            Err(reason) => return Err(reason),
        },
    };
    let gpu = match &place {
        Place::Shared(gpu) => Some(gpu.clone()),
        Place::Cpu => None,
    };
    let gpu_used = gpu.is_some();
    let shots = Arc::new(Newest::<Shot>::new());
    let to_classify = shots.clone();
    let say = send.clone();
    let classifier = Classifier::start(place, args.named(), args.precision, shots.clone(), move |event| {
        let _ = say.send(Message::Of(event));
    });
    // The clock starts when the network is ready.
    let ready = loop {
        match receive(&messages, Duration::from_secs(3600))? {
            Message::Of(Event::Ready(ready)) => break ready,
            Message::Of(Event::Failed(reason) | Event::Lost { reason, .. }) => return Err(reason),
            Message::Of(Event::Busy(what)) => eprintln!("{what}"),
            Message::Of(Event::Classified(_) | Event::Maps(..)) | Message::Source(_) => {}
        }
    };
    eprintln!("{} in {} on {}", ready.model, ready.precision, ready.device);
    ready.note.iter().for_each(|note| eprintln!("{note}"));

    // Pictures and scenes wait for the network, so that each frame is classified; a camera does not.
    let waits = !matches!(args.source, Spec::Camera(_));
    let of_many = matches!(&args.source, Spec::Path(path) if path.is_dir());
    let gate = Arc::new(Gate::default());
    let (opens, say) = (gate.clone(), send);
    let outlets = Outlets {
        shown: Arc::new(Newest::new()),
        classified: to_classify,
        wake: Box::new(move || {
            if waits {
                opens.wait()
            }
        }),
        say: Box::new(move |said| {
            let _ = say.send(Message::Source(said));
        }),
    };
    let feed = Feed::start(args.source.clone(), None, gpu, outlets);

    let on_gpu = gpu_used.then_some(&instance);
    let early = frames.get().div_ceil(5);
    let mut first = None;
    let (mut runs, mut labels, mut last, mut source) = (Vec::new(), Vec::<Label>::new(), None, args.source.to_string());
    let start = Instant::now();
    let at_end = loop {
        match receive(&messages, PATIENCE)? {
            Message::Source(Said::Opened(name)) => source = name,
            // One damaged picture of a folder is said and passed by.
            Message::Source(Said::Failed(reason)) if of_many && feed.delivered() > 0 => eprintln!("{reason}"),
            Message::Source(Said::Failed(reason)) => return Err(reason),
            Message::Of(Event::Classified(classified)) => {
                runs.push(classified.times);
                if let Some(best) = classified.top.first() {
                    last = Some(best.label.clone());
                    if let Some(picture) = classified.name {
                        labels.retain(|label| label.picture != picture);
                        labels.push(Label { picture, label: best.label.clone(), score: best.score });
                    }
                }
                let done = runs.len() as u64;
                if done == early {
                    first = Some(Footprint::after(done, on_gpu));
                }
                if done == frames.get() {
                    break Footprint::after(done, on_gpu);
                }
                gate.open();
            }
            Message::Of(Event::Failed(reason) | Event::Lost { reason, .. }) => return Err(reason),
            Message::Of(Event::Busy(_) | Event::Ready(_) | Event::Maps(..)) => {}
        }
    };
    let elapsed = start.elapsed().as_secs_f64();
    drop(feed);
    gate.open();
    drop(classifier);
    let of = |of: &dyn Fn(&Times) -> Option<f64>| Summary::of(&runs.iter().filter_map(of).collect::<Vec<_>>());
    labels.sort_by(|a, b| a.picture.cmp(&b.picture));
    let report = Report {
        schema_version: 2,
        source,
        model: ready.model,
        precision: ready.precision.to_string(),
        device: ready.device,
        frames: runs.len() as u64,
        dropped: shots.replaced(),
        frames_per_second: runs.len() as f64 / elapsed.max(1e-9),
        gpu_ms: of(&|times| times.gpu),
        wall_ms: of(&|times| Some(times.wall)),
        end_to_end_ms: of(&|times| Some(times.end_to_end)),
        labels,
        last,
        footprints: [first.unwrap_or_else(|| at_end.clone()), at_end],
    };
    if args.json {
        println!("{}", serde_json::to_string(&report).map_err(|e| e.to_string())?);
    } else {
        print(&report);
    }
    Ok(())
}

fn receive(messages: &std::sync::mpsc::Receiver<Message>, patience: Duration) -> Result<Message, String> {
    messages.recv_timeout(patience).map_err(|e| match e {
        RecvTimeoutError::Timeout => format!("no frame came for {} s", patience.as_secs()),
        RecvTimeoutError::Disconnected => "a thread ended unexpectedly".to_owned(),
    })
}

fn print(report: &Report) {
    println!("{}: {} frames classified, {} dropped", report.source, report.frames, report.dropped);
    println!("{} in {} on {}", report.model, report.precision, report.device);
    println!("{:.1} frames a second", report.frames_per_second);
    for (clock, summary) in [("GPU", report.gpu_ms), ("wall", report.wall_ms), ("end to end", report.end_to_end_ms)] {
        if let Some(s) = summary {
            println!("{clock:<10}  p50 {:8.2}  p90 {:8.2}  p99 {:8.2}  max {:8.2} ms", s.p50, s.p90, s.p99, s.max);
        }
    }
    report.labels.iter().for_each(|l| println!("{:<24} {:5.1} %  {}", l.picture, l.score * 100.0, l.label));
    if let (true, Some(last)) = (report.labels.is_empty(), &report.last) {
        println!("last frame: {last}");
    }
}

/// Lets one frame pass at a time.
#[derive(Default)]
struct Gate {
    passes: std::sync::Mutex<u64>,
    opened: std::sync::Condvar,
}

impl Gate {
    fn open(&self) {
        *self.passes.lock().unwrap_or_else(std::sync::PoisonError::into_inner) += 1;
        self.opened.notify_all();
    }

    fn wait(&self) {
        let passes = self.passes.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        let waited = self.opened.wait_timeout_while(passes, PATIENCE, |passes| *passes == 0);
        let (mut passes, _) = waited.unwrap_or_else(std::sync::PoisonError::into_inner);
        *passes = passes.saturating_sub(1);
    }
}
