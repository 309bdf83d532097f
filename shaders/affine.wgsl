// y = activate(scale · x + shift), per channel.
//
// Layout   x, y: [plane][pixel] of vec4 (four channels), PIXELS = batch · rows · columns.
//          w: [plane][scale, shift] of vec4.
// Grid     x: pixels; y: planes.

@compute @workgroup_size(WORKGROUP)
fn main(@builtin(global_invocation_id) id: vec3<u32>) {
    if (id.x < PIXELS) {
        let v = x_at((X_PLANE + id.y) * PIXELS + id.x);
        y_put(id.y * PIXELS + id.x, activate(w_at(id.y * 2u) * v + w_at(id.y * 2u + 1u)));
    }
}
