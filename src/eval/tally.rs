//! Counting right answers and confusions.

use std::collections::BTreeMap;

use serde::Serialize;

use crate::error::{Error, Result};

/// How many answers count for the second figure.
const TOP: usize = 5;

/// How one class fared.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct ClassCount {
    /// Samples of this class.
    pub total: u64,
    /// Those whose most probable class it was.
    pub top1: u64,
    /// Those for which it was among the five most probable.
    pub top5: u64,
}

/// How often samples of one class were taken for another.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub struct Confusion {
    /// The class that they are of.
    pub truth: usize,
    /// The class that was most probable.
    pub predicted: usize,
    /// How many.
    pub count: u64,
}

/// Right and wrong answers of one network.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Tally {
    classes: Vec<ClassCount>,
    /// Only what occurred: a matrix of ImageNet-21k's classes would not fit in memory.
    pairs: BTreeMap<(usize, usize), u64>,
}

impl Tally {
    /// Nothing counted yet, for a network of that many classes.
    pub fn new(classes: usize) -> Self {
        Tally { classes: vec![ClassCount::default(); classes], pairs: BTreeMap::new() }
    }

    /// Counts a sample of class `truth` for which the network said `logits`, one per class. Of equal
    /// logits, the lower class is the more probable one.
    ///
    /// # Errors
    /// [`Error::Argument`] if there is no such class, or another number of logits.
    pub fn add(&mut self, truth: usize, logits: &[f32]) -> Result<()> {
        let classes = self.classes.len();
        let (Some(class), true) = (self.classes.get_mut(truth), logits.len() == classes) else {
            let given = logits.len();
            return Err(Error::argument(format!("class {truth} and {given} logits for a tally of {classes} classes")));
        };
        let rank = rank(logits, truth);
        class.total += 1;
        class.top1 += u64::from(rank == 0);
        class.top5 += u64::from(rank < TOP);
        *self.pairs.entry((truth, best(logits))).or_default() += 1;
        Ok(())
    }

    /// How each class fared, by its index.
    pub fn classes(&self) -> &[ClassCount] {
        &self.classes
    }

    /// How all classes together fared.
    pub fn all(&self) -> ClassCount {
        self.classes.iter().fold(ClassCount::default(), |sum, class| ClassCount {
            total: sum.total + class.total,
            top1: sum.top1 + class.top1,
            top5: sum.top5 + class.top5,
        })
    }

    /// All pairs of classes that were confused, the most frequent first; of equally frequent ones,
    /// the lower classes first.
    pub fn confusions(&self) -> Vec<Confusion> {
        let confused = self.pairs.iter().filter(|((truth, predicted), _)| truth != predicted);
        let mut all: Vec<Confusion> =
            confused.map(|(&(truth, predicted), &count)| Confusion { truth, predicted, count }).collect();
        all.sort_by_key(|pair| std::cmp::Reverse(pair.count));
        all
    }

    /// The whole confusion matrix, a row per true class, a column per most probable class: as many
    /// numbers as the square of the number of classes.
    pub fn matrix(&self) -> Vec<Vec<u64>> {
        let side = self.classes.len();
        let cell = |truth, predicted| self.pairs.get(&(truth, predicted)).copied().unwrap_or(0);
        (0..side).map(|truth| (0..side).map(|predicted| cell(truth, predicted)).collect()).collect()
    }
}

/// How many classes are more probable than this one.
fn rank(logits: &[f32], class: usize) -> usize {
    let Some(own) = logits.get(class) else { return logits.len() };
    let before = |(other, logit): &(usize, &f32)| *logit > own || (*logit == own && *other < class);
    logits.iter().enumerate().filter(before).count()
}

/// The most probable class; of equal ones the lowest. 0 without any.
pub(super) fn best(logits: &[f32]) -> usize {
    let better =
        |best: (usize, f32), (class, &logit): (usize, &f32)| if logit > best.1 { (class, logit) } else { best };
    logits.iter().enumerate().fold((0, f32::NEG_INFINITY), better).0
}

#[cfg(test)]
mod tests {
    use super::*;

    fn seven(best: usize, second: usize) -> Vec<f32> {
        let mut logits = vec![0.0; 7];
        (logits[second], logits[best]) = (1.0, 2.0);
        logits
    }

    #[test]
    fn answers_are_counted_by_hand() {
        let mut tally = Tally::new(7);
        tally.add(0, &seven(0, 1)).unwrap();
        tally.add(0, &seven(3, 0)).unwrap();
        // Equal logits: after 5 and 6 come 0, 1, 2, so that 2 is the fifth and 3 the sixth.
        tally.add(2, &seven(5, 6)).unwrap();
        tally.add(3, &seven(5, 6)).unwrap();
        tally.add(3, &seven(5, 6)).unwrap();
        assert_eq!(tally.all(), ClassCount { total: 5, top1: 1, top5: 3 });
        assert_eq!(tally.classes()[0], ClassCount { total: 2, top1: 1, top5: 2 });
        assert_eq!(tally.classes()[2], ClassCount { total: 1, top1: 0, top5: 1 });
        assert_eq!(tally.classes()[3], ClassCount { total: 2, top1: 0, top5: 0 });
        let pairs: Vec<_> = tally.confusions().iter().map(|c| (c.truth, c.predicted, c.count)).collect();
        assert_eq!(pairs, [(3, 5, 2), (0, 3, 1), (2, 5, 1)]);
        let matrix = tally.matrix();
        assert_eq!((matrix[0][0], matrix[0][3], matrix[3][5], matrix[5][3]), (1, 1, 2, 0));
        assert_eq!(matrix.iter().flatten().sum::<u64>(), 5);
    }

    #[test]
    fn ties_go_to_the_lower_class_in_both_figures() {
        let mut tally = Tally::new(2);
        tally.add(0, &[1.0, 1.0]).unwrap();
        tally.add(1, &[1.0, 1.0]).unwrap();
        assert_eq!(tally.all(), ClassCount { total: 2, top1: 1, top5: 2 });
        assert_eq!(tally.confusions(), [Confusion { truth: 1, predicted: 0, count: 1 }]);
    }

    #[test]
    fn what_does_not_fit_is_refused() {
        let mut tally = Tally::new(2);
        assert!(tally.add(2, &[0.0; 2]).is_err() && tally.add(0, &[0.0; 3]).is_err());
        assert_eq!(tally.all(), ClassCount::default());
        assert!(Tally::new(0).confusions().is_empty() && Tally::new(0).add(0, &[]).is_err());
    }
}
