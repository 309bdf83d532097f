// Mean over all pixels of each channel.
//
// Layout   x: [plane][batch][pixel] of vec4 (four channels); y: [plane][batch] of vec4.
// Grid     x: planes, LANES invocations for each; y: samples. They add up every LANES-th pixel, then
//          their sums are added in a tree. LANES is WORKGROUP or one.

var<workgroup> partial: array<vec4<f32>, WORKGROUP>;

@compute @workgroup_size(WORKGROUP)
fn main(@builtin(workgroup_id) group: vec3<u32>, @builtin(local_invocation_index) lane: u32) {
    let plane = group.x * (WORKGROUP / LANES) + lane / LANES;
    var sum = vec4<f32>(0.0);
    if (plane < PLANES) {
        let map = ((X_PLANE + plane) * BATCH + group.y) * PIXELS;
        for (var i = lane % LANES; i < PIXELS; i += LANES) {
            sum += x_at(map + i);
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
    if (lane % LANES == 0u && plane < PLANES) {
        y_put(plane * BATCH + group.y, sum / f32(PIXELS));
    }
}
