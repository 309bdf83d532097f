//! One device, one number format.

use super::compare::{Bound, Distance, best};
use super::halves::Case;
use super::layers::{Layer, Layers, variant};
use super::report::{Check, Fault, Network};
use super::repro::Repro;
use super::{Options, Subject};
use crate::error::{Error, Result};
use crate::gpu::{GpuContext, GpuExecutor};
use crate::graph::NodeId;
use crate::picture::Picture;
use crate::plan::Plan;
use crate::session::Precision;

/// Of logits in f32 and w8: the largest difference, relative to the largest logit.
const F32_LOGITS: f64 = 1e-4;
/// The relative L2 distance of logits from integers with float nodes among them, which round otherwise on every device.
const MIXED_LOGITS: f64 = 0.05;
/// Grey levels by which a prepared picture may be off.
const LEVELS: f64 = 0.5;

/// What came of it, and the first layer that is off or was asked for, to be replayed elsewhere.
pub(super) struct Checked {
    pub check: Check,
    pub repro: Option<Repro>,
}

pub(super) async fn check(
    context: &GpuContext,
    subject: &Subject<'_>,
    pictures: &[Picture],
    options: &Options,
) -> Result<Checked> {
    let plan = subject.plan(context, pictures.len(), options)?;
    let layers = Layers::new(&plan, &subject.reference);
    let all = layers.all();
    let named = options.layer.as_deref().map(|name| find(&layers, &all, name)).transpose()?;
    let executor = GpuExecutor::new(context, plan.clone(), subject.executor_options(options)).await?;
    let mut seen = Seen { check: empty(subject, &plan), repro: None };
    for (at, layer) in all.iter().enumerate() {
        (options.watch)(at, all.len());
        seen.layer(context, subject, &layers, &executor, layer, named == Some(at)).await?;
    }
    let Seen { mut check, repro } = seen;
    check.layers = all.len();
    let mut executor = executor;
    ends(&mut executor, subject, pictures, &mut check).await?;
    let ends = check.network.as_ref().is_some_and(|network| network.agrees)
        && check.picture_levels.is_none_or(|levels| levels <= LEVELS)
        && check.ranking != Some(false);
    check.agrees = ends && check.wrong.is_empty() && check.layers > 0;
    Ok(Checked { check, repro })
}

fn empty(subject: &Subject<'_>, plan: &Plan) -> Check {
    Check { error: None, dispatches: plan.steps.len(), ..Check::failed(subject.precision, String::new()) }
}

struct Seen {
    check: Check,
    repro: Option<Repro>,
}

impl Seen {
    async fn layer(
        &mut self,
        context: &GpuContext,
        subject: &Subject<'_>,
        layers: &Layers<'_>,
        executor: &GpuExecutor,
        layer: &Layer,
        named: bool,
    ) -> Result<()> {
        let (distance, found) = layers.check(executor, layer).await?;
        let agrees = distance.within(layer.bound);
        let fault = fault(layers, layer, distance);
        if named || (!agrees && self.check.wrong.is_empty() && self.repro.is_none()) {
            self.repro = Some(Repro::new(context, subject.precision, layers, layer, &fault, &found));
        }
        if !agrees {
            self.check.wrong.push(fault);
        } else if let Bound::Relative(bound) = fault.bound {
            let share = |fault: &Fault| fault.distance.relative.unwrap_or(0.0) / bound;
            if self.check.worst.as_ref().is_none_or(|worst| share(&fault) > share(worst)) {
                self.check.worst = Some(fault);
            }
        }
        Ok(())
    }
}

/// The layer whose node, or one of whose dispatches' nodes, has that name.
fn find(layers: &Layers<'_>, all: &[Layer], name: &str) -> Result<usize> {
    let node = |layer: &Layer| Some(layers.reference().about(layers.node(layer)?)?.0);
    let is = |layer: &Layer| node(layer) == Some(name);
    let has = |layer: &Layer| layers.steps(layer).iter().any(|step| step.node == name);
    all.iter().position(is).or_else(|| all.iter().position(has)).ok_or_else(|| {
        let names: Vec<&str> = all.iter().filter_map(node).collect();
        let near: Vec<&str> = names.iter().filter(|known| known.contains(name)).take(8).copied().collect();
        let (kind, list) = match near.is_empty() {
            true => ("the layers are", names),
            false => ("near", near),
        };
        Error::argument(format!("no layer computes a node {name:?}; {kind}: {}", list.join(", ")))
    })
}

pub(crate) fn fault(layers: &Layers<'_>, layer: &Layer, distance: Distance) -> Fault {
    let steps = layers.steps(layer);
    let node = layers.node(layer).unwrap_or(NodeId(0));
    let (name, op, shape) = match layers.reference().about(node) {
        Some((name, op, shape)) => (name.to_owned(), op.to_owned(), shape.to_string()),
        None => Default::default(),
    };
    Fault {
        dispatch: layer.steps.start,
        node: name,
        op,
        shape,
        kernels: steps.iter().map(|step| step.kernel.name.to_owned()).collect(),
        variant: steps.iter().map(variant).collect::<Vec<_>>().join("; then "),
        steps: steps.iter().map(|step| step.to_string()).collect(),
        at: layers.location(layer.tensor, distance.at),
        distance,
        bound: layer.bound,
    }
}

/// The network as a whole, what is in front of it and what is behind.
async fn ends(
    executor: &mut GpuExecutor,
    subject: &Subject<'_>,
    pictures: &[Picture],
    check: &mut Check,
) -> Result<()> {
    let logits = executor.run_tensor(&subject.input).await?.into_iter().next();
    let logits = logits.ok_or_else(|| Error::argument("the network made no output"))?;
    let samples = subject.reference.samples();
    let plan = executor.plan().clone();
    check.network = Some(network(subject, &plan, logits.data(), samples)?);
    if executor.ranks() {
        let rankings = executor.top_tensor(&subject.input).await?;
        let rows = logits.data().chunks(logits.len() / samples.max(1));
        let right = |(ranking, row): (&crate::kernels::Ranking, &[f32])| {
            // Where logits are no numbers, the ranking has to say so.
            if row.iter().any(|v| !v.is_finite()) {
                return ranking.not_finite.is_some();
            }
            let mut order: Vec<usize> = (0..row.len()).collect();
            order.sort_by(|a, b| row[*b].total_cmp(&row[*a]).then(a.cmp(b)));
            !ranking.best.is_empty() && ranking.best.iter().zip(order).all(|(best, class)| best.0 == class)
        };
        check.ranking = Some(rankings.len() == samples && rankings.iter().zip(rows).all(right));
    }
    let prepared = executor.prepare_pictures(pictures).await?;
    let place = plan.places.iter().find(|place| place.node == NodeId(0));
    let place = place.ok_or_else(|| Error::argument("the network's input lies nowhere"))?;
    let expected = subject.reference.packed(place.node, &place.layout, 1, plan.batch, false);
    let levels = subject.model.preprocess().std.map(|std| f64::from(std) * 255.0);
    let level = |(at, (found, expected)): (usize, (&f32, &f64))| {
        let apart = (f64::from(*found) - expected).abs() * levels.get(at % 4).copied().unwrap_or(0.0);
        if expected.is_nan() {
            0.0
        } else if apart.is_finite() {
            apart
        } else {
            f64::MAX
        }
    };
    check.picture_levels = Some(prepared.iter().zip(&expected).enumerate().map(level).fold(0.0, f64::max));
    Ok(())
}

fn network(subject: &Subject<'_>, plan: &Plan, found: &[f32], samples: usize) -> Result<Network> {
    let wide = |values: &[f32]| values.iter().map(|v| f64::from(*v)).collect::<Vec<f64>>();
    let expected = wide(&subject.reference.floats(subject.reference.output()));
    let found = wide(found);
    let distance = Distance::of(&found, &expected);
    let of_largest = distance.largest_difference.map(|most| most / distance.largest_expected.max(f64::MIN_POSITIVE));
    if subject.precision == Precision::F16 {
        let case = Case { graph: subject.model.graph(), plan, input: &subject.input, expected: &expected };
        let halves = case.judge(&found)?;
        let (bound, same_top1, agrees) = (Bound::Relative(halves.bound), halves.same_top1, halves.agrees);
        return Ok(Network { agrees, distance, of_largest, bound, same_top1, halves: Some(halves) });
    }
    let (bound, within) = match subject.precision {
        Precision::W8a8 if subject.float_nodes == 0 => (Bound::Exact, distance.within(Bound::Exact)),
        Precision::W8a8 => relative(&distance, MIXED_LOGITS),
        Precision::F32 | Precision::F16 | Precision::W8 => {
            (Bound::Relative(F32_LOGITS), of_largest.is_some_and(|apart| apart <= F32_LOGITS))
        }
    };
    let tie = match bound {
        Bound::Exact => 0.0,
        Bound::Relative(bound) => bound * distance.largest_expected,
    };
    let classes = (expected.len() / samples.max(1)).max(1);
    let same = |(found, expected): (&[f64], &[f64])| expected[best(expected)] - expected[best(found)] <= tie;
    let same_top1 = found.len() == expected.len() && found.chunks(classes).zip(expected.chunks(classes)).all(same);
    Ok(Network { agrees: within && same_top1, distance, of_largest, bound, same_top1, halves: None })
}

fn relative(distance: &Distance, bound: f64) -> (Bound, bool) {
    (Bound::Relative(bound), distance.relative.is_some_and(|apart| apart <= bound))
}
