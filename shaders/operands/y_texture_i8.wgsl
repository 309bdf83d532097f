// Output integers of 8 bits: planes of four channels, [planes][batch · pixels]. Four to a texel of a texture
// whose rows of TEXTURE_WIDTH texels follow each other.
@group(0) @binding(4) var y: texture_storage_2d<r32uint, write>;

fn y_put(i: u32, v: vec4<i32>) {
    textureStore(y, vec2<u32>(i % TEXTURE_WIDTH, i / TEXTURE_WIDTH), vec4<u32>(pack4xI8(v), 0u, 0u, 0u));
}
