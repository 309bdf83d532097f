// Integers of 8 bits that the epilogue adds: planes of four channels, [planes][batch · pixels]. Four to a
// texel of a texture whose rows of TEXTURE_WIDTH texels follow each other.
@group(0) @binding(3) var residual: texture_2d<u32>;

fn residual_integers(i: u32) -> vec4<i32> {
    return unpack4xI8(textureLoad(residual, vec2<u32>(i % TEXTURE_WIDTH, i / TEXTURE_WIDTH), 0).x);
}
