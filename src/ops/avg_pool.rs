use super::*;

/// Mean over a square window of each channel, zeros outside the map counted in (PyTorch's
/// `AvgPool2d` with `count_include_pad`): C×H×W → C×H'×W'.
///
/// That is a depthwise convolution whose weights are all `1/kernel²`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct AvgPool {
    /// Rows and columns of the window.
    pub kernel: usize,
    /// Step between windows, in both directions.
    pub stride: usize,
    /// Zeros added on all sides.
    pub padding: usize,
}

impl AvgPool {
    /// Factor of the window's sum.
    pub fn factor(&self) -> f64 {
        (self.kernel as f64).powi(-2)
    }
}

impl Operator for AvgPool {
    const NAME: &'static str = "avg_pool";

    fn infer(&self, inputs: &[Shape], _params: &Params) -> Result<Shape, String> {
        arity(inputs, 1..=1)?;
        let (x, &AvgPool { kernel, stride, padding }) = (inputs[0], self);
        let most = Conv2d::MAX_ATTRIBUTE;
        if [kernel, stride, padding].iter().any(|a| *a > most) {
            return Err(format!("kernel {kernel}, stride {stride} or padding {padding} is over {most}"));
        }
        let len = |input| {
            conv_len(input, kernel, stride, padding, 1).ok_or_else(|| {
                format!("a {kernel}×{kernel} window (stride {stride}, padding {padding}) does not fit {x}")
            })
        };
        Ok(Shape::new(x.channels, len(x.height)?, len(x.width)?))
    }

    fn windows(&self, inputs: &[Shape], _params: &Params) -> Vec<Window> {
        let groups = inputs.first().map_or(1, |x| x.channels);
        vec![Window { kernel: [self.kernel; 2], stride: [self.stride; 2], dilation: [1; 2], groups }]
    }

    fn reach(&self, _params: &Params) -> [usize; 2] {
        [self.padding.max((self.kernel - 1).saturating_sub(self.padding)); 2]
    }

    fn attributes(&self, _params: &Params) -> String {
        format!(", {0}×{0}, stride {1}, padding {2}", self.kernel, self.stride, self.padding)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hostile_windows_are_refused() {
        let infer = |kernel, stride, padding| {
            AvgPool { kernel, stride, padding }.infer(&[Shape::new(3, 7, 8)], &Params::default())
        };
        assert_eq!(infer(3, 2, 1), Ok(Shape::new(3, 4, 4)));
        assert_eq!(infer(7, 1, 0), Ok(Shape::new(3, 1, 2)));
        for (kernel, stride, padding) in [(0, 1, 1), (3, 0, 1), (8, 1, 0)] {
            let message = infer(kernel, stride, padding).unwrap_err();
            assert!(message.contains("does not fit 3×7×8"), "{message}");
        }
        let huge = [4097, usize::MAX / 2, usize::MAX];
        for (kernel, stride, padding) in huge.into_iter().flat_map(|far| [(far, 1, 1), (3, far, 1), (3, 1, far)]) {
            let message = infer(kernel, stride, padding).unwrap_err();
            assert!(message.contains("is over 4096"), "{message}");
        }
    }
}
