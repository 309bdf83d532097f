//! What the window shows, and what can be asked of it.

use std::collections::VecDeque;
use std::time::{Duration, Instant};

use foveate::Precision;

use crate::classifier::{Classified, Event, Ready};
use crate::feed::Said;
use crate::latency::{Latency, per_second};
use crate::source::Spec;

/// How long a message stays.
const SHOWN_FOR: Duration = Duration::from_secs(8);

/// What the user asks for.
#[derive(Clone, Debug, PartialEq)]
pub enum Action {
    Help,
    Pause,
    Mirror,
    Screenshot,
    NextCamera,
    NextModel,
    NextPrecision,
    NextLayer,
    Precision(Precision),
    /// Draw that layer's maps, or none.
    Layer(Option<String>),
    Model(usize),
    Source(Spec),
    Quit,
}

/// Keys and what they do, in the help's order.
pub const KEYS: [(&str, &str, Action); 9] = [
    ("C", "next camera", Action::NextCamera),
    ("M", "next model", Action::NextModel),
    ("P", "next precision", Action::NextPrecision),
    ("F", "maps of the next layer, then none", Action::NextLayer),
    ("X", "mirror", Action::Mirror),
    ("Space", "pause", Action::Pause),
    ("S", "save a screenshot", Action::Screenshot),
    ("?", "this help", Action::Help),
    ("Q", "quit", Action::Quit),
];

/// What is known, for the panels.
#[derive(Default)]
pub struct View {
    pub source: String,
    /// Why no frames come.
    pub source_failed: Option<String>,
    pub cameras: Vec<(u32, String)>,
    /// Networks that can be chosen, and which it is.
    pub models: Vec<String>,
    pub model: usize,
    pub ready: Option<Box<Ready>>,
    pub busy: Option<String>,
    /// Messages with the time they came.
    pub messages: VecDeque<(Instant, String)>,
    pub classified: Option<Classified>,
    pub latency: Latency,
    /// When frames were shown.
    pub shown: VecDeque<Instant>,
    pub dropped: u64,
    /// The frame's texture and size.
    pub picture: Option<(egui::TextureId, [u32; 2])>,
    pub layer: Option<String>,
    pub maps: Option<egui::TextureHandle>,
    pub mirror: bool,
    pub paused: bool,
    pub help: bool,
    /// What draws the window.
    pub drawn_by: String,
}

impl View {
    pub fn say(&mut self, message: impl Into<String>) {
        self.messages.push_back((Instant::now(), message.into()));
        if self.messages.len() > 4 {
            self.messages.pop_front();
        }
    }

    /// Forgets old messages; whether there are any left.
    pub fn forget(&mut self) -> bool {
        self.messages.retain(|(came, _)| came.elapsed() < SHOWN_FOR);
        !self.messages.is_empty()
    }

    pub fn frame_shown(&mut self) {
        self.shown.push_back(Instant::now());
        if self.shown.len() > 600 {
            self.shown.pop_front();
        }
    }

    /// Frames shown per second.
    pub fn rate(&self) -> f64 {
        per_second(self.shown.iter().copied())
    }

    pub fn heard(&mut self, said: Said) {
        match said {
            Said::Opened(name) => (self.source, self.source_failed) = (name, None),
            Said::Failed(reason) => self.source_failed = Some(reason),
        }
    }

    /// Takes in what the classifier says, but for maps and losses, which need the window.
    pub fn learned(&mut self, event: Event) {
        match event {
            Event::Busy(what) => self.busy = Some(what),
            Event::Ready(ready) => {
                let before = self.ready.take().and_then(|before| before.note);
                if let Some(note) = ready.note.clone().filter(|note| before.as_ref() != Some(note)) {
                    self.say(note);
                }
                if self.layer != ready.layer {
                    (self.layer, self.maps) = (ready.layer.clone(), None);
                }
                (self.busy, self.ready) = (None, Some(ready));
                self.latency.clear();
            }
            Event::Failed(reason) => {
                self.busy = None;
                self.say(reason);
            }
            Event::Classified(classified) => {
                self.latency.add(classified.times);
                self.classified = Some(classified);
            }
            Event::Maps(..) | Event::Lost { .. } => {}
        }
    }

    /// The number format after the one that was asked for last.
    pub fn next_precision(&self) -> Option<Precision> {
        let ready = self.ready.as_ref()?;
        let after = ready.precisions.iter().skip_while(|precision| **precision != ready.wanted).nth(1);
        after.or(ready.precisions.first()).copied()
    }

    /// The layer after the one whose maps are drawn; none after the last.
    pub fn next_layer(&self) -> Option<String> {
        let layers = &self.ready.as_ref()?.layers;
        match &self.layer {
            None => layers.first().cloned(),
            Some(now) => layers.iter().skip_while(|name| *name != now).nth(1).cloned(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::models::Named;

    fn ready(layers: &[&str], layer: Option<&str>) -> Ready {
        Ready {
            named: Named::Builtin,
            model: String::new(),
            precision: Precision::F32,
            wanted: Precision::F32,
            precisions: vec![Precision::F32, Precision::F16, Precision::W8],
            note: Some("in f32 instead".into()),
            device: String::new(),
            layers: layers.iter().map(ToString::to_string).collect(),
            layer: layer.map(str::to_owned),
            took: 0.0,
        }
    }

    #[test]
    fn what_runs_decides_which_layer_is_shown_and_its_note_is_said_once() {
        let mut view = View { layer: Some("stage9".into()), busy: Some("loading".into()), ..View::default() };
        view.learned(Event::Ready(Box::new(ready(&["stage1"], Some("stage1")))));
        assert_eq!((view.layer.as_deref(), view.busy.as_ref(), view.messages.len()), (Some("stage1"), None, 1));
        view.learned(Event::Ready(Box::new(ready(&["stage1"], None))));
        assert_eq!((view.layer.as_ref(), view.messages.len()), (None, 1));
        view.learned(Event::Failed("no such model".into()));
        assert!(view.ready.is_some() && view.messages.back().unwrap().1 == "no such model");
    }

    #[test]
    fn layers_go_round_and_through_none() {
        let mut view = View { ready: Some(Box::new(ready(&["stage1", "stage2"], None))), ..View::default() };
        let mut seen = Vec::new();
        for _ in 0..4 {
            view.layer = view.next_layer();
            seen.push(view.layer.clone());
        }
        let some = |name: &str| Some(name.to_owned());
        assert_eq!(seen, [some("stage1"), some("stage2"), None, some("stage1")]);
    }

    #[test]
    fn precisions_go_round() {
        let mut view = View { ready: Some(Box::new(ready(&[], None))), ..View::default() };
        assert_eq!(view.next_precision(), Some(Precision::F16));
        // A device that computes in f32 instead does not hold up the round.
        view.ready.as_mut().unwrap().wanted = Precision::F16;
        assert_eq!(view.next_precision(), Some(Precision::W8));
        view.ready.as_mut().unwrap().wanted = Precision::W8;
        assert_eq!(view.next_precision(), Some(Precision::F32));
        assert_eq!(View::default().next_precision(), None);
    }

    #[test]
    fn a_source_that_works_again_takes_its_message_back() {
        let mut view = View::default();
        view.heard(Said::Failed("unplugged".into()));
        assert!(view.source_failed.is_some());
        view.heard(Said::Opened("camera".into()));
        assert!(view.source_failed.is_none());
    }
}
