// Direct k×k convolution as conv.wgsl, in a third of the text: one tap at a time, inputs are not shared between the
// taps of a row. For drivers that compile for longer than that takes.
//
// Layout   As conv.wgsl.
// Grid     x: tiles of TILE_PIXELS neighbouring outputs of one row, all rows of the batch;
//          y: tiles of TILE_PLANES output planes.
// Tiling   An invocation keeps TILE_PIXELS × TILE_PLANES sums in registers; each input serves TILE_PLANES planes, each
//          weight TILE_PIXELS outputs. No barriers.

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
    for (var i = 0u; i < TILE_PLANES; i++) {
        let bias = bias_at(out_plane + i);
        for (var t = 0u; t < TILE_PIXELS; t++) {
            sum[i][t] = bias;
        }
    }

    for (var ky = 0u; ky < K_H; ky++) {
        // Unsigned: a row above the map wraps to a large number and fails the comparison too.
        let iy = oy * STRIDE_Y + ky * DILATION_Y - PADDING_Y;
        if (iy >= IN_H) {
            continue;
        }
        for (var kx = 0u; kx < K_W; kx++) {
            let left = ox * STRIDE_X + kx * DILATION_X - PADDING_X;
            for (var p = 0u; p < GROUP_IN_PLANES; p++) {
                let row = (((in_plane + p) * BATCH + n) * IN_H + iy) * IN_W;
                var v: array<vec4<f32>, TILE_PIXELS>;
                for (var t = 0u; t < TILE_PIXELS; t++) {
                    let ix = left + t * STRIDE_X;
                    v[t] = vec4<f32>(0.0);
                    if (ix < IN_W) {
                        v[t] = x_at(row + ix);
                    }
                }
                for (var i = 0u; i < TILE_PLANES; i++) {
                    let at = ((((out_plane + i) * K_H + ky) * K_W + kx) * GROUP_IN_PLANES + p) * 4u;
                    let w = w_block(at, 1u);
                    for (var t = 0u; t < TILE_PIXELS; t++) {
                        sum[i][t] += w * v[t];
                    }
                }
            }
        }
    }

    for (var i = 0u; i < TILE_PLANES; i++) {
        let plane = out_plane + i;
        for (var t = 0u; t < TILE_PIXELS; t++) {
            if (ox + t < OUT_W) {
                store(plane, (n * OUT_H + oy) * OUT_W + ox + t, scaled(plane, sum[i][t]));
            }
        }
    }
}
