// Integers of 8 bits of a second input, laid out as the first. Four to a
// texel of a texture whose rows of TEXTURE_WIDTH texels follow each other.
@group(0) @binding(2) var x2: texture_2d<u32>;

fn x2_integers(i: u32) -> vec4<i32> {
    return unpack4xI8(textureLoad(x2, vec2<u32>(i % TEXTURE_WIDTH, i / TEXTURE_WIDTH), 0).x);
}
