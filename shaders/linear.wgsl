// Fully connected layer: y = activate(W · x + bias).
//
// Layout   x, y: [plane][batch] of vec4 (four channels). w: [out plane][in plane][in lane] of vec4
//          over the out plane's four channels. bias: [out plane].
// Grid     x: output planes; y: samples. One workgroup for each: its invocations take every
//          WORKGROUP-th input plane, then their sums are added in a tree. A thousand classes would
//          otherwise fill a GPU with only 250 invocations.

var<workgroup> partial: array<vec4<f32>, WORKGROUP>;

@compute @workgroup_size(WORKGROUP)
fn main(@builtin(workgroup_id) group: vec3<u32>, @builtin(local_invocation_index) lane: u32) {
    var sum = vec4<f32>(0.0);
    for (var p = lane; p < IN_PLANES; p += WORKGROUP) {
        let v = x_at((X_PLANE + p) * BATCH + group.y);
        let at = (group.x * IN_PLANES + p) * 4u;
        sum += w_at(at) * v.x + w_at(at + 1u) * v.y + w_at(at + 2u) * v.z + w_at(at + 3u) * v.w;
    }
    partial[lane] = sum;
    for (var half = WORKGROUP / 2u; half > 0u; half /= 2u) {
        workgroupBarrier();
        if (lane < half) {
            partial[lane] += partial[lane + half];
        }
    }
    if (lane == 0u) {
        y_put(group.x * BATCH + group.y, activate(scaled(group.x, partial[0] + bias_at(group.x))));
    }
}
