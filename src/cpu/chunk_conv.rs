use super::depthwise::Plane;
use super::*;

impl CpuKernel for ChunkConv {
    fn run(&self, inputs: &[&Tensor], shape: Shape, params: &Params) -> Tensor {
        self.run_between(inputs[0], shape, params, &mut |_| {})
    }
}

impl ChunkConv {
    /// As [`CpuKernel::run`]; `visit` sees the value between `wide` and `tall`, `[n, c/4, h, w]`, and
    /// may change it.
    pub(super) fn run_between(
        &self,
        x: &Tensor,
        shape: Shape,
        params: &Params,
        visit: &mut dyn FnMut(&mut Tensor),
    ) -> Tensor {
        let pixels = shape.pixels();
        let chunk = shape.channels / 4;
        let [small, medium, wide, tall] = self.parts().map(|(_, part)| Plane::new(part, 1, extent(x), params));
        let plane_of = |plane: usize| &x.data()[plane * pixels..(plane + 1) * pixels];
        let mut between = output(batch(x), Shape { channels: chunk, ..shape });
        parallel::for_each_piece(between.data_mut(), pixels, |plane, out| {
            let (sample, channel) = (plane / chunk, plane % chunk);
            wide.run(channel, plane_of(sample * shape.channels + 3 * chunk + channel), out);
        });
        visit(&mut between);
        let mut out = output(batch(x), shape);
        parallel::for_each_piece(out.data_mut(), pixels, |plane, out| {
            let (sample, part, channel) = (plane / shape.channels, plane % shape.channels / chunk, plane % chunk);
            match part {
                0 => out.copy_from_slice(plane_of(plane)),
                1 => small.run(channel, plane_of(plane), out),
                2 => medium.run(channel, plane_of(plane), out),
                _ => {
                    let start = (sample * chunk + channel) * pixels;
                    tall.run(channel, &between.data()[start..start + pixels], out);
                }
            }
        });
        out
    }
}
