// Input activations in a storage buffer: planes of four channels, [planes][batch · pixels].
@group(0) @binding(0) var<storage, read> x: array<vec4<f32>>;

fn x_at(i: u32) -> vec4<f32> {
    return x[i];
}
