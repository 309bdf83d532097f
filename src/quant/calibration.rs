//! What a network is shown to find its ranges.

use rand::SeedableRng;
use rand_distr::{Distribution, StandardNormal};
use rand_pcg::Pcg64;
use sha2::{Digest, Sha256};

use super::quantization::Calibration;
use crate::error::{Error, Result};
use crate::graph::Shape;
use crate::tensor::Tensor;

/// Prepared inputs, kept in memory, and the hash that tells them from others.
#[derive(Clone, Debug)]
pub struct CalibrationSet {
    inputs: Vec<Tensor>,
    sha256: String,
}

/// Fewer pictures than this are too few.
const FEW: usize = 16;

/// The most bytes that a set may take.
const MAX_BYTES: usize = 4 << 30;

impl CalibrationSet {
    /// Of inputs as the network takes them, `[1, c, h, w]` each, all of one shape.
    ///
    /// # Errors
    /// [`Error::Argument`] if there is none, they differ in shape, hold more than one sample, or hold
    /// a value that is not finite.
    pub fn new(inputs: Vec<Tensor>) -> Result<Self> {
        let mut hash = Sha256::new();
        for input in &inputs {
            let bytes: Vec<u8> = input.data().iter().flat_map(|v| v.to_le_bytes()).collect();
            hash.update(Sha256::digest(&bytes));
        }
        CalibrationSet::hashed(inputs, hex(&hash.finalize()))
    }

    /// `count` samples of seeded standard normal noise: for measuring speed without pictures.
    ///
    /// # Errors
    /// [`Error::Argument`] if that would be none, or too many.
    pub fn noise(input: Shape, count: usize, seed: u64) -> Result<Self> {
        check_size(input, count)?;
        let mut rng = Pcg64::seed_from_u64(seed);
        let shape = [1, input.channels, input.height, input.width];
        let mut sample = || Tensor::new(shape, (&mut rng).sample_normal(input.len()));
        CalibrationSet::new((0..count).map(|_| sample()).collect::<Result<_>>()?)
    }

    pub(super) fn hashed(inputs: Vec<Tensor>, sha256: String) -> Result<Self> {
        let Some(first) = inputs.first() else {
            return Err(Error::argument("there is nothing to calibrate with: at least one picture is needed"));
        };
        if let Some(other) = inputs.iter().find(|x| x.shape() != first.shape() || x.shape().first() != Some(&1)) {
            let (first, other) = (first.shape(), other.shape());
            return Err(Error::argument(format!("inputs to calibrate with are of shapes {first:?} and {other:?}")));
        }
        if inputs.iter().any(|x| x.data().iter().any(|v| !v.is_finite())) {
            return Err(Error::argument("an input to calibrate with holds a NaN or an infinity"));
        }
        Ok(CalibrationSet { inputs, sha256 })
    }

    /// The inputs, `[1, c, h, w]` each.
    pub fn inputs(&self) -> &[Tensor] {
        &self.inputs
    }

    /// Number and hash, as a quantised network keeps them.
    pub fn about(&self) -> Calibration {
        Calibration { sha256: self.sha256.clone(), images: self.inputs.len() }
    }

    /// What makes the ranges that it gives doubtful, in words: few pictures, pictures of one colour, all the same.
    pub(super) fn doubts(&self) -> Vec<String> {
        let count = self.inputs.len();
        let plain = |input: &Tensor| {
            let pixels = input.shape().get(2..).map_or(1, |extent| extent.iter().product::<usize>()).max(1);
            input.data().chunks(pixels).all(|plane| plane.iter().all(|v| *v == plane[0]))
        };
        let mut doubts = Vec::new();
        if self.inputs.iter().all(plain) {
            doubts.push(
                "every calibration picture is of a single colour; the ranges that they give suit no others".into(),
            );
        } else if count > 1 && self.inputs.iter().all(|input| *input == self.inputs[0]) {
            doubts.push(format!("all {count} calibration pictures are the same; the ranges suit no others"));
        }
        if count < FEW {
            let pictures = if count == 1 { "picture" } else { "pictures" };
            doubts.push(format!(
                "calibrated on {count} {pictures} only; the ranges may not suit others, give 100 or more"
            ));
        }
        doubts
    }

    /// Up to `count` inputs, at least one, evenly spread over all.
    pub fn spread(&self, count: usize) -> Vec<&Tensor> {
        let (all, count) = (self.inputs.len(), count.clamp(1, self.inputs.len()));
        (0..count).filter_map(|i| self.inputs.get(i * all / count)).collect()
    }

    /// [`CalibrationSet::spread`] as a set of its own.
    ///
    /// # Errors
    /// None for a set that could be made.
    pub fn part(&self, count: usize) -> Result<CalibrationSet> {
        CalibrationSet::new(self.spread(count).into_iter().cloned().collect())
    }

    /// Up to `count` inputs, evenly spread, as two sets, of every other one each; of a single input, twice that.
    ///
    /// # Errors
    /// None for a set that could be made.
    pub(super) fn halves(&self, count: usize) -> Result<(CalibrationSet, CalibrationSet)> {
        let all = self.spread(count);
        let every_other = |start: usize| all.iter().skip(start).step_by(2).map(|input| (*input).clone()).collect();
        let (even, odd): (Vec<Tensor>, Vec<Tensor>) = (every_other(0), every_other(1.min(all.len() - 1)));
        Ok((CalibrationSet::new(even)?, CalibrationSet::new(odd)?))
    }

    /// [`CalibrationSet::spread`] as one batch.
    ///
    /// # Errors
    /// None for a set that could be made.
    pub(super) fn batch(&self, count: usize) -> Result<Tensor> {
        let chosen = self.spread(count);
        let mut shape = chosen.first().map_or(vec![0], |first| first.shape().to_vec());
        shape[0] = chosen.len();
        Tensor::new(shape, chosen.iter().flat_map(|x| x.data()).copied().collect())
    }
}

/// Refuses sets that would not fit in memory.
pub(super) fn check_size(input: Shape, count: usize) -> Result<()> {
    let bytes = input.len().saturating_mul(size_of::<f32>()).saturating_mul(count);
    if bytes <= MAX_BYTES {
        return Ok(());
    }
    let most = MAX_BYTES / input.len().saturating_mul(size_of::<f32>()).max(1);
    Err(Error::argument(format!("{count} inputs of {input} are too many to calibrate with; take at most {most}")))
}

pub(super) fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// Draws of a standard normal distribution.
trait SampleNormal {
    fn sample_normal(self, count: usize) -> Vec<f32>;
}

impl SampleNormal for &mut Pcg64 {
    fn sample_normal(self, count: usize) -> Vec<f32> {
        (0..count).map(|_| StandardNormal.sample(self)).collect()
    }
}
