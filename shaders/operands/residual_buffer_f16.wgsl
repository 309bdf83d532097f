// What the epilogue adds: planes of four channels, [planes][batch · pixels]. 16-bit floats in a
// storage buffer.
@group(0) @binding(3) var<storage, read> residual: array<vec2<u32>>;

fn residual_at(i: u32) -> vec4<f32> {
    let v = residual[i];
    return vec4<f32>(unpack2x16float(v.x), unpack2x16float(v.y));
}
