use super::depthwise::Plane;
use super::*;

impl CpuKernel for ChunkConv {
    fn run(&self, inputs: &[&Tensor], shape: Shape, params: &Params) -> Tensor {
        let x = inputs[0];
        let pixels = shape.pixels();
        let chunk = shape.channels / 4;
        let [small, medium, wide, tall] = self.parts().map(|(_, part)| Plane::new(part, 1, extent(x), params));
        let mut out = output(batch(x), shape);
        parallel::for_each_piece(out.data_mut(), pixels, |plane, out| {
            let x = &x.data()[plane * pixels..(plane + 1) * pixels];
            let (part, channel) = (plane % shape.channels / chunk, plane % chunk);
            match part {
                0 => out.copy_from_slice(x),
                1 => small.run(channel, x, out),
                2 => medium.run(channel, x, out),
                _ => {
                    let mut between = vec![0.0; pixels];
                    wide.run(channel, x, &mut between);
                    tall.run(channel, &between, out);
                }
            }
        });
        out
    }
}
