// Packed weights; each kernel says in which order. 16-bit floats in a
// storage buffer.
@group(0) @binding(1) var<storage, read> w: array<vec2<u32>>;

fn w_at(i: u32) -> vec4<f32> {
    let v = w[i];
    return vec4<f32>(unpack2x16float(v.x), unpack2x16float(v.y));
}
