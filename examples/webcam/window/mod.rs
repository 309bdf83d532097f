//! The window: events in, frames out. It never waits for the network.

mod choices;
mod figures;
mod painter;
mod panels;
mod picture;
mod screenshot;
mod theme;
mod view;

use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, Instant};

use foveate::{DeviceChoice, Picture};
use winit::application::ApplicationHandler;
use winit::event::{ElementState, KeyEvent, WindowEvent};
use winit::event_loop::{ActiveEventLoop, ControlFlow, EventLoop, EventLoopProxy};
use winit::keyboard::{Key, NamedKey};
use winit::window::{Window, WindowId};

use crate::args::Args;
use crate::classifier::{Classifier, Event, Order, Place};
use crate::feed::{Feed, Outlets, Said, Shot};
use crate::models::Named;
use crate::newest::Newest;
use crate::source::{self, Spec};
use painter::{Painted, Painter, Scene};
use screenshot::Capture;
use view::{Action, KEYS, View};

/// A second loss within this is the end.
const AGAIN: Duration = Duration::from_secs(5);

/// What wakes the window.
enum Wake {
    /// A new frame.
    Shot,
    Source(Said),
    Classifier(Event),
    /// What became of a screenshot.
    Screenshot(Result<PathBuf, String>),
}

/// Opens the window and runs until it is closed.
///
/// # Errors
/// A sentence, if there is no display or nothing that can draw on it.
pub fn run(args: Args) -> Result<(), String> {
    let no_display = |e: winit::error::EventLoopError| {
        format!("cannot open a window: {e}; without a display, use --frames N, or Xvfb")
    };
    let events = EventLoop::<Wake>::with_user_event().build().map_err(no_display)?;
    events.set_control_flow(ControlFlow::Wait);
    let mut app = App::new(args, events.create_proxy());
    events.run_app(&mut app).map_err(no_display)?;
    app.failed.map_or(Ok(()), Err)
}

struct App {
    args: Args,
    proxy: EventLoopProxy<Wake>,
    egui: egui::Context,
    view: View,
    models: Vec<Named>,
    spec: Spec,
    live: Option<Live>,
    /// When the device was lost last.
    lost: Option<Instant>,
    screenshot: bool,
    failed: Option<String>,
    started: Instant,
}

/// What there is while there is a window.
struct Live {
    window: Arc<Window>,
    input: egui_winit::State,
    painter: Painter,
    shown: Arc<Newest<Shot>>,
    shots: Arc<Newest<Shot>>,
    /// The frame that is drawn.
    current: Option<Shot>,
    feed: Feed,
    classifier: Classifier,
}

impl App {
    fn new(args: Args, proxy: EventLoopProxy<Wake>) -> App {
        let named = args.named();
        let mut models = vec![named.clone()];
        if named != Named::Builtin {
            models.push(Named::Builtin);
        }
        let view = View {
            mirror: !args.no_mirror && matches!(args.source, Spec::Camera(_)),
            cameras: source::cameras().unwrap_or_default(),
            source: args.source.to_string(),
            ..View::default()
        };
        let mut app = App {
            spec: args.source.clone(),
            args,
            proxy,
            egui: egui::Context::default(),
            view,
            models,
            live: None,
            lost: None,
            screenshot: false,
            failed: None,
            started: Instant::now(),
        };
        theme::apply(&app.egui);
        app.name_models();
        app
    }

    fn name_models(&mut self) {
        self.view.models = self.models.iter().map(ToString::to_string).collect();
    }

    /// Opens window and device, and starts both threads.
    fn open(&mut self, events: &ActiveEventLoop) -> Result<(), String> {
        let attributes = Window::default_attributes()
            .with_title("foveate")
            .with_inner_size(winit::dpi::LogicalSize::new(1100.0, 640.0))
            .with_min_inner_size(winit::dpi::LogicalSize::new(160.0, 120.0));
        let window = Arc::new(events.create_window(attributes).map_err(|e| format!("cannot open a window: {e}"))?);
        let painter = self.painter(events, &window)?;
        let side = painter.device().limits().max_texture_dimension_2d as usize;
        let input = egui_winit::State::new(
            self.egui.clone(),
            egui::ViewportId::ROOT,
            &window,
            Some(window.scale_factor() as f32),
            None,
            Some(side),
        );
        let (shown, shots) = (Arc::new(Newest::new()), Arc::new(Newest::new()));
        let feed = self.feed(&painter, &shown, &shots);
        let proxy = self.proxy.clone();
        let named = self.models[self.view.model].clone();
        let say = move |event| {
            let _ = proxy.send_event(Wake::Classifier(event));
        };
        let classifier = Classifier::start(self.place(&painter), named, self.args.precision, shots.clone(), say);
        self.live = Some(Live { window, input, painter, shown, shots, current: None, feed, classifier });
        Ok(())
    }

    fn painter(&mut self, events: &ActiveEventLoop, window: &Arc<Window>) -> Result<Painter, String> {
        let display = events.owned_display_handle();
        let painter = Painter::new(window.clone(), display, &self.args.device, self.args.backend)?;
        self.view.drawn_by = crate::device::line(painter.context().summary());
        Ok(painter)
    }

    fn place(&self, painter: &Painter) -> Place {
        match self.args.device {
            DeviceChoice::Cpu => Place::Cpu,
            _ => Place::Shared(painter.context().clone()),
        }
    }

    fn feed(&self, painter: &Painter, shown: &Arc<Newest<Shot>>, shots: &Arc<Newest<Shot>>) -> Feed {
        let (frames, messages) = (self.proxy.clone(), self.proxy.clone());
        let outlets = Outlets {
            shown: shown.clone(),
            classified: shots.clone(),
            wake: Box::new(move || {
                let _ = frames.send_event(Wake::Shot);
            }),
            say: Box::new(move |said| {
                let _ = messages.send_event(Wake::Source(said));
            }),
        };
        let gpu = Some(painter.context().clone());
        let feed = Feed::start(self.spec.clone(), Some(self.args.rate), gpu, outlets);
        feed.pause(self.view.paused);
        feed
    }

    /// Takes another source.
    fn watch(&mut self, spec: Spec) {
        self.view.mirror = !self.args.no_mirror && matches!(spec, Spec::Camera(_));
        self.view.source_failed = None;
        self.view.source = spec.to_string();
        self.spec = spec;
        if let Some(live) = self.live.take() {
            let feed = self.feed(&live.painter, &live.shown, &live.shots);
            self.live = Some(Live { feed, ..live });
        }
    }

    /// Makes window and network go on with a new device.
    fn recover(&mut self, events: &ActiveEventLoop, reason: &str) {
        let Some(mut live) = self.live.take() else { return };
        let again = self.lost.replace(Instant::now()).is_some_and(|before| before.elapsed() < AGAIN);
        if again {
            self.end(events, format!("the GPU was lost twice within {} s: {reason}", AGAIN.as_secs()));
            return;
        }
        self.view.say(format!("the GPU was lost ({reason}); going on with a new device"));
        // Textures of the lost device go with it.
        (self.view.picture, live.current) = (None, None);
        live.shown.take();
        live.shots.take();
        match self.painter(events, &live.window) {
            Ok(painter) => {
                live.painter = painter;
                self.reload_fonts(&mut live);
                live.feed = self.feed(&live.painter, &live.shown, &live.shots);
                live.classifier.order(Order::Move(self.place(&live.painter)));
                live.window.request_redraw();
                self.live = Some(live);
            }
            Err(reason) => self.end(events, format!("the GPU was lost, and no other can be had: {reason}")),
        }
    }

    /// Makes egui send its textures again: a new context, to which the new renderer is new.
    fn reload_fonts(&mut self, live: &mut Live) {
        self.egui = egui::Context::default();
        theme::apply(&self.egui);
        self.view.maps = None;
        let side = live.painter.device().limits().max_texture_dimension_2d as usize;
        let scale = Some(live.window.scale_factor() as f32);
        live.input =
            egui_winit::State::new(self.egui.clone(), egui::ViewportId::ROOT, &live.window, scale, None, Some(side));
    }

    fn end(&mut self, events: &ActiveEventLoop, reason: String) {
        self.failed = Some(reason);
        events.exit();
    }

    fn act(&mut self, events: &ActiveEventLoop, action: Action) {
        match action {
            Action::Help => self.view.help = !self.view.help,
            Action::Mirror => self.view.mirror = !self.view.mirror,
            Action::Screenshot => self.screenshot = true,
            Action::Quit => events.exit(),
            Action::Pause => {
                self.view.paused = !self.view.paused;
                self.live.iter().for_each(|live| live.feed.pause(self.view.paused));
            }
            Action::NextCamera => match source::cameras() {
                Ok(cameras) if !cameras.is_empty() => {
                    let now = if let Spec::Camera(number) = self.spec { Some(number) } else { None };
                    let after = cameras.iter().map(|(number, _)| *number).find(|number| Some(*number) > now);
                    let next = after.unwrap_or(cameras[0].0);
                    self.view.cameras = cameras;
                    self.watch(Spec::Camera(next));
                }
                Ok(_) => self.view.say("no camera was found"),
                Err(reason) => self.view.say(reason),
            },
            Action::NextModel if self.models.len() == 1 => {
                self.view.say("there is no other model: drop a model file on the window, or start with --model FILE");
            }
            Action::NextModel => self.choose((self.view.model + 1) % self.models.len()),
            Action::Model(at) => self.choose(at),
            Action::NextPrecision => {
                if let Some(next) = self.view.next_precision() {
                    self.order(Order::Precision(next));
                }
            }
            Action::Precision(precision) => self.order(Order::Precision(precision)),
            Action::NextLayer => {
                let next = self.view.next_layer();
                self.act(events, Action::Layer(next));
            }
            Action::Layer(layer) => {
                (self.view.layer, self.view.maps) = (layer.clone(), None);
                self.order(Order::Layer(layer));
            }
            Action::Source(spec) => self.watch(spec),
        }
        self.live.iter().for_each(|live| live.window.request_redraw());
    }

    fn order(&self, order: Order) {
        if let Some(live) = &self.live {
            live.classifier.order(order);
        }
    }

    fn choose(&mut self, at: usize) {
        let Some(named) = self.models.get(at).cloned() else { return };
        (self.view.model, self.view.layer, self.view.maps) = (at, None, None);
        self.order(Order::Model(named));
    }

    /// A picture or folder becomes the source, anything else is tried as a model.
    fn dropped(&mut self, path: PathBuf) {
        if source::is_source(&path) {
            self.watch(Spec::Path(path));
            return;
        }
        let named = Named::File { path, arch: None, labels: None };
        let at = self.models.iter().position(|known| *known == named).unwrap_or(self.models.len());
        if at == self.models.len() {
            self.models.push(named);
            self.name_models();
        }
        self.choose(at);
    }

    fn heard(&mut self, events: &ActiveEventLoop, event: Event) {
        match event {
            // The window may have noticed before, and replaced it.
            Event::Lost { gpu, reason } => {
                if self.live.as_ref().is_some_and(|live| Arc::ptr_eq(live.painter.context(), &gpu)) {
                    self.recover(events, &reason);
                }
            }
            Event::Maps(name, picture) if self.view.layer.as_ref() == Some(&name) => self.show_maps(&picture),
            Event::Maps(..) => {}
            event => {
                let settled = matches!(event, Event::Ready(_) | Event::Failed(_));
                self.view.learned(event);
                if settled {
                    self.settle();
                }
            }
        }
    }

    /// What was asked for is done or failed: the menus say what runs, and a picture that stands still is classified by it.
    fn settle(&mut self) {
        if let Some(ready) = &self.view.ready {
            self.view.model = self.models.iter().position(|named| *named == ready.named).unwrap_or(self.view.model);
        }
        if let (true, Some(live)) = (self.view.paused, &self.live) {
            live.current.iter().for_each(|shot| live.shots.put(shot.again()));
        }
    }

    fn show_maps(&mut self, picture: &Picture) {
        let size = [picture.width() as usize, picture.height() as usize];
        let image = egui::ColorImage::from_rgba_unmultiplied(size, picture.rgba());
        let options = egui::TextureOptions::NEAREST;
        match &mut self.view.maps {
            Some(maps) => maps.set(image, options),
            None => self.view.maps = Some(self.egui.load_texture("maps", image, options)),
        }
    }

    /// In a thread of its own.
    fn save(&self, capture: Capture) {
        let (folder, proxy) = (self.args.screenshots.clone(), self.proxy.clone());
        std::thread::spawn(move || {
            let _ = proxy.send_event(Wake::Screenshot(capture.save(&folder)));
        });
    }

    fn draw(&mut self, events: &ActiveEventLoop) {
        let Some(mut live) = self.live.take() else { return };
        if let Some(shot) = live.shown.take() {
            let gpu = live.painter.context();
            if let Some((_, view)) = shot.on_gpu.as_ref().and_then(|textured| textured.on(gpu)) {
                let id = live.painter.show(view, self.view.picture.map(|(id, _)| id));
                self.view.picture = Some((id, shot.frame.size()));
                self.view.frame_shown();
            }
            live.current = Some(shot);
        }
        self.view.dropped = live.shots.replaced();
        if self.view.forget() {
            self.egui.request_repaint_after(Duration::from_secs(1));
        }
        let input = live.input.take_egui_input(&live.window);
        let mut asked = Vec::new();
        let output = self.egui.run_ui(input, |ui| asked.extend(panels::show(ui, &self.view)));
        live.input.handle_platform_output(&live.window, output.platform_output);
        let triangles = self.egui.tessellate(output.shapes, output.pixels_per_point);
        let repaint = output.viewport_output.values().map(|output| output.repaint_delay).min();
        let pixels_per_point = output.pixels_per_point;
        let scene = Scene { textures: output.textures_delta, triangles: &triangles, pixels_per_point };
        let painted = live.painter.paint(scene);
        if std::mem::take(&mut self.screenshot) {
            self.save(live.painter.capture(&triangles, pixels_per_point));
        }
        match repaint {
            Some(Duration::ZERO) => live.window.request_redraw(),
            Some(delay) if delay < Duration::from_secs(3600) => {
                events.set_control_flow(ControlFlow::WaitUntil(Instant::now() + delay));
            }
            _ => events.set_control_flow(ControlFlow::Wait),
        }
        self.live = Some(live);
        asked.into_iter().for_each(|action| self.act(events, action));
        if let Painted::Lost(reason) = painted {
            self.recover(events, &reason);
        }
    }

    fn pressed(&mut self, events: &ActiveEventLoop, key: &KeyEvent) {
        let name = match &key.logical_key {
            Key::Named(NamedKey::Space) => "Space".to_owned(),
            Key::Named(NamedKey::Escape) if self.view.help => "?".to_owned(),
            Key::Named(NamedKey::F1) => "?".to_owned(),
            Key::Character(text) => text.to_uppercase(),
            _ => return,
        };
        let known = KEYS.iter().find(|(key, _, _)| *key == name);
        if let (Some((_, _, action)), ElementState::Pressed, false) = (known, key.state, key.repeat) {
            self.act(events, action.clone());
        }
    }
}

impl ApplicationHandler<Wake> for App {
    fn resumed(&mut self, events: &ActiveEventLoop) {
        if self.live.is_none()
            && let Err(reason) = self.open(events)
        {
            self.end(events, reason);
        }
    }

    fn new_events(&mut self, _: &ActiveEventLoop, cause: winit::event::StartCause) {
        if let winit::event::StartCause::ResumeTimeReached { .. } = cause {
            self.live.iter().for_each(|live| live.window.request_redraw());
        }
    }

    fn user_event(&mut self, events: &ActiveEventLoop, wake: Wake) {
        match wake {
            Wake::Shot => {}
            Wake::Source(said) => self.view.heard(said),
            Wake::Classifier(event) => self.heard(events, event),
            Wake::Screenshot(saved) => {
                self.view.say(saved.map_or_else(|reason| reason, |path| format!("saved {}", path.display())));
            }
        }
        if let (Some(after), Some(live)) = (self.args.lose_device_after, &self.live)
            && self.started.elapsed().as_secs_f64() > after
        {
            self.args.lose_device_after = None;
            live.painter.lose();
        }
        self.live.iter().for_each(|live| live.window.request_redraw());
    }

    fn window_event(&mut self, events: &ActiveEventLoop, _: WindowId, event: WindowEvent) {
        let Some(live) = &mut self.live else { return };
        let response = live.input.on_window_event(&live.window, &event);
        if response.repaint && !matches!(event, WindowEvent::RedrawRequested) {
            live.window.request_redraw();
        }
        match event {
            WindowEvent::CloseRequested => events.exit(),
            // By somebody else.
            WindowEvent::Destroyed => {
                self.live = None;
                events.exit();
            }
            WindowEvent::RedrawRequested => self.draw(events),
            WindowEvent::DroppedFile(path) => self.dropped(path),
            WindowEvent::KeyboardInput { event, .. } if !response.consumed => self.pressed(events, &event),
            WindowEvent::Resized(_) | WindowEvent::ScaleFactorChanged { .. } => live.window.request_redraw(),
            _ => {}
        }
    }
}
