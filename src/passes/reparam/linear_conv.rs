//! A convolution as a linear map in f64: the value on which reparameterisation calculates.

use std::fmt;

use crate::error::{Error, Result};
use crate::graph::{ParamId, Params};
use crate::ops::{AvgPool, BatchNorm, Conv2d, Linear};

/// Where the constructors of [`LinearConv`] read weights from: a graph's f32 parameters, or a
/// rewrite's f64 intermediate results.
pub trait Values {
    /// Shape of a parameter.
    fn shape(&self, id: ParamId) -> &[usize];
    /// Its values, row-major, in f64.
    fn values(&self, id: ParamId) -> Vec<f64>;
}

impl Values for Params {
    fn shape(&self, id: ParamId) -> &[usize] {
        Params::shape(self, id)
    }

    fn values(&self, id: ParamId) -> Vec<f64> {
        self.tensor(id).data().iter().map(|v| f64::from(*v)).collect()
    }
}

/// The affine map of a 2D convolution with zero padding, in f64.
///
/// `y[o, p] = bias[o] + Σ_{c, t} kernel[o, c, t] · x[c, stride · p + dilation · t − padding]`, where
/// x is zero outside its map and c runs over the input channels of o's group. Everything that
/// reparameterisation meets is of this kind: a fully connected layer is a 1×1 convolution of a
/// 1×1 map, a batch norm or a constant factor is a depthwise 1×1 one, an average pool a depthwise
/// one of equal weights, the identity is the [Dirac](Self::dirac) kernel. [`compose`](Self::compose) and [`sum`](Self::sum) say when the
/// result of a calculation would not be the same map, at the borders in particular.
#[derive(Clone, PartialEq)]
pub struct LinearConv {
    pub(super) inputs: usize,
    pub(super) outputs: usize,
    pub(super) size: [usize; 2],
    pub(super) kernel: Vec<f64>,
    pub(super) bias: Vec<f64>,
    pub(super) stride: [usize; 2],
    pub(super) padding: [usize; 2],
    pub(super) dilation: [usize; 2],
    pub(super) groups: usize,
}

impl LinearConv {
    /// A convolution of stride 1, without padding, dilation or groups.
    ///
    /// `shape` is `[out, in, kh, kw]`, `kernel` its values row-major; no bias means zeros.
    ///
    /// # Errors
    /// [`Error::Argument`] if the number of values does not fit the shape, or a dimension is zero.
    pub fn new(shape: [usize; 4], kernel: Vec<f64>, bias: Option<Vec<f64>>) -> Result<Self> {
        let [outputs, inputs, kh, kw] = shape;
        let count = count(shape);
        let biases = bias.as_ref().map_or(outputs, Vec::len);
        if count != Some(kernel.len()) || kernel.is_empty() || biases != outputs {
            let weights = kernel.len();
            return Err(Error::argument(format!("a {shape:?} kernel cannot have {weights} weights, {biases} biases")));
        }
        let bias = bias.unwrap_or_else(|| vec![0.0; outputs]);
        let (stride, padding, dilation) = ([1; 2], [0; 2], [1; 2]);
        Ok(LinearConv { inputs, outputs, size: [kh, kw], kernel, bias, stride, padding, dilation, groups: 1 })
    }

    /// The same weights with another stride, padding and dilation, (vertical, horizontal).
    ///
    /// # Errors
    /// [`Error::Argument`] if a stride or dilation is zero, or the window wider than [`MAX_WINDOW`].
    pub fn with_window(self, stride: [usize; 2], padding: [usize; 2], dilation: [usize; 2]) -> Result<Self> {
        if stride.contains(&0) || dilation.contains(&0) {
            return Err(Error::argument(format!("stride {stride:?} and dilation {dilation:?} must be positive")));
        }
        let axis = |axis: usize| fits(stride[axis], padding[axis], dilation[axis], self.size[axis]);
        if !axis(0) || !axis(1) {
            let reason =
                format!("stride {stride:?}, padding {padding:?} or dilation {dilation:?} is beyond {MAX_WINDOW}");
            return Err(Error::argument(reason));
        }
        Ok(LinearConv { stride, padding, dilation, ..self })
    }

    /// The same kernel read as one in groups: `[out, in/groups, kh, kw]`.
    ///
    /// # Errors
    /// [`Error::Argument`] if the output channels cannot be split so.
    pub fn with_groups(self, groups: usize) -> Result<Self> {
        let inputs = (self.inputs / self.groups).checked_mul(groups).filter(|_| groups > 0);
        match inputs {
            Some(inputs) if self.outputs.is_multiple_of(groups) => Ok(LinearConv { inputs, groups, ..self }),
            _ => Err(Error::argument(format!("{} output channels cannot be in {groups} groups", self.outputs))),
        }
    }

    /// The linear part of a convolution, without its activation and residual.
    ///
    /// # Errors
    /// [`Error::Argument`] if its parameters are not those of a convolution.
    pub fn conv2d(op: &Conv2d, values: &impl Values) -> Result<Self> {
        let &[out, per_group, kh, kw] = values.shape(op.weight) else {
            return Err(Error::argument(format!("a kernel of shape {:?} is none", values.shape(op.weight))));
        };
        let bias = op.bias.map(|b| values.values(b));
        let map = Self::new([out, per_group, kh, kw], values.values(op.weight), bias)?;
        map.with_window(op.stride, op.padding, op.dilation)?.with_groups(op.groups)
    }

    /// A fully connected layer as a 1×1 convolution of a 1×1 map.
    ///
    /// # Errors
    /// [`Error::Argument`] if its parameters are not those of a fully connected layer.
    pub fn linear(op: &Linear, values: &impl Values) -> Result<Self> {
        let &[out, features] = values.shape(op.weight) else {
            return Err(Error::argument(format!("a matrix of shape {:?} is none", values.shape(op.weight))));
        };
        Self::new([out, features, 1, 1], values.values(op.weight), op.bias.map(|b| values.values(b)))
    }

    /// `y[c] = scale[c] · x[c] + shift[c]`: a depthwise 1×1 convolution.
    pub fn diagonal(affine: &[(f64, f64)]) -> Self {
        let (kernel, bias) = affine.iter().copied().unzip();
        let (channels, window) = (affine.len(), ([1; 2], [0; 2], [1; 2]));
        let (stride, padding, dilation) = window;
        let (inputs, outputs, groups, size) = (channels, channels, channels.max(1), [1; 2]);
        LinearConv { inputs, outputs, size, kernel, bias, stride, padding, dilation, groups }
    }

    /// A batch norm with its running statistics: diagonal, `γ/√(σ²+ε)` and `β − μγ/√(σ²+ε)`.
    pub fn batch_norm(op: &BatchNorm, params: &Params) -> Self {
        Self::diagonal(&op.affine(params))
    }

    /// An average pool of so many channels: a depthwise k×k kernel of `1/k²`, without bias.
    ///
    /// # Errors
    /// [`Error::Argument`] if there are no channels, a window or stride is zero, or there would be too many weights.
    pub fn avg_pool(op: &AvgPool, channels: usize) -> Result<Self> {
        let AvgPool { kernel, stride, padding } = *op;
        let weights = vec![op.factor(); weights([channels, 1, kernel, kernel])?];
        let map = Self::new([channels, 1, kernel, kernel], weights, None)?;
        map.with_window([stride; 2], [padding; 2], [1; 2])?.with_groups(channels)
    }

    /// The identity of so many channels: a depthwise 1×1 kernel of ones, without bias.
    pub fn dirac(channels: usize) -> Self {
        Self::diagonal(&vec![(1.0, 0.0); channels])
    }

    /// The map times a constant.
    pub fn scale(mut self, factor: f64) -> Self {
        self.kernel.iter_mut().chain(&mut self.bias).for_each(|v| *v *= factor);
        self
    }

    /// Number of input channels.
    pub fn inputs(&self) -> usize {
        self.inputs
    }

    /// Number of output channels.
    pub fn outputs(&self) -> usize {
        self.outputs
    }

    /// Kernel values, `[out, in/groups, kh, kw]` row-major.
    pub fn kernel(&self) -> &[f64] {
        &self.kernel
    }

    /// `[out, in/groups, kh, kw]`.
    pub fn shape(&self) -> [usize; 4] {
        [self.outputs, self.inputs / self.groups, self.size[0], self.size[1]]
    }

    /// Bias of each output channel.
    pub fn bias(&self) -> &[f64] {
        &self.bias
    }

    /// Step between windows, (vertical, horizontal).
    pub fn stride(&self) -> [usize; 2] {
        self.stride
    }

    /// Zeros on both sides, (vertical, horizontal).
    pub fn padding(&self) -> [usize; 2] {
        self.padding
    }

    /// Distance between taps, (vertical, horizontal).
    pub fn dilation(&self) -> [usize; 2] {
        self.dilation
    }

    /// Number of groups.
    pub fn groups(&self) -> usize {
        self.groups
    }

    /// Rows and columns that the kernel spans: `dilation · (size − 1) + 1`.
    pub fn extent(&self) -> [usize; 2] {
        [0, 1].map(|axis| self.dilation[axis] * (self.size[axis] - 1) + 1)
    }

    /// Whether the map takes zero to zero.
    pub fn is_unbiased(&self) -> bool {
        self.bias.iter().all(|b| *b == 0.0)
    }
}

/// The widest window, stride and padding along an axis: more than any operator's
/// ([`Conv2d::MAX_ATTRIBUTE`] taps that far apart).
pub const MAX_WINDOW: usize = 1 << 25;

/// Most weights of a kernel: four times those of the largest layer of any network here, in one group.
const MAX_WEIGHTS: usize = 1 << 28;

/// Values of a shape, if they can be counted.
fn count(shape: [usize; 4]) -> Option<usize> {
    shape.iter().try_fold(1usize, |count, side| count.checked_mul(*side))
}

/// Values of a kernel that is to be made.
pub(super) fn weights(shape: [usize; 4]) -> Result<usize> {
    count(shape).filter(|count| *count <= MAX_WEIGHTS).ok_or_else(|| {
        Error::argument(format!("a kernel of shape {shape:?} would have more than {MAX_WEIGHTS} weights"))
    })
}

/// Whether a window along an axis is one that can be calculated with.
pub(super) fn fits(stride: usize, padding: usize, dilation: usize, size: usize) -> bool {
    let extent = dilation.checked_mul(size.saturating_sub(1));
    stride.max(padding).max(dilation) <= MAX_WINDOW && extent.is_some_and(|extent| extent < MAX_WINDOW)
}

impl fmt::Debug for LinearConv {
    /// Everything but the values, which are too many to read.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let ([out, per_group, kh, kw], groups) = (self.shape(), self.groups);
        let (stride, padding, dilation) = (self.stride, self.padding, self.dilation);
        write!(f, "LinearConv {per_group}·{groups}→{out} {kh}×{kw} stride {stride:?} ")?;
        write!(f, "padding {padding:?} dilation {dilation:?}{}", if self.is_unbiased() { "" } else { " + bias" })
    }
}

/// An [`Error::Inexact`].
pub(super) fn inexact(rewrite: &'static str, reason: impl Into<String>) -> Error {
    Error::Inexact { rewrite, reason: reason.into() }
}

pub(super) fn gcd(a: usize, b: usize) -> usize {
    if b == 0 { a } else { gcd(b, a % b) }
}
