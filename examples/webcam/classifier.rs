//! The thread that runs the network: the newest frame, one at a time.

use std::sync::Arc;
use std::sync::mpsc::{Receiver, Sender, channel};
use std::time::Duration;

use foveate::features::{Style, draw_grid, stages};
use foveate::gpu::GpuContext;
use foveate::{DeviceChoice, Error, Model, Picture, PictureSource, Precision, Result, Session, Top};
use pollster::block_on;

use crate::feed::Shot;
use crate::latency::Times;
use crate::models::{Named, precisions};
use crate::newest::Newest;

/// Best classes that are asked for.
const LABELS: usize = 5;
/// How long an order may have to wait while no frames come.
const PATIENCE: Duration = Duration::from_millis(50);
/// Channels of a layer that are drawn.
const CHANNELS: usize = 36;

/// Where the network runs.
#[derive(Clone)]
pub enum Place {
    /// On the device that the window draws with.
    Shared(Arc<GpuContext>),
    /// On the CPU executor.
    Cpu,
}

/// What is asked of the classifier.
pub enum Order {
    Model(Named),
    Precision(Precision),
    /// Draw a layer's maps from now on, or none.
    Layer(Option<String>),
    /// Go on there; after a loss.
    Move(Place),
}

/// What the classifier says.
pub enum Event {
    /// Something takes a while.
    Busy(String),
    /// A network is ready.
    Ready(Box<Ready>),
    /// What was asked for failed; what ran before runs on.
    Failed(String),
    /// A frame was classified.
    Classified(Classified),
    /// A layer's maps.
    Maps(String, Picture),
    /// The device is gone; nothing runs until it is [moved](Order::Move).
    Lost { gpu: Arc<GpuContext>, reason: String },
}

/// A network that is ready.
pub struct Ready {
    pub named: Named,
    /// Its architecture, and where it comes from.
    pub model: String,
    pub precision: Precision,
    /// The one that was asked for, which the device may be unable to compute in.
    pub wanted: Precision,
    /// What became of the wish for another precision.
    pub note: Option<String>,
    /// Where it runs.
    pub device: String,
    /// Those that it can be run in.
    pub precisions: Vec<Precision>,
    /// The nodes whose maps can be drawn.
    pub layers: Vec<String>,
    /// The one whose maps are.
    pub layer: Option<String>,
    /// Milliseconds that loading and compiling took.
    pub took: f64,
}

/// What came of a frame.
pub struct Classified {
    /// The shot's number.
    pub number: u64,
    pub name: Option<String>,
    pub top: Vec<Top>,
    pub times: Times,
}

/// The classifier's end for those who give orders; it ends when this is dropped.
pub struct Classifier {
    orders: Sender<Order>,
}

impl Classifier {
    /// Starts a thread that loads the model and runs it on what comes into `shots`.
    pub fn start(
        place: Place,
        model: Named,
        precision: Option<Precision>,
        shots: Arc<Newest<Shot>>,
        say: impl Fn(Event) + Send + 'static,
    ) -> Classifier {
        let (orders, receive) = channel();
        std::thread::spawn(move || {
            let mut work =
                Work { place, precision, model: None, wanted: None, session: None, layer: None, lost: false, say };
            work.obey(Order::Model(model));
            work.run(&receive, &shots);
        });
        Classifier { orders }
    }

    pub fn order(&self, order: Order) {
        // A thread that ended has said why.
        let _ = self.orders.send(order);
    }
}

struct Work<S> {
    place: Place,
    /// What was asked for; what the model holds if nothing was.
    precision: Option<Precision>,
    model: Option<(Model, Named)>,
    /// The network that was being loaded when the device was lost.
    wanted: Option<Named>,
    session: Option<Session>,
    /// The layer that is drawn, with a session that keeps it.
    layer: Option<(String, Session)>,
    lost: bool,
    say: S,
}

impl<S: Fn(Event)> Work<S> {
    fn run(&mut self, orders: &Receiver<Order>, shots: &Newest<Shot>) {
        loop {
            loop {
                match orders.try_recv() {
                    Ok(order) => self.obey(order),
                    Err(std::sync::mpsc::TryRecvError::Empty) => break,
                    Err(std::sync::mpsc::TryRecvError::Disconnected) => return,
                }
            }
            if let Some(shot) = shots.wait(PATIENCE) {
                self.classify(shot);
            }
        }
    }

    fn obey(&mut self, order: Order) {
        let done = match order {
            Order::Model(named) => self.load(named),
            Order::Precision(precision) => self.convert(precision),
            Order::Layer(name) => self.watch(name),
            Order::Move(place) => self.move_to(place),
        };
        if let Err(error) = done {
            self.report(error);
        }
    }

    fn report(&mut self, error: Error) {
        match (error, &self.place) {
            (Error::DeviceLost { reason }, Place::Shared(gpu)) => {
                if !std::mem::replace(&mut self.lost, true) {
                    (self.say)(Event::Lost { gpu: gpu.clone(), reason });
                }
            }
            (error, _) => (self.say)(Event::Failed(error.to_string())),
        }
    }

    fn load(&mut self, named: Named) -> Result<()> {
        (self.say)(Event::Busy(format!("loading {named}")));
        self.wanted = Some(named.clone());
        let opened = named.load().and_then(|model| {
            // What was asked of the network before is not asked of one that cannot.
            if self.model.is_some() {
                self.precision = self.precision.filter(|precision| precisions(&model).contains(precision));
            }
            Ok((self.open(&model, self.precision, &[])?, model))
        });
        if !matches!(opened, Err(Error::DeviceLost { .. })) {
            self.wanted = None;
        }
        let (session, model) = opened?;
        (self.model, self.layer) = (Some((model, named)), None);
        self.ready(session);
        Ok(())
    }

    fn convert(&mut self, precision: Precision) -> Result<()> {
        let Some((model, _)) = &self.model else { return Ok(()) };
        (self.say)(Event::Busy(format!("converting to {precision}")));
        let session = self.open(model, Some(precision), &[])?;
        self.precision = Some(precision);
        self.take_up(session)
    }

    /// A new session of the same network, and the layer that was drawn.
    fn take_up(&mut self, session: Session) -> Result<()> {
        let layer = self.layer.take().map(|(name, _)| name);
        self.ready(session);
        if layer.is_some() { self.watch(layer) } else { Ok(()) }
    }

    fn watch(&mut self, name: Option<String>) -> Result<()> {
        self.layer = None;
        let Some((model, _)) = &self.model else { return Ok(()) };
        let opened = name.map(|name| {
            (self.say)(Event::Busy(format!("preparing the maps of {name}")));
            let session = self.open(model, self.precision, &[&name])?;
            Ok((name, session))
        });
        let (layer, done) = match opened.transpose() {
            Ok(layer) => (layer, Ok(())),
            Err(error) => (None, Err(error)),
        };
        self.layer = layer;
        self.describe();
        done
    }

    /// Weights come from the host's copy.
    fn move_to(&mut self, place: Place) -> Result<()> {
        (self.place, self.lost, self.session) = (place, false, None);
        if let Some(named) = self.wanted.take() {
            match self.load(named) {
                Ok(()) => return Ok(()),
                Err(error) => self.report(error),
            }
        }
        let Some((model, _)) = &self.model else { return Ok(()) };
        let session = self.open(model, self.precision, &[])?;
        self.take_up(session)
    }

    fn open(&self, model: &Model, precision: Option<Precision>, layers: &[&str]) -> Result<Session> {
        if let Some(wanted) = precision.filter(|precision| !precisions(model).contains(precision)) {
            return Err(Error::argument(format!(
                "{} is not quantised, so it cannot be run in {wanted}: `foveate quantize` makes a file of it that can",
                model.name()
            )));
        }
        let builder = Session::builder().model(model.clone()).features(layers.iter().copied());
        let builder = match &self.place {
            Place::Shared(gpu) => builder.wgpu(gpu.device().clone(), gpu.queue().clone()),
            Place::Cpu => builder.device(DeviceChoice::Cpu),
        };
        let builder = precision.into_iter().fold(builder, foveate::SessionBuilder::precision);
        let mut session = block_on(builder.load())?;
        block_on(session.stamp_runs(true))?;
        Ok(session)
    }

    /// Takes a session into use.
    fn ready(&mut self, session: Session) {
        self.session = Some(session);
        self.describe();
    }

    /// Says what runs now.
    fn describe(&self) {
        let (Some(session), Some((model, named))) = (&self.session, &self.model) else { return };
        let timing = session.timing();
        (self.say)(Event::Ready(Box::new(Ready {
            named: named.clone(),
            model: format!("{} ({named})", model.name()),
            precision: session.precision(),
            wanted: self.precision.unwrap_or(session.precision()),
            precisions: precisions(model),
            note: session.precision_note().map(str::to_owned),
            device: match &self.place {
                Place::Shared(..) => session.device().name.clone(),
                Place::Cpu => "CPU executor".to_owned(),
            },
            layers: stages(session.model().graph()),
            layer: self.layer.as_ref().map(|(name, _)| name.clone()),
            took: timing.load + timing.compile,
        })));
    }

    fn classify(&mut self, shot: Shot) {
        if self.lost {
            return;
        }
        let answered = self.answer(&shot);
        let drawn = self.layer.is_some().then(|| shot.clone());
        // Let go before it is said: who hears of it may fill its texture anew.
        drop(shot);
        let done = answered.and_then(|classified| {
            classified.into_iter().for_each(|classified| (self.say)(Event::Classified(classified)));
            drawn.map_or(Ok(()), |shot| self.draw(&shot))
        });
        if let Err(error) = done {
            self.report(error);
        }
    }

    /// None while there is no network, or the frame is on a device that was lost.
    fn answer(&mut self, shot: &Shot) -> Result<Option<Classified>> {
        let Some(session) = &mut self.session else { return Ok(None) };
        let picture = in_memory(shot, &self.place)?;
        let Some(source) = source(shot, picture.as_ref(), &self.place) else { return Ok(None) };
        let landed = block_on(session.submit(&[source], LABELS)?.wait())?;
        let gpu = block_on(session.gpu_time())?.map(milliseconds);
        let times = Times {
            gpu,
            wall: milliseconds(landed.submit_to_readback),
            end_to_end: milliseconds(shot.taken.elapsed()),
        };
        let top = landed.answers.into_iter().next().unwrap_or_default();
        Ok(Some(Classified { number: shot.number, name: shot.name.clone(), top, times }))
    }

    fn draw(&mut self, shot: &Shot) -> Result<()> {
        let Some((name, session)) = &mut self.layer else { return Ok(()) };
        let picture = in_memory(shot, &self.place)?;
        let Some(source) = source(shot, picture.as_ref(), &self.place) else { return Ok(()) };
        let features = block_on(session.features(source))?;
        if let Some(feature) = features.iter().next() {
            let style = Style { channels: CHANNELS, ..Style::default() };
            (self.say)(Event::Maps(name.clone(), draw_grid(feature.tensor(), 0, &style)?));
        }
        Ok(())
    }
}

/// For the CPU executor, which cannot read textures.
fn in_memory(shot: &Shot, place: &Place) -> Result<Option<Picture>> {
    match place {
        Place::Shared(..) => Ok(None),
        Place::Cpu => shot.frame.to_picture().map(Some),
    }
}

/// The picture, or the texture on that device.
fn source<'a>(shot: &'a Shot, picture: Option<&'a Picture>, place: &Place) -> Option<PictureSource<'a>> {
    match (picture, &shot.on_gpu, place) {
        (Some(picture), ..) => Some(PictureSource::Memory(picture)),
        (None, Some(textured), Place::Shared(gpu)) => {
            textured.on(gpu).map(|(texture, _)| PictureSource::Texture(texture))
        }
        _ => None,
    }
}

fn milliseconds(duration: Duration) -> f64 {
    duration.as_secs_f64() * 1e3
}
