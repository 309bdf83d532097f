// Integers to floats: each times its channel's factor.
//
// Layout   x: [plane][pixel] of four channels, bytes or sums of 32 bits, PIXELS = batch · rows · columns; y: the
//          same as vec4. factors: [plane], the bits of floats.
// Grid     x: pixels; y: planes.

@group(0) @binding(7) var<storage, read> factors: array<vec4<i32>>;

// Rounded once. WGSL leaves open how integers of more than 24 bits are rounded, but not how a sum is.
fn floats(v: vec4<i32>) -> vec4<f32> {
    return vec4<f32>(v >> vec4<u32>(16u)) * 65536.0 + vec4<f32>(v & vec4<i32>(0xffff));
}

@compute @workgroup_size(WORKGROUP)
fn main(@builtin(global_invocation_id) id: vec3<u32>) {
    if (id.x < PIXELS) {
        let v = floats(x_integers((X_PLANE + id.y) * PIXELS + id.x));
        y_put(id.y * PIXELS + id.x, v * bitcast<vec4<f32>>(factors[id.y]));
    }
}
