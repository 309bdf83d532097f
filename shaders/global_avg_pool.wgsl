// Mean over all pixels of each channel.
//
// Layout   x: [plane][batch][pixel] of vec4 (four channels); y: [plane][batch] of vec4.
// Grid     x: planes; y: samples. One workgroup for each: its invocations add up every WORKGROUP-th
//          pixel, then their sums are added in a tree.

var<workgroup> partial: array<vec4<f32>, WORKGROUP>;

@compute @workgroup_size(WORKGROUP)
fn main(@builtin(workgroup_id) group: vec3<u32>, @builtin(local_invocation_index) lane: u32) {
    let map = ((X_PLANE + group.x) * BATCH + group.y) * PIXELS;
    var sum = vec4<f32>(0.0);
    for (var i = lane; i < PIXELS; i += WORKGROUP) {
        sum += x_at(map + i);
    }
    partial[lane] = sum;
    for (var half = WORKGROUP / 2u; half > 0u; half /= 2u) {
        workgroupBarrier();
        if (lane < half) {
            partial[lane] += partial[lane + half];
        }
    }
    if (lane == 0u) {
        y_put(group.x * BATCH + group.y, partial[0] / f32(PIXELS));
    }
}
