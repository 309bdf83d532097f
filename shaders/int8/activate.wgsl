// An activation of integers, looked up.
//
// Layout   x, y: [plane][pixel] of four channels, a byte each, PIXELS = batch · rows · columns.
//          factors: behind the header the table: arith.wgsl.
// Grid     x: pixels; y: planes.

@compute @workgroup_size(WORKGROUP)
fn main(@builtin(global_invocation_id) id: vec3<u32>) {
    if (id.x < PIXELS) {
        y_put(id.y * PIXELS + id.x, finished(x_integers((X_PLANE + id.y) * PIXELS + id.x), 1u));
    }
}
