// What belongs to the output channels of the weights, in f32 whatever they are stored in. Kernels start
// sums with bias_at(plane) and put scaled(plane, sum) in their place when all products are added.
//
// Layout   [plane] of vec4; where weights are bytes (WEIGHTS_SCALED is 1) [plane][bias / factor, factor],
//          so that (bias / factor + Σ q/127 · x) · factor is what the layer computes.
@group(0) @binding(7) var<storage, read> bias: array<vec4<f32>>;

fn bias_at(plane: u32) -> vec4<f32> {
    return bias[plane * (1u + WEIGHTS_SCALED)];
}

fn scaled(plane: u32, sum: vec4<f32>) -> vec4<f32> {
    if (WEIGHTS_SCALED == 1u) {
        return sum * bias[plane * 2u + 1u];
    }
    return sum;
}
