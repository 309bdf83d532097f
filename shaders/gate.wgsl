// Squeeze-and-excitation's last step: y = activate(x · gate), one gate per channel and sample.
//
// Layout   x, y: [plane][batch][pixel] of vec4 (four channels); x2 (the gates): [plane][batch] of vec4.
// Grid     x: pixels of the batch; y: planes.

@compute @workgroup_size(WORKGROUP)
fn main(@builtin(global_invocation_id) id: vec3<u32>) {
    if (id.x < BATCH * PIXELS) {
        let gate = x2_at((GATE_PLANE + id.y) * BATCH + id.x / PIXELS);
        let v = x_at((X_PLANE + id.y) * BATCH * PIXELS + id.x);
        y_put(id.y * BATCH * PIXELS + id.x, activate(v * gate));
    }
}
