//! The thread that takes frames from a source and puts them on the GPU.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use foveate::gpu::GpuContext;

use crate::frame::Frame;
use crate::newest::Newest;
use crate::source::{Source, Spec};
use crate::textures::{Textured, Textures};

/// Between two tries to open a source that failed.
const RETRY: Duration = Duration::from_secs(1);

/// A frame on its way to the window and the network.
#[derive(Clone)]
pub struct Shot {
    /// Counts from 1.
    pub number: u64,
    /// As it came; for sessions on the CPU and screenshots.
    pub frame: Arc<Frame>,
    /// On the GPU, where there is one.
    pub on_gpu: Option<Arc<Textured>>,
    /// The picture's file name, where it has one.
    pub name: Option<String>,
    /// When the frame was there, which end-to-end latency counts from.
    pub taken: Instant,
}

impl Shot {
    /// The same to be classified anew, as if it had come now.
    pub fn again(&self) -> Shot {
        Shot { taken: Instant::now(), ..self.clone() }
    }
}

/// What a feed says beside its frames.
#[derive(Clone, Debug, PartialEq)]
pub enum Said {
    /// The source is open: its name.
    Opened(String),
    /// What went wrong. It is tried again.
    Failed(String),
}

/// Where shots go.
pub struct Outlets {
    /// For the window.
    pub shown: Arc<Newest<Shot>>,
    /// For the network.
    pub classified: Arc<Newest<Shot>>,
    /// Called after each shot, from the feed's thread, which goes on when it returns.
    pub wake: Box<dyn Fn() + Send>,
    /// Called with each message, from the feed's thread.
    pub say: Box<dyn Fn(Said) + Send>,
}

/// A source at work; it ends when this is dropped, after the frame that it waits for.
pub struct Feed {
    stop: Arc<AtomicBool>,
    paused: Arc<AtomicBool>,
    delivered: Arc<AtomicU64>,
}

impl Feed {
    /// Starts a thread that opens the source and delivers its frames, and opens it again whenever it fails.
    pub fn start(spec: Spec, rate: Option<f64>, gpu: Option<Arc<GpuContext>>, outlets: Outlets) -> Feed {
        let feed = Feed { stop: Arc::default(), paused: Arc::default(), delivered: Arc::default() };
        let work = Work {
            stop: feed.stop.clone(),
            paused: feed.paused.clone(),
            delivered: feed.delivered.clone(),
            textures: gpu.map(Textures::new),
            outlets,
            last: None,
        };
        std::thread::spawn(move || work.run(&spec, rate));
        feed
    }

    /// Takes no frames for a while.
    pub fn pause(&self, paused: bool) {
        self.paused.store(paused, Ordering::Relaxed);
    }

    /// Frames so far.
    pub fn delivered(&self) -> u64 {
        self.delivered.load(Ordering::Relaxed)
    }
}

impl Drop for Feed {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
    }
}

struct Work {
    stop: Arc<AtomicBool>,
    paused: Arc<AtomicBool>,
    delivered: Arc<AtomicU64>,
    textures: Option<Textures>,
    outlets: Outlets,
    /// What was said last: the same failure is said once.
    last: Option<Said>,
}

impl Work {
    fn run(mut self, spec: &Spec, rate: Option<f64>) {
        while !self.stopped() {
            match spec.open(rate) {
                Ok(mut source) => {
                    self.say(Said::Opened(source.name()));
                    self.deliver(source.as_mut());
                }
                Err(reason) => self.say(Said::Failed(reason)),
            }
            self.sleep(RETRY);
        }
    }

    /// Until the source fails for good.
    fn deliver(&mut self, source: &mut dyn Source) {
        while !self.stopped() {
            // The first frame comes in any case: a pause does not leave the window empty.
            if self.paused.load(Ordering::Relaxed) && self.delivered.load(Ordering::Relaxed) > 0 {
                std::thread::sleep(Duration::from_millis(20));
                continue;
            }
            let delivered = source.next().and_then(|(frame, name)| {
                let on_gpu = self.textures.as_mut().map(|textures| textures.fill(&frame)).transpose()?;
                let number = self.delivered.fetch_add(1, Ordering::Relaxed) + 1;
                Ok(Shot { number, taken: frame.taken(), frame: Arc::new(frame), on_gpu, name })
            });
            if self.stopped() {
                return;
            }
            match delivered {
                Ok(shot) => {
                    if matches!(self.last, Some(Said::Failed(_))) {
                        self.say(Said::Opened(source.name()));
                    }
                    self.outlets.shown.put(shot.clone());
                    self.outlets.classified.put(shot);
                    (self.outlets.wake)();
                }
                Err(reason) => {
                    self.say(Said::Failed(reason));
                    if !source.goes_on() {
                        return;
                    }
                    self.sleep(RETRY / 4);
                }
            }
        }
    }

    /// A source that was replaced meanwhile has nothing more to say.
    fn say(&mut self, said: Said) {
        if self.last.as_ref() != Some(&said) && !self.stopped() {
            self.last = Some(said.clone());
            (self.outlets.say)(said);
        }
    }

    fn stopped(&self) -> bool {
        self.stop.load(Ordering::Relaxed)
    }

    /// In small steps, so that it ends soon.
    fn sleep(&self, how_long: Duration) {
        let until = Instant::now() + how_long;
        while !self.stopped() && Instant::now() < until {
            std::thread::sleep(Duration::from_millis(20));
        }
    }
}
