// Squeeze-and-excitation's last step: y = activate(x · gate), one gate per channel and sample.
//
// Layout   x, y: [plane][batch][pixel] of vec4 (four channels); gates: [plane][batch] of vec4.
// Grid     x: pixels of the batch; y: planes.

@group(0) @binding(1) var<storage, read> gates: array<vec4<f32>>;
@group(0) @binding(2) var<storage, read_write> y: array<vec4<f32>>;

@compute @workgroup_size(WORKGROUP)
fn main(@builtin(global_invocation_id) id: vec3<u32>) {
    if (id.x < BATCH * PIXELS) {
        let gate = gates[(GATE_PLANE + id.y) * BATCH + id.x / PIXELS];
        let v = x_at((X_PLANE + id.y) * BATCH * PIXELS + id.x);
        y[id.y * BATCH * PIXELS + id.x] = activate(v * gate);
    }
}
