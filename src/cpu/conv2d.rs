use super::depthwise::{PlaneConv, Window};
use super::*;

impl CpuKernel for Conv2d {
    /// Depthwise convolutions go plane by plane, everything else is a matrix product per group.
    fn run(&self, inputs: &[&Tensor], shape: Shape, params: &Params) -> Tensor {
        match self.plane_conv(extent(inputs[0]), shape, params) {
            Some(conv) => self.run_depthwise(&conv, inputs, shape, params),
            None => dense::run(self, inputs, shape, params),
        }
    }
}

impl Conv2d {
    fn plane_conv(&self, input: [usize; 2], shape: Shape, params: &Params) -> Option<PlaneConv> {
        let Conv2d { stride, padding, dilation, .. } = *self;
        let window = Window { kernel: self.kernel(params), stride, padding, dilation };
        let output = [shape.height, shape.width];
        let fits = self.is_depthwise(params) && window.is_modest(input, output);
        fits.then(|| PlaneConv::new(window, input, output))
    }

    fn run_depthwise(&self, conv: &PlaneConv, inputs: &[&Tensor], shape: Shape, params: &Params) -> Tensor {
        let (x, weight) = (inputs[0].data(), params.tensor(self.weight).data());
        let bias = self.bias.map(|id| params.tensor(id).data());
        let taps = weight.len() / shape.channels;
        let pixels = shape.pixels();
        let plane_len = inputs[0].len() / (batch(inputs[0]) * shape.channels);
        let mut out = output(batch(inputs[0]), shape);
        parallel::for_each_piece(out.data_mut(), pixels, |plane, out| {
            let channel = plane % shape.channels;
            let x = &x[plane * plane_len..(plane + 1) * plane_len];
            conv.run(x, &weight[channel * taps..(channel + 1) * taps], out);
            let residual = inputs.get(1).map(|r| &r.data()[plane * pixels..(plane + 1) * pixels]);
            epilogue::finish(out, bias.map_or(0.0, |b| b[channel]), residual, self.activation);
        });
        out
    }
}
