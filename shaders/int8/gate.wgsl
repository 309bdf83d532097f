// Every channel times its gate: finish(round(x · gate · multiplier / 2^shift)).
//
// Layout   x, y: [plane][batch][pixel] of four channels, a byte each; x2: [plane][batch], the gates.
//          factors: behind the header (multiplier, shift, 0, 0), then the table: arith.wgsl.
// Grid     x: pixels of the batch; y: planes.

@compute @workgroup_size(WORKGROUP)
fn main(@builtin(global_invocation_id) id: vec3<u32>) {
    if (id.x < BATCH * PIXELS) {
        let gate = x2_integers((GATE_PLANE + id.y) * BATCH + id.x / PIXELS);
        let product = x_integers((X_PLANE + id.y) * BATCH * PIXELS + id.x) * gate;
        let factor = factors[1];
        let v = requantise(product, vec4<i32>(factor.x), vec4<u32>(u32(factor.y)));
        y_put(id.y * BATCH * PIXELS + id.x, finished(v, 2u));
    }
}
