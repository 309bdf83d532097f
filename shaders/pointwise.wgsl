// 1×1 convolution of stride 1, a matrix product over all pixels of the batch:
// y = activate(W · [x; x2] + bias [+ residual]).
//
// Layout   x, x2, y, residual: [plane][pixel] of vec4 (four channels), PIXELS = batch · rows ·
//          columns. The input's planes are IN_PLANES of x, then IN_PLANES_2 of x2 (none: x2 = x).
//          w: [out plane][in plane][in lane] of vec4 over the out plane's four channels. bias: [out plane].
// Grid     x: tiles of TILE_PIXELS pixels; y: tiles of TILE_PLANES output planes.
// Tiling   An invocation keeps TILE_PIXELS × TILE_PLANES sums in registers; its pixels are TILES
//          apart, so that neighbouring invocations read neighbouring pixels. No barriers. Where
//          subgroups share their weights, invocations beyond the end compute the last tile again.

const TILES: u32 = (PIXELS + TILE_PIXELS - 1u) / TILE_PIXELS;
const PLANES: u32 = IN_PLANES + IN_PLANES_2;
const OUT_PIXELS: u32 = PIXELS;

// Planes whose weights are read at once.
const PAIR: u32 = 1u + min(SUBGROUP, 1u) * (1u - TILE_PLANES % 2u);
const PAIRS: u32 = TILE_PLANES / PAIR;

var<private> sum: array<array<array<vec4<f32>, TILE_PIXELS>, PAIR>, PAIRS>;

fn accumulate(out_plane: u32, in_plane: u32, v: ptr<function, array<vec4<f32>, TILE_PIXELS>>) {
    for (var i = 0u; i < PAIRS; i++) {
        let at = ((out_plane + i * PAIR) * PLANES + in_plane) * 4u;
        var w = w_pair(at, at + (PAIR - 1u) * PLANES * 4u, 1u);
        for (var k = 0u; k < PAIR; k++) {
            for (var t = 0u; t < TILE_PIXELS; t++) {
                sum[i][k][t] += w[k] * (*v)[t];
            }
        }
    }
}

@compute @workgroup_size(WORKGROUP)
fn main(@builtin(global_invocation_id) id: vec3<u32>) {
    if (SUBGROUP == 0u && id.x >= TILES) {
        return;
    }
    w_begin();
    let first = min(id.x, TILES - 1u);
    let out_plane = id.y * TILE_PLANES;
    for (var i = 0u; i < PAIRS; i++) {
        for (var k = 0u; k < PAIR; k++) {
            let bias = bias_at(out_plane + i * PAIR + k);
            for (var t = 0u; t < TILE_PIXELS; t++) {
                sum[i][k][t] = bias;
            }
        }
    }

    // Pixels beyond the end are computed from the last one and not stored.
    var v: array<vec4<f32>, TILE_PIXELS>;
    for (var p = 0u; p < PLANES; p++) {
        if (IN_PLANES_2 == 0u || p < IN_PLANES) {
            for (var t = 0u; t < TILE_PIXELS; t++) {
                v[t] = x_at((X_PLANE + p) * PIXELS + min(first + t * TILES, PIXELS - 1u));
            }
        } else {
            for (var t = 0u; t < TILE_PIXELS; t++) {
                v[t] = x2_at((X2_PLANE + p - IN_PLANES) * PIXELS + min(first + t * TILES, PIXELS - 1u));
            }
        }
        accumulate(out_plane, p, &v);
    }

    if (SUBGROUP > 0u && id.x >= TILES) {
        return;
    }
    for (var i = 0u; i < PAIRS; i++) {
        for (var k = 0u; k < PAIR; k++) {
            let plane = out_plane + i * PAIR + k;
            for (var t = 0u; t < TILE_PIXELS; t++) {
                let pixel = first + t * TILES;
                if (pixel < PIXELS) {
                    store(plane, pixel, scaled(plane, sum[i][k][t]));
                }
            }
        }
    }
}
