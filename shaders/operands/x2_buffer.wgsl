// A second input, laid out as the first. In a storage buffer.
@group(0) @binding(2) var<storage, read> x2: array<vec4<f32>>;

fn x2_at(i: u32) -> vec4<f32> {
    return x2[i];
}
