// y = activate(x + x2).
//
// Layout   x, x2, y: [plane][pixel] of vec4 (four channels), PIXELS = batch · rows · columns.
// Grid     x: pixels; y: planes.

@compute @workgroup_size(WORKGROUP)
fn main(@builtin(global_invocation_id) id: vec3<u32>) {
    if (id.x < PIXELS) {
        let v = x_at((X_PLANE + id.y) * PIXELS + id.x) + x2_at((X2_PLANE + id.y) * PIXELS + id.x);
        y_put(id.y * PIXELS + id.x, activate(v));
    }
}
