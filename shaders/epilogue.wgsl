// store: what convolutions do with a finished sum. Adds the residual, if there is one, applies the
// activation and writes the result. A kernel defines OUT_PIXELS, the pixels of one output plane,
// batch included.

fn store(plane: u32, pixel: u32, sum: vec4<f32>) {
    var v = sum;
    if (HAS_RESIDUAL == 1u) {
        v += residual_at((RESIDUAL_PLANE + plane) * OUT_PIXELS + pixel);
    }
    y_put(plane * OUT_PIXELS + pixel, activate(v));
}
