//! What a network is, in full and without running it: family, variant, form, sizes, every layer in
//! the form of the file and fused, the branches of its blocks, and what the file had around them.
//!
//! Everything structural is read off the graph, so checkpoints, model files and named networks
//! without weights are described in the same way.

mod branches;
mod forks;
mod layers;
mod stages;

pub use branches::{BlockLayout, Branch, Branches};
pub(crate) use forks::{Fork, forks};
pub use layers::{FormInfo, LayerInfo};
pub use stages::{StageInfo, block_of};

use serde::Serialize;

use crate::checkpoint::{Contents, FileFacts, Ignored, LoadedModel};
use crate::error::Result;
use crate::graph::{Graph, Shape};
use crate::models::repvgg::BlockKind;
use crate::models::{Architecture, Config, Family, Form, Zeros};
use crate::passes::{self, Note, Report};
use crate::preprocess::Preprocess;

/// All that can be said of a network. Serialises as what `foveate info --json` prints.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct ModelInfo {
    /// The family; `None` for a model file of a network of one's own.
    pub family: Option<Family>,
    /// Name of the family as the papers have it. RepVGG and QARepVGG are one [`Family`] to the
    /// loader, and look the same once fused: then this is RepVGG, unless the name says otherwise.
    pub family_name: Option<&'static str>,
    /// Name of the variant, or a description of a network of other widths and depths.
    pub architecture: String,
    /// Whether it is no variant that is known by name.
    pub custom: bool,
    /// The form that the weights are in; `None` for a named network without weights.
    pub form: Option<Form>,
    /// Number of classes.
    pub classes: usize,
    /// Names of the classes, if they are known.
    pub labels: Option<Labels>,
    /// Shape of one input sample.
    pub input: Shape,
    /// How a picture becomes its input.
    pub preprocess: Preprocess,
    /// Shorter side of the crop as a share of the resized shorter side.
    pub crop_ratio: f64,
    /// The stem and the stages.
    pub stages: Vec<StageInfo>,
    /// The blocks' branches; `None` for a network that has none, as in fused form.
    pub branches: Option<Branches>,
    /// The network in the form of the file, or in training form if there is no file.
    pub stored: FormInfo,
    /// The network as it is run: fused.
    pub fused: FormInfo,
    /// Layers that fusing has to leave as they are, with the reason.
    pub kept: Vec<Note>,
    /// What is known of the file; `None` without one.
    pub file: Option<FileFacts>,
    /// SHA-256 of the checkpoint that the weights come from: the file's own, or, for a model file,
    /// that of the checkpoint it was made of.
    pub source_sha256: Option<String>,
    /// Tensors that were given their official names.
    pub renamed: Vec<Renamed>,
    /// What the loader left out.
    pub ignored: Vec<Ignored>,
    /// What was assumed and might be worth knowing.
    pub notes: Vec<String>,
}

/// Names of the classes.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Labels {
    /// Whether they are built into this crate; otherwise they come from the model file.
    pub built_in: bool,
    /// One for each class.
    pub names: Vec<String>,
}

/// A tensor that was given its official name.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Renamed {
    /// Its name in the file, without [`FileFacts::prefix`].
    pub from: String,
    /// Its name in the official implementation.
    pub to: String,
}

impl ModelInfo {
    /// Describes a loaded model, whose graph is fused once for that.
    ///
    /// # Errors
    /// [`Error::Graph`](crate::Error::Graph) if the graph is not consistent.
    pub fn of(model: &LoadedModel) -> Result<ModelInfo> {
        let built_in = model.file.as_ref().is_none_or(|file| file.contents != Contents::ModelFile);
        let labels = model.labels.clone().map(|names| Labels { built_in, names });
        let folded = passes::fuse(&model.graph)?;
        let info = describe(&model.graph, folded, &model.architecture, &model.preprocess, labels);
        let mut notes = model.notes.clone();
        let same = built_in && model.form == Form::Fused && info.family == Some(Family::RepVgg);
        if same && info.family_name == Some(REPVGG) {
            notes.push("fused, so RepVGG and QARepVGG of this size cannot be told apart".to_owned());
        }
        let renamed = model.renamed.iter().map(|(from, to)| Renamed { from: from.clone(), to: to.clone() });
        Ok(ModelInfo {
            form: Some(model.form),
            file: model.file.clone(),
            source_sha256: Some(model.source_sha256.clone()),
            renamed: renamed.collect(),
            ignored: model.ignored.clone(),
            notes,
            ..info
        })
    }

    /// Describes a network that is known by name, without weights.
    ///
    /// # Errors
    /// [`Error::UnknownModel`](crate::Error::UnknownModel) with the nearest names.
    pub fn named(name: &str) -> Result<ModelInfo> {
        let architecture = Architecture::named(name)?;
        let graph = architecture.build(Form::Train, &mut Zeros)?;
        // Folding zeros tells nothing that the fused form does not, and takes seconds for the large
        // networks; but norms behind gates are not in that form, and have to be kept.
        let folded = if norms_behind_gates(&architecture.config) {
            passes::fuse(&graph)?
        } else {
            passes::fuse(&architecture.build(Form::Fused, &mut Zeros)?)?
        };
        let labels = architecture.labels.map(|names| Labels { built_in: true, names });
        Ok(describe(&graph, folded, &architecture.name, &architecture.preprocess, labels))
    }
}

/// Whether batch norms follow squeeze-and-excitation gates, through which they cannot be folded.
fn norms_behind_gates(config: &Config) -> bool {
    match config {
        Config::RepVgg(config) => {
            config.kind.post && config.stages.iter().flatten().any(|block| block.squeeze.is_some())
        }
        Config::MobileOne(_) | Config::RepNext(_) => false,
    }
}

/// What a graph, the same fused, and the preprocessing tell.
fn describe(
    graph: &Graph,
    (fused, report): (Graph, Report),
    name: &str,
    preprocess: &Preprocess,
    labels: Option<Labels>,
) -> ModelInfo {
    let family = family(name);
    let branches = Branches::of(graph, family);
    let [rows, columns] = preprocess.crop;
    ModelInfo {
        family,
        family_name: family.map(|family| family_name(family, name, branches.as_ref())),
        architecture: name.to_owned(),
        custom: Architecture::named(name).is_err(),
        form: None,
        classes: graph.node(graph.output()).shape.channels,
        labels,
        input: graph.input_shape(),
        preprocess: preprocess.clone(),
        crop_ratio: f64::from(rows.min(columns)) / f64::from(preprocess.resize.shorter),
        stages: stages::stages(graph),
        branches,
        stored: FormInfo::of(graph),
        fused: FormInfo::of(&fused),
        kept: report.refused,
        file: None,
        source_sha256: None,
        renamed: Vec::new(),
        ignored: Vec::new(),
        notes: Vec::new(),
    }
}

const REPVGG: &str = "RepVGG";
const QAREPVGG: &str = "QARepVGG";

/// The family by the name of an architecture, which begins with it, custom ones' too.
fn family(name: &str) -> Option<Family> {
    let families = [
        ("repvgg", Family::RepVgg),
        ("qarepvgg", Family::RepVgg),
        ("mobileone", Family::MobileOne),
        ("repnext", Family::RepNext),
    ];
    families.into_iter().find(|(start, _)| name.starts_with(start)).map(|(_, family)| family)
}

fn family_name(family: Family, name: &str, branches: Option<&Branches>) -> &'static str {
    let kind = branches.and_then(|branches| branches.kind);
    match family {
        Family::RepVgg if name.starts_with("qarepvgg") => QAREPVGG,
        Family::RepVgg if kind.is_some_and(|kind| kind != BlockKind::REPVGG) => QAREPVGG,
        Family::RepVgg => REPVGG,
        Family::MobileOne => "MobileOne",
        Family::RepNext => "RepNeXt",
    }
}
