// Sum of two values: finish(round((x · m + x2 · m2) / 2^shift)). Longer sums are chains of these, in which all but
// the last leave sums of 32 bits (SUMS), which the next takes for its x.
//
// Layout   x, x2, y: [plane][pixel] of four channels, PIXELS = batch · rows · columns.
//          factors: behind the header (m, m2, shift, 0), then the table: arith.wgsl.
// Grid     x: pixels; y: planes.

@compute @workgroup_size(WORKGROUP)
fn main(@builtin(global_invocation_id) id: vec3<u32>) {
    if (id.x < PIXELS) {
        let blend = factors[1];
        let v = x_integers((X_PLANE + id.y) * PIXELS + id.x) * blend.x
            + x2_integers((X2_PLANE + id.y) * PIXELS + id.x) * blend.y;
        if (SUMS == 1u) {
            y_put(id.y * PIXELS + id.x, v);
        } else {
            y_put(id.y * PIXELS + id.x, finished(shift_round(v, vec4<u32>(u32(blend.z))), 2u));
        }
    }
}
