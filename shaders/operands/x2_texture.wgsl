// A second input, laid out as the first. In a texture whose rows of TEXTURE_WIDTH texels follow each other.
@group(0) @binding(2) var x2: texture_2d<f32>;

fn x2_at(i: u32) -> vec4<f32> {
    return textureLoad(x2, vec2<u32>(i % TEXTURE_WIDTH, i / TEXTURE_WIDTH), 0);
}
