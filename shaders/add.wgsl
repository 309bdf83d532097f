// y = activate(x + x2).
//
// Layout   x, x2, y: [plane][pixel] of vec4 (four channels), PIXELS = batch · rows · columns.
// Grid     x: pixels; y: planes.

@group(0) @binding(1) var<storage, read> x2: array<vec4<f32>>;
@group(0) @binding(2) var<storage, read_write> y: array<vec4<f32>>;

@compute @workgroup_size(WORKGROUP)
fn main(@builtin(global_invocation_id) id: vec3<u32>) {
    if (id.x < PIXELS) {
        let v = x_at((X_PLANE + id.y) * PIXELS + id.x) + x2[(X2_PLANE + id.y) * PIXELS + id.x];
        y[id.y * PIXELS + id.x] = activate(v);
    }
}
