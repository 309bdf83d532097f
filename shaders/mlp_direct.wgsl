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

var<private> hidden: array<array<vec4<f32>, TILE_PIXELS>, TILE_HIDDEN>;
var<private> sum: array<array<array<vec4<f32>, TILE_PIXELS>, TILE_PLANES>, PLANE_GROUPS>;

fn first_layer(plane: u32, in_plane: u32, v: ptr<function, array<vec4<f32>, TILE_PIXELS>>) {
    for (var h = 0u; h < TILE_HIDDEN; h++) {
        let at = in_plane * 4u * HIDDEN_PLANES + plane + h;
        let w0 = w_at(at);
        let w1 = w_at(at + HIDDEN_PLANES);
        let w2 = w_at(at + 2u * HIDDEN_PLANES);
        let w3 = w_at(at + 3u * HIDDEN_PLANES);
        for (var t = 0u; t < TILE_PIXELS; t++) {
            hidden[h][t] += w0 * (*v)[t].x + w1 * (*v)[t].y + w2 * (*v)[t].z + w3 * (*v)[t].w;
        }
    }
}

@compute @workgroup_size(WORKGROUP)
fn main(@builtin(global_invocation_id) id: vec3<u32>) {
    let first = id.x;
    if (first >= TILES) {
        return;
    }
    for (var g = 0u; g < PLANE_GROUPS; g++) {
        for (var o = 0u; o < TILE_PLANES; o++) {
            let bias = bias_at(HIDDEN_PLANES + g * TILE_PLANES + o);
            for (var t = 0u; t < TILE_PIXELS; t++) {
                sum[g][o][t] = bias;
            }
        }
    }

    // Pixels beyond the end are computed from the last one and not stored.
    var v: array<vec4<f32>, TILE_PIXELS>;
    for (var plane = 0u; plane < HIDDEN_PLANES; plane += TILE_HIDDEN) {
        for (var h = 0u; h < TILE_HIDDEN; h++) {
            let bias = bias_at(plane + h);
            for (var t = 0u; t < TILE_PIXELS; t++) {
                hidden[h][t] = bias;
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
        for (var h = 0u; h < TILE_HIDDEN; h++) {
            for (var t = 0u; t < TILE_PIXELS; t++) {
                hidden[h][t] = activate_as(HIDDEN_ACTIVATION, scaled(plane + h, hidden[h][t]));
            }
        }
        for (var h = 0u; h < TILE_HIDDEN; h++) {
            let row = WEIGHTS_2 + (plane + h) * 4u * OUT_PLANES;
            for (var g = 0u; g < PLANE_GROUPS; g++) {
                for (var o = 0u; o < TILE_PLANES; o++) {
                    let at = row + g * TILE_PLANES + o;
                    let w0 = w_at(at);
                    let w1 = w_at(at + OUT_PLANES);
                    let w2 = w_at(at + 2u * OUT_PLANES);
                    let w3 = w_at(at + 3u * OUT_PLANES);
                    for (var t = 0u; t < TILE_PIXELS; t++) {
                        let u = hidden[h][t];
                        sum[g][o][t] += w0 * u.x + w1 * u.y + w2 * u.z + w3 * u.w;
                    }
                }
            }
        }
    }

    for (var g = 0u; g < PLANE_GROUPS; g++) {
        for (var o = 0u; o < TILE_PLANES; o++) {
            for (var t = 0u; t < TILE_PIXELS; t++) {
                let pixel = first + t * TILES;
                if (pixel < PIXELS) {
                    let v = scaled(HIDDEN_PLANES + g * TILE_PLANES + o, sum[g][o][t]);
                    store(g * TILE_PLANES + o, pixel, v);
                }
            }
        }
    }
}
