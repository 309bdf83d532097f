//! What a user may say about a checkpoint.

use crate::preprocess::Preprocess;

/// What a checkpoint does not tell itself. `None` and `Some("repvgg-a0")` convert into it.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct LoadOptions {
    /// Name of a variant (see [`models::names`](crate::models::names)), for checkpoints that do not
    /// tell enough or to be sure.
    pub arch: Option<String>,
    /// Whether to take the exponential moving average of the weights that training scripts keep
    /// beside them.
    pub use_ema: bool,
    /// How pictures are prepared, where that is known better than from the variant; its crop becomes
    /// the input size. The same weights may have been evaluated in several ways.
    pub preprocess: Option<Preprocess>,
}

impl From<Option<&str>> for LoadOptions {
    fn from(arch: Option<&str>) -> Self {
        LoadOptions { arch: arch.map(str::to_owned), ..LoadOptions::default() }
    }
}
