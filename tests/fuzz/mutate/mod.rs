//! Changes of inputs that know their structure: sums and lengths are put right again, so that a
//! change reaches what lies behind them.

mod bytes;
mod pickle;
mod picture;
mod pipelines;
mod safetensors;
mod zip;

use rand::{RngExt, SeedableRng};
use rand_pcg::Pcg64Mcg;

use super::Kind;

/// The input with one to four changes; the same for the same seed.
pub fn mutate(kind: Kind, input: &[u8], seed: u64) -> Vec<u8> {
    let mut rng = Rng(Pcg64Mcg::seed_from_u64(seed));
    let mut changed = input.to_vec();
    for _ in 0..=rng.below(4) {
        // One in four is any change of bytes, whatever they mean.
        let structured = match kind {
            _ if rng.below(4) == 0 => None,
            Kind::Safetensors | Kind::ModelFile | Kind::Repro => safetensors::change(&changed, &mut rng),
            Kind::TorchZip => zip::change(&changed, &mut rng),
            Kind::Pickle => Some(pickle::change(&changed, &mut rng)),
            Kind::Picture => picture::change(&changed, &mut rng),
            Kind::Cache => {
                pipelines::change(&changed, &mut rng).or_else(|| Some(bytes::change_text(&changed, &mut rng)))
            }
            Kind::Metadata | Kind::Tuning | Kind::Benchmark | Kind::Registry | Kind::Names => {
                Some(bytes::change_text(&changed, &mut rng))
            }
        };
        changed = structured.unwrap_or_else(|| bytes::change(&changed, &mut rng));
    }
    changed
}

/// The start of one input and the end of another.
pub fn splice(first: &[u8], second: &[u8], seed: u64) -> Vec<u8> {
    let mut rng = Rng(Pcg64Mcg::seed_from_u64(seed));
    let (head, tail) = (rng.below(first.len() + 1), rng.below(second.len() + 1));
    [&first[..head], &second[tail..]].concat()
}

/// Chance.
pub struct Rng(Pcg64Mcg);

impl Rng {
    /// A number below `end`; 0 if there is none.
    pub fn below(&mut self, end: usize) -> usize {
        if end == 0 { 0 } else { self.0.random_range(0..end) }
    }

    pub fn byte(&mut self) -> u8 {
        self.0.random()
    }

    pub fn pick<'a, T>(&mut self, of: &'a [T]) -> &'a T {
        &of[self.below(of.len())]
    }

    pub fn word<'a>(&mut self, of: &[&'a str]) -> &'a str {
        of[self.below(of.len())]
    }

    /// A range within `0..length`, short as a rule.
    pub fn range(&mut self, length: usize) -> std::ops::Range<usize> {
        let start = self.below(length);
        let most = if self.below(4) == 0 { length - start } else { 16.min(length - start) };
        start..start + self.below(most + 1)
    }

    /// A number that programs get wrong.
    pub fn number(&mut self) -> u64 {
        let power = 1u64 << self.below(64);
        match self.below(8) {
            0 => 0,
            1 => self.below(300) as u64,
            2 => u64::MAX - self.below(3) as u64,
            3 => i64::MAX as u64 + self.below(3) as u64,
            4 => u64::from(u32::MAX) + self.below(3) as u64 - 1,
            5 => power - 1,
            _ => power,
        }
    }
}
