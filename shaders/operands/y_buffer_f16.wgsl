// Output activations: planes of four channels, [planes][batch · pixels]. 16-bit floats in a storage
// buffer; what they cannot hold becomes infinite.
@group(0) @binding(4) var<storage, read_write> y: array<vec2<u32>>;

// WGSL leaves open how pack2x16float rounds, and cutting off, as some drivers do, adds up in a deep
// network: so values are rounded here, half to even, and packed exactly; below 2⁻¹⁴, where 16-bit
// floats have fewer digits, by the driver to one of the two nearest. NaN, whose bits rounding may
// carry out of, stays as it is.
fn y_put(i: u32, v: vec4<f32>) {
    let bits = bitcast<vec4<u32>>(v);
    let odd = (bits >> vec4<u32>(13u)) & vec4<u32>(1u);
    let rounded = (bits + vec4<u32>(0xfffu) + odd) & vec4<u32>(0xffffe000u);
    let number = (bits & vec4<u32>(0x7fffffffu)) <= vec4<u32>(0x7f800000u);
    let kept = select(v, bitcast<vec4<f32>>(rounded), number);
    y[i] = vec2<u32>(pack2x16float(kept.xy), pack2x16float(kept.zw));
}
