// Fully connected layer: y = activate(W · x + bias).
//
// Layout   x, y: [plane][batch] of vec4 (four channels). w: [out plane][in plane][in lane] of vec4
//          over the out plane's four channels. bias: [out plane].
// Grid     x: output planes, LANES invocations for each; y: samples. They take every LANES-th input
//          plane, then their sums are added in a tree: a thousand classes would otherwise fill a GPU
//          with only 250 invocations. LANES is WORKGROUP or one.

var<workgroup> partial: array<vec4<f32>, WORKGROUP>;

@compute @workgroup_size(WORKGROUP)
fn main(@builtin(workgroup_id) group: vec3<u32>, @builtin(local_invocation_index) lane: u32) {
    let plane = group.x * (WORKGROUP / LANES) + lane / LANES;
    var sum = vec4<f32>(0.0);
    if (plane < OUT_PLANES) {
        for (var p = lane % LANES; p < IN_PLANES; p += LANES) {
            let v = x_at((X_PLANE + p) * BATCH + group.y);
            let at = (plane * IN_PLANES + p) * 4u;
            sum += w_at(at) * v.x + w_at(at + 1u) * v.y + w_at(at + 2u) * v.z + w_at(at + 3u) * v.w;
        }
    }
    if (LANES > 1u) {
        partial[lane] = sum;
        for (var half = LANES / 2u; half > 0u; half /= 2u) {
            workgroupBarrier();
            if (lane < half) {
                partial[lane] += partial[lane + half];
            }
        }
        sum = partial[lane];
    }
    if (lane % LANES == 0u && plane < OUT_PLANES) {
        y_put(plane * BATCH + group.y, activate(scaled(plane, sum + bias_at(plane))));
    }
}
