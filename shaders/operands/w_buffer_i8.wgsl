// Packed weights, integers of 8 bits; each kernel says in which order. Four to a word of a storage buffer.
@group(0) @binding(1) var<storage, read> w: array<u32>;

fn w_word(i: u32) -> u32 {
    return w[i];
}
