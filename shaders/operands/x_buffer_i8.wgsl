// Input integers of 8 bits: planes of four channels, [planes][batch · pixels]. Four to a word of a storage buffer.
@group(0) @binding(0) var<storage, read> x: array<u32>;

fn x_word(i: u32) -> u32 {
    return x[i];
}

fn x_integers(i: u32) -> vec4<i32> {
    return unpack4xI8(x_word(i));
}
