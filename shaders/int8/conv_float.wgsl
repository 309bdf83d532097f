// conv.wgsl with products in floats, for processors that have no dot product of bytes: any stride, padding and
// dilation, dense or in groups of whole planes; 1×1 convolutions and linear layers are those of one long row.
//
// Exact    A product of two bytes is at most 127², and a float holds every integer up to 2^24: 1040 products and all
//          their partial sums, in whatever order they are added. After CHUNK planes of a kernel row, which are no
//          more, they go into sums of 32 bits.
//
// Layout   x, residual, y: [plane][batch][row][column] of four channels, a byte each; y may be sums of 32 bits.
//          w: [out plane][ky][kx][in plane of the group]: for each of the in plane's four channels a word with
//          the weights of the out plane's four. factors: arith.wgsl, ending.wgsl.
// Grid     x: tiles of TILE_PIXELS neighbouring outputs of one row, all rows of the batch; y: tiles of
//          TILE_PLANES output planes.
// Tiling   As conv.wgsl of floats; blocks of weights are unpacked once for TILE_PIXELS outputs.

const TILES_X: u32 = (OUT_W + TILE_PIXELS - 1u) / TILE_PIXELS;
const OUT_PIXELS: u32 = BATCH * OUT_H * OUT_W;
const FACTOR_PLANES: u32 = OUT_PLANES;
const CHUNK: u32 = PRODUCTS / (4u * K_W);

fn floats(w: vec4<u32>) -> mat4x4<f32> {
    return mat4x4<f32>(
        vec4<f32>(unpack4xI8(w.x)),
        vec4<f32>(unpack4xI8(w.y)),
        vec4<f32>(unpack4xI8(w.z)),
        vec4<f32>(unpack4xI8(w.w)),
    );
}

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

    var sum: array<array<vec4<i32>, TILE_PIXELS>, TILE_PLANES>;
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
        for (var first = 0u; first < GROUP_IN_PLANES; first += CHUNK) {
            var part: array<array<vec4<f32>, TILE_PIXELS>, TILE_PLANES>;
            for (var i = 0u; i < TILE_PLANES; i++) {
                for (var t = 0u; t < TILE_PIXELS; t++) {
                    part[i][t] = vec4<f32>(0.0);
                }
            }
            for (var p = first; p < min(first + CHUNK, GROUP_IN_PLANES); p++) {
                let row = (((in_plane + p) * BATCH + n) * IN_H + iy) * IN_W;
                var columns: array<vec4<f32>, SPAN>;
                for (var s = 0u; s < SPAN; s++) {
                    let ix = ox * STRIDE_X + s * STEP_X - PADDING_X;
                    columns[s] = vec4<f32>(0.0);
                    if (ix < IN_W) {
                        columns[s] = vec4<f32>(x_integers(row + ix));
                    }
                }
                // Mesa unrolls a long loop only if its counter indexes an array of as many elements.
                var shift: array<u32, K_W>;
                for (var kx = 0u; kx < K_W; kx++) {
                    shift[kx] = kx * DILATION_X;
                }
                for (var kx = 0u; kx < K_W; kx++) {
                    for (var i = 0u; i < TILE_PLANES; i++) {
                        let w = floats(w_block((((out_plane + i) * K_H + ky) * K_W + kx) * GROUP_IN_PLANES + p));
                        for (var t = 0u; t < TILE_PIXELS; t++) {
                            part[i][t] += w * columns[(t * STRIDE_X + shift[kx]) / STEP_X];
                        }
                    }
                }
            }
            for (var i = 0u; i < TILE_PLANES; i++) {
                for (var t = 0u; t < TILE_PIXELS; t++) {
                    sum[i][t] += vec4<i32>(part[i][t]);
                }
            }
        }
    }

    for (var i = 0u; i < TILE_PLANES; i++) {
        let plane = out_plane + i;
        for (var t = 0u; t < TILE_PIXELS; t++) {
            if (ox + t < OUT_W) {
                let pixel = (n * OUT_H + oy) * OUT_W + ox + t;
                y_put(plane * OUT_PIXELS + pixel, ended(plane, pixel, sum[i][t]));
            }
        }
    }
}
