// Packed weights, integers of 8 bits; each kernel says in which order. For each of four outputs a word with the
// weights of four inputs. In a texture whose rows of TEXTURE_WIDTH texels follow each other.
@group(0) @binding(1) var w: texture_2d<u32>;

fn w_block(i: u32) -> vec4<u32> {
    return textureLoad(w, vec2<u32>(i % TEXTURE_WIDTH, i / TEXTURE_WIDTH), 0);
}
