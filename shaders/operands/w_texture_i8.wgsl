// Packed weights, integers of 8 bits; each kernel says in which order. Four to a texel of a texture whose rows
// of TEXTURE_WIDTH texels follow each other.
@group(0) @binding(1) var w: texture_2d<u32>;

fn w_word(i: u32) -> u32 {
    return textureLoad(w, vec2<u32>(i % TEXTURE_WIDTH, i / TEXTURE_WIDTH), 0).x;
}
