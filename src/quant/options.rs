//! What is asked for.

use std::fmt;

use serde::{Deserialize, Serialize};

use crate::error::{Error, Result};

/// What is held in 8 bits.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Scheme {
    /// Weights; activations stay float.
    W8,
    /// Weights and activations: the arithmetic is that of integers.
    #[default]
    W8a8,
}

impl fmt::Display for Scheme {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Scheme::W8 => "w8",
            Scheme::W8a8 => "w8a8",
        })
    }
}

/// How the range of an activation is found from what the calibration pictures showed of it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Calibrator {
    /// The one of [`TRIED`](Self::TRIED) that leaves the least noise at the output, in a trial on some of the
    /// pictures. A quantised network's options say which one it was.
    #[default]
    Auto,
    /// The largest magnitude that was seen: nothing saturates, outliers cost resolution.
    Max,
    /// The magnitude that [`Options::percentile`] per cent of the values do not exceed.
    Percentile,
    /// The range with the least mean squared error of rounding and saturating.
    Mse,
    /// The range whose quantised histogram has the least Kullback–Leibler divergence from the
    /// histogram itself.
    Entropy,
}

impl Calibrator {
    /// What [`Calibrator::Auto`] chooses from: the first, unless another is clearly better.
    pub const TRIED: [Calibrator; 3] = [Calibrator::Mse, Calibrator::Percentile, Calibrator::Max];

    /// Every calibrator that gives a range by itself.
    pub const ALL: [Calibrator; 4] = [Calibrator::Max, Calibrator::Percentile, Calibrator::Mse, Calibrator::Entropy];
}

impl fmt::Display for Calibrator {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Calibrator::Auto => "auto",
            Calibrator::Max => "max",
            Calibrator::Percentile => "percentile",
            Calibrator::Mse => "mse",
            Calibrator::Entropy => "entropy",
        })
    }
}

/// How many scales a weight has.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Granularity {
    /// One for every output channel.
    #[default]
    PerChannel,
    /// One.
    PerTensor,
}

impl fmt::Display for Granularity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Granularity::PerChannel => "per-channel",
            Granularity::PerTensor => "per-tensor",
        })
    }
}

/// How a network is quantised. The default repairs what can be repaired without training.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Options {
    /// What is held in 8 bits.
    pub scheme: Scheme,
    /// How activations' ranges are found.
    pub calibrator: Calibrator,
    /// The share of values, in per cent, that [`Calibrator::Percentile`] keeps within the range.
    pub percentile: f64,
    /// How many scales a weight has.
    pub granularity: Granularity,
    /// Moves the channels' ranges between layers, exactly ([`equalize`](super::equalize)).
    pub equalize: bool,
    /// Takes the mean error of every output channel out of its bias.
    pub bias_correct: bool,
    /// Nodes that stay float, by name.
    pub keep_float: Vec<String>,
}

impl Default for Options {
    fn default() -> Self {
        Options {
            scheme: Scheme::default(),
            calibrator: Calibrator::default(),
            percentile: 99.99,
            granularity: Granularity::default(),
            equalize: true,
            bias_correct: true,
            keep_float: Vec::new(),
        }
    }
}

impl Options {
    /// The plain scheme of the papers: the largest magnitude is the range, and nothing is repaired.
    pub fn plain() -> Self {
        Options { calibrator: Calibrator::Max, equalize: false, bias_correct: false, ..Options::default() }
    }

    /// Checks what types do not.
    ///
    /// # Errors
    /// [`Error::Argument`] for a percentile that is not above 50 and at most 100.
    pub fn check(&self) -> Result<()> {
        if self.percentile > 50.0 && self.percentile <= 100.0 {
            return Ok(());
        }
        Err(Error::argument(format!("the percentile is {}, which must be above 50 and at most 100", self.percentile)))
    }
}
