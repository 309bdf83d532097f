// Integers of 8 bits of a second input, laid out as the first. Four to a word of a storage buffer.
@group(0) @binding(2) var<storage, read> x2: array<u32>;

fn x2_integers(i: u32) -> vec4<i32> {
    return unpack4xI8(x2[i]);
}
