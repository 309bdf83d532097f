//! Runs under way.

use std::sync::Arc;
use std::time::Duration;

use super::answer::{self, Answer, Top};
use super::engine::Underway;
use crate::error::{Error, Result};
use crate::kernels::Ranking;
use crate::tensor::Tensor;

/// A run under way, from [`Session::submit`](super::Session::submit). Several may be at once; they are done in
/// order.
#[must_use = "the answers come from `wait`"]
pub struct Flight {
    pub(super) underway: Underway,
    pub(super) network: String,
    pub(super) labels: Arc<[String]>,
    pub(super) samples: usize,
    pub(super) classes: usize,
    pub(super) count: usize,
}

/// What came of a run.
#[derive(Clone, Debug, PartialEq)]
pub struct Landed {
    /// The best classes of each picture, best first.
    pub answers: Vec<Vec<Top>>,
    /// From handing the commands to the queue until the result was in the program's memory; on the CPU the
    /// network's own time, without preprocessing.
    pub submit_to_readback: Duration,
}

impl Flight {
    /// Waits for all logits of each picture. Only runs of which more than
    /// [`MAX_TOP`](crate::kernels::MAX_TOP) classes were wanted are sure to have them.
    ///
    /// # Errors
    /// As [`Flight::wait`]; [`Error::Argument`] if only the best classes are read back.
    pub async fn answers(self) -> Result<Vec<Answer>> {
        let logits = match self.underway {
            Underway::Whole(pending) => pending.wait().await?.into_iter().next(),
            Underway::Done(logits, _) => Some(logits),
            Underway::Ranked(_) => {
                return Err(Error::argument("only the best classes of this run are read back; submit it for more"));
            }
        };
        let logits = logits.ok_or_else(|| Error::argument("the network made no output"))?;
        let rows = logits.data().chunks(self.classes.max(1)).take(self.samples);
        rows.map(|row| Answer::new(&self.network, row.to_vec(), self.labels.clone())).collect()
    }

    /// Waits for the answers.
    ///
    /// # Errors
    /// [`Error::DeviceLost`] if the device went away, [`Error::Gpu`] if it refused the run,
    /// [`Error::NotFinite`] if the network made a NaN or an infinity.
    pub async fn wait(self) -> Result<Landed> {
        let Flight { underway, network, labels, samples, classes, count } = self;
        let of_logits = |logits: &Tensor| -> Result<Vec<Vec<Top>>> {
            let rows = logits.data().chunks(classes.max(1)).take(samples);
            let answers = rows.map(|row| Answer::new(&network, row.to_vec(), labels.clone()));
            answers.map(|answer| Ok(answer?.top(count))).collect()
        };
        let (answers, submit_to_readback) = match underway {
            Underway::Ranked(pending) => {
                let submitted = pending.submitted();
                let rankings = pending.wait().await?;
                let took = submitted.elapsed();
                let named = |ranking: &Ranking| match ranking.not_finite {
                    Some((class, value)) => Err(Error::NotFinite { network: network.clone(), class, value }),
                    None => Ok(answer::best(ranking, count, &labels)),
                };
                (rankings.iter().map(named).collect::<Result<_>>()?, took)
            }
            Underway::Whole(pending) => {
                let submitted = pending.submitted();
                let outputs = pending.wait().await?;
                let took = submitted.elapsed();
                let logits = outputs.first().ok_or_else(|| Error::argument("the network made no output"))?;
                (of_logits(logits)?, took)
            }
            Underway::Done(logits, took) => (of_logits(&logits)?, took),
        };
        Ok(Landed { answers, submit_to_readback })
    }
}
