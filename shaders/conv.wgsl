// Direct k×k convolution, any stride, padding and dilation, dense or in groups of whole planes:
// y = activate(conv(x) + bias [+ residual]).
//
// Layout   x, y, residual: [plane][batch][row][column] of vec4 (four channels).
//          w: [out plane][ky][kx][in plane of the group][in lane] of vec4 over the out plane's
//          four channels. bias: [out plane].
// Grid     x: tiles of TILE_PIXELS neighbouring outputs of one row, all rows of the batch;
//          y: tiles of TILE_PLANES output planes.
// Tiling   An invocation keeps TILE_PIXELS × TILE_PLANES sums in registers. For each input plane
//          and kernel row it reads the SPAN input columns (STEP_X apart) once and uses each for every kx and
//          every output plane; each weight serves TILE_PIXELS outputs. No barriers.

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
    let out_plane = id.y * TILE_PLANES;
    let in_plane = X_PLANE + (out_plane / GROUP_OUT_PLANES) * GROUP_IN_PLANES;

    var sum: array<array<vec4<f32>, TILE_PIXELS>, TILE_PLANES>;
    for (var o = 0u; o < TILE_PLANES; o++) {
        let bias = bias_at(out_plane + o);
        for (var t = 0u; t < TILE_PIXELS; t++) {
            sum[o][t] = bias;
        }
    }

    for (var ky = 0u; ky < K_H; ky++) {
        // Unsigned: a row above the map wraps to a large number and fails the comparison too.
        let iy = oy * STRIDE_Y + ky * DILATION_Y - PADDING_Y;
        if (iy >= IN_H) {
            continue;
        }
        for (var p = 0u; p < GROUP_IN_PLANES; p++) {
            let row = (((in_plane + p) * BATCH + n) * IN_H + iy) * IN_W;
            var columns: array<vec4<f32>, SPAN>;
            for (var s = 0u; s < SPAN; s++) {
                let ix = ox * STRIDE_X + s * STEP_X - PADDING_X;
                columns[s] = vec4<f32>(0.0);
                if (ix < IN_W) {
                    columns[s] = x_at(row + ix);
                }
            }
            for (var kx = 0u; kx < K_W; kx++) {
                for (var o = 0u; o < TILE_PLANES; o++) {
                    let at = ((((out_plane + o) * K_H + ky) * K_W + kx) * GROUP_IN_PLANES + p) * 4u;
                    let w0 = w_at(at);
                    let w1 = w_at(at + 1u);
                    let w2 = w_at(at + 2u);
                    let w3 = w_at(at + 3u);
                    for (var t = 0u; t < TILE_PIXELS; t++) {
                        let v = columns[(t * STRIDE_X + kx * DILATION_X) / STEP_X];
                        sum[o][t] += w0 * v.x + w1 * v.y + w2 * v.z + w3 * v.w;
                    }
                }
            }
        }
    }

    for (var o = 0u; o < TILE_PLANES; o++) {
        for (var t = 0u; t < TILE_PIXELS; t++) {
            if (ox + t < OUT_W) {
                store(out_plane + o, (n * OUT_H + oy) * OUT_W + ox + t, scaled(out_plane + o, sum[o][t]));
            }
        }
    }
}
