// Output integers of 8 bits: planes of four channels, [planes][batch · pixels]. Four to a word of a storage
// buffer.
@group(0) @binding(4) var<storage, read_write> y: array<u32>;

fn y_put(i: u32, v: vec4<i32>) {
    y[i] = pack4xI8(v);
}
