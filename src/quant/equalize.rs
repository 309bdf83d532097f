//! Cross-layer equalisation: channels' ranges moved between layers, exactly.
//!
//! An activation has one scale for all of its channels, so a channel that is much smaller than the
//! largest is left with few levels; a row of a weight has one scale for all of its columns. Dividing
//! a channel by a factor, which its maker and its readers absorb ([`ties`](super::ties)), shifts the
//! burden from the one to the other. Depthwise layers with a scale per channel bear any factor for
//! free.
//!
//! Which factors are best depends on the layer. Here they are taken from a family,
//! `rangeᵃ / weightᵇ`: none, equal weights (Nagel et al. 2019), equal activations, halfway
//! (SmoothQuant, Xiao et al. 2022) and between; for each group of values that share factors, the
//! member with the least noise at the network's output, as the squares of the weights propagate it.

use std::collections::{BTreeMap, BTreeSet};

use super::influence::Influence;
use super::observe::Observed;
use super::options::{Granularity, Options, Scheme};
use super::parts::{Part, Place};
use super::potential::Potential;
use super::quantization::Quantization;
use super::rescale::Factors;
use super::ties::Ties;
use crate::error::Result;
use crate::graph::{Graph, NodeId};

/// Exponents of the activation's range that are tried.
const BY_RANGE: [f64; 5] = [0.0, 0.25, 0.5, 0.75, 1.0];

/// Exponents of the readers' weights that are tried.
const BY_WEIGHT: [f64; 4] = [0.0, 0.25, 0.5, 1.0];

/// A channel's range counts for at least this part of what it could be ([`Potential`], three standard deviations): what
/// was nearly silent on the calibration pictures may speak up on others.
const SILENT: f64 = 0.02;

/// With n samples it counts for at least `PRIOR / (n + PRIOR)` of that: a few pictures tell little.
const PRIOR: f64 = 2.0;

/// Ranges that are apart by more than this are as good as zero.
const DEAD: f64 = 1e-6;

/// How factors are chosen.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Recipe {
    /// For each group of values, the member of the family with the least propagated noise.
    LeastNoise,
    /// `rangeᵃ / weightᵇ` with these exponents throughout.
    Exponents(f64, f64),
}

impl Recipe {
    /// Recipes worth trying: which is best, a trial on pictures says.
    pub const ALL: [Recipe; 4] =
        [Recipe::LeastNoise, Recipe::Exponents(1.0, 0.0), Recipe::Exponents(0.5, 0.5), Recipe::Exponents(0.0, 0.0)];

    /// The exponents to choose from.
    fn exponents(self) -> Vec<(f64, f64)> {
        match self {
            Recipe::LeastNoise => BY_RANGE.iter().flat_map(|a| BY_WEIGHT.iter().map(|b| (*a, *b))).collect(),
            Recipe::Exponents(a, b) => vec![(a, b)],
        }
    }
}

/// A graph whose ranges were moved.
#[derive(Clone, Debug, PartialEq)]
pub struct Equalized {
    /// The graph, equal to what it was but for rounding; values are divided by the factors.
    pub graph: Graph,
    /// Per value and channel, its factor; values whose factors are all 1 are left out.
    pub factors: BTreeMap<NodeId, Vec<f32>>,
}

/// Moves channels' ranges to where they cost less in 8 bits. `float` are the nodes that will stay
/// float. The parameters of different nodes must be different ones.
///
/// # Errors
/// None for a consistent graph and what was observed of it.
pub fn equalize(
    graph: &Graph,
    observed: &Observed,
    options: &Options,
    float: &BTreeSet<NodeId>,
    recipe: Recipe,
) -> Result<Equalized> {
    let mut graph = graph.clone();
    let ties = Ties::of(&graph);
    let mut by_class = vec![1.0; ties.len()];
    let quantization = Quantization::new(options.clone(), float.clone());
    let influence = Influence::of(&graph, observed);
    let search = Search {
        observed,
        influence,
        potential: Potential::of(&graph, observed),
        ties: &ties,
        quantized: quantization.quantized_values(&graph),
        parts: graph.ids().filter(|id| !float.contains(id)).flat_map(|id| Part::of(&graph, id)).collect(),
        granularity: options.granularity,
        scheme: options.scheme,
        exponents: recipe.exponents(),
    };
    for family in search.families(&graph) {
        search.settle(&graph, &family, &mut by_class);
    }
    let factors = Factors { ties: &ties, by_class: &by_class };
    factors.apply(&mut graph)?;
    let mut all = BTreeMap::new();
    for id in graph.ids() {
        let channels = 0..graph.node(id).shape.channels;
        let own: Vec<f32> = channels.map(|channel| factors.at(Place::Value(id), channel) as f32).collect();
        if own.iter().any(|factor| *factor != 1.0) {
            all.insert(id, own);
        }
    }
    Ok(Equalized { graph, factors: all })
}

struct Search<'a> {
    observed: &'a Observed,
    influence: Influence,
    potential: Potential,
    ties: &'a Ties,
    quantized: BTreeSet<NodeId>,
    parts: Vec<Part>,
    granularity: Granularity,
    scheme: Scheme,
    exponents: Vec<(f64, f64)>,
}

/// Values that share classes, directly or through others.
struct Family {
    places: Vec<Place>,
    /// Indices of the parts that read or make one of them.
    parts: Vec<usize>,
}

impl Search<'_> {
    fn families(&self, graph: &Graph) -> Vec<Family> {
        let inner = graph.ids().filter(|id| self.observed.between(*id).is_some());
        let places: Vec<Place> = graph.ids().map(Place::Value).chain(inner.map(Place::Between)).collect();
        // The family of a class: places are merged as they turn out to share one.
        let mut family_of: BTreeMap<usize, usize> = BTreeMap::new();
        let mut families: Vec<Vec<Place>> = Vec::new();
        for place in places {
            let classes: BTreeSet<usize> = self.classes(place).into_iter().flatten().collect();
            if classes.is_empty() {
                continue;
            }
            let met: BTreeSet<usize> = classes.iter().filter_map(|class| family_of.get(class).copied()).collect();
            let home = met.first().copied().unwrap_or_else(|| {
                families.push(Vec::new());
                families.len() - 1
            });
            for other in met.into_iter().skip(1) {
                let moved = std::mem::take(&mut families[other]);
                families[home].extend(moved);
                family_of.values_mut().filter(|family| **family == other).for_each(|family| *family = home);
            }
            families[home].push(place);
            family_of.extend(classes.into_iter().map(|class| (class, home)));
        }
        let families = families.into_iter().filter(|places| !places.is_empty());
        families
            .map(|places| {
                let touches = |part: &Part| places.contains(&part.from) || places.contains(&part.to);
                let parts = (0..self.parts.len()).filter(|i| touches(&self.parts[*i])).collect();
                Family { places, parts }
            })
            .collect()
    }

    fn channels(&self, place: Place) -> usize {
        match place {
            Place::Value(id) => self.observed.value(id).channels.len(),
            Place::Between(id) => self.observed.between(id).map_or(0, |seen| seen.channels.len()),
        }
    }

    fn classes(&self, place: Place) -> Vec<Option<usize>> {
        let channels = 0..self.channels(place);
        channels.map(|channel| self.ties.class(self.ties.variable(place, channel))).collect()
    }

    fn peaks(&self, place: Place) -> Vec<f64> {
        let seen = match place {
            Place::Value(id) => Some(self.observed.value(id)),
            Place::Between(id) => self.observed.between(id),
        };
        let Some(seen) = seen else { return vec![0.0; self.channels(place)] };
        let part = (PRIOR / (seen.samples() as f64 + PRIOR)).max(SILENT);
        let peak = |channel| seen.peak(channel).max(3.0 * part * self.potential.at(place, channel));
        (0..self.channels(place)).map(peak).collect()
    }

    fn power(&self, place: Place, channel: usize) -> f64 {
        match place {
            Place::Value(id) => self.observed.value(id).power(channel),
            Place::Between(id) => self.observed.between(id).map_or(0.0, |seen| seen.power(channel)),
        }
    }

    fn is_quantized(&self, place: Place) -> bool {
        self.scheme == Scheme::W8a8
            && match place {
                Place::Value(id) => self.quantized.contains(&id),
                Place::Between(id) => self.parts.iter().any(|part| part.node == id),
            }
    }

    /// Gives the family's classes their best factors.
    fn settle(&self, graph: &Graph, family: &Family, by_class: &mut [f64]) {
        let mut logs = self.means(family, |place| self.relative_peaks(place));
        let weights = self.means(family, |place| self.relative_columns(graph, family, place));
        let rows = self.means(family, |place| self.relative_rows(graph, family, place));
        let mut best: Option<(f64, Vec<(usize, f64)>)> = None;
        let sources = if self.granularity == Granularity::PerTensor && self.exponents.len() > 1 { 2 } else { 1 };
        for _ in 0..sources {
            for (by_range, by_weight) in &self.exponents {
                let exponent = |class: &usize| {
                    by_range * logs.get(class).copied().unwrap_or(0.0)
                        - by_weight * weights.get(class).copied().unwrap_or(0.0)
                };
                let chosen: Vec<(usize, f64)> = logs.keys().map(|class| (*class, exponent(class).exp())).collect();
                chosen.iter().for_each(|(class, factor)| by_class[*class] = *factor);
                let cost = self.cost(graph, family, by_class);
                // The first, nearest to none, of the best.
                if best.as_ref().is_none_or(|(least, _)| cost < least * (1.0 - 1e-9)) {
                    best = Some((cost, chosen));
                }
            }
            // With one scale for a whole weight, its rows' ranges count like activations'.
            logs = rows.clone();
        }
        for (class, factor) in best.into_iter().flat_map(|(_, chosen)| chosen) {
            by_class[class] = factor;
        }
    }

    /// Per class, the mean over the family's values of the logarithm of some measure of its channels.
    fn means(&self, family: &Family, measure: impl Fn(Place) -> Option<Vec<f64>>) -> BTreeMap<usize, f64> {
        let mut sums: BTreeMap<usize, (f64, f64)> = BTreeMap::new();
        for place in &family.places {
            let Some(measured) = measure(*place) else { continue };
            for (class, value) in self.classes(*place).into_iter().zip(measured) {
                if let Some(class) = class {
                    let (sum, count) = sums.entry(class).or_default();
                    *sum += value.ln();
                    *count += 1.0;
                }
            }
        }
        sums.into_iter().map(|(class, (sum, count))| (class, sum / count)).collect()
    }

    /// Ranges of a value's channels as parts of the largest.
    fn relative_peaks(&self, place: Place) -> Option<Vec<f64>> {
        Some(relative(self.peaks(place)))
    }

    /// Ranges of the weights that read a value's channels; `None` if only depthwise layers do, which
    /// do not care.
    fn relative_columns(&self, graph: &Graph, family: &Family, place: Place) -> Option<Vec<f64>> {
        let free = |part: &Part| self.granularity == Granularity::PerChannel && part.is_depthwise();
        let readers = self.touching(family, |part| part.from == place && !free(part));
        let mut largest = vec![0f64; self.channels(place)];
        let mut any = false;
        for part in readers {
            any = true;
            for (at, weight) in graph.params().tensor(part.weight).data().iter().enumerate() {
                let channel = part.input(part.row_of(at), part.column_of(at));
                largest[channel] = largest[channel].max(f64::from(weight.abs()));
            }
        }
        any.then(|| relative(largest))
    }

    /// Ranges of the weights' rows that make a value's channels.
    fn relative_rows(&self, graph: &Graph, family: &Family, place: Place) -> Option<Vec<f64>> {
        let mut largest = vec![0f64; self.channels(place)];
        let mut any = false;
        for part in self.touching(family, |part| part.to == place) {
            any = true;
            for (at, weight) in graph.params().tensor(part.weight).data().iter().enumerate() {
                let channel = part.output(part.row_of(at));
                largest[channel] = largest[channel].max(f64::from(weight.abs()));
            }
        }
        any.then(|| relative(largest))
    }

    fn touching(&self, family: &Family, which: impl Fn(&Part) -> bool) -> impl Iterator<Item = &Part> {
        family.parts.iter().filter_map(|i| self.parts.get(*i)).filter(move |part| which(part))
    }

    /// Noise at the output that the family's values and weights make in 8 bits.
    fn cost(&self, graph: &Graph, family: &Family, by_class: &[f64]) -> f64 {
        let factors = Factors { ties: self.ties, by_class };
        let mut cost = 0.0;
        for place in family.places.iter().copied().filter(|place| self.is_quantized(*place)) {
            let peaks = self.peaks(place);
            let scaled = peaks.iter().enumerate().map(|(c, peak)| peak / factors.at(place, c));
            let step = scaled.fold(0.0, f64::max) / 127.0;
            let spread: f64 =
                (0..peaks.len()).map(|c| factors.at(place, c).powi(2) * self.influence.at(place, c)).sum();
            cost += step * step / 12.0 * spread;
        }
        for part in self.touching(family, |_| true) {
            let reads = family.places.contains(&part.from);
            // With a scale per row, a row's factor changes nothing of its noise.
            if reads || self.granularity == Granularity::PerTensor {
                cost += self.weight_noise(graph, part, &factors);
            }
        }
        cost
    }

    fn weight_noise(&self, graph: &Graph, part: &Part, factors: &Factors) -> f64 {
        let data = graph.params().tensor(part.weight).data();
        let into: Vec<f64> = (0..self.channels(part.from)).map(|c| factors.at(part.from, c)).collect();
        let powers: Vec<f64> =
            into.iter().enumerate().map(|(c, factor)| self.power(part.from, c) / factor.powi(2)).collect();
        let mut noises = Vec::with_capacity(part.rows);
        let mut widest = 0f64;
        for (row, weights) in data.chunks(part.columns * part.taps).enumerate() {
            let out = factors.at(part.to, part.output(row));
            let (mut largest, mut power) = (0f64, 0f64);
            for (column, taps) in weights.chunks(part.taps).enumerate() {
                let channel = part.input(row, column);
                let tap = taps.iter().fold(0f32, |most, w| most.max(w.abs()));
                largest = largest.max(f64::from(tap) * into[channel]);
                power += powers[channel] * part.taps as f64;
            }
            let influence = self.influence.before_activation(part.to, part.output(row));
            widest = widest.max(largest / out);
            noises.push((largest, power * influence, out));
        }
        let noise = |(largest, weighed, out): &(f64, f64, f64)| {
            let range = if self.granularity == Granularity::PerTensor { widest * out } else { *largest };
            (range / 127.0).powi(2) / 12.0 * weighed
        };
        noises.iter().map(noise).sum()
    }
}

/// Parts of the largest, none smaller than [`DEAD`].
fn relative(mut values: Vec<f64>) -> Vec<f64> {
    let largest = values.iter().copied().fold(0.0, f64::max);
    for value in &mut values {
        *value = if largest > 0.0 { (*value / largest).max(DEAD) } else { 1.0 };
    }
    values
}
