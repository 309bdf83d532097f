// Mean over a square window of each channel; zeros outside the map count.
//
// Layout   x, y: [plane][batch][row][column] of vec4 (four channels).
// Grid     x: outputs of the batch; y: planes. One invocation for each: windows are small, and
//          neighbouring invocations read neighbouring columns.
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

    var sum = vec4<f32>(0.0);
    for (var row = max(top, PADDING); row < min(top + KERNEL, PADDING + IN_H); row++) {
        for (var column = max(left, PADDING); column < min(left + KERNEL, PADDING + IN_W); column++) {
            sum += x_at(map + (row - PADDING) * IN_W + column - PADDING);
        }
    }
    y_put(id.y * BATCH * OUT_H * OUT_W + id.x, sum / f32(KERNEL * KERNEL));
}
