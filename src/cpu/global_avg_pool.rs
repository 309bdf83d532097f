use super::*;

impl CpuKernel for GlobalAvgPool {
    fn run(&self, inputs: &[&Tensor], shape: Shape, _params: &Params) -> Tensor {
        let x = inputs[0];
        let mut out = output(batch(x), shape);
        let pixels: usize = extent(x).iter().product();
        for (mean, plane) in out.data_mut().iter_mut().zip(x.data().chunks(pixels)) {
            // In f64, for a sum over a large map would lose digits.
            *mean = (plane.iter().map(|v| f64::from(*v)).sum::<f64>() / pixels as f64) as f32;
        }
        out
    }
}
