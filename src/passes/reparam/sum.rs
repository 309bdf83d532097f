//! Parallel convolutions as one: the smaller kernel inside the larger, the finer groups inside
//! the coarser.

use super::linear_conv::{LinearConv, gcd, inexact, weights};
use crate::error::Result;

const SUM: &str = "adding parallel convolutions";

impl LinearConv {
    /// The map `x ↦ Σ parts(x)`.
    ///
    /// Kernels and biases add once every kernel is [embedded](Self::embed) in the largest and
    /// [regrouped](Self::regroup) to the groups that all have in common.
    ///
    /// # Errors
    /// [`Error::Inexact`](crate::Error::Inexact) if channels or strides differ, or if the windows
    /// are not centred alike (`2·padding − extent` differs: the outputs are shifted or of
    /// different size), or if there are no parts; [`Error::Argument`](crate::Error::Argument) if there would be too
    /// many weights.
    pub fn sum(parts: &[LinearConv]) -> Result<LinearConv> {
        let [first, rest @ ..] = parts else {
            return Err(inexact(SUM, "there are none"));
        };
        for part in rest {
            if (part.inputs, part.outputs) != (first.inputs, first.outputs) {
                return Err(inexact(SUM, format!("{part:?} and {first:?} have different channels")));
            }
            if part.stride != first.stride {
                return Err(inexact(SUM, format!("the strides are {:?} and {:?}", part.stride, first.stride)));
            }
            if [0, 1].map(|axis| part.centre(axis)) != [0, 1].map(|axis| first.centre(axis)) {
                return Err(inexact(SUM, format!("the windows of {part:?} and {first:?} are not centred alike")));
            }
        }
        let alike = |axis: usize| {
            rest.iter().all(|p| (p.size[axis], p.dilation[axis]) == (first.size[axis], first.dilation[axis]))
        };
        let widest = |axis: usize| parts.iter().map(|p| p.extent()[axis]).max().unwrap_or(1);
        let size = [0, 1].map(|axis| if alike(axis) { first.size[axis] } else { widest(axis) });
        let dilation = [0, 1].map(|axis| if alike(axis) { first.dilation[axis] } else { 1 });
        let padding = [0, 1].map(|axis| parts.iter().map(|p| p.padding[axis]).max().unwrap_or(0));
        let groups = parts.iter().fold(0, |groups, part| gcd(groups, part.groups));
        let mut sum = LinearConv::zero(first, size, padding, dilation, groups)?;
        parts.iter().for_each(|part| part.add_into(&mut sum));
        Ok(sum)
    }

    /// The same map with a larger kernel of dilation 1, zeros around and between the taps.
    ///
    /// A k×k kernel sits centred in the larger one, whose padding grows by what was added on each
    /// side; a dilated kernel becomes the sparse kernel of its extent.
    ///
    /// # Errors
    /// [`Error::Inexact`](crate::Error::Inexact) if the size is smaller than the kernel's extent or
    /// if there is no centre (one is even, the other odd); [`Error::Argument`](crate::Error::Argument) if there would be
    /// too many weights.
    pub fn embed(&self, size: [usize; 2]) -> Result<LinearConv> {
        let extent = self.extent();
        if [0, 1].iter().any(|&axis| size[axis] < extent[axis] || (size[axis] - extent[axis]) % 2 == 1) {
            let reason = format!("a window of {extent:?} does not sit centred in one of {size:?}");
            return Err(inexact("embedding a kernel in a larger one", reason));
        }
        let padding = [0, 1].map(|axis| self.padding[axis] + (size[axis] - extent[axis]) / 2);
        let mut larger = LinearConv::zero(self, size, padding, [1; 2], self.groups)?;
        self.add_into(&mut larger);
        Ok(larger)
    }

    /// The same map in fewer groups: a grouped kernel is a block-sparse one of coarser groups, and
    /// with `groups` 1 of a dense one.
    ///
    /// # Errors
    /// [`Error::Inexact`](crate::Error::Inexact) unless `groups` divides the present number;
    /// [`Error::Argument`](crate::Error::Argument) if there would be too many weights.
    pub fn regroup(&self, groups: usize) -> Result<LinearConv> {
        if groups == 0 || !self.groups.is_multiple_of(groups) {
            let reason = format!("{} groups are not made of whole groups of {groups}", self.groups);
            return Err(inexact("regrouping a convolution", reason));
        }
        let mut coarser = LinearConv::zero(self, self.size, self.padding, self.dilation, groups)?;
        self.add_into(&mut coarser);
        Ok(coarser)
    }

    /// Position of the window's centre and, with the stride, size of the output: windows with
    /// another value look elsewhere.
    pub(super) fn centre(&self, axis: usize) -> isize {
        2 * self.padding[axis] as isize - self.extent()[axis] as isize
    }

    /// A zero map between the channels of `like`, with its stride.
    fn zero(
        like: &LinearConv,
        size: [usize; 2],
        padding: [usize; 2],
        dilation: [usize; 2],
        groups: usize,
    ) -> Result<Self> {
        let count = weights([like.outputs, like.inputs / groups, size[0], size[1]])?;
        let (inputs, outputs, stride) = (like.inputs, like.outputs, like.stride);
        let (kernel, bias) = (vec![0.0; count], vec![0.0; outputs]);
        Ok(LinearConv { inputs, outputs, size, kernel, bias, stride, padding, dilation, groups })
    }

    /// Adds this map to one whose groups are coarser or equal, and whose window is either of the
    /// same size and dilation or wider, centred alike and of dilation 1, axis by axis.
    fn add_into(&self, target: &mut LinearConv) {
        let (per_group, coarse) = (self.inputs / self.groups, target.inputs / target.groups);
        let place = |axis: usize, tap: usize| {
            let margin = target.padding[axis] - self.padding[axis];
            margin + tap * self.dilation[axis] / target.dilation[axis]
        };
        let rows: Vec<usize> = (0..self.size[0]).map(|tap| place(0, tap)).collect();
        let columns: Vec<usize> = (0..self.size[1]).map(|tap| place(1, tap)).collect();
        let (taps, wide) = (self.size[0] * self.size[1], target.size[0] * target.size[1]);
        for (index, source) in self.kernel.chunks_exact(taps).enumerate() {
            let (out, local) = (index / per_group, index % per_group);
            let input = out / (self.outputs / self.groups) * per_group + local;
            let first_input = out / (self.outputs / target.groups) * coarse;
            let block = &mut target.kernel[(out * coarse + input - first_input) * wide..][..wide];
            for (row, line) in rows.iter().zip(source.chunks_exact(self.size[1])) {
                for (column, value) in columns.iter().zip(line) {
                    block[row * target.size[1] + column] += value;
                }
            }
        }
        target.bias.iter_mut().zip(&self.bias).for_each(|(sum, bias)| *sum += bias);
    }
}
