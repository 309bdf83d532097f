use super::*;
use proptest::prelude::{Just, Strategy, any as arbitrary, prop_oneof};

/// One convolution.
#[derive(Clone, Debug)]
pub struct ConvSpec {
    pub batch: usize,
    /// Channels, height and width of the input.
    pub input: [usize; 3],
    pub out: usize,
    pub kernel: [usize; 2],
    pub stride: [usize; 2],
    pub padding: [usize; 2],
    pub dilation: [usize; 2],
    pub groups: usize,
    pub bias: bool,
    pub residual: bool,
    pub activation: Activation,
}

impl ConvSpec {
    /// With bias, stride 1 and padding `(k − 1)/2`.
    pub fn new(batch: usize, input: [usize; 3], out: usize, kernel: [usize; 2]) -> Self {
        let padding = kernel.map(|k| (k - 1) / 2);
        let (stride, dilation, activation) = ([1, 1], [1, 1], Activation::None);
        let (groups, bias, residual) = (1, true, false);
        ConvSpec { batch, input, out, kernel, stride, padding, dilation, groups, bias, residual, activation }
    }

    fn depthwise(batch: usize, input: [usize; 3], kernel: [usize; 2]) -> Self {
        Self::new(batch, input, input[0], kernel).groups(input[0])
    }

    fn groups(self, groups: usize) -> Self {
        ConvSpec { groups, ..self }
    }

    fn stride(self, stride: [usize; 2]) -> Self {
        ConvSpec { stride, ..self }
    }

    fn padding(self, padding: [usize; 2]) -> Self {
        ConvSpec { padding, ..self }
    }

    fn dilation(self, dilation: [usize; 2]) -> Self {
        ConvSpec { dilation, ..self }
    }

    fn no_bias(self) -> Self {
        ConvSpec { bias: false, ..self }
    }

    fn residual(self) -> Self {
        ConvSpec { residual: true, ..self }
    }

    fn activation(self, activation: Activation) -> Self {
        ConvSpec { activation, ..self }
    }

    fn name(&self) -> String {
        let pair = |p: [usize; 2]| format!("{}x{}", p[0], p[1]);
        let [c, h, w] = self.input;
        let mut name = format!("conv2d {} n{} {c}x{h}x{w} to {}", pair(self.kernel), self.batch, self.out);
        for (what, value) in [("stride", self.stride), ("pad", self.padding), ("dilation", self.dilation)] {
            name += &format!(" {what} {}", pair(value));
        }
        name += &format!(" groups {} {}", self.groups, self.activation.name());
        let flags = [(self.bias, " bias"), (self.residual, " residual")];
        name + &flags.map(|(on, text)| if on { text } else { "" }).concat()
    }

    /// The case, if the window fits the input. The residual is another convolution of the input.
    pub fn case(&self) -> Result<Case> {
        let [c, h, w] = self.input;
        let mut b = Builder::new(self.name(), c, h, w);
        let mut inputs = vec![b.input()];
        if self.residual {
            let plain = ConvSpec { activation: Activation::None, ..self.clone() }.op(&mut b);
            let residual = b.try_add(plain, &inputs)?;
            inputs.push(residual);
        }
        let conv = self.op(&mut b);
        let conv = b.try_add(conv, &inputs)?;
        Ok(b.finish(conv, self.batch))
    }

    fn op(&self, b: &mut Builder) -> Conv2d {
        let ConvSpec { stride, padding, dilation, groups, activation, .. } = *self;
        let weight = b.weight(&[self.out, self.input[0] / groups, self.kernel[0], self.kernel[1]]);
        let bias = self.bias.then(|| b.bias(self.out));
        Conv2d { weight, bias, stride, padding, dilation, groups, activation }
    }
}

pub(super) fn cases() -> Vec<Case> {
    let specs = [dense(), grouped(), depthwise(), epilogues()];
    specs.iter().flatten().map(|spec| spec.case().expect("the window fits")).collect()
}

fn dense() -> Vec<ConvSpec> {
    let conv = ConvSpec::new;
    vec![
        conv(2, [3, 5, 7], 8, [3, 3]),
        conv(1, [4, 8, 12], 4, [3, 3]).no_bias(),
        conv(3, [5, 9, 6], 7, [3, 3]).stride([2, 2]),
        conv(1, [3, 33, 35], 16, [3, 3]).stride([2, 2]),
        conv(2, [16, 14, 14], 24, [3, 3]),
        conv(1, [20, 7, 7], 36, [3, 3]),
        conv(1, [6, 28, 30], 10, [3, 3]),
        // Deep: long sums.
        conv(1, [64, 6, 5], 48, [3, 3]),
        conv(2, [96, 3, 4], 17, [1, 1]),
        // 1×1
        conv(2, [6, 7, 5], 10, [1, 1]),
        conv(3, [8, 7, 7], 16, [1, 1]),
        conv(1, [13, 1, 9], 5, [1, 1]).no_bias(),
        conv(2, [6, 7, 5], 10, [1, 1]).stride([2, 2]),
        conv(1, [4, 6, 5], 9, [1, 1]).padding([1, 2]),
        // 1×1 maps
        conv(3, [7, 1, 1], 9, [1, 1]),
        conv(2, [5, 1, 1], 6, [3, 3]),
        conv(1, [1, 1, 1], 1, [1, 1]),
        // Single rows and columns
        conv(2, [4, 1, 11], 6, [3, 3]),
        conv(2, [4, 11, 1], 6, [3, 3]).stride([2, 2]),
        // Other kernels, strides, paddings, dilations
        conv(2, [3, 10, 13], 5, [7, 7]),
        conv(1, [3, 12, 9], 6, [5, 3]).stride([2, 1]),
        conv(1, [4, 9, 12], 4, [1, 7]).stride([1, 3]),
        conv(2, [4, 6, 7], 8, [2, 2]).padding([1, 1]).dilation([2, 2]),
        conv(1, [4, 9, 8], 6, [3, 3]).padding([2, 2]).dilation([2, 2]),
        conv(1, [3, 11, 10], 5, [3, 3]).padding([0, 3]).dilation([1, 3]).stride([2, 2]),
        conv(2, [3, 6, 5], 4, [3, 3]).padding([0, 0]),
        conv(1, [3, 4, 3], 4, [3, 3]).padding([4, 3]),
        conv(1, [2, 9, 8], 3, [4, 4]).stride([4, 4]).padding([0, 0]),
        conv(1, [2, 8, 9], 3, [6, 5]).padding([2, 1]),
    ]
}

fn grouped() -> Vec<ConvSpec> {
    let conv = ConvSpec::new;
    vec![
        conv(2, [8, 6, 7], 12, [3, 3]).groups(2),
        conv(1, [16, 7, 7], 16, [3, 3]).groups(4).stride([2, 2]),
        conv(3, [9, 5, 6], 6, [3, 3]).groups(3).no_bias(),
        conv(1, [28, 5, 4], 20, [3, 3]).groups(4),
        conv(2, [10, 6, 5], 15, [1, 1]).groups(5),
        conv(1, [32, 14, 13], 32, [3, 3]).groups(2),
        // Two outputs per input, and one output of two inputs
        conv(2, [6, 7, 5], 12, [3, 3]).groups(6).stride([2, 2]),
        conv(1, [10, 5, 7], 5, [3, 3]).groups(5),
    ]
}

fn depthwise() -> Vec<ConvSpec> {
    let conv = ConvSpec::depthwise;
    vec![
        conv(2, [5, 7, 9], [3, 3]),
        conv(1, [8, 14, 14], [3, 3]).no_bias(),
        conv(3, [6, 9, 6], [3, 3]).stride([2, 2]),
        conv(1, [10, 13, 11], [7, 7]),
        conv(2, [7, 10, 13], [7, 7]).stride([2, 2]),
        conv(1, [3, 15, 12], [11, 11]),
        conv(2, [6, 8, 13], [1, 11]),
        conv(2, [6, 13, 8], [11, 1]),
        conv(1, [5, 3, 2], [7, 7]),
        conv(3, [9, 1, 1], [3, 3]),
        conv(1, [4, 6, 9], [2, 2]).padding([1, 1]).dilation([2, 2]),
        conv(1, [4, 11, 9], [3, 3]).padding([3, 2]).dilation([3, 2]).stride([2, 3]),
        conv(2, [4, 6, 5], [1, 1]),
        conv(1, [6, 29, 31], [5, 5]),
    ]
}

/// Every activation, with and without residual, in each of the ways to convolve.
fn epilogues() -> Vec<ConvSpec> {
    let mut specs = Vec::new();
    for (i, activation) in Activation::ALL.into_iter().enumerate() {
        specs.push(ConvSpec::new(2, [6, 5, 7], 9, [3, 3]).residual().activation(activation));
        specs.push(ConvSpec::new(1, [7, 4, 5], 10, [1, 1]).residual().activation(activation));
        specs.push(ConvSpec::depthwise(2, [6, 7, 5], [3, 3]).residual().activation(activation));
        if i > 0 {
            specs.push(ConvSpec::new(1, [5, 6, 7], 6, [3, 3]).stride([2, 2]).activation(activation));
            specs.push(ConvSpec::new(2, [8, 5, 3], 6, [1, 1]).activation(activation));
            specs.push(ConvSpec::depthwise(1, [5, 6, 9], [7, 7]).no_bias().activation(activation));
        }
    }
    specs.push(ConvSpec::new(2, [8, 6, 5], 8, [3, 3]).groups(2).residual().activation(Activation::Relu));
    specs
}

/// Any small convolution; some do not fit their input.
pub fn any() -> impl Strategy<Value = ConvSpec> {
    let pair = |range: std::ops::Range<usize>| [range.clone(), range];
    let sizes = (1usize..4, 1usize..14, 1usize..14, 1usize..6);
    let channels = prop_oneof![(1usize..7, 1usize..7), Just((1, 1))];
    let steps = (pair(1..6), pair(1..4), pair(0..5), pair(1..4));
    let epilogue = (arbitrary::<bool>(), arbitrary::<bool>(), proptest::sample::select(&Activation::ALL[..]));
    (sizes, channels, steps, epilogue).prop_map(|(sizes, (depth, out), steps, epilogue)| {
        let (batch, height, width, groups) = sizes;
        let (kernel, stride, padding, dilation) = steps;
        let (bias, residual, activation) = epilogue;
        let (input, out) = ([depth * groups, height, width], out * groups);
        ConvSpec { batch, input, out, kernel, stride, padding, dilation, groups, bias, residual, activation }
    })
}
