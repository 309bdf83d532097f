// RepNeXt's downsampling token mixer: two depthwise convolutions of stride 2 over the same input,
// SMALL×SMALL into the first half of the output's planes, MEDIUM×MEDIUM into the second.
//
// Layout   x: [plane][batch][row][column] of vec4, HALF_PLANES planes; y: the same, twice as many
//          planes. w: for each of the two convolutions [plane][ky][kx] of vec4. bias: for each
//          [plane].
// Grid     x: tiles of TILE_PIXELS neighbouring outputs of one row, all rows of the batch;
//          y: output planes. The half depends on the plane alone: a uniform branch.
// Tiling   As depthwise.wgsl.

const TILES_X: u32 = (OUT_W + TILE_PIXELS - 1u) / TILE_PIXELS;
const MEDIUM_W: u32 = HALF_PLANES * SMALL * SMALL;

@compute @workgroup_size(WORKGROUP)
fn main(@builtin(global_invocation_id) id: vec3<u32>) {
    if (id.x >= BATCH * OUT_H * TILES_X) {
        return;
    }
    let ox = (id.x % TILES_X) * TILE_PIXELS;
    let oy = (id.x / TILES_X) % OUT_H;
    let n = id.x / (TILES_X * OUT_H);
    let plane = id.y % HALF_PLANES;
    let map = ((X_PLANE + plane) * BATCH + n) * IN_H * IN_W;

    var sum: array<vec4<f32>, TILE_PIXELS>;
    for (var t = 0u; t < TILE_PIXELS; t++) {
        sum[t] = bias_at(id.y);
    }
    if (id.y < HALF_PLANES) {
        let weights = plane * SMALL * SMALL;
        depthwise_row(&sum, SMALL, SMALL, weights, map, oy * STRIDE_Y - SMALL / 2u, ox * STRIDE_X - SMALL / 2u);
    } else {
        let weights = MEDIUM_W + plane * MEDIUM * MEDIUM;
        depthwise_row(&sum, MEDIUM, MEDIUM, weights, map, oy * STRIDE_Y - MEDIUM / 2u, ox * STRIDE_X - MEDIUM / 2u);
    }

    for (var t = 0u; t < TILE_PIXELS; t++) {
        if (ox + t < OUT_W) {
            y_put((id.y * BATCH + n) * OUT_H * OUT_W + oy * OUT_W + ox + t, scaled(id.y, sum[t]));
        }
    }
}
