// Packed weights; each kernel says in which order. In a texture whose rows of TEXTURE_WIDTH texels follow each other.
@group(0) @binding(1) var w: texture_2d<f32>;

fn w_at(i: u32) -> vec4<f32> {
    return textureLoad(w, vec2<u32>(i % TEXTURE_WIDTH, i / TEXTURE_WIDTH), 0);
}
