// Output activations: planes of four channels, [planes][batch · pixels]. 16-bit floats in a texture
// whose rows of TEXTURE_WIDTH texels follow each other.
@group(0) @binding(4) var y: texture_storage_2d<rgba16float, write>;

// Texture units may round to nearest or towards zero, which in a deep network adds up: so values are
// rounded here, half to even, and stored exactly; below 2⁻¹⁴, where 16-bit floats have fewer digits,
// by the driver to one of the two nearest. NaN, whose bits rounding may carry out of, stays as it is.
fn y_put(i: u32, v: vec4<f32>) {
    let bits = bitcast<vec4<u32>>(v);
    let odd = (bits >> vec4<u32>(13u)) & vec4<u32>(1u);
    let rounded = (bits + vec4<u32>(0xfffu) + odd) & vec4<u32>(0xffffe000u);
    let number = (bits & vec4<u32>(0x7fffffffu)) <= vec4<u32>(0x7f800000u);
    let kept = select(v, bitcast<vec4<f32>>(rounded), number);
    textureStore(y, vec2<u32>(i % TEXTURE_WIDTH, i / TEXTURE_WIDTH), kept);
}
