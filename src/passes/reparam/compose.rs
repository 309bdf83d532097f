//! One convolution after another as a single one.

use super::linear_conv::{LinearConv, MAX_WINDOW, fits, gcd, inexact, weights};
use crate::error::Result;

const REWRITE: &str = "composing two convolutions";

/// The largest window that chains of smaller ones are made into: 64×64.
const MOST_TAPS: usize = 1 << 12;

impl LinearConv {
    /// The map `then ∘ self`: first this one, then the other.
    ///
    /// Put `y = a(x)` into `z = b(y)`: position p of z reads y at `s_b·p + d_b·t_b − p_b`, which
    /// reads x at `s_a·s_b·p + (s_a·d_b·t_b + d_a·t_a) − (s_a·p_b + p_a)`. So strides multiply, the
    /// kernel is the product of the kernels (an outer product for 1×k then k×1, a rescaling for a
    /// batch norm), the padding is `s_a·p_b + p_a`, the bias `b.bias + Σ b.kernel · a.bias`, and the
    /// groups are the greatest common divisor of both.
    ///
    /// # Errors
    /// [`Error::Inexact`](crate::Error::Inexact) where this is wrong: see
    /// [`check_compose`](Self::check_compose); [`Error::Argument`](crate::Error::Argument) if there would be too many
    /// weights.
    pub fn compose(&self, then: &LinearConv) -> Result<LinearConv> {
        self.check_compose(then)?;
        let (a, b) = (self, then);
        let groups = gcd(a.groups, b.groups);
        let window: [(usize, usize); 2] = [0, 1].map(|axis| {
            let step = a.stride[axis] * b.dilation[axis];
            match (a.size[axis], b.size[axis]) {
                (size, 1) => (size, a.dilation[axis]),
                (1, size) => (size, step),
                (first, second) => (step * (second - 1) + a.dilation[axis] * (first - 1) + 1, 1),
            }
        });
        // Where tap (t_a, t_b) of an axis falls in the result.
        let place = |axis: usize, ta: usize, tb: usize| {
            (a.stride[axis] * b.dilation[axis] * tb + a.dilation[axis] * ta) / window[axis].1
        };
        let size = window.map(|(size, _)| size);
        let per_group = a.inputs / groups;
        let mut kernel = vec![0.0; weights([b.outputs, per_group, size[0], size[1]])?];
        let mut bias = b.bias.clone();
        let (per_a, per_b) = (a.inputs / a.groups, b.inputs / b.groups);
        for out in 0..b.outputs {
            let first_input = out / (b.outputs / groups) * per_group;
            for local in 0..per_b {
                let middle = out / (b.outputs / b.groups) * per_b + local;
                let taps_b = &b.kernel[(out * per_b + local) * b.size[0] * b.size[1]..][..b.size[0] * b.size[1]];
                bias[out] += taps_b.iter().sum::<f64>() * a.bias[middle];
                for j in 0..per_a {
                    let input = middle / (a.outputs / a.groups) * per_a + j;
                    let taps_a = &a.kernel[(middle * per_a + j) * a.size[0] * a.size[1]..][..a.size[0] * a.size[1]];
                    let target = &mut kernel[(out * per_group + input - first_input) * size[0] * size[1]..];
                    for (tb, wb) in taps_b.iter().enumerate() {
                        for (ta, wa) in taps_a.iter().enumerate() {
                            let row = place(0, ta / a.size[1], tb / b.size[1]);
                            let column = place(1, ta % a.size[1], tb % b.size[1]);
                            target[row * size[1] + column] += wa * wb;
                        }
                    }
                }
            }
        }
        Ok(LinearConv {
            inputs: a.inputs,
            outputs: b.outputs,
            size,
            kernel,
            bias,
            stride: [0, 1].map(|axis| a.stride[axis] * b.stride[axis]),
            padding: [0, 1].map(|axis| a.stride[axis] * b.padding[axis] + a.padding[axis]),
            dilation: window.map(|(_, dilation)| dilation),
            groups,
        })
    }

    /// Whether the composed kernel has far more weights than its two parts: two thin layers through
    /// one channel make a dense one, and a long chain of dilated windows one over the whole map. That
    /// is never wanted and might not fit into memory.
    pub fn composition_explodes(&self, then: &LinearConv) -> bool {
        let taps = |map: &LinearConv| map.size[0].saturating_mul(map.size[1]);
        let reach = |axis: usize| self.stride[axis].saturating_mul(then.extent()[axis] - 1);
        let span = [0, 1].map(|axis| reach(axis).saturating_add(self.extent()[axis]));
        if span[0].saturating_mul(span[1]) > MOST_TAPS.max(taps(self)).max(taps(then)) {
            return true;
        }
        let axes = [0, 1].map(|axis| self.extent()[axis].saturating_mul(then.extent()[axis]));
        let groups = gcd(self.groups, then.groups).max(1);
        let sizes = [then.outputs, self.inputs / groups, axes[0], axes[1]];
        let composed = sizes.iter().try_fold(1usize, |product, size| product.checked_mul(*size));
        composed.is_none_or(|composed| composed / 64 > self.kernel.len() + then.kernel.len())
    }

    /// Whether [`compose`](Self::compose) is exact, without calculating.
    ///
    /// # Errors
    /// [`Error::Inexact`](crate::Error::Inexact) if the channels do not fit; or if the second
    /// convolution pads, because its zeros stand where the composed one would have
    ///
    /// - the first one's bias, unless that is zero, and
    /// - what the first one's window still sees of the map from outside, unless that window is one
    ///   tap wide along the padded axis;
    ///
    /// or if the window would be wider than [`MAX_WINDOW`].
    pub fn check_compose(&self, then: &LinearConv) -> Result<()> {
        let (a, b) = (self, then);
        if a.outputs != b.inputs {
            return Err(inexact(REWRITE, format!("{} channels go into {}", a.outputs, b.inputs)));
        }
        if b.padding != [0, 0] && !a.is_unbiased() {
            return Err(inexact(REWRITE, "the second one's zero padding applies after the first one's bias"));
        }
        let sees_outside = |axis: usize| b.padding[axis] > 0 && (a.size[axis] > 1 || a.padding[axis] > 0);
        if sees_outside(0) || sees_outside(1) {
            return Err(inexact(
                REWRITE,
                "along the axis that the second one pads, the first one is wider than a pixel",
            ));
        }
        let wide = |axis: usize| {
            let times = |by: usize| a.stride[axis].saturating_mul(by);
            let extent = times(b.extent()[axis] - 1).saturating_add(a.extent()[axis]);
            let padding = times(b.padding[axis]).saturating_add(a.padding[axis]);
            !fits(times(b.stride[axis]), padding, times(b.dilation[axis]), 1) || extent > MAX_WINDOW
        };
        if wide(0) || wide(1) {
            return Err(inexact(REWRITE, format!("the window would be wider than {MAX_WINDOW}")));
        }
        Ok(())
    }
}
