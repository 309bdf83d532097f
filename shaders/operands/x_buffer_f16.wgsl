// Input activations: planes of four channels, [planes][batch · pixels]. 16-bit floats in a
// storage buffer.
@group(0) @binding(0) var<storage, read> x: array<vec2<u32>>;

fn x_at(i: u32) -> vec4<f32> {
    let v = x[i];
    return vec4<f32>(unpack2x16float(v.x), unpack2x16float(v.y));
}
