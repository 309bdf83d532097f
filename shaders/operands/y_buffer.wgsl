// Output activations: planes of four channels, [planes][batch · pixels]. In a storage buffer.
@group(0) @binding(4) var<storage, read_write> y: array<vec4<f32>>;

fn y_put(i: u32, v: vec4<f32>) {
    y[i] = v;
}
