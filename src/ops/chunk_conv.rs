use super::*;

/// Weights of one depthwise convolution, stride 1 or as its owner says, padding `(k−1)/2`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Depthwise {
    /// `[channels, 1, kh, kw]`, odd kernel sizes.
    pub weight: ParamId,
    /// `[channels]`.
    pub bias: ParamId,
}

impl Depthwise {
    /// Kernel size (vertical, horizontal).
    pub fn kernel(&self, params: &Params) -> [usize; 2] {
        let shape = params.shape(self.weight);
        [shape[2], shape[3]]
    }

    /// Its window; every channel is a group.
    pub(super) fn window(&self, stride: usize, params: &Params) -> Window {
        let groups = params.shape(self.weight)[0];
        Window { kernel: self.kernel(params), stride: [stride; 2], dilation: [1; 2], groups }
    }

    pub(super) fn check(&self, what: &str, channels: usize, params: &Params) -> Result<(), String> {
        let shape = params.shape(self.weight);
        let fits = matches!(shape, &[c, 1, kh, kw] if c == channels && kh % 2 == 1 && kw % 2 == 1);
        if !fits {
            return Err(format!("{what} weight has shape {shape:?}, expected [{channels}, 1, odd, odd]"));
        }
        if shape[2..].iter().any(|side| *side > Conv2d::MAX_ATTRIBUTE) {
            return Err(format!("{what} weight has shape {shape:?}, a kernel over {}", Conv2d::MAX_ATTRIBUTE));
        }
        param_shape(params, what, self.bias, &[channels])
    }

    pub(super) fn remap(&mut self, to: &mut dyn FnMut(ParamId) -> ParamId) {
        self.weight = to(self.weight);
        self.bias = to(self.bias);
    }
}

/// RepNeXt's token mixer in fused form (RepNeXt 3.2, `ChunkConv`): channels in four equal chunks,
/// `identity | small | medium | tall(wide(·))`.
///
/// `wide` and `tall` (1×11 then 11×1) both have a bias and the zero padding of `tall` applies
/// after the bias of `wide`, so the pair is not one 11×11 convolution.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct ChunkConv {
    /// Second chunk: 3×3.
    pub small: Depthwise,
    /// Third chunk: 7×7.
    pub medium: Depthwise,
    /// Fourth chunk, first convolution: 1×11.
    pub wide: Depthwise,
    /// Fourth chunk, second convolution: 11×1.
    pub tall: Depthwise,
}

impl ChunkConv {
    /// The four convolutions with their roles.
    pub fn parts(&self) -> [(&'static str, Depthwise); 4] {
        [("small", self.small), ("medium", self.medium), ("wide", self.wide), ("tall", self.tall)]
    }
}

impl Operator for ChunkConv {
    const NAME: &'static str = "chunk_conv";

    fn infer(&self, inputs: &[Shape], params: &Params) -> Result<Shape, String> {
        arity(inputs, 1..=1)?;
        let channels = inputs[0].channels;
        if !channels.is_multiple_of(4) {
            return Err(format!("{channels} channels cannot be split in four"));
        }
        for (what, part) in self.parts() {
            part.check(what, channels / 4, params)?;
        }
        let [small, medium, wide, tall] = self.parts().map(|(_, part)| part.kernel(params));
        if small[0] != small[1] || medium[0] != medium[1] || wide[0] != 1 || tall != [wide[1], 1] {
            return Err(format!(
                "its kernels are {small:?}, {medium:?}, {wide:?}, {tall:?}, expected k×k, k×k, 1×k, k×1"
            ));
        }
        Ok(inputs[0])
    }

    fn params(&self) -> Vec<(&'static str, ParamId)> {
        vec![
            ("small.weight", self.small.weight),
            ("small.bias", self.small.bias),
            ("medium.weight", self.medium.weight),
            ("medium.bias", self.medium.bias),
            ("wide.weight", self.wide.weight),
            ("wide.bias", self.wide.bias),
            ("tall.weight", self.tall.weight),
            ("tall.bias", self.tall.bias),
        ]
    }

    fn remap(&mut self, to: &mut dyn FnMut(ParamId) -> ParamId) {
        for part in [&mut self.small, &mut self.medium, &mut self.wide, &mut self.tall] {
            part.remap(to);
        }
    }

    fn macs(&self, _inputs: &[Shape], output: Shape, params: &Params) -> u64 {
        let taps: usize = self.parts().iter().map(|(_, part)| params.tensor(part.weight).len()).sum();
        taps as u64 * output.pixels() as u64
    }

    fn windows(&self, _inputs: &[Shape], params: &Params) -> Vec<Window> {
        self.parts().map(|(_, part)| part.window(1, params)).to_vec()
    }

    fn reach(&self, params: &Params) -> [usize; 2] {
        let kernels = self.parts().map(|(_, part)| part.kernel(params));
        [0, 1].map(|axis| kernels.iter().map(|kernel| kernel[axis] / 2).max().unwrap_or(0))
    }

    fn attributes(&self, params: &Params) -> String {
        let kernels = self.parts().map(|(_, part)| part.kernel(params).map(|k| k.to_string()).join("×"));
        format!(", identity | {} | {} | {}→{}", kernels[0], kernels[1], kernels[2], kernels[3])
    }
}
