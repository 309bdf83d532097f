// A factor and an offset per channel: finish(round((x · multiplier + offset) / 2^shift)).
//
// Layout   x, y: [plane][pixel] of four channels, a byte each, PIXELS = batch · rows · columns.
//          factors: behind the header for each plane multiplier, offset, shift, then the table: arith.wgsl.
// Grid     x: pixels; y: planes.

@compute @workgroup_size(WORKGROUP)
fn main(@builtin(global_invocation_id) id: vec3<u32>) {
    if (id.x < PIXELS) {
        let at = 1u + id.y * 3u;
        let v = x_integers((X_PLANE + id.y) * PIXELS + id.x) * factors[at] + factors[at + 1u];
        y_put(id.y * PIXELS + id.x, finished(shift_round(v, bitcast<vec4<u32>>(factors[at + 2u])), 1u + PLANES * 3u));
    }
}
