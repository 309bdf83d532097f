// Packed weights; each kernel says in which order. In a storage buffer.
@group(0) @binding(1) var<storage, read> w: array<vec4<f32>>;

fn w_at(i: u32) -> vec4<f32> {
    return w[i];
}
