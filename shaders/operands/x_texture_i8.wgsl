// Input integers of 8 bits: planes of four channels, [planes][batch · pixels]. Four to a
// texel of a texture whose rows of TEXTURE_WIDTH texels follow each other.
@group(0) @binding(0) var x: texture_2d<u32>;

fn x_word(i: u32) -> u32 {
    return textureLoad(x, vec2<u32>(i % TEXTURE_WIDTH, i / TEXTURE_WIDTH), 0).x;
}

fn x_integers(i: u32) -> vec4<i32> {
    return unpack4xI8(x_word(i));
}
