// Depthwise k×k convolution, any stride, padding and dilation:
// y = activate(conv(x) + bias [+ residual]).
//
// Layout   x, y, residual: [plane][batch][row][column] of vec4 (four channels).
//          w: [plane][ky][kx] of vec4 over the plane's four channels. bias: [plane].
// Grid     x: tiles of TILE_PIXELS neighbouring outputs of one row, all rows of the batch;
//          y: planes.
// Tiling   Reading the map decides the speed: a row of outputs shares its input columns
//          (depthwise_row). No barriers.

const TILES_X: u32 = (OUT_W + TILE_PIXELS - 1u) / TILE_PIXELS;
const OUT_PIXELS: u32 = BATCH * OUT_H * OUT_W;

@compute @workgroup_size(WORKGROUP)
fn main(@builtin(global_invocation_id) id: vec3<u32>) {
    if (id.x >= BATCH * OUT_H * TILES_X) {
        return;
    }
    let ox = (id.x % TILES_X) * TILE_PIXELS;
    let oy = (id.x / TILES_X) % OUT_H;
    let n = id.x / (TILES_X * OUT_H);
    let plane = id.y;

    var sum: array<vec4<f32>, TILE_PIXELS>;
    for (var t = 0u; t < TILE_PIXELS; t++) {
        sum[t] = bias_at(plane);
    }
    let map = ((X_PLANE + plane) * BATCH + n) * IN_H * IN_W;
    depthwise_row(&sum, K_H, K_W, plane * K_H * K_W, map, oy * STRIDE_Y - PADDING_Y, ox * STRIDE_X - PADDING_X);

    for (var t = 0u; t < TILE_PIXELS; t++) {
        if (ox + t < OUT_W) {
            store(plane, (n * OUT_H + oy) * OUT_W + ox + t, scaled(plane, sum[t]));
        }
    }
}
