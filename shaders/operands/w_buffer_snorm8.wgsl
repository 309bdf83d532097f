// Packed weights; each kernel says in which order. Signed bytes q in a storage buffer, read as q / 127;
// what they lack is the factor of their output channel, which scaled() knows (bias.wgsl).
@group(0) @binding(1) var<storage, read> w: array<u32>;

fn w_at(i: u32) -> vec4<f32> {
    return unpack4x8snorm(w[i]);
}
