use super::*;

impl Exact for Input {
    fn exact(&self, _inputs: &[&Value], _params: &Params) -> Value {
        unreachable!("the input is given")
    }
}

impl Exact for Activate {
    fn exact(&self, inputs: &[&Value], _params: &Params) -> Value {
        Value::from_fn(inputs[0].shape, |i| activated(self.0, inputs[0].at(i)))
    }
}

impl Exact for Add {
    fn exact(&self, inputs: &[&Value], _params: &Params) -> Value {
        Value::from_fn(inputs[0].shape, |i| activated(self.activation, inputs.iter().map(|x| x.at(i)).sum()))
    }
}

impl Exact for Scale {
    fn exact(&self, inputs: &[&Value], _params: &Params) -> Value {
        Value::from_fn(inputs[0].shape, |i| f64::from(self.factor) * inputs[0].at(i))
    }
}

impl Exact for Gate {
    fn exact(&self, inputs: &[&Value], _params: &Params) -> Value {
        let gated = |i: [usize; 4]| inputs[0].at(i) * inputs[1].at([i[0], i[1], 0, 0]);
        Value::from_fn(inputs[0].shape, |i| activated(self.activation, gated(i)))
    }
}

impl Exact for BatchNorm {
    fn exact(&self, inputs: &[&Value], params: &Params) -> Value {
        let [gamma, beta, mean, variance] =
            [self.gamma, self.beta, self.mean, self.variance].map(|id| values(params, id));
        Value::from_fn(inputs[0].shape, |i| {
            let c = i[1];
            let normal = (inputs[0].at(i) - mean[c]) / (variance[c] + f64::from(self.eps)).sqrt();
            activated(self.activation, gamma[c] * normal + beta[c])
        })
    }
}

impl Exact for AvgPool {
    fn exact(&self, inputs: &[&Value], _params: &Params) -> Value {
        let (x, k) = (inputs[0], self.kernel);
        let [n, c, h, w] = x.shape;
        let len = |input: usize| (input + 2 * self.padding - k) / self.stride + 1;
        Value::from_fn([n, c, len(h), len(w)], |[n, c, oy, ox]| {
            let at = |output: usize, tap: usize| (output * self.stride + tap) as isize - self.padding as isize;
            let window = (0..k).flat_map(|i| (0..k).map(move |j| (i, j)));
            window.map(|(i, j)| x.padded(n, c, at(oy, i), at(ox, j))).sum::<f64>() / (k * k) as f64
        })
    }
}

impl Exact for GlobalAvgPool {
    fn exact(&self, inputs: &[&Value], _params: &Params) -> Value {
        let [n, c, h, w] = inputs[0].shape;
        Value::from_fn([n, c, 1, 1], |[n, c, ..]| {
            let pixels = (0..h).flat_map(|y| (0..w).map(move |x| [n, c, y, x]));
            pixels.map(|i| inputs[0].at(i)).sum::<f64>() / (h * w) as f64
        })
    }
}

impl Exact for Linear {
    fn exact(&self, inputs: &[&Value], params: &Params) -> Value {
        let shape = params.tensor(self.weight).shape();
        let (out, features) = (shape[0], shape[1]);
        let weight = values(params, self.weight);
        let bias = self.bias.map_or(vec![0.0; out], |id| values(params, id));
        Value::from_fn([inputs[0].shape[0], out, 1, 1], |[n, o, ..]| {
            let products = (0..features).map(|f| weight[o * features + f] * inputs[0].at([n, f, 0, 0]));
            activated(self.activation, bias[o] + products.sum::<f64>())
        })
    }
}
