//! A network ready to be planned: fused, with its preprocessing and labels, and the proof that
//! fusing changed nothing.

use std::fmt;
use std::time::Duration;

use rand::SeedableRng;
use rand_distr::{Distribution, StandardNormal};
use rand_pcg::Pcg64;
use web_time::Instant;

use crate::checkpoint::{self, LoadOptions, LoadedModel};
use crate::cpu::settle_batch_norms;
use crate::error::{Error, Result};
use crate::graph::{Graph, Shape};
use crate::models::{self, Architecture, Form};
use crate::passes::{self, Report};
use crate::preprocess::{Preprocess, Resize};
use crate::proof::{self, Proof};
use crate::quant::{Quantization, Scheme};
use crate::tensor::Tensor;

/// Number format of weights and activations.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Precision {
    /// 32-bit floats throughout.
    #[default]
    F32,
    /// Activations and float weights stored as 16-bit floats, sums in 32 bits. Weights that the model holds
    /// in 8 bits stay so.
    F16,
    /// Weights of 8 bits, activations of 32-bit floats.
    W8,
    /// INT8 weights and activations, integer arithmetic.
    W8a8,
}

impl fmt::Display for Precision {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Precision::F32 => "f32",
            Precision::F16 => "f16",
            Precision::W8 => "w8",
            Precision::W8a8 => "w8a8",
        })
    }
}

/// What fusing did, and the proof that it changed nothing.
#[derive(Clone, Debug)]
pub struct Fusion {
    /// What was folded, and what was left and why.
    pub report: Report,
    /// The difference on a seeded input; `None` if the proof was not asked for.
    pub proof: Option<Proof>,
}

/// A network with its preprocessing and labels, fused unless it was made by [`Model::unfused`].
#[derive(Clone, Debug)]
pub struct Model {
    network: LoadedModel,
    fusion: Option<Fusion>,
    loading: Duration,
}

/// The built-in network; `assets/README.md` says where it comes from.
#[cfg(feature = "builtin")]
const BUILTIN: &[u8] = include_bytes!("../../assets/cifar10-qarepvgg.safetensors");

/// Largest relative difference between a network before and after fusing that is put down to
/// rounding. Beyond it the fuse is wrong, and loading fails.
const PROOF_BOUND: f64 = 1e-4;

impl Model {
    /// The network that is built into the program: a QARepVGG trained on CIFAR-10.
    ///
    /// # Errors
    /// None, unless the program was built from a damaged file.
    #[cfg(feature = "builtin")]
    pub fn builtin() -> Result<Model> {
        Model::from_bytes(BUILTIN, "the built-in model", None, true)
    }

    /// Reads a checkpoint, or a model file of this crate's own, and fuses it if it is in training
    /// form. `origin` names it in messages. `options` name the architecture where keys and shapes
    /// cannot tell it (`Some("repvgg-a0")`, or `None`; see [`LoadOptions`]). With `prove`, the fuse
    /// is proved on a seeded input.
    ///
    /// # Errors
    /// [`Error::Checkpoint`] for damaged files, [`Error::Weights`] for tensors that fit no
    /// architecture, [`Error::Inexact`] if the proof fails.
    pub fn from_bytes(bytes: &[u8], origin: &str, options: impl Into<LoadOptions>, prove: bool) -> Result<Model> {
        let start = Instant::now();
        Model::fuse(checkpoint::load(bytes, origin, options)?, prove, start)
    }

    /// Reads a model file of this crate's own that holds a fused network, as [`Model::to_bytes`] and `foveate fuse` write
    /// them; for programs that leave out what reads and fuses checkpoints. `origin` names it in messages.
    ///
    /// # Errors
    /// [`Error::Checkpoint`] for damaged files, and for all that have to be fused.
    pub fn from_model_file(bytes: &[u8], origin: &str) -> Result<Model> {
        let start = Instant::now();
        let loaded = checkpoint::model_file::read(bytes, origin)?;
        if loaded.form != Form::Fused {
            let reason = "holds a network in training form, which has to be fused first".to_owned();
            return Err(Error::Checkpoint { origin: origin.to_owned(), reason });
        }
        Model::quantized(loaded, start.elapsed())
    }

    /// Reads a file as [`Model::from_bytes`] does.
    ///
    /// # Errors
    /// Also [`Error::Io`] if the file cannot be read.
    #[cfg(not(target_arch = "wasm32"))]
    pub fn open(path: impl AsRef<std::path::Path>, options: impl Into<LoadOptions>, prove: bool) -> Result<Model> {
        let path = path.as_ref();
        let bytes = crate::files::open("cannot read model", path, checkpoint::MAX_BYTES)?;
        Model::from_bytes(&bytes, &path.display().to_string(), options, prove)
    }

    /// A named network in training form with seeded random weights, fused. Its running statistics
    /// come from a forward pass, so activations stay of order one through any depth.
    ///
    /// # Errors
    /// [`Error::UnknownModel`].
    pub fn random(name: &str, seed: u64, prove: bool) -> Result<Model> {
        let start = Instant::now();
        Model::fuse(Model::random_checkpoint(name, seed)?, prove, start)
    }

    /// The training-form network that [`Model::random`] fuses, as if it had been loaded.
    ///
    /// # Errors
    /// [`Error::UnknownModel`].
    pub fn random_checkpoint(name: &str, seed: u64) -> Result<LoadedModel> {
        let Architecture { name, preprocess, labels, input, .. } = Architecture::named(name)?;
        let mut graph = models::random(&name, seed)?;
        let noise = seeded_input(2, input.channels, input.height, input.width, seed)?;
        settle_batch_norms(&mut graph, &noise)?;
        let source_sha256 = format!("random, seed {seed}");
        Ok(LoadedModel {
            graph,
            architecture: name,
            form: Form::Train,
            quantization: None,
            preprocess,
            labels,
            source_sha256,
            file: None,
            renamed: vec![],
            ignored: vec![],
            notes: vec![],
        })
    }

    /// Fuses what was loaded, as [`Model::from_bytes`] does. Together with [`Model::unfused`] on the
    /// same network (a clone shares the weights) this gives two models to compare.
    ///
    /// # Errors
    /// [`Error::Checkpoint`] if the network does not make one value per class of a picture,
    /// [`Error::Inexact`] if the proof fails.
    pub fn fused(loaded: LoadedModel, prove: bool) -> Result<Model> {
        Model::fuse(loaded, prove, Instant::now())
    }

    /// What was loaded, to be run as it is: a checkpoint in training form branch by branch, norms and
    /// all. Slower than fused, and what a fused network is compared with.
    ///
    /// # Errors
    /// [`Error::Checkpoint`] if the network does not make one value per class of a picture.
    pub fn unfused(loaded: LoadedModel) -> Result<Model> {
        check_ends(&loaded)?;
        Ok(Model { network: loaded, fusion: None, loading: Duration::ZERO })
    }

    fn fuse(loaded: LoadedModel, prove: bool, start: Instant) -> Result<Model> {
        if loaded.quantization.is_some() {
            // Fused before it was quantised, and its scales name the nodes that it has.
            return Model::quantized(loaded, start.elapsed());
        }
        // Fused checkpoints too: the official fuse leaves batch norms standing, and epilogues are
        // ours.
        let (graph, report) = passes::fuse(&loaded.graph)?;
        check_ends(&loaded)?;
        let loading = start.elapsed();
        let rewritten = !report.folded.is_empty();
        let proof = if rewritten && prove { Some(proved(&loaded.graph, &graph)?) } else { None };
        let network = LoadedModel { graph, form: Form::Fused, ..loaded };
        Ok(Model { network, fusion: rewritten.then_some(Fusion { report, proof }), loading })
    }

    /// A network whose graph and scales belong together.
    pub(crate) fn quantized(mut network: LoadedModel, loading: Duration) -> Result<Model> {
        check_ends(&network)?;
        if let Some(quantization) = &network.quantization {
            quantization.check(&network.graph)?;
            // For executors that store them as bytes.
            quantization.weights().try_for_each(|(id, scales)| network.graph.set_scales(id, scales))?;
        }
        Ok(Model { network, fusion: None, loading })
    }

    /// Gives the classes other names.
    ///
    /// # Errors
    /// If there are not as many names as classes.
    pub fn with_labels(mut self, labels: Vec<String>) -> Result<Model> {
        let classes = self.classes();
        if labels.len() != classes {
            let given = labels.len();
            return Err(Error::argument(format!(
                "{given} labels for a network of {classes} classes; one per line is wanted"
            )));
        }
        self.network.labels = Some(labels);
        Ok(self)
    }

    /// The same network for inputs of `height × width` pixels. It is fully convolutional up to its
    /// pooling, so any size that leaves something of the last stage will do; accuracy is best near
    /// the size it was trained with.
    ///
    /// Pictures are still resized by their shorter side and cropped in the centre, in the same
    /// proportion: where 224×224 were cropped out of 256, 320×480 are cropped out of a shorter side
    /// of 549. For another way, such as padding to the picture's aspect ratio, prepare tensors
    /// yourself ([`Session::run_tensor`](super::Session::run_tensor)).
    ///
    /// # Errors
    /// If the size is zero, above [`MAX_SIDE`](crate::preprocess::MAX_SIDE), or too small for the
    /// network.
    pub fn with_input_size(mut self, height: usize, width: usize) -> Result<Model> {
        let old = self.preprocess();
        let sides = [height, width].map(|side| u32::try_from(side).unwrap_or(u32::MAX));
        let [before, after] = [old.crop, sides].map(|crop| u64::from(crop[0].max(crop[1])));
        let shorter = (u64::from(old.resize.shorter) * after).div_ceil(before.max(1));
        let shorter = u32::try_from(shorter).unwrap_or(u32::MAX);
        let preprocess = Preprocess { crop: sides, resize: Resize { shorter, ..old.resize }, ..old.clone() };
        preprocess.validate()?;
        let channels = self.graph().input_shape().channels;
        self.network.graph = self.graph().with_input(Shape::new(channels, height, width))?;
        self.network.preprocess = preprocess;
        Ok(self)
    }

    /// Name of the network.
    pub fn name(&self) -> &str {
        &self.network.architecture
    }

    /// The graph; fused, but for [`Model::unfused`].
    pub fn graph(&self) -> &Graph {
        &self.network.graph
    }

    /// How a picture becomes its input.
    pub fn preprocess(&self) -> &Preprocess {
        &self.network.preprocess
    }

    /// Number of classes.
    pub fn classes(&self) -> usize {
        self.graph().node(self.graph().output()).shape.len()
    }

    /// Names of the classes, if known.
    pub fn labels(&self) -> Option<&[String]> {
        self.network.labels.as_deref()
    }

    /// A name for each class: the label, or `class N` without labels.
    pub(crate) fn class_names(&self) -> Vec<String> {
        let name = |class: usize| self.labels().and_then(|l| l.get(class).cloned());
        (0..self.classes()).map(|class| name(class).unwrap_or_else(|| format!("class {class}"))).collect()
    }

    /// All that is known about where it comes from, and its form; its graph is [`Model::graph`].
    pub fn details(&self) -> &LoadedModel {
        &self.network
    }

    /// What fusing did; `None` if it was not asked for, or there was nothing to do, as in this
    /// crate's own model files.
    /// Checkpoints fused by the official code still have norms and activations to be moved.
    pub fn fusion(&self) -> Option<&Fusion> {
        self.fusion.as_ref()
    }

    /// How long reading and fusing it took, the proof not included, and quantising it, if that was done in memory.
    pub fn loading(&self) -> Duration {
        self.loading
    }

    /// The number format that it is held in: that of its weights, and of its activations if they have
    /// scales.
    pub fn precision(&self) -> Precision {
        let quantised = || self.graph().params().iter().any(|(_, param)| param.scales.is_some());
        match self.quantization().map(Quantization::scheme) {
            Some(Scheme::W8a8) => Precision::W8a8,
            Some(Scheme::W8) => Precision::W8,
            None if quantised() => Precision::W8,
            None => Precision::F32,
        }
    }

    /// The model as a session of that precision runs it. [`Precision::W8`] rounds those weights of
    /// convolutions and linear layers to 8 bits that are not yet ([`passes::quantize_weights`]), and leaves
    /// activations in floats; [`Precision::F32`] takes weights of 8 bits as floats; [`Precision::F16`] is
    /// about how a device stores floats.
    ///
    /// # Errors
    /// [`Error::Argument`] for [`Precision::W8a8`] if activations have no scales.
    pub fn with_precision(mut self, precision: Precision) -> Result<Model> {
        if precision == self.precision() {
            return Ok(self);
        }
        if precision == Precision::W8a8 {
            let (name, held) = (self.name(), self.precision());
            return Err(Error::argument(format!(
                "{name} holds {held} weights and no ranges of activations, which w8a8 needs: give pictures to find \
                 them with (--calib DIR), make a file that has them with `foveate quantize`, or use --precision w8 or \
                 --precision f32"
            )));
        }
        self.network.quantization = None;
        match precision {
            Precision::F32 => passes::forget_scales(&mut self.network.graph)?,
            Precision::W8 => passes::quantize_weights(&mut self.network.graph).map(drop)?,
            Precision::F16 | Precision::W8a8 => {}
        }
        Ok(self)
    }

    /// The scales of its weights and values, if it is quantised: [`Model::graph`] then holds weights
    /// that lie on their grids.
    pub fn quantization(&self) -> Option<&Quantization> {
        self.network.quantization.as_ref()
    }

    /// The model as a file of this crate's own format.
    ///
    /// # Errors
    /// If the tensors cannot be written as safetensors.
    pub fn to_bytes(&self) -> Result<Vec<u8>> {
        checkpoint::model_file::save(&self.network)
    }
}

/// Pictures have to fit the input, and the output has to be a value per class.
fn check_ends(model: &LoadedModel) -> Result<()> {
    let (input, output) = (model.graph.input_shape(), model.graph.node(model.graph.output()).shape);
    let [height, width] = model.preprocess.crop.map(|side| side as usize);
    let fail = |reason: String| Error::Checkpoint { origin: model.architecture.clone(), reason };
    if input != Shape::new(3, height, width) {
        return Err(fail(format!(
            "its preprocessing makes 3×{height}×{width} of a picture, its network takes {input}"
        )));
    }
    if output.pixels() != 1 {
        return Err(fail(format!("its output is a map, {output}; one value per class is needed")));
    }
    Ok(())
}

/// The proof of a fuse: through the whole network, or, where rounding grows too much on the way to
/// tell anything, layer by layer.
fn proved(train: &Graph, fused: &Graph) -> Result<Proof> {
    let exact = |proof: &Proof| proof.max_rel <= PROOF_BOUND;
    let whole = proof::prove(train, fused, 0)?;
    if exact(&whole) {
        return Ok(whole);
    }
    let layers = proof::prove_layers(train, |graph| Ok(passes::fuse(graph)?.0), 0)?;
    if exact(&layers) {
        return Ok(layers);
    }
    let reason = format!("{layers}; the bound is {PROOF_BOUND:e}");
    Err(Error::Inexact { rewrite: "fusing this network", reason })
}

/// Seeded standard normal noise, `[n, c, h, w]`.
fn seeded_input(n: usize, c: usize, h: usize, w: usize, seed: u64) -> Result<Tensor> {
    let rng = Pcg64::seed_from_u64(seed);
    Tensor::new([n, c, h, w], StandardNormal.sample_iter(rng).take(n * c * h * w).collect())
}
