// Winograd's second step: for each component a matrix product over all patches, y[c] = W[c] · x[c].
//
// Layout   x: [in plane][component][patch] of vec4 (four channels), y: [out plane][component][patch].
//          w: [component][out plane][in plane][in lane] of vec4 over the out plane's four channels.
// Grid     x: tiles of TILE_PIXELS patches; y: tiles of TILE_PLANES output planes; z: components.
// Tiling   An invocation keeps TILE_PIXELS × TILE_PLANES sums in registers; its patches are TILES
//          apart, so that neighbouring invocations read neighbouring ones. No barriers. Invocations
//          beyond the end compute the last one's sums again: all have to take part in w_pair.

const TILES: u32 = (PIXELS + TILE_PIXELS - 1u) / TILE_PIXELS;
// Planes whose weights are read at once.
const PAIR: u32 = 1u + min(SUBGROUP, 1u) * (1u - TILE_PLANES % 2u);
const PAIRS: u32 = TILE_PLANES / PAIR;

var<private> sum: array<array<array<vec4<f32>, TILE_PIXELS>, PAIR>, PAIRS>;

@compute @workgroup_size(WORKGROUP)
fn main(@builtin(global_invocation_id) id: vec3<u32>) {
    w_begin();
    let first = min(id.x, TILES - 1u);
    let out_plane = id.y * TILE_PLANES;
    for (var i = 0u; i < PAIRS; i++) {
        for (var k = 0u; k < PAIR; k++) {
            for (var t = 0u; t < TILE_PIXELS; t++) {
                sum[i][k][t] = vec4<f32>(0.0);
            }
        }
    }

    var v: array<vec4<f32>, TILE_PIXELS>;
    for (var p = 0u; p < IN_PLANES; p++) {
        for (var t = 0u; t < TILE_PIXELS; t++) {
            v[t] = x_at((p * COMPONENTS + id.z) * PIXELS + min(first + t * TILES, PIXELS - 1u));
        }
        for (var i = 0u; i < PAIRS; i++) {
            let at = ((id.z * OUT_PLANES + out_plane + i * PAIR) * IN_PLANES + p) * 4u;
            var w = w_pair(at, at + (PAIR - 1u) * IN_PLANES * 4u, 1u);
            for (var k = 0u; k < PAIR; k++) {
                for (var t = 0u; t < TILE_PIXELS; t++) {
                    sum[i][k][t] += w[k] * v[t];
                }
            }
        }
    }

    if (id.x >= TILES) {
        return;
    }
    for (var i = 0u; i < PAIRS; i++) {
        for (var k = 0u; k < PAIR; k++) {
            for (var t = 0u; t < TILE_PIXELS; t++) {
                let pixel = first + t * TILES;
                if (pixel < PIXELS) {
                    y_put(((out_plane + i * PAIR + k) * COMPONENTS + id.z) * PIXELS + pixel, sum[i][k][t]);
                }
            }
        }
    }
}
