// RepNeXt's token mixer in integers, all chunks in one dispatch: the first chunk of the channels rescaled, the
// second through a SMALL×SMALL depthwise convolution, the third through MEDIUM×MEDIUM, the fourth through 1×LONG,
// rescaled to 8 bits, and then LONG×1.
//
// Layout   x, y: [plane][batch][row][column] of four channels, a byte each, four chunks of CHUNK_PLANES planes; y may
//          be sums of 32 bits. w: for each of the four convolutions in turn [plane][ky][kx] of four channels, a byte
//          each. factors: for the planes of y in order, then for those between the long pair: ending.wgsl.
// Grid     x: tiles, all rows (or columns) of the batch; y: output planes. The chunk depends on the plane alone, so
//          the branch is uniform within a workgroup.
// Tiling   As token_mixer.wgsl: the square kernels share input columns along a row; the long pair goes down a
//          column, where each row's 1×LONG result is computed once and serves TILE_ROWS outputs.

const TILES_X: u32 = (IN_W + TILE_PIXELS - 1u) / TILE_PIXELS;
const TILES_Y: u32 = (IN_H + TILE_ROWS - 1u) / TILE_ROWS;
const OUT_PIXELS: u32 = BATCH * IN_H * IN_W;
const FACTOR_PLANES: u32 = 5u * CHUNK_PLANES;
const SMALL_W: u32 = 0u;
const MEDIUM_W: u32 = SMALL_W + CHUNK_PLANES * SMALL * SMALL;
const WIDE_W: u32 = MEDIUM_W + CHUNK_PLANES * MEDIUM * MEDIUM;
const TALL_W: u32 = WIDE_W + CHUNK_PLANES * LONG;
// Taps of the larger square kernel.
const TAPS: u32 = max(SMALL, MEDIUM);

fn square(sum: ptr<function, array<vec4<i32>, TILE_PIXELS>>, size: u32, weights: u32, map: u32, oy: u32, ox: u32) {
    for (var ky = 0u; ky < size; ky++) {
        // Unsigned: a row above the map wraps to a large number and fails the comparison too.
        let iy = oy + ky - size / 2u;
        if (iy >= IN_H) {
            continue;
        }
        var columns: array<vec4<i32>, SPAN>;
        for (var s = 0u; s < SPAN; s++) {
            let ix = ox + s - size / 2u;
            columns[s] = vec4<i32>(0);
            if (s < TILE_PIXELS + size - 1u && ix < IN_W) {
                columns[s] = x_integers(map + iy * IN_W + ix);
            }
        }
        // Mesa unrolls a long loop only if its counter indexes an array of as many elements.
        var taps: array<vec4<i32>, TAPS>;
        for (var kx = 0u; kx < TAPS; kx++) {
            taps[kx] = vec4<i32>(0);
            if (kx < size) {
                taps[kx] = unpack4xI8(w_word(weights + ky * size + kx));
            }
        }
        for (var kx = 0u; kx < TAPS; kx++) {
            if (kx < size) {
                for (var t = 0u; t < TILE_PIXELS; t++) {
                    (*sum)[t] += taps[kx] * columns[t + kx];
                }
            }
        }
    }
}

// The first three chunks; `out` is the plane of y.
fn along_rows(tile: u32, chunk: u32, plane: u32, out: u32) {
    if (tile >= BATCH * IN_H * TILES_X) {
        return;
    }
    let ox = (tile % TILES_X) * TILE_PIXELS;
    let oy = (tile / TILES_X) % IN_H;
    let n = tile / (TILES_X * IN_H);
    let map = ((X_PLANE + out) * BATCH + n) * IN_H * IN_W;
    var sum: array<vec4<i32>, TILE_PIXELS>;
    for (var t = 0u; t < TILE_PIXELS; t++) {
        sum[t] = bias_at(out);
    }
    if (chunk == 0u) {
        for (var t = 0u; t < TILE_PIXELS; t++) {
            if (ox + t < IN_W) {
                sum[t] += x_integers(map + oy * IN_W + ox + t);
            }
        }
    } else if (chunk == 1u) {
        square(&sum, SMALL, SMALL_W + plane * SMALL * SMALL, map, oy, ox);
    } else {
        square(&sum, MEDIUM, MEDIUM_W + plane * MEDIUM * MEDIUM, map, oy, ox);
    }
    for (var t = 0u; t < TILE_PIXELS; t++) {
        if (ox + t < IN_W) {
            let pixel = (n * IN_H + oy) * IN_W + ox + t;
            y_put(out * OUT_PIXELS + pixel, ended(out, pixel, sum[t]));
        }
    }
}

// The fourth chunk. Rows outside the map count as zero, not as the first convolution's bias: its output is what gets
// padded.
fn down_columns(tile: u32, plane: u32, out: u32) {
    if (tile >= BATCH * IN_W * TILES_Y) {
        return;
    }
    let ox = tile % IN_W;
    let oy = ((tile / IN_W) % TILES_Y) * TILE_ROWS;
    let n = tile / (IN_W * TILES_Y);
    let map = ((X_PLANE + out) * BATCH + n) * IN_H * IN_W;
    let between = 1u + (4u * CHUNK_PLANES + plane) * PER_PLANE;
    var sum: array<vec4<i32>, TILE_ROWS>;
    for (var t = 0u; t < TILE_ROWS; t++) {
        sum[t] = bias_at(out);
    }
    for (var r = 0u; r < TILE_ROWS + LONG - 1u; r++) {
        let iy = oy + r - LONG / 2u;
        if (iy >= IN_H) {
            continue;
        }
        var wide = factors[between];
        for (var kx = 0u; kx < LONG; kx++) {
            let ix = ox + kx - LONG / 2u;
            if (ix < IN_W) {
                wide += unpack4xI8(w_word(WIDE_W + plane * LONG + kx)) * x_integers(map + iy * IN_W + ix);
            }
        }
        wide = finished(requantise(wide, factors[between + 1u], bitcast<vec4<u32>>(factors[between + 2u])), TABLE);
        // Input row oy + r − LONG/2 is tap r − t of output row oy + t.
        for (var t = 0u; t < TILE_ROWS; t++) {
            if (r - t < LONG) {
                sum[t] += unpack4xI8(w_word(TALL_W + plane * LONG + r - t)) * wide;
            }
        }
    }
    for (var t = 0u; t < TILE_ROWS; t++) {
        if (oy + t < IN_H) {
            let pixel = (n * IN_H + oy + t) * IN_W + ox;
            y_put(out * OUT_PIXELS + pixel, ended(out, pixel, sum[t]));
        }
    }
}

@compute @workgroup_size(WORKGROUP)
fn main(@builtin(global_invocation_id) id: vec3<u32>) {
    let chunk = id.y / CHUNK_PLANES;
    let plane = id.y % CHUNK_PLANES;
    if (chunk < 3u) {
        along_rows(id.x, chunk, plane, id.y);
    } else {
        down_columns(id.x, plane, id.y);
    }
}
