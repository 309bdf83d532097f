// What the epilogue adds: planes of four channels, [planes][batch · pixels]. In a texture whose rows of TEXTURE_WIDTH texels follow each other.
@group(0) @binding(3) var residual: texture_2d<f32>;

fn residual_at(i: u32) -> vec4<f32> {
    return textureLoad(residual, vec2<u32>(i % TEXTURE_WIDTH, i / TEXTURE_WIDTH), 0);
}
