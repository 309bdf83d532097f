use super::*;

/// 2D convolution with zero padding: `y = activation(conv(x) + bias [+ residual])`.
///
/// Inputs: `x`, and optionally the residual, which has the output's shape. Weight `[out,
/// in/groups, kh, kw]`. The pairs are (vertical, horizontal).
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Conv2d {
    /// `[out, in/groups, kh, kw]`.
    pub weight: ParamId,
    /// `[out]`.
    pub bias: Option<ParamId>,
    /// Step between windows.
    pub stride: [usize; 2],
    /// Zeros added on both sides.
    pub padding: [usize; 2],
    /// Distance between a window's taps.
    pub dilation: [usize; 2],
    /// Output channels of group g see only input channels of group g.
    pub groups: usize,
    /// Applied last.
    pub activation: Activation,
}

impl Conv2d {
    /// The largest kernel side, stride, padding and dilation: positions then fit 32-bit integers.
    pub const MAX_ATTRIBUTE: usize = 1 << 12;

    /// A convolution of stride 1 without padding, dilation, groups or activation.
    pub fn new(weight: ParamId, bias: Option<ParamId>) -> Self {
        let activation = Activation::None;
        Conv2d { weight, bias, stride: [1, 1], padding: [0, 0], dilation: [1, 1], groups: 1, activation }
    }

    /// The same with another stride in both directions.
    pub fn stride(self, stride: usize) -> Self {
        Conv2d { stride: [stride; 2], ..self }
    }

    /// The same with another padding, (vertical, horizontal).
    pub fn padding(self, padding: [usize; 2]) -> Self {
        Conv2d { padding, ..self }
    }

    /// The same in groups.
    pub fn groups(self, groups: usize) -> Self {
        Conv2d { groups, ..self }
    }

    /// Kernel size (vertical, horizontal).
    pub fn kernel(&self, params: &Params) -> [usize; 2] {
        let shape = params.shape(self.weight);
        [shape[2], shape[3]]
    }

    /// Whether every output channel reads exactly one input channel and every input channel makes
    /// exactly one output channel.
    pub fn is_depthwise(&self, params: &Params) -> bool {
        let shape = params.shape(self.weight);
        self.groups > 1 && shape[0] == self.groups && shape[1] == 1
    }
}

impl Operator for Conv2d {
    const NAME: &'static str = "conv2d";

    fn infer(&self, inputs: &[Shape], params: &Params) -> Result<Shape, String> {
        arity(inputs, 1..=2)?;
        let (x, weight) = (inputs[0], params.shape(self.weight));
        let &[out, per_group, kh, kw] = weight else {
            return Err(format!("weight has shape {weight:?}, expected [out, in/groups, kh, kw]"));
        };
        let groups = self.groups;
        if groups == 0 || x.channels % groups != 0 || out % groups != 0 || per_group != x.channels / groups {
            let channels = x.channels;
            return Err(format!("weight {weight:?} in {groups} groups does not fit {channels} input channels"));
        }
        if let Some(bias) = self.bias {
            param_shape(params, "bias", bias, &[out])?;
        }
        let attributes = [self.stride, self.padding, self.dilation];
        if attributes.iter().flatten().any(|a| *a > Self::MAX_ATTRIBUTE) {
            return Err(format!("stride, padding or dilation is over {}: {attributes:?}", Self::MAX_ATTRIBUTE));
        }
        if kh.max(kw) > Self::MAX_ATTRIBUTE {
            return Err(format!("a {kh}×{kw} kernel is over {} in a direction", Self::MAX_ATTRIBUTE));
        }
        let len = |axis: usize, input: usize, kernel: usize| {
            let (stride, padding, dilation) = (self.stride[axis], self.padding[axis], self.dilation[axis]);
            conv_len(input, kernel, stride, padding, dilation).filter(|_| kernel > 0 && dilation > 0).ok_or_else(|| {
                format!(
                    "a {kh}×{kw} window (stride {:?}, padding {:?}, dilation {:?}) does not fit {x}",
                    self.stride, self.padding, self.dilation
                )
            })
        };
        let shape = Shape::new(out, len(0, x.height, kh)?, len(1, x.width, kw)?);
        match inputs.get(1) {
            Some(residual) if *residual != shape => Err(format!("residual is {residual}, the output is {shape}")),
            _ => Ok(shape),
        }
    }

    fn params(&self) -> Vec<(&'static str, ParamId)> {
        [("weight", self.weight)].into_iter().chain(self.bias.map(|b| ("bias", b))).collect()
    }

    fn remap(&mut self, to: &mut dyn FnMut(ParamId) -> ParamId) {
        self.weight = to(self.weight);
        self.bias = self.bias.map(to);
    }

    fn macs(&self, _inputs: &[Shape], output: Shape, params: &Params) -> u64 {
        params.tensor(self.weight).len() as u64 * output.pixels() as u64
    }

    fn windows(&self, _inputs: &[Shape], params: &Params) -> Vec<Window> {
        let Conv2d { stride, dilation, groups, .. } = *self;
        vec![Window { kernel: self.kernel(params), stride, dilation, groups }]
    }

    fn reach(&self, params: &Params) -> [usize; 2] {
        let kernel = self.kernel(params);
        [0, 1].map(|axis| {
            let last = self.dilation[axis] * (kernel[axis] - 1);
            self.padding[axis].max(last.saturating_sub(self.padding[axis]))
        })
    }

    fn activation_mut(&mut self) -> Option<&mut Activation> {
        Some(&mut self.activation)
    }

    fn attributes(&self, params: &Params) -> String {
        let [kh, kw] = self.kernel(params);
        let mut text = format!(", {kh}×{kw}");
        let mut say = |what: &str, pair: [usize; 2], default: usize| {
            if pair != [default; 2] {
                text += &if pair[0] == pair[1] {
                    format!(", {what} {}", pair[0])
                } else {
                    format!(", {what} {}×{}", pair[0], pair[1])
                };
            }
        };
        say("stride", self.stride, 1);
        say("padding", self.padding, 0);
        say("dilation", self.dilation, 1);
        if self.groups > 1 {
            text += &format!(", groups {}", self.groups);
        }
        if self.bias.is_none() {
            text += ", no bias";
        }
        text + &self.activation.suffix()
    }
}
