// 1×1 convolution of stride 1, a matrix product over all pixels of the batch:
// y = activate(W · [x; x2] + bias [+ residual]).
//
// Layout   x, x2, y, residual: [plane][pixel] of vec4 (four channels), PIXELS = batch · rows ·
//          columns. The input's planes are IN_PLANES of x, then IN_PLANES_2 of x2 (none: x2 = x).
//          w: [out plane][in plane][in lane] of vec4 over the out plane's four channels. bias: [out plane].
// Grid     x: tiles of TILE_PIXELS pixels; y: tiles of TILE_PLANES output planes.
// Tiling   An invocation keeps TILE_PIXELS × TILE_PLANES sums in registers; its pixels are TILES
//          apart, so that neighbouring invocations read neighbouring pixels. No barriers.

const TILES: u32 = (PIXELS + TILE_PIXELS - 1u) / TILE_PIXELS;
const PLANES: u32 = IN_PLANES + IN_PLANES_2;
const OUT_PIXELS: u32 = PIXELS;

var<private> sum: array<array<vec4<f32>, TILE_PIXELS>, TILE_PLANES>;

fn accumulate(out_plane: u32, in_plane: u32, v: ptr<function, array<vec4<f32>, TILE_PIXELS>>) {
    for (var o = 0u; o < TILE_PLANES; o++) {
        let at = ((out_plane + o) * PLANES + in_plane) * 4u;
        let w0 = w_at(at);
        let w1 = w_at(at + 1u);
        let w2 = w_at(at + 2u);
        let w3 = w_at(at + 3u);
        for (var t = 0u; t < TILE_PIXELS; t++) {
            sum[o][t] += w0 * (*v)[t].x + w1 * (*v)[t].y + w2 * (*v)[t].z + w3 * (*v)[t].w;
        }
    }
}

@compute @workgroup_size(WORKGROUP)
fn main(@builtin(global_invocation_id) id: vec3<u32>) {
    let first = id.x;
    if (first >= TILES) {
        return;
    }
    let out_plane = id.y * TILE_PLANES;
    for (var o = 0u; o < TILE_PLANES; o++) {
        let bias = bias_at(out_plane + o);
        for (var t = 0u; t < TILE_PIXELS; t++) {
            sum[o][t] = bias;
        }
    }

    // Pixels beyond the end are computed from the last one and not stored.
    var v: array<vec4<f32>, TILE_PIXELS>;
    for (var p = 0u; p < IN_PLANES; p++) {
        for (var t = 0u; t < TILE_PIXELS; t++) {
            v[t] = x_at((X_PLANE + p) * PIXELS + min(first + t * TILES, PIXELS - 1u));
        }
        accumulate(out_plane, p, &v);
    }
    for (var p = 0u; p < IN_PLANES_2; p++) {
        for (var t = 0u; t < TILE_PIXELS; t++) {
            v[t] = x2_at((X2_PLANE + p) * PIXELS + min(first + t * TILES, PIXELS - 1u));
        }
        accumulate(out_plane, IN_PLANES + p, &v);
    }

    for (var o = 0u; o < TILE_PLANES; o++) {
        for (var t = 0u; t < TILE_PIXELS; t++) {
            let pixel = first + t * TILES;
            if (pixel < PIXELS) {
                store(out_plane + o, pixel, scaled(out_plane + o, sum[o][t]));
            }
        }
    }
}
