//! A network ready to be planned: fused, with its preprocessing and labels, and the proof that
//! fusing changed nothing.

use std::fmt;
use std::sync::Arc;

use crate::checkpoint::{self, LoadedModel};
use crate::cpu::settle_batch_norms;
use crate::error::{Error, Result};
use crate::graph::Graph;
use crate::models::{self, Architecture, Form};
use crate::passes::{self, Report};
use crate::preprocess::Preprocess;
use crate::proof::{self, Proof};
use crate::tensor::Tensor;

/// Number format of weights and activations.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Precision {
    /// 32-bit floats throughout.
    #[default]
    F32,
    /// 16-bit floats, 32-bit sums.
    F16,
    /// INT8 weights, float activations.
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

/// A fused network with its preprocessing and labels.
#[derive(Clone, Debug)]
pub struct Model {
    graph: Arc<Graph>,
    preprocess: Preprocess,
    labels: Option<Vec<String>>,
    source_sha256: String,
    fusion: Option<Fusion>,
}

/// The built-in network; `assets/README.md` says where it comes from.
const BUILTIN: &[u8] = include_bytes!("../../assets/cifar10-qarepvgg.safetensors");

/// Largest relative difference between a network before and after fusing that is put down to
/// rounding. Beyond it the fuse is wrong, and loading fails.
const PROOF_BOUND: f64 = 1e-4;

impl Model {
    /// The network that is built into the program: a QARepVGG trained on CIFAR-10.
    ///
    /// # Errors
    /// None, unless the program was built from a damaged file.
    pub fn builtin() -> Result<Model> {
        Model::from_bytes(BUILTIN, "the built-in model", None, true)
    }

    /// Reads a checkpoint, or a model file of this crate's own, and fuses it if it is in training
    /// form. `origin` names it in messages. `arch` names the architecture where keys and shapes
    /// cannot tell it. With `prove`, the fuse is proved on a seeded input.
    ///
    /// # Errors
    /// [`Error::Checkpoint`] for damaged files, [`Error::Weights`] for tensors that fit no
    /// architecture, [`Error::Inexact`] if the proof fails.
    pub fn from_bytes(bytes: &[u8], origin: &str, arch: Option<&str>, prove: bool) -> Result<Model> {
        let LoadedModel { graph, form, preprocess, labels, source_sha256, .. } = checkpoint::load(bytes, origin, arch)?;
        match form {
            Form::Train => Model::fused(&graph, preprocess, labels, source_sha256, prove),
            Form::Deploy => {
                // The official fuse leaves batch norms standing, and epilogues are ours.
                let (graph, _) = passes::fuse(&graph)?;
                Ok(Model { graph: Arc::new(graph), preprocess, labels, source_sha256, fusion: None })
            }
        }
    }

    /// Reads a file as [`Model::from_bytes`] does.
    ///
    /// # Errors
    /// Also [`Error::Io`] if the file cannot be read.
    #[cfg(not(target_arch = "wasm32"))]
    pub fn open(path: impl AsRef<std::path::Path>, arch: Option<&str>, prove: bool) -> Result<Model> {
        let path = path.as_ref();
        let bytes = std::fs::read(path).map_err(|e| Error::io("cannot read model", path, e))?;
        Model::from_bytes(&bytes, &path.display().to_string(), arch, prove)
    }

    /// A named network in training form with seeded random weights, fused. Its running statistics
    /// come from a forward pass, so activations stay of order one through any depth.
    ///
    /// # Errors
    /// [`Error::UnknownModel`].
    pub fn random(name: &str, seed: u64, prove: bool) -> Result<Model> {
        let architecture = Architecture::named(name)?;
        let mut graph = models::random(name, seed)?;
        let shape = graph.input_shape();
        let input = seeded_input(2, shape.channels, shape.height, shape.width, seed)?;
        settle_batch_norms(&mut graph, &input)?;
        let labels = architecture.labels();
        Model::fused(&graph, architecture.preprocess.clone(), labels, format!("random, seed {seed}"), prove)
    }

    fn fused(train: &Graph, preprocess: Preprocess, labels: Option<Vec<String>>, source_sha256: String, prove: bool) -> Result<Model> {
        let (graph, report) = passes::fuse(train)?;
        let proof = if prove { Some(proof::prove(train, &graph, 0)?) } else { None };
        if let Some(proof) = proof.as_ref().filter(|p| p.max_rel.is_nan() || p.max_rel > PROOF_BOUND) {
            return Err(Error::Inexact { rewrite: "fusing this network", reason: format!("{proof}; the bound is {PROOF_BOUND:e}") });
        }
        let fusion = Some(Fusion { report, proof });
        Ok(Model { graph: Arc::new(graph), preprocess, labels, source_sha256, fusion })
    }

    /// Gives the classes other names.
    ///
    /// # Errors
    /// If there are not as many names as classes.
    pub fn with_labels(self, labels: Vec<String>) -> Result<Model> {
        let classes = self.graph.node(self.graph.output()).shape.channels;
        if labels.len() != classes {
            return Err(Error::argument(format!("{} labels for a network of {classes} classes; one per line is wanted", labels.len())));
        }
        Ok(Model { labels: Some(labels), ..self })
    }

    /// Name of the network.
    pub fn name(&self) -> &str {
        &self.graph.name
    }

    /// The fused graph.
    pub fn graph(&self) -> &Arc<Graph> {
        &self.graph
    }

    /// How a picture becomes its input.
    pub fn preprocess(&self) -> &Preprocess {
        &self.preprocess
    }

    /// Names of the classes, if known.
    pub fn labels(&self) -> Option<&[String]> {
        self.labels.as_deref()
    }

    /// SHA-256 of the file that the weights come from, in hex.
    pub fn source_sha256(&self) -> &str {
        &self.source_sha256
    }

    /// What fusing did; `None` if the file was fused already.
    pub fn fusion(&self) -> Option<&Fusion> {
        self.fusion.as_ref()
    }

    /// The number format its weights are in.
    pub fn precision(&self) -> Precision {
        Precision::F32
    }

    /// The model as a file of this crate's own format.
    ///
    /// # Errors
    /// If the tensors cannot be written as safetensors.
    pub fn to_bytes(&self) -> Result<Vec<u8>> {
        checkpoint::save(&self.graph, &self.preprocess, self.labels.as_deref(), &self.source_sha256)
    }
}

/// Seeded standard normal noise, `[n, c, h, w]`.
pub(crate) fn seeded_input(n: usize, c: usize, h: usize, w: usize, seed: u64) -> Result<Tensor> {
    use rand::SeedableRng;
    use rand_distr::Distribution;
    let rng = rand_pcg::Pcg64Mcg::seed_from_u64(seed);
    let normal = rand_distr::StandardNormal.sample_iter(rng);
    Tensor::new([n, c, h, w], normal.take(n * c * h * w).collect())
}
