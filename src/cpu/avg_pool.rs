use super::*;

impl CpuKernel for AvgPool {
    fn run(&self, inputs: &[&Tensor], shape: Shape, _params: &Params) -> Tensor {
        let x = inputs[0];
        let [height, width] = extent(x);
        // What of the window at `position` lies within the map.
        let seen = |position: usize, len: usize| {
            let start = position * self.stride;
            let end = (start + self.kernel).saturating_sub(self.padding).min(len);
            start.saturating_sub(self.padding).min(end)..end
        };
        let mut out = output(batch(x), shape);
        parallel::for_each_piece(out.data_mut(), shape.pixels(), |plane, out| {
            let x = &x.data()[plane * height * width..(plane + 1) * height * width];
            for (i, mean) in out.iter_mut().enumerate() {
                let (rows, columns) = (seen(i / shape.width, height), seen(i % shape.width, width));
                let row = |y: usize| x[y * width..][columns.clone()].iter().map(|v| f64::from(*v)).sum::<f64>();
                // In f64, as for the global mean.
                *mean = (rows.map(row).sum::<f64>() * self.factor()) as f32;
            }
        });
        out
    }
}
