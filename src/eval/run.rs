//! Sessions over pictures on disk. Decoding and preprocessing go on ahead on all processors while
//! the device works; what waits is bounded, and results do not depend on the threads' timing.

use std::path::{Path, PathBuf};
use std::time::Instant;

use super::feed::{self, Feed};
use super::{Agreement, Paired, Speed, Tally};
use crate::dataset::Dataset;
use crate::error::{Error, Result};
use crate::picture::Picture;
use crate::preprocess::Preprocess;
use crate::session::Session;
use crate::tensor::Tensor;

/// A picture that could not be read.
#[derive(Debug)]
pub struct Unreadable {
    /// The file.
    pub path: PathBuf,
    /// Why.
    pub error: Error,
}

/// What happened to a picture, for progress bars and messages.
pub enum Progress<'a> {
    /// It was run.
    Done,
    /// It could not be read.
    Unreadable(&'a Unreadable),
}

/// What an evaluation found.
#[derive(Debug)]
pub struct Evaluation {
    /// Answers of the first network.
    pub first: Tally,
    /// Answers of the second, and the two compared.
    pub second: Option<(Tally, Paired, Agreement)>,
    /// Pictures that were left out because they could not be read.
    pub unreadable: Vec<Unreadable>,
    /// What took how long.
    pub speed: Speed,
}

/// Runs one session, or two contenders, over labelled pictures and counts.
///
/// Pictures are decoded and preprocessed on the CPU, so that no more than a few batches of network
/// inputs (and, for each processor, one decoded picture) are in memory. A picture that cannot be
/// read is left out and named in the result.
///
/// # Errors
/// [`Error::Argument`] if the two have different numbers of classes; [`Error::Dataset`] if no picture
/// could be read; [`Error::NotFinite`]; what [`Session::run_tensor`] reports.
pub fn evaluate(
    first: &mut Session,
    second: Option<&mut Session>,
    dataset: &Dataset,
    progress: &mut dyn FnMut(Progress<'_>),
) -> Result<Evaluation> {
    let classes = first.model().classes();
    if let Some(second) = &second {
        check_classes(first, second)?;
    }
    let mut tally = Tally::new(classes);
    let mut compared = second.is_some().then(|| (Tally::new(classes), Paired::default(), Agreement::default()));
    let samples = dataset.samples();
    let paths: Vec<&Path> = samples.iter().map(|sample| sample.path.as_path()).collect();
    let mut sessions: Vec<&mut Session> = vec![first];
    sessions.extend(second);
    let visit = &mut |index: usize, logits: &[&[f32]]| {
        let truth = samples.get(index).map_or(usize::MAX, |sample| sample.class);
        if let (Some((tally, paired, agreement)), [first, second]) = (&mut compared, logits) {
            tally.add(truth, second)?;
            paired.add(truth, first, second);
            agreement.add(first, second);
        }
        logits.first().map_or(Ok(()), |logits| tally.add(truth, logits))
    };
    let (speed, unreadable) = over(&mut sessions, &paths, visit, progress)?;
    Ok(Evaluation { first: tally, second: compared, unreadable, speed })
}

/// Runs two sessions over pictures of which nothing need be known, and compares their outputs.
/// Pictures that cannot be read are left out and returned.
///
/// # Errors
/// As [`evaluate`].
pub fn agreement(
    first: &mut Session,
    second: &mut Session,
    pictures: &[PathBuf],
    progress: &mut dyn FnMut(Progress<'_>),
) -> Result<(Agreement, Vec<Unreadable>)> {
    check_classes(first, second)?;
    let mut agreement = Agreement::default();
    let paths: Vec<&Path> = pictures.iter().map(PathBuf::as_path).collect();
    let visit = &mut |_: usize, logits: &[&[f32]]| {
        if let [first, second] = logits {
            agreement.add(first, second);
        }
        Ok(())
    };
    let (_, unreadable) = over(&mut [first, second], &paths, visit, progress)?;
    Ok((agreement, unreadable))
}

fn check_classes(first: &Session, second: &Session) -> Result<()> {
    let [a, b] = [first, second].map(|session| session.model());
    if a.classes() == b.classes() {
        return Ok(());
    }
    let reason = format!(
        "{} has {} classes and {} has {}; only networks of the same classes can be compared",
        a.name(),
        a.classes(),
        b.name(),
        b.classes()
    );
    Err(Error::argument(reason))
}

/// Called with a picture's index and each session's logits for it.
type Visit<'a> = dyn FnMut(usize, &[&[f32]]) -> Result<()> + 'a;

fn over(
    sessions: &mut [&mut Session],
    paths: &[&Path],
    visit: &mut Visit<'_>,
    progress: &mut dyn FnMut(Progress<'_>),
) -> Result<(Speed, Vec<Unreadable>)> {
    let inputs = Inputs::of(sessions);
    let batch = sessions.iter().map(|session| session.batch()).min().unwrap_or(1);
    warm_up(sessions)?;
    let threads = crate::cpu::threads().min(paths.len().max(1));
    // One batch for the device to go on with, and for each thread one to work on and one done.
    let window = batch + 2 * threads;
    let start = Instant::now();
    let work = |index: usize| inputs.prepare(paths.get(index).copied().unwrap_or(Path::new("")));
    let mut run = Run { sessions, inputs: &inputs, paths, batch, visit, progress, unreadable: Vec::new() };
    let (ran, busy) = feed::with(paths.len(), threads, window, work, |feed| run.consume(feed))?;
    let network = ran?;
    let unreadable = run.unreadable;
    let pictures = paths.len() - unreadable.len();
    if let Some(Unreadable { path, error }) = unreadable.first().filter(|_| pictures == 0) {
        let reason = format!("no picture can be read, {} tried; this one: {error}", paths.len());
        return Err(Error::Dataset { path: path.clone(), reason });
    }
    let (decoding, wall) = (busy.as_secs_f64(), start.elapsed().as_secs_f64());
    Ok((Speed { pictures, threads, decoding, network, wall }, unreadable))
}

/// Lets drivers that compile a kernel when it first runs do so before the clock runs.
fn warm_up(sessions: &mut [&mut Session]) -> Result<()> {
    for session in sessions {
        let shape = session.model().graph().input_shape();
        let input = Tensor::zeros([1, shape.channels, shape.height, shape.width]);
        pollster::block_on(session.run_tensor(&input))?;
    }
    Ok(())
}

/// The network inputs to be made of a picture: one for each way of preprocessing.
struct Inputs {
    ways: Vec<Preprocess>,
    /// For each session, which of the ways it wants.
    of_session: Vec<usize>,
}

impl Inputs {
    fn of(sessions: &[&mut Session]) -> Self {
        let mut ways: Vec<Preprocess> = Vec::new();
        let mut of_session = Vec::new();
        for wanted in sessions.iter().map(|session| session.model().preprocess()) {
            let known = ways.iter().position(|way| way == wanted);
            of_session.push(known.unwrap_or(ways.len()));
            if known.is_none() {
                ways.push(wanted.clone());
            }
        }
        Inputs { ways, of_session }
    }

    /// Reads a picture and prepares it in each way.
    fn prepare(&self, path: &Path) -> Result<Vec<Tensor>> {
        // Opening a pipe would wait for somebody to write into it.
        let about = std::fs::metadata(path).map_err(|e| Error::io("cannot read", path, e))?;
        if !about.is_file() {
            let what = if about.is_dir() { "this is a folder" } else { "this is no regular file" };
            let reason = format!("{what}; a picture is needed");
            return Err(Error::Image { origin: path.display().to_string(), reason });
        }
        let picture = Picture::open(path)?;
        self.ways.iter().map(|way| way.apply(&picture)).collect()
    }
}

struct Run<'a, 'b> {
    sessions: &'a mut [&'b mut Session],
    inputs: &'a Inputs,
    paths: &'a [&'a Path],
    batch: usize,
    visit: &'a mut Visit<'a>,
    progress: &'a mut dyn FnMut(Progress<'_>),
    unreadable: Vec<Unreadable>,
}

impl Run<'_, '_> {
    /// Runs all that the feed brings, in batches. Returns the seconds that each session ran.
    fn consume(&mut self, feed: &Feed<Vec<Tensor>>) -> Result<Vec<f64>> {
        let mut seconds = vec![0.0; self.sessions.len()];
        let (mut indices, mut waiting) = (Vec::new(), Vec::new());
        for (index, path) in self.paths.iter().enumerate() {
            match feed.next() {
                Some(Ok(tensors)) => {
                    indices.push(index);
                    waiting.push(tensors);
                }
                Some(Err(error)) => {
                    let unreadable = Unreadable { path: path.to_path_buf(), error };
                    (self.progress)(Progress::Unreadable(&unreadable));
                    self.unreadable.push(unreadable);
                }
                None => break,
            }
            if indices.len() == self.batch {
                self.flush(&mut indices, &mut waiting, &mut seconds)?;
            }
        }
        self.flush(&mut indices, &mut waiting, &mut seconds)?;
        Ok(seconds)
    }

    fn flush(&mut self, indices: &mut Vec<usize>, waiting: &mut Vec<Vec<Tensor>>, seconds: &mut [f64]) -> Result<()> {
        if indices.is_empty() {
            return Ok(());
        }
        let batches = (0..self.inputs.ways.len()).map(|way| stacked(waiting, way)).collect::<Result<Vec<_>>>()?;
        let mut outputs = Vec::new();
        for ((session, way), seconds) in self.sessions.iter_mut().zip(&self.inputs.of_session).zip(seconds) {
            let start = Instant::now();
            outputs.extend(batches.get(*way).map(|batch| pollster::block_on(session.run_tensor(batch))).transpose()?);
            *seconds += start.elapsed().as_secs_f64();
        }
        for (sample, index) in indices.drain(..).enumerate() {
            let mut rows = Vec::new();
            for (session, output) in self.sessions.iter().zip(&outputs) {
                rows.push(row(session, output, sample)?);
            }
            (self.visit)(index, &rows)?;
            (self.progress)(Progress::Done);
        }
        waiting.clear();
        Ok(())
    }
}

/// One batch of the inputs that were prepared in this way.
fn stacked(inputs: &[Vec<Tensor>], way: usize) -> Result<Tensor> {
    let inputs: Vec<&Tensor> = inputs.iter().filter_map(|tensors| tensors.get(way)).collect();
    let mut shape = inputs.first().map_or(&[][..], |tensor| tensor.shape()).to_vec();
    shape.iter_mut().take(1).for_each(|samples| *samples = inputs.len());
    Tensor::new(shape, inputs.iter().flat_map(|tensor| tensor.data()).copied().collect())
}

/// A sample's logits, which must be finite to mean anything.
fn row<'a>(session: &Session, output: &'a Tensor, sample: usize) -> Result<&'a [f32]> {
    let model = session.model();
    let row = output.data().chunks(model.classes().max(1)).nth(sample);
    let row = row.ok_or_else(|| Error::argument(format!("{} made too few outputs", model.name())))?;
    match row.iter().enumerate().find(|(_, value)| !value.is_finite()) {
        Some((class, &value)) => Err(Error::NotFinite { network: model.name().to_owned(), class, value }),
        None => Ok(row),
    }
}
