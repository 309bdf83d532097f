// Output activations: planes of four channels, [planes][batch · pixels]. 16-bit floats in a texture
// whose rows of TEXTURE_WIDTH texels follow each other.
@group(0) @binding(4) var y: texture_storage_2d<rgba16float, write>;

fn y_put(i: u32, v: vec4<f32>) {
    textureStore(y, vec2<u32>(i % TEXTURE_WIDTH, i / TEXTURE_WIDTH), v);
}
