// Two 1×1 convolutions of stride 1 in one dispatch, as mlp.wgsl and with its layouts, without
// workgroup memory and barriers, for software drivers.
//
// Grid     x: tiles of TILE_PIXELS pixels.
// Tiling   An invocation keeps all outputs of its pixels and goes through the hidden layer in runs
//          of TILE_HIDDEN planes, so nothing is computed twice. Its pixels are TILES apart, so that
//          neighbouring invocations read neighbouring pixels. Planes of the output come in groups of
//          TILE_PLANES: compilers unroll each loop and only then keep `sum` out of memory that is
//          indexed lane by lane, but refuse long loops.

const TILES: u32 = (PIXELS + TILE_PIXELS - 1u) / TILE_PIXELS;
const PLANES: u32 = IN_PLANES + IN_PLANES_2;
const PLANE_GROUPS: u32 = OUT_PLANES / TILE_PLANES;
const OUT_PIXELS: u32 = PIXELS;
const WEIGHTS_2: u32 = PLANES * 4u * HIDDEN_PLANES;

// Planes whose weights are read at once, of the hidden layer and of the output.
const HIDDEN_PAIR: u32 = 1u + min(SUBGROUP, 1u) * (1u - TILE_HIDDEN % 2u);
const HIDDEN_PAIRS: u32 = TILE_HIDDEN / HIDDEN_PAIR;
const PAIR: u32 = 1u + min(SUBGROUP, 1u) * (1u - TILE_PLANES % 2u);
const PAIRS: u32 = TILE_PLANES / PAIR;

var<private> hidden: array<array<array<vec4<f32>, TILE_PIXELS>, HIDDEN_PAIR>, HIDDEN_PAIRS>;
var<private> sum: array<array<array<array<vec4<f32>, TILE_PIXELS>, PAIR>, PAIRS>, PLANE_GROUPS>;

fn first_layer(plane: u32, in_plane: u32, v: ptr<function, array<vec4<f32>, TILE_PIXELS>>) {
    for (var i = 0u; i < HIDDEN_PAIRS; i++) {
        let at = in_plane * 4u * HIDDEN_PLANES + plane + i * HIDDEN_PAIR;
        var w = w_pair(at, at + HIDDEN_PAIR - 1u, HIDDEN_PLANES);
        for (var k = 0u; k < HIDDEN_PAIR; k++) {
            for (var t = 0u; t < TILE_PIXELS; t++) {
                hidden[i][k][t] += w[k] * (*v)[t];
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
    for (var g = 0u; g < PLANE_GROUPS; g++) {
        for (var i = 0u; i < PAIRS; i++) {
            for (var k = 0u; k < PAIR; k++) {
                let bias = bias_at(HIDDEN_PLANES + g * TILE_PLANES + i * PAIR + k);
                for (var t = 0u; t < TILE_PIXELS; t++) {
                    sum[g][i][k][t] = bias;
                }
            }
        }
    }

    // Pixels beyond the end are computed from the last one and not stored.
    var v: array<vec4<f32>, TILE_PIXELS>;
    for (var plane = 0u; plane < HIDDEN_PLANES; plane += TILE_HIDDEN) {
        for (var i = 0u; i < HIDDEN_PAIRS; i++) {
            for (var k = 0u; k < HIDDEN_PAIR; k++) {
                let bias = bias_at(plane + i * HIDDEN_PAIR + k);
                for (var t = 0u; t < TILE_PIXELS; t++) {
                    hidden[i][k][t] = bias;
                }
            }
        }
        for (var p = 0u; p < IN_PLANES; p++) {
            for (var t = 0u; t < TILE_PIXELS; t++) {
                v[t] = x_at((X_PLANE + p) * PIXELS + min(first + t * TILES, PIXELS - 1u));
            }
            first_layer(plane, p, &v);
        }
        for (var p = 0u; p < IN_PLANES_2; p++) {
            for (var t = 0u; t < TILE_PIXELS; t++) {
                v[t] = x2_at((X2_PLANE + p) * PIXELS + min(first + t * TILES, PIXELS - 1u));
            }
            first_layer(plane, IN_PLANES + p, &v);
        }
        for (var h = 0u; h < HIDDEN_PAIRS; h++) {
            for (var j = 0u; j < HIDDEN_PAIR; j++) {
                for (var t = 0u; t < TILE_PIXELS; t++) {
                    let v = scaled(plane + h * HIDDEN_PAIR + j, hidden[h][j][t]);
                    hidden[h][j][t] = activate_as(HIDDEN_ACTIVATION, v);
                }
            }
        }
        for (var h = 0u; h < HIDDEN_PAIRS; h++) {
            for (var j = 0u; j < HIDDEN_PAIR; j++) {
                let row = WEIGHTS_2 + (plane + h * HIDDEN_PAIR + j) * 4u * OUT_PLANES;
                for (var g = 0u; g < PLANE_GROUPS; g++) {
                    for (var i = 0u; i < PAIRS; i++) {
                        let at = row + g * TILE_PLANES + i * PAIR;
                        var w = w_pair(at, at + PAIR - 1u, OUT_PLANES);
                        for (var k = 0u; k < PAIR; k++) {
                            for (var t = 0u; t < TILE_PIXELS; t++) {
                                sum[g][i][k][t] += w[k] * hidden[h][j][t];
                            }
                        }
                    }
                }
            }
        }
    }

    if (SUBGROUP > 0u && id.x >= TILES) {
        return;
    }
    for (var g = 0u; g < PLANE_GROUPS; g++) {
        for (var i = 0u; i < PAIRS; i++) {
            for (var k = 0u; k < PAIR; k++) {
                let plane = g * TILE_PLANES + i * PAIR + k;
                for (var t = 0u; t < TILE_PIXELS; t++) {
                    let pixel = first + t * TILES;
                    if (pixel < PIXELS) {
                        store(plane, pixel, scaled(HIDDEN_PLANES + plane, sum[g][i][k][t]));
                    }
                }
            }
        }
    }
}
