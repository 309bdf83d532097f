// Depthwise k×k convolution of integers, any stride, padding and dilation, of a range of planes.
//
// Layout   x, residual, y: [plane][batch][row][column] of four channels, a byte each; y may be sums of 32 bits.
//          w: [plane][ky][kx] of four channels, a byte each. factors: arith.wgsl, ending.wgsl.
// Grid     x: tiles of TILE_PIXELS neighbouring outputs of one row, all rows of the batch; y: planes.
// Tiling   A row of outputs shares its input columns, SPAN of them, STEP_X apart.

const TILES_X: u32 = (OUT_W + TILE_PIXELS - 1u) / TILE_PIXELS;
const OUT_PIXELS: u32 = BATCH * OUT_H * OUT_W;
const FACTOR_PLANES: u32 = PLANES;

@compute @workgroup_size(WORKGROUP)
fn main(@builtin(global_invocation_id) id: vec3<u32>) {
    if (id.x >= BATCH * OUT_H * TILES_X) {
        return;
    }
    let ox = (id.x % TILES_X) * TILE_PIXELS;
    let oy = (id.x / TILES_X) % OUT_H;
    let n = id.x / (TILES_X * OUT_H);
    let plane = id.y;
    let map = ((X_PLANE + plane) * BATCH + n) * IN_H * IN_W;

    var sum: array<vec4<i32>, TILE_PIXELS>;
    for (var t = 0u; t < TILE_PIXELS; t++) {
        sum[t] = bias_at(plane);
    }
    for (var ky = 0u; ky < K_H; ky++) {
        // Unsigned: a row above the map wraps to a large number and fails the comparison too.
        let iy = oy * STRIDE_Y + ky * DILATION_Y - PADDING_Y;
        if (iy >= IN_H) {
            continue;
        }
        var columns: array<vec4<i32>, SPAN>;
        for (var s = 0u; s < SPAN; s++) {
            let ix = ox * STRIDE_X + s * STEP_X - PADDING_X;
            columns[s] = vec4<i32>(0);
            if (ix < IN_W) {
                columns[s] = x_integers(map + iy * IN_W + ix);
            }
        }
        // Mesa unrolls a long loop only if its counter indexes an array of as many elements.
        var taps: array<vec4<i32>, K_W>;
        for (var kx = 0u; kx < K_W; kx++) {
            taps[kx] = unpack4xI8(w_word((plane * K_H + ky) * K_W + kx));
        }
        for (var kx = 0u; kx < K_W; kx++) {
            for (var t = 0u; t < TILE_PIXELS; t++) {
                sum[t] += taps[kx] * columns[(t * STRIDE_X + kx * DILATION_X) / STEP_X];
            }
        }
    }

    for (var t = 0u; t < TILE_PIXELS; t++) {
        if (ox + t < OUT_W) {
            let pixel = (n * OUT_H + oy) * OUT_W + ox + t;
            y_put((Y_PLANE + plane) * OUT_PIXELS + pixel, ended(plane, pixel, sum[t]));
        }
    }
}
