use super::depthwise::Plane;
use super::*;

impl CpuKernel for CopyConv {
    fn run(&self, inputs: &[&Tensor], shape: Shape, params: &Params) -> Tensor {
        let x = inputs[0];
        let channels = shape.channels / 2;
        let len = x.len() / (batch(x) * channels);
        let [small, medium] = [self.small, self.medium].map(|part| Plane::new(part, Self::STRIDE, extent(x), params));
        let mut out = output(batch(x), shape);
        parallel::for_each_piece(out.data_mut(), shape.pixels(), |plane, out| {
            let (sample, channel) = (plane / shape.channels, plane % shape.channels);
            let source = sample * channels + channel % channels;
            let part = if channel < channels { &small } else { &medium };
            part.run(channel % channels, &x.data()[source * len..(source + 1) * len], out);
        });
        out
    }
}
