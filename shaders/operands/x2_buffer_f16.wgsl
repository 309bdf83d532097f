// A second input, laid out as the first. 16-bit floats in a
// storage buffer.
@group(0) @binding(2) var<storage, read> x2: array<vec2<u32>>;

fn x2_at(i: u32) -> vec4<f32> {
    let v = x2[i];
    return vec4<f32>(unpack2x16float(v.x), unpack2x16float(v.y));
}
