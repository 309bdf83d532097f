//! The module that computes on the CPU. Nothing in it waits: it has a worker to itself.

use std::sync::Arc;

use js_sys::Object;
use wasm_bindgen::prelude::*;
use web_time::Instant;

use super::answer::{self, About};
use super::options::Options;
use super::{Outcome, failed};
use crate::error::{Error, Result};
use crate::picture::Picture;
use crate::session::processor::Processor;
use crate::session::wishes::Kept;
use crate::session::{Answer, DeviceInfo, Model, Precision, Timing};

/// A network on the CPU, as JavaScript sees it.
#[wasm_bindgen]
pub struct Engine {
    model: Model,
    processor: Processor,
    kept: Kept,
    labels: Arc<[String]>,
    precision: Precision,
    note: Option<String>,
    timing: Timing,
}

#[wasm_bindgen]
impl Engine {
    /// Loads a model file. `options` are JSON.
    pub fn load(bytes: Vec<u8>, options: &str) -> Outcome<Engine> {
        Engine::made(bytes, options).map_err(failed)
    }

    /// What there is to know of model and device.
    pub fn info(&self) -> Object {
        let graph = self.model.graph();
        let device = DeviceInfo::cpu("as asked for");
        answer::info(&About {
            model: &self.model,
            device: &device,
            timing: self.timing,
            labels: &self.labels,
            precision: self.precision,
            note: self.note.as_deref(),
            kept: self.kept.selected.iter().map(|kept| kept.node.as_str()).collect(),
            weight_bytes: graph.weight_bytes(),
            steps: graph.nodes().len().saturating_sub(1),
            software: false,
            timestamp_period: None,
        })
    }

    /// Classifies a picture of which these are the pixels: red, green, blue, alpha, row by row.
    pub fn pixels(&self, width: u32, height: u32, rgba: Vec<u8>, top: usize, logits: bool) -> Outcome<Object> {
        let answer = self.answer(width, height, rgba).map_err(failed)?;
        Ok(answer::ranked(&answer.top(top), logits.then(|| answer.logits())))
    }

    /// The values that the session keeps, for one picture; see [`Engine::pixels`].
    pub fn features(&self, width: u32, height: u32, rgba: Vec<u8>) -> Outcome<Object> {
        let features = || {
            self.kept.check()?;
            let picture = Picture::from_rgba(width, height, rgba)?;
            self.kept.features(self.processor.run_all(&self.processor.prepare(&[&picture])?)?)
        };
        Ok(answer::features(&features().map_err(failed)?))
    }
}

impl Engine {
    fn made(bytes: Vec<u8>, options: &str) -> Result<Engine> {
        let options = Options::parse(options)?;
        let model = options.model(&bytes)?;
        // Its memory is for the packed weights.
        drop(bytes);
        let mut wishes = options.wishes();
        let model = wishes.shape(model)?;
        let asked = wishes.precision(&model);
        let (model, kept) = wishes.settle(model)?;
        let start = Instant::now();
        let (processor, note) = Processor::new(&model, asked, kept.nodes())?;
        let compile = start.elapsed().as_secs_f64() * 1e3;
        let timing = Timing { load: model.loading().as_secs_f64() * 1e3, compile };
        let (labels, precision) = (model.class_names().into(), model.precision());
        Ok(Engine { model, processor, kept, labels, precision, note, timing })
    }

    fn answer(&self, width: u32, height: u32, rgba: Vec<u8>) -> Result<Answer> {
        let picture = Picture::from_rgba(width, height, rgba)?;
        let (logits, _) = self.processor.run(&self.processor.prepare(&[&picture])?)?;
        let first = logits.data().chunks(self.model.classes().max(1)).next();
        let first = first.ok_or_else(|| Error::argument("the network made no output"))?;
        Answer::new(self.model.name(), first.to_vec(), self.labels.clone())
    }
}
