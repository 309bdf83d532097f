// Mean of integers over a window; zeros outside the map count. The divisor is in the factor.
//
// Layout   x, y: [plane][batch][row][column] of four channels, a byte each.
//          factors: behind the header (multiplier, shift, 0, 0): arith.wgsl.
// Grid     x: outputs of the batch; y: planes. One invocation for each.
// Edges    Positions are counted from the padding's corner, so that none is negative; only those
//          within the map are visited.

@compute @workgroup_size(WORKGROUP)
fn main(@builtin(global_invocation_id) id: vec3<u32>) {
    if (id.x >= BATCH * OUT_H * OUT_W) {
        return;
    }
    let left = (id.x % OUT_W) * STRIDE;
    let top = (id.x / OUT_W) % OUT_H * STRIDE;
    let n = id.x / (OUT_W * OUT_H);
    let map = ((X_PLANE + id.y) * BATCH + n) * IN_H * IN_W;

    var sum = vec4<i32>(0);
    for (var row = max(top, PADDING); row < min(top + K_H, PADDING + IN_H); row++) {
        for (var column = max(left, PADDING); column < min(left + K_W, PADDING + IN_W); column++) {
            sum += x_integers(map + (row - PADDING) * IN_W + column - PADDING);
        }
    }
    let v = requantise(sum, vec4<i32>(factors[1].x), vec4<u32>(u32(factors[1].y)));
    y_put(id.y * BATCH * OUT_H * OUT_W + id.x, finished(v, 0u));
}
