// Input sums of 32 bits: planes of four channels, [planes][batch · pixels]. In a storage buffer.
@group(0) @binding(0) var<storage, read> x: array<vec4<i32>>;

fn x_integers(i: u32) -> vec4<i32> {
    return x[i];
}
