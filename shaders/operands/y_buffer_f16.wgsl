// Output activations: planes of four channels, [planes][batch · pixels]. 16-bit floats in a storage
// buffer; what they cannot hold becomes infinite.
@group(0) @binding(4) var<storage, read_write> y: array<vec2<u32>>;

fn y_put(i: u32, v: vec4<f32>) {
    y[i] = vec2<u32>(pack2x16float(v.xy), pack2x16float(v.zw));
}
