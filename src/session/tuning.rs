//! Which tuned choices a session takes.

use std::collections::BTreeSet;
#[cfg(feature = "workshop")]
use std::ops::ControlFlow;
use std::sync::Arc;
#[cfg(feature = "workshop")]
use std::time::Duration;

use super::model::Model;
use crate::error::Result;
use crate::gpu::GpuContext;
use crate::kernels::{Choices, Step, Target};
use crate::plan::Plan;
use crate::tune::Store;
#[cfg(feature = "workshop")]
use crate::tune::{self, Options};

/// Where choices come from.
#[derive(Clone, Debug, Default)]
pub(super) enum Tuning {
    /// The crate's own tables.
    #[default]
    Builtin,
    /// Nowhere: what targets say.
    None,
    /// The caller.
    Choices(Arc<Choices>),
    /// What a file has for the device, in front of the crate's own tables.
    Store(Arc<Store>),
    /// Measured while loading, with what a file has tried first.
    #[cfg(feature = "workshop")]
    Measure { budget: Duration, store: Arc<Store> },
}

impl Tuning {
    /// The target with its choices.
    #[cfg_attr(not(feature = "workshop"), expect(unused_variables, reason = "only measuring needs them"))]
    pub async fn choose(
        &self,
        mut target: Target,
        context: &GpuContext,
        model: &Model,
        batch: usize,
        safe_shaders: bool,
    ) -> Result<Target> {
        match self {
            Tuning::Builtin => {}
            Tuning::None => target.choices = Arc::default(),
            Tuning::Choices(choices) => target.choices = choices.clone(),
            Tuning::Store(store) => target.choices = known(&target, store, context),
            #[cfg(feature = "workshop")]
            Tuning::Measure { budget, store } => {
                target.choices = known(&target, store, context);
                let options = Options { batch, budget: *budget, safe_shaders, ..Options::new(&target) };
                let watch = &mut |_: tune::Progress<'_>| ControlFlow::Continue(());
                let outcome = tune::tune(context, model.graph(), &target, &options, watch).await?;
                if let Some(reason) = &outcome.interrupted {
                    log::warn!("tuning ended early: {reason}");
                }
                let mut choices = (*target.choices).clone();
                choices.kernels.extend(outcome.choices.kernels);
                choices.tiles.extend(outcome.choices.tiles);
                target.choices = Arc::new(choices);
            }
        }
        Ok(target)
    }
}

/// A file's choices for a device in front of the table's.
pub(crate) fn known(target: &Target, store: &Store, context: &GpuContext) -> Arc<Choices> {
    match store.get(&context.tuning_key()) {
        None => target.choices.clone(),
        Some(tuned) => {
            let mut choices = (*target.choices).clone();
            choices.kernels.extend(tuned.kernels.clone());
            choices.tiles.extend(tuned.tiles.clone());
            Arc::new(choices)
        }
    }
}

/// How much of a plan is tuned: `tuned: 12 of 24 dispatches`; `None` if nothing is.
pub(super) fn describe(plan: &Plan, choices: &Choices) -> Option<String> {
    let decisions =
        plan.decisions.iter().filter(|made| choices.kernels.get(&made.key).is_some_and(|k| k == made.taken));
    let decided: BTreeSet<&String> = decisions.flat_map(|made| &made.nodes).collect();
    let tiled = |step: &Step| step.tile.is_some() && choices.tiles.get(&step.key()) == step.tile.as_ref();
    let tuned = plan.steps.iter().filter(|step| tiled(step) || decided.contains(&step.node)).count();
    let all = plan.steps.len();
    (tuned > 0).then(|| format!("tuned: {tuned} of {all} dispatches"))
}
