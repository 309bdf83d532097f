// Integers of 8 bits that the epilogue adds: planes of four channels, [planes][batch · pixels]. Four to a word of a storage buffer.
@group(0) @binding(3) var<storage, read> residual: array<u32>;

fn residual_integers(i: u32) -> vec4<i32> {
    return unpack4xI8(residual[i]);
}
