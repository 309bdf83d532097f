use super::*;

/// RepNeXt's downsampling token mixer in fused form (RepNeXt 3.2, `CopyConv`): two depthwise
/// convolutions of stride 2 over the same input, concatenated: C → 2C.
///
/// Output channel `o` reads input channel `o mod C`; a convolution in C groups would read `o div 2`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct CopyConv {
    /// First half of the output: 3×3.
    pub small: Depthwise,
    /// Second half of the output: 7×7.
    pub medium: Depthwise,
}

impl CopyConv {
    /// Step between windows, in both directions.
    pub const STRIDE: usize = 2;
}

impl Operator for CopyConv {
    const NAME: &'static str = "copy_conv";

    fn infer(&self, inputs: &[Shape], params: &Params) -> Result<Shape, String> {
        arity(inputs, 1..=1)?;
        let x = inputs[0];
        self.small.check("small", x.channels, params)?;
        self.medium.check("medium", x.channels, params)?;
        let [small, medium] = [self.small, self.medium].map(|part| part.kernel(params));
        if small[0] != small[1] || medium[0] != medium[1] {
            return Err(format!("its kernels are {small:?} and {medium:?}, expected square ones"));
        }
        Ok(Shape::new(2 * x.channels, x.height.div_ceil(2), x.width.div_ceil(2)))
    }

    fn params(&self) -> Vec<(&'static str, ParamId)> {
        vec![
            ("small.weight", self.small.weight),
            ("small.bias", self.small.bias),
            ("medium.weight", self.medium.weight),
            ("medium.bias", self.medium.bias),
        ]
    }

    fn remap(&mut self, to: &mut dyn FnMut(ParamId) -> ParamId) {
        self.small.remap(to);
        self.medium.remap(to);
    }

    fn macs(&self, _inputs: &[Shape], output: Shape, params: &Params) -> u64 {
        let taps = params.tensor(self.small.weight).len() + params.tensor(self.medium.weight).len();
        taps as u64 * output.pixels() as u64
    }

    fn windows(&self, _inputs: &[Shape], params: &Params) -> Vec<Window> {
        [self.small, self.medium].map(|part| part.window(Self::STRIDE, params)).to_vec()
    }

    fn reach(&self, params: &Params) -> [usize; 2] {
        let [small, medium] = [self.small, self.medium].map(|part| part.kernel(params));
        [0, 1].map(|axis| (small[axis] / 2).max(medium[axis] / 2))
    }

    fn attributes(&self, params: &Params) -> String {
        let [small, medium] = [self.small, self.medium].map(|p| p.kernel(params).map(|k| k.to_string()).join("×"));
        format!(", {small} | {medium}, stride {}", Self::STRIDE)
    }
}
