//! Where a builder gets its weights: a checkpoint, seeded random numbers, or nowhere (zeros).

use rand_distr::{Distribution, StandardNormal, Uniform};
use rand_pcg::Pcg64;

use crate::error::{Error, Result};
use crate::tensor::Tensor;

/// What a parameter is for; random sources draw by it, checkpoints check by it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Role {
    /// Weight of a convolution (`[out, in/groups, kh, kw]`) or linear layer (`[out, in]`).
    Weight,
    /// Weight of the layer before a squeeze-excite gate's sigmoid, `[out, in, 1, 1]`.
    Gate,
    /// Bias of a convolution or linear layer, `[out]`.
    Bias,
    /// Scale γ of a batch norm, `[channels]`.
    Gamma,
    /// Shift β of a batch norm, `[channels]`.
    Beta,
    /// Running mean of a batch norm, `[channels]`.
    Mean,
    /// Running variance of a batch norm, `[channels]`.
    Variance,
}

/// A supply of named parameters. Names are canonical: those of the official implementations.
pub trait ParamSource {
    /// The parameter `name`, whose shape has to be `shape`.
    ///
    /// # Errors
    /// If there is no such parameter, or none of that shape.
    fn tensor(&mut self, name: &str, role: Role, shape: &[usize]) -> Result<Tensor>;
}

/// Zeros everywhere but for γ and running variances, which are one: for looking at a network's
/// structure. The pages are never touched, so even large networks cost next to nothing.
#[derive(Clone, Copy, Debug, Default)]
pub struct Zeros;

impl ParamSource for Zeros {
    fn tensor(&mut self, name: &str, role: Role, shape: &[usize]) -> Result<Tensor> {
        count(name, shape)?;
        Ok(Tensor::full(shape, if matches!(role, Role::Gamma | Role::Variance) { 1.0 } else { 0.0 }))
    }
}

/// Seeded random parameters: He-style normal weights that lean on one input channel, γ uniform in 0.6–1.4, β normal with spread
/// 0.2, small biases. Running statistics are 0 and 1; a forward pass has to settle them.
///
/// Every tensor has a stream of its own, chosen by its name, so its values depend on nothing else
/// in the network.
#[derive(Clone, Copy, Debug)]
pub struct Random {
    seed: u64,
}

impl Random {
    /// A source for this seed.
    pub fn new(seed: u64) -> Self {
        Random { seed }
    }
}

impl ParamSource for Random {
    fn tensor(&mut self, name: &str, role: Role, shape: &[usize]) -> Result<Tensor> {
        let count = count(name, shape)?;
        let mut rng = Pcg64::new(u128::from(self.seed) ^ (u128::from(fnv1a(name)) << 64), u128::from(fnv1a(name)));
        let mut normal = |spread: f32| -> Vec<f32> {
            let draws = (0..count).map(|_| Distribution::<f32>::sample(&StandardNormal, &mut rng));
            draws.map(|z| z * spread).collect()
        };
        let data = match role {
            // √(2 / fan-in) keeps the variance through a ReLU (He et al. 2015).
            Role::Weight => {
                let mut data = normal(he_spread(shape));
                lean_on_one_input(shape, &mut data);
                data
            }
            // Gates near one half, for the same reason.
            Role::Gate => normal(0.01 * he_spread(shape)),
            Role::Bias => normal(0.02),
            Role::Beta => normal(0.2),
            Role::Gamma => {
                let gamma = Uniform::new(0.6f32, 1.4).map_err(Error::argument)?;
                gamma.sample_iter(&mut rng).take(count).collect()
            }
            Role::Mean => vec![0.0; count],
            Role::Variance => vec![1.0; count],
        };
        Tensor::new(shape, data)
    }
}

/// √(2 / fan-in), which keeps the variance through a ReLU (He et al. 2015).
fn he_spread(shape: &[usize]) -> f32 {
    (2.0 / shape[1..].iter().product::<usize>().max(1) as f32).sqrt()
}

/// Gives the centre tap from one input channel as much power as all other weights of an output
/// channel have together, as identity-like kernels of trained networks have it.
///
/// Kernels that mix all channels evenly make a deep network chaotic: each batch norm removes the mean
/// that a ReLU has made of a third of the signal, but nothing of a difference, so that differences
/// grow by 1.2 per block, rounding included (Yang et al. 2019, "A mean field theory of batch
/// normalization"), 300-fold through the 48 blocks of QARepVGG-D2se. So drawn, they grow 5-fold.
fn lean_on_one_input(shape: &[usize], weight: &mut [f32]) {
    let &[out, inputs, height, width] = shape else { return };
    if inputs < 2 || out % inputs != 0 {
        return;
    }
    let centre = height / 2 * width + width / 2;
    for (o, kernel) in weight.chunks_exact_mut(inputs * height * width).enumerate() {
        kernel[o % inputs * height * width + centre] += std::f32::consts::SQRT_2;
    }
}

fn count(name: &str, shape: &[usize]) -> Result<usize> {
    let count = shape.iter().try_fold(1usize, |n, d| n.checked_mul(*d)).filter(|n| *n <= crate::Shape::MAX_LEN);
    count.ok_or_else(|| Error::argument(format!("parameter {name:?} of shape {shape:?} is too large")))
}

/// FNV-1a: spreads names over streams, the same on every machine and in every version.
fn fnv1a(name: &str) -> u64 {
    name.bytes().fold(0xcbf2_9ce4_8422_2325, |hash, byte| (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn moments(data: &[f32]) -> (f64, f64) {
        let mean = data.iter().map(|v| f64::from(*v)).sum::<f64>() / data.len() as f64;
        let variance = data.iter().map(|v| (f64::from(*v) - mean).powi(2)).sum::<f64>() / data.len() as f64;
        (mean, variance.sqrt())
    }

    #[test]
    fn random_parameters_have_the_promised_spread() {
        let mut source = Random::new(7);
        // Channels that do not divide are drawn evenly.
        let even = source.tensor("a.weight", Role::Weight, &[48, 32, 3, 3]).unwrap();
        let (mean, spread) = moments(even.data());
        assert!(mean.abs() < 2e-3 && (spread / (2.0f64 / 288.0).sqrt() - 1.0).abs() < 0.02, "{mean} {spread}");
        let mut leaning = source.tensor("b.weight", Role::Weight, &[64, 32, 3, 3]).unwrap();
        for (o, kernel) in leaning.data_mut().chunks_mut(288).enumerate() {
            kernel[o % 32 * 9 + 4] -= 2f32.sqrt();
        }
        let (mean, spread) = moments(leaning.data());
        assert!(mean.abs() < 2e-3 && (spread / (2.0f64 / 288.0).sqrt() - 1.0).abs() < 0.02, "{mean} {spread}");
        let gamma = source.tensor("a.gamma", Role::Gamma, &[4096]).unwrap();
        assert!(gamma.data().iter().all(|g| (0.6..=1.4).contains(g)));
        let (mean, spread) = moments(gamma.data());
        assert!((mean - 1.0).abs() < 0.02 && (spread - 0.8 / 12f64.sqrt()).abs() < 0.01, "{mean} {spread}");
        let (mean, spread) = moments(source.tensor("a.beta", Role::Beta, &[4096]).unwrap().data());
        assert!(mean.abs() < 0.02 && (spread - 0.2).abs() < 0.01, "{mean} {spread}");
    }

    #[test]
    fn values_depend_on_the_seed_and_the_name_and_on_nothing_else() {
        let draw = |seed, name| Random::new(seed).tensor(name, Role::Weight, &[4, 4]).unwrap();
        let mut source = Random::new(1);
        source.tensor("before", Role::Weight, &[3, 3]).unwrap();
        assert_eq!(source.tensor("x", Role::Weight, &[4, 4]).unwrap(), draw(1, "x"));
        assert_ne!(draw(1, "x"), draw(2, "x"));
        assert_ne!(draw(1, "x"), draw(1, "y"));
    }

    #[test]
    fn a_parameter_too_large_to_hold_is_refused() {
        let huge = [usize::MAX, 2];
        assert!(Zeros.tensor("w", Role::Weight, &huge).unwrap_err().to_string().contains("too large"));
        assert!(Random::new(0).tensor("w", Role::Weight, &huge).unwrap_err().to_string().contains("too large"));
    }
}
