//! How well a network does on pictures: right answers, confusions, and two contenders compared
//! picture by picture (a network in training form against itself fused, one network against
//! another).
//!
//! Counting ([`Tally`], [`Agreement`], [`Paired`]) takes logits from anywhere; [`evaluate`] and
//! [`agreement`] run sessions over pictures on disk, natively only.

#[cfg(all(feature = "decode", not(target_arch = "wasm32")))]
mod feed;
mod paired;
#[cfg(all(feature = "decode", not(target_arch = "wasm32")))]
mod run;
#[cfg(all(feature = "decode", not(target_arch = "wasm32")))]
mod speed;
pub mod statistics;
mod tally;
#[cfg(all(test, feature = "decode", not(target_arch = "wasm32")))]
mod tests;

pub use paired::{Agreement, Paired};
#[cfg(all(feature = "decode", not(target_arch = "wasm32")))]
pub use run::{Evaluation, Progress, Unreadable, agreement, evaluate};
#[cfg(all(feature = "decode", not(target_arch = "wasm32")))]
pub use speed::{Limit, Speed};
pub use tally::{ClassCount, Confusion, Tally};
