// A camera's frame to RGBA8: one entry point for each layout of frame.rs.
//
// Layout   bytes: the frame as it came, four bytes a word. picture: one texel a pixel.
// Grid     x: columns, y: rows.
//
// The texture is both drawn and classified, so a frame goes to the GPU once, as small as the camera sent it.

@group(0) @binding(0) var<storage, read> bytes: array<u32>;
@group(0) @binding(1) var picture: texture_storage_2d<rgba8unorm, write>;

fn byte(at: u32) -> f32 {
    return f32((bytes[at / 4u] >> (8u * (at % 4u))) & 255u);
}

fn put(id: vec3<u32>, rgb: vec3<f32>) {
    textureStore(picture, vec2<i32>(id.xy), vec4<f32>(rgb / 255.0, 1.0));
}

// BT.601, from 16–235 (luma) and 16–240 (differences) to 0–255; frame.rs has the same numbers.
fn rgb_of(y: f32, u: f32, v: f32) -> vec3<f32> {
    let luma = 1.1643836 * (y - 16.0);
    let blue = u - 128.0;
    let red = v - 128.0;
    let rgb = vec3<f32>(luma + 1.5960268 * red, luma - 0.3917623 * blue - 0.8129676 * red, luma + 2.0172321 * blue);
    return clamp(round(rgb), vec3<f32>(0.0), vec3<f32>(255.0));
}

@compute @workgroup_size(8, 8)
fn rgb(@builtin(global_invocation_id) id: vec3<u32>) {
    let size = textureDimensions(picture);
    if (any(id.xy >= size)) {
        return;
    }
    let at = 3u * (id.y * size.x + id.x);
    put(id, vec3<f32>(byte(at), byte(at + 1u), byte(at + 2u)));
}

@compute @workgroup_size(8, 8)
fn bgr(@builtin(global_invocation_id) id: vec3<u32>) {
    let size = textureDimensions(picture);
    if (any(id.xy >= size)) {
        return;
    }
    let at = 3u * (id.y * size.x + id.x);
    put(id, vec3<f32>(byte(at + 2u), byte(at + 1u), byte(at)));
}

@compute @workgroup_size(8, 8)
fn gray(@builtin(global_invocation_id) id: vec3<u32>) {
    let size = textureDimensions(picture);
    if (any(id.xy >= size)) {
        return;
    }
    put(id, vec3<f32>(byte(id.y * size.x + id.x)));
}

@compute @workgroup_size(8, 8)
fn yuyv(@builtin(global_invocation_id) id: vec3<u32>) {
    let size = textureDimensions(picture);
    if (any(id.xy >= size)) {
        return;
    }
    let pair = 4u * (id.y * (size.x / 2u) + id.x / 2u);
    put(id, rgb_of(byte(pair + 2u * (id.x % 2u)), byte(pair + 1u), byte(pair + 3u)));
}

@compute @workgroup_size(8, 8)
fn nv12(@builtin(global_invocation_id) id: vec3<u32>) {
    let size = textureDimensions(picture);
    if (any(id.xy >= size)) {
        return;
    }
    let pair = size.x * size.y + id.y / 2u * size.x + id.x / 2u * 2u;
    put(id, rgb_of(byte(id.y * size.x + id.x), byte(pair), byte(pair + 1u)));
}
