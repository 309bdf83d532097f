//! Scales of weights, and weights on their grids.

use super::grid;
use super::observe::Observed;
use super::options::{Calibrator, Granularity, Options};
use super::parts::{Part, Place};
use super::quantization::Quantization;
use crate::error::Result;
use crate::graph::{Graph, NodeId};
use crate::ops::Op;
use crate::tensor::Tensor;

/// Ranges of a row that are tried: the largest magnitude times `i / TRIED`, for the upper half.
const TRIED: usize = 32;

/// The largest bias in units of its sum: the sum of products then still fits beside it in 32 bits.
const MOST_BIAS: f32 = (1 << 29) as f32;

/// With fewer units to a residual's step, a whole number of them would cost weights more than two per cent.
const FEWEST_UNITS: f64 = 50.0;

/// Gives every node parameters of its own, and a bias to every layer that has none: what is to be
/// changed for one node must not change for another.
pub(super) fn separate(graph: &mut Graph) -> Result<()> {
    let mut taken = std::collections::BTreeSet::new();
    for id in graph.ids().skip(1) {
        let node = graph.node(id).clone();
        let mut op = node.op;
        let mut copies = Vec::new();
        for (role, param) in op.params() {
            if !taken.insert(param) {
                copies.push((param, format!("{}.{role}", node.name)));
            }
        }
        for (param, name) in copies {
            let tensor = graph.params().get(param).tensor.clone();
            let own = graph.param(name, tensor);
            op.remap(&mut |old| if old == param { own } else { old });
        }
        let rows = node.shape.channels;
        if let Op::Conv2d(crate::ops::Conv2d { bias: bias @ None, .. })
        | Op::Linear(crate::ops::Linear { bias: bias @ None, .. }) = &mut op
        {
            *bias = Some(graph.param(format!("{}.bias", node.name), Tensor::zeros([rows])));
        }
        taken.extend(op.params().into_iter().map(|(_, param)| param));
        graph.replace(id, op, &node.inputs)?;
    }
    Ok(())
}

/// Rounds a layer's weights to their grids and notes the scales. The scales of the values that it
/// reads have to be known.
pub(super) fn quantize(
    graph: &mut Graph,
    quantization: &mut Quantization,
    observed: Option<&Observed>,
    id: NodeId,
) -> Result<()> {
    for part in Part::of(graph, id) {
        let tensor = graph.params().tensor(part.weight);
        let shape = tensor.shape().to_vec();
        let mut data = tensor.data().to_vec();
        let row = (part.columns * part.taps).max(1);
        let options = &quantization.options;
        let mut scales: Vec<f32> = data
            .chunks(row)
            .enumerate()
            .map(|(number, weights)| range(weights, &importance(observed, &part, number), options))
            .collect();
        finish_scales(&mut scales, options.granularity);
        let unit = match part.from {
            Place::Value(value) => quantization.activation(value),
            Place::Between(node) => quantization.between(node),
        };
        if let (Some(unit), Some(bias)) = (unit, part.bias) {
            let biases = graph.params().tensor(bias).data();
            for (number, bias) in biases.iter().enumerate() {
                let scale = if scales.len() == 1 { &mut scales[0] } else { &mut scales[number] };
                *scale = scale.max(bias.abs() / MOST_BIAS / unit);
            }
        }
        if let (Some(unit), Some(residual)) = (unit, residual(graph, quantization, id)) {
            scales.iter_mut().for_each(|scale| *scale = whole(*scale, unit, residual));
        }
        let rows = data.chunks_mut(row * if scales.len() == 1 { part.rows } else { 1 });
        rows.zip(&scales).for_each(|(weights, scale)| grid::round_all(weights, *scale));
        graph.set_param(part.weight, Tensor::new(shape, data)?)?;
        quantization.weights.insert(part.weight, scales);
    }
    Ok(())
}

/// The scale of the value that a convolution adds to its sums.
fn residual(graph: &Graph, quantization: &Quantization, id: NodeId) -> Option<f32> {
    let node = graph.node(id);
    let added = node.inputs.get(1).filter(|_| matches!(node.op, Op::Conv2d(_)))?;
    quantization.activation(*added)
}

/// The next larger scale of a weight with which a residual's scale is a whole number of the sums' units: integers then
/// add it without rounding. Coarse units, of which there are few, stay as they are.
fn whole(scale: f32, unit: f32, residual: f32) -> f32 {
    let units = (f64::from(residual) / (f64::from(unit) * f64::from(scale))).floor();
    let larger = (f64::from(residual) / (f64::from(unit) * units)) as f32;
    if units >= FEWEST_UNITS && grid::is_scale(larger) { larger } else { scale }
}

/// Rounds the biases of a node's layers to whole numbers of their sums' units, as integers have them. Rows of zeros
/// have no unit; nothing is summed there.
pub(super) fn round_biases(graph: &mut Graph, quantization: &Quantization, id: NodeId) -> Result<()> {
    for part in Part::of(graph, id) {
        let unit = match part.from {
            Place::Value(value) => quantization.activation(value),
            Place::Between(node) => quantization.between(node),
        };
        let (Some(unit), Some(scales), Some(bias)) = (unit, quantization.weight(part.weight), part.bias) else {
            continue;
        };
        let (weights, old) = (graph.params().tensor(part.weight).data(), graph.params().tensor(bias));
        let rows = weights.chunks((part.columns * part.taps).max(1)).zip(old.data());
        let rounded = rows.enumerate().map(|(number, (weights, bias))| {
            let unit = f64::from(unit) * f64::from(scales[if scales.len() == 1 { 0 } else { number }]);
            let whole = (f64::from(*bias) / unit).round_ties_even() * unit;
            if weights.iter().any(|w| *w != 0.0) { whole as f32 } else { *bias }
        });
        let new = Tensor::new(old.shape(), rounded.collect::<Vec<_>>())?;
        graph.set_param(bias, new)?;
    }
    Ok(())
}

/// From ranges of rows to scales. A row of zeros gets the largest scale of the others: its outputs
/// are its bias, which has to be representable.
fn finish_scales(ranges: &mut Vec<f32>, granularity: Granularity) {
    let largest = ranges.iter().copied().fold(0.0, f32::max);
    if granularity == Granularity::PerTensor {
        *ranges = vec![largest];
    }
    for range in ranges {
        *range = grid::scale_of(if *range > 0.0 { *range } else { largest });
    }
}

/// Mean square of what each column of a row is multiplied with; 1 if that is not known.
fn importance(observed: Option<&Observed>, part: &Part, row: usize) -> Vec<f64> {
    let seen = observed.and_then(|observed| match part.from {
        Place::Value(id) => Some(observed.value(id)),
        Place::Between(id) => observed.between(id),
    });
    let power = |column| seen.map_or(1.0, |seen| seen.power(part.input(row, column)));
    (0..part.columns).map(power).collect()
}

/// The range of a row's grid: its largest magnitude, or, where the calibrator is
/// [`Calibrator::Mse`], the range with the least squared error of the outputs.
fn range(weights: &[f32], importance: &[f64], options: &Options) -> f32 {
    let largest = weights.iter().fold(0.0f32, |most, w| most.max(w.abs()));
    let searches = matches!(options.calibrator, Calibrator::Auto | Calibrator::Mse);
    if !searches || options.granularity == Granularity::PerTensor || largest == 0.0 {
        return largest;
    }
    let taps = (weights.len() / importance.len().max(1)).max(1);
    let cost = |range: f32| {
        let scale = grid::scale_of(range);
        let columns = weights.chunks(taps).zip(importance);
        let column = |(weights, importance): (&[f32], &f64)| {
            let squares = weights.iter().map(|w| f64::from(grid::round(*w, scale) - w).powi(2)).sum::<f64>();
            squares * importance
        };
        (range, columns.map(column).sum::<f64>())
    };
    let candidates = (TRIED / 2..=TRIED).rev().map(|i| cost(largest * i as f32 / TRIED as f32));
    // The first, largest, of the best.
    candidates.reduce(|best, next| if next.1 < best.1 { next } else { best }).map_or(largest, |(range, _)| range)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::graph::Shape;
    use crate::ops::{Activation, Conv2d};

    #[test]
    fn dead_rows_get_the_scale_of_the_others() {
        let mut ranges = vec![0.0, 12.7, 1.27];
        finish_scales(&mut ranges, Granularity::PerChannel);
        assert_eq!(ranges, [0.1, 0.1, 0.01]);
        let mut ranges = vec![0.0, 12.7, 1.27];
        finish_scales(&mut ranges, Granularity::PerTensor);
        assert_eq!(ranges, [0.1]);
        let mut dead = vec![0.0; 2];
        finish_scales(&mut dead, Granularity::PerChannel);
        assert!(dead.iter().all(|scale| grid::is_scale(*scale)));
    }

    #[test]
    fn the_search_takes_what_matters_into_account() {
        let mut weights = vec![0.013f32; 64];
        weights.iter_mut().enumerate().for_each(|(i, w)| *w += i as f32 * 1e-4);
        weights.push(0.06);
        let options = Options::default();
        let (mut heavy, mut light) = (vec![1.0; 65], vec![1.0; 65]);
        (heavy[64], light[64]) = (1e6, 1e-6);
        assert_eq!(range(&weights, &heavy, &options), 0.06);
        assert!(range(&weights, &light, &options) < 0.04);
        assert_eq!(range(&weights, &light, &Options::plain()), 0.06);
        assert_eq!(range(&[0.0; 4], &[1.0; 4], &options), 0.0);
    }

    #[test]
    fn shared_parameters_are_separated_and_biases_added() {
        let mut graph = Graph::new("test", Shape::new(2, 4, 4));
        let weight = graph.param("w", Tensor::full([2, 2, 1, 1], 0.5));
        let bias = graph.param("b", Tensor::full([2], 0.25));
        let conv = |bias| Conv2d { activation: Activation::Relu, ..Conv2d::new(weight, bias) };
        let a = graph.add("a", conv(Some(bias)), &[graph.input()]).unwrap();
        let b = graph.add("b", conv(Some(bias)), &[a]).unwrap();
        let c = graph.add("c", conv(None), &[b]).unwrap();
        graph.set_output(c);
        let mut separated = graph.clone();
        separate(&mut separated).unwrap();
        let params: Vec<_> = separated.nodes().iter().flat_map(|n| n.op.params()).map(|(_, id)| id).collect();
        let distinct: std::collections::BTreeSet<_> = params.iter().collect();
        assert_eq!((params.len(), distinct.len()), (6, 6));
        assert_eq!(crate::proof::prove(&graph, &separated, 0).unwrap().max_abs, 0.0);
    }
}
