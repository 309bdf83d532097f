use super::*;

/// With fewer samples per channel than this, a channel's statistics say nothing.
const FEW: usize = 16;

/// A channel whose variance is below this part of the whole value's is taken for constant.
const FLAT: f64 = 1e-4;

/// Sets every batch norm's running mean and variance from a forward pass over `input`
/// (`[n, c, h, w]`), node by node in order, so that activations stay of order one. Meant for
/// networks in training form with random weights.
///
/// A channel's mean and variance are taken over samples and pixels. Two cases have no useful
/// statistics of their own: where there are fewer than 16 values per channel (pooled vectors at a
/// small batch), all channels get the mean and variance over the whole value; and a channel that
/// is constant (variance below 1e-4 of the whole value's, as after a ReLU that never opens) gets
/// its own mean and the whole value's variance. A variance that is still zero or not finite
/// becomes one, a mean that is not finite zero.
///
/// Where several batch norms share their statistics, the last one's count.
///
/// # Errors
/// [`Error::Argument`] if the input does not have the graph's input shape.
pub fn settle_batch_norms(graph: &mut Graph, input: &Tensor) -> Result<()> {
    check_input(graph, input)?;
    // Batch norms that the output does not depend on are settled too.
    let norms: Vec<NodeId> = graph.ids().filter(|id| matches!(graph.node(*id).op, Op::BatchNorm(_))).collect();
    let mut values = Values::new(graph, &norms, input);
    for id in graph.ids().skip(1) {
        if !values.is_needed(id) {
            continue;
        }
        if let Op::BatchNorm(norm) = &graph.node(id).op {
            let (mean, variance) = (norm.mean, norm.variance);
            let statistics = statistics(values.inputs(graph, id)?[0], graph.node(id).shape);
            let tensor = |of: fn(&Moments) -> f64| {
                let data: Vec<f32> = statistics.iter().map(|s| of(s) as f32).collect();
                Tensor::new([data.len()], data)
            };
            let (new_mean, new_variance) = (tensor(|s| s.mean)?, tensor(|s| s.variance)?);
            graph.set_param(mean, new_mean)?;
            graph.set_param(variance, new_variance)?;
        }
        let value = compute(graph, id, &values)?;
        values.put(graph, id, value);
        if matches!(graph.node(id).op, Op::BatchNorm(_)) {
            // It was a root only to be computed at all.
            values.release(id);
        }
    }
    Ok(())
}

/// Mean and variance.
#[derive(Clone, Copy)]
struct Moments {
    mean: f64,
    variance: f64,
}

impl Moments {
    fn of<'a>(values: impl Iterator<Item = &'a f32> + Clone) -> Self {
        let count = values.clone().count().max(1) as f64;
        let mean = values.clone().map(|v| f64::from(*v)).sum::<f64>() / count;
        let variance = values.map(|v| (f64::from(*v) - mean).powi(2)).sum::<f64>() / count;
        Moments { mean, variance }
    }

    /// What a batch norm can divide by.
    fn usable(self) -> Self {
        let sane = |value: f64, otherwise: f64| if (value as f32).is_finite() { value } else { otherwise };
        let variance = if self.variance > f64::from(f32::MIN_POSITIVE) { self.variance } else { 1.0 };
        Moments { mean: sane(self.mean, 0.0), variance: sane(variance, 1.0) }
    }
}

/// The statistics that each channel of `value` gets.
fn statistics(value: &Tensor, shape: Shape) -> Vec<Moments> {
    let whole = Moments::of(value.data().iter());
    let pixels = shape.pixels();
    let channel = |c: usize| {
        let planes = value.data().chunks(pixels).skip(c).step_by(shape.channels);
        let own = Moments::of(planes.flatten());
        if batch(value) * pixels < FEW {
            whole
        } else if own.variance < FLAT * whole.variance {
            Moments { mean: own.mean, variance: whole.variance }
        } else {
            own
        }
    };
    (0..shape.channels).map(|c| channel(c).usable()).collect()
}
