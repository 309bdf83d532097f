// Packed weights, integers of 8 bits; each kernel says in which order. For each of four outputs a word with the
// weights of four inputs. In a storage buffer.
@group(0) @binding(1) var<storage, read> w: array<vec4<u32>>;

fn w_block(i: u32) -> vec4<u32> {
    return w[i];
}
