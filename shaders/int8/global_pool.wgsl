// Mean of integers over whole maps. The divisor is in the factor.
//
// Layout   x: [plane][batch][pixel] of four channels, a byte each; y: [plane][batch].
//          factors: behind the header (multiplier, shift, 0, 0): arith.wgsl.
// Grid     x: planes; y: samples. One workgroup for each: its invocations take every WORKGROUP-th pixel, then
//          their sums are added in a tree.

var<workgroup> partial: array<vec4<i32>, WORKGROUP>;

@compute @workgroup_size(WORKGROUP)
fn main(@builtin(workgroup_id) group: vec3<u32>, @builtin(local_invocation_index) lane: u32) {
    let map = ((X_PLANE + group.x) * BATCH + group.y) * PIXELS;
    var sum = vec4<i32>(0);
    for (var p = lane; p < PIXELS; p += WORKGROUP) {
        sum += x_integers(map + p);
    }
    partial[lane] = sum;
    for (var half = WORKGROUP / 2u; half > 0u; half /= 2u) {
        workgroupBarrier();
        if (lane < half) {
            partial[lane] += partial[lane + half];
        }
    }
    if (lane == 0u) {
        let v = requantise(partial[0], vec4<i32>(factors[1].x), vec4<u32>(u32(factors[1].y)));
        y_put(group.x * BATCH + group.y, finished(v, 0u));
    }
}
