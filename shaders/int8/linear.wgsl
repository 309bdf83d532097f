// Fully connected layer of integers, also 1×1 convolutions of few pixels.
//
// Layout   x, residual, y: [plane][pixel] of four channels, a byte each; y may be sums of 32 bits.
//          w: [out plane][in plane]: for each of the out plane's four channels a word with the weights of the in
//          plane's four. factors: arith.wgsl, ending.wgsl.
// Grid     x: output planes; y: pixels. One workgroup for each: its invocations take every WORKGROUP-th input
//          plane, then their sums are added in a tree.

const OUT_PIXELS: u32 = PIXELS;
const FACTOR_PLANES: u32 = OUT_PLANES;

var<workgroup> partial: array<vec4<i32>, WORKGROUP>;

@compute @workgroup_size(WORKGROUP)
fn main(@builtin(workgroup_id) group: vec3<u32>, @builtin(local_invocation_index) lane: u32) {
    var sum = vec4<i32>(0);
    for (var p = lane; p < IN_PLANES; p += WORKGROUP) {
        sum += products(w_block(group.x * IN_PLANES + p), x_word((X_PLANE + p) * PIXELS + group.y));
    }
    partial[lane] = sum;
    for (var half = WORKGROUP / 2u; half > 0u; half /= 2u) {
        workgroupBarrier();
        if (lane < half) {
            partial[lane] += partial[lane + half];
        }
    }
    if (lane == 0u) {
        y_put(group.x * PIXELS + group.y, ended(group.x, group.y, partial[0] + bias_at(group.x)));
    }
}
