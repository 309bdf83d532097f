//! What is asked of a model, whatever it runs on.

use super::model::{Model, Precision};
use super::processor::Outputs;
use crate::error::{Error, Result};
use crate::features::{self, Features, Selected};
use crate::graph::NodeId;
use crate::quant;

/// What is asked of a model.
#[derive(Clone, Debug, Default)]
pub(crate) struct Wishes {
    /// Names of its classes.
    pub labels: Option<Vec<String>>,
    /// Rows and columns of its input.
    pub input_size: Option<[usize; 2]>,
    /// The number format; what it holds if `None`.
    pub precision: Option<Precision>,
    /// Whether the output of every stage is kept.
    pub stages: bool,
    /// Other values to be kept.
    pub features: Vec<String>,
}

/// The values that a session keeps.
#[derive(Clone, Debug, Default)]
pub(crate) struct Kept {
    /// Which they are.
    pub selected: Vec<Selected>,
    /// What their channels have to be multiplied with, for those of equalised networks.
    factors: Vec<Option<Vec<f32>>>,
}

impl Wishes {
    /// Gives the model its labels and its input size.
    ///
    /// # Errors
    /// Those of [`Model::with_labels`] and [`Model::with_input_size`].
    pub fn shape(&mut self, mut model: Model) -> Result<Model> {
        if let Some(labels) = self.labels.take() {
            model = model.with_labels(labels)?;
        }
        if let Some([height, width]) = self.input_size {
            model = model.with_input_size(height, width)?;
        }
        Ok(model)
    }

    /// The number format.
    pub fn precision(&self, model: &Model) -> Precision {
        self.precision.unwrap_or(model.precision())
    }

    /// Finds the values to keep, and brings the model into its number format.
    ///
    /// # Errors
    /// Those of [`features::select`] and [`Model::with_precision`].
    pub fn settle(&self, model: Model) -> Result<(Model, Kept)> {
        let mut names = if self.stages { features::stages(model.graph()) } else { Vec::new() };
        names.extend(self.features.iter().cloned());
        let selected = features::select(model.graph(), &names)?;
        let factors = |id: NodeId| Some(model.quantization()?.factors(id)?.to_vec());
        let factors = selected.iter().map(|kept| factors(kept.id)).collect();
        let precision = self.precision(&model);
        Ok((model.with_precision(precision)?, Kept { selected, factors }))
    }
}

impl Kept {
    /// The nodes.
    pub fn nodes(&self) -> Vec<NodeId> {
        self.selected.iter().map(|kept| kept.id).collect()
    }

    /// # Errors
    /// If there are none.
    pub fn check(&self) -> Result<()> {
        if self.selected.is_empty() {
            let how = "ask for some with SessionBuilder::stage_features() or features([…])";
            return Err(Error::argument(format!("this session keeps no intermediate values; {how}")));
        }
        Ok(())
    }

    /// What a run made of them. Values of quantised networks become those that the network had before its ranges were
    /// moved.
    ///
    /// # Errors
    /// If there are not as many as are kept.
    pub fn features(&self, mut outputs: Outputs) -> Result<Features> {
        for (value, factors) in outputs.wanted.iter_mut().zip(&self.factors) {
            factors.as_ref().map_or(Ok(()), |factors| quant::restore(value, factors))?;
        }
        Features::new(&self.selected, outputs.wanted, outputs.output)
    }
}
