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
//          every output plane; each weight serves TILE_PIXELS outputs. No barriers. Where subgroups
//          share their weights, all invocations stay together: those beyond the end compute the last
//          tile again, and rows beyond the map count as zeros.

const TILES_X: u32 = (OUT_W + TILE_PIXELS - 1u) / TILE_PIXELS;
const OUT_PIXELS: u32 = BATCH * OUT_H * OUT_W;
// Mesa unrolls a long loop only if its counter indexes an array of as many elements, and otherwise goes
// through `columns` lane by lane. Unrolled it is 1.7 times as fast on lavapipe, but large tiles, as are
// best where weights are not shared, would take half a minute to compile.
const SHIFTS: u32 = K_W + 1u - min(SUBGROUP, 1u);
const TILES: u32 = BATCH * OUT_H * TILES_X;
// Planes whose weights are read at once.
const PAIR: u32 = 1u + min(SUBGROUP, 1u) * (1u - TILE_PLANES % 2u);
const PAIRS: u32 = TILE_PLANES / PAIR;

@compute @workgroup_size(WORKGROUP)
fn main(@builtin(global_invocation_id) id: vec3<u32>) {
    if (SUBGROUP == 0u && id.x >= TILES) {
        return;
    }
    w_begin();
    let tile = min(id.x, TILES - 1u);
    let ox = (tile % TILES_X) * TILE_PIXELS;
    let oy = (tile / TILES_X) % OUT_H;
    let n = tile / (TILES_X * OUT_H);
    let out_plane = id.y * TILE_PLANES;
    let in_plane = X_PLANE + (out_plane / GROUP_OUT_PLANES) * GROUP_IN_PLANES;

    var sum: array<array<array<vec4<f32>, TILE_PIXELS>, PAIR>, PAIRS>;
    for (var i = 0u; i < PAIRS; i++) {
        for (var k = 0u; k < PAIR; k++) {
            let bias = bias_at(out_plane + i * PAIR + k);
            for (var t = 0u; t < TILE_PIXELS; t++) {
                sum[i][k][t] = bias;
            }
        }
    }

    for (var ky = 0u; ky < K_H; ky++) {
        // Unsigned: a row above the map wraps to a large number and fails the comparison too.
        let iy = oy * STRIDE_Y + ky * DILATION_Y - PADDING_Y;
        if (SUBGROUP == 0u && iy >= IN_H) {
            continue;
        }
        // A row beyond the map is one of no columns. Asked for every column again, SwiftShader's compiler would
        // follow all combinations of the answers.
        let row_end = select(0u, IN_W, SUBGROUP == 0u || iy < IN_H);
        for (var p = 0u; p < GROUP_IN_PLANES; p++) {
            let row = (((in_plane + p) * BATCH + n) * IN_H + iy) * IN_W;
            var columns: array<vec4<f32>, SPAN>;
            for (var s = 0u; s < SPAN; s++) {
                let ix = ox * STRIDE_X + s * STEP_X - PADDING_X;
                columns[s] = vec4<f32>(0.0);
                if (ix < row_end) {
                    columns[s] = x_at(row + ix);
                }
            }
            var shift: array<u32, SHIFTS>;
            for (var kx = 0u; kx < K_W; kx++) {
                shift[kx] = kx * DILATION_X;
            }
            for (var kx = 0u; kx < K_W; kx++) {
                for (var i = 0u; i < PAIRS; i++) {
                    let at = ((((out_plane + i * PAIR) * K_H + ky) * K_W + kx) * GROUP_IN_PLANES + p) * 4u;
                    var w = w_pair(at, at + (PAIR - 1u) * K_H * K_W * GROUP_IN_PLANES * 4u, 1u);
                    for (var k = 0u; k < PAIR; k++) {
                        for (var t = 0u; t < TILE_PIXELS; t++) {
                            sum[i][k][t] += w[k] * columns[(t * STRIDE_X + shift[kx]) / STEP_X];
                        }
                    }
                }
            }
        }
    }

    if (SUBGROUP > 0u && id.x >= TILES) {
        return;
    }
    for (var i = 0u; i < PAIRS; i++) {
        for (var k = 0u; k < PAIR; k++) {
            let plane = out_plane + i * PAIR + k;
            for (var t = 0u; t < TILE_PIXELS; t++) {
                if (ox + t < OUT_W) {
                    store(plane, (n * OUT_H + oy) * OUT_W + ox + t, scaled(plane, sum[i][k][t]));
                }
            }
        }
    }
}
