// Output sums of 32 bits: planes of four channels, [planes][batch · pixels]. In a storage buffer.
@group(0) @binding(4) var<storage, read_write> y: array<vec4<i32>>;

fn y_put(i: u32, v: vec4<i32>) {
    y[i] = v;
}
