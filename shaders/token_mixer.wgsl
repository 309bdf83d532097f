// RepNeXt's token mixer, all chunks in one dispatch: the second chunk of the channels through a
// SMALL×SMALL depthwise convolution, the third through MEDIUM×MEDIUM, the fourth through 1×LONG
// and then LONG×1. The first chunk is the identity: readers take it from x.
//
// Layout   x: [plane][batch][row][column] of vec4, four chunks of CHUNK_PLANES planes.
//          y: the same, three chunks. w: for each of the four convolutions in turn
//          [plane][ky][kx] of vec4. bias: for each [plane].
// Grid     x: tiles, all rows (or columns) of the batch; y: output planes. The chunk depends on
//          the plane alone, so the branch is uniform within a workgroup.
// Tiling   The square kernels share input columns along a row (depthwise_row). The long pair goes
//          down a column: each row's 1×LONG result is computed once and serves TILE_ROWS outputs,
//          without a round trip through memory. Rows outside the map count as zero, not as the
//          first convolution's bias: its output is what gets padded. No barriers.

const TILES_X: u32 = (IN_W + TILE_PIXELS - 1u) / TILE_PIXELS;
const TILES_Y: u32 = (IN_H + TILE_ROWS - 1u) / TILE_ROWS;
const SMALL_W: u32 = 0u;
const MEDIUM_W: u32 = SMALL_W + CHUNK_PLANES * SMALL * SMALL;
const WIDE_W: u32 = MEDIUM_W + CHUNK_PLANES * MEDIUM * MEDIUM;
const TALL_W: u32 = WIDE_W + CHUNK_PLANES * LONG;
const WIDE_BIAS: u32 = 2u * CHUNK_PLANES;
const TALL_BIAS: u32 = 3u * CHUNK_PLANES;

fn square(tile: u32, plane: u32, chunk: u32) {
    if (tile >= BATCH * IN_H * TILES_X) {
        return;
    }
    let ox = (tile % TILES_X) * TILE_PIXELS;
    let oy = (tile / TILES_X) % IN_H;
    let n = tile / (TILES_X * IN_H);
    let map = ((X_PLANE + (chunk + 1u) * CHUNK_PLANES + plane) * BATCH + n) * IN_H * IN_W;
    let bias_plane = chunk * CHUNK_PLANES + plane;
    var sum: array<vec4<f32>, TILE_PIXELS>;
    for (var t = 0u; t < TILE_PIXELS; t++) {
        sum[t] = bias_at(bias_plane);
    }
    if (chunk == 0u) {
        let weights = SMALL_W + plane * SMALL * SMALL;
        depthwise_row(&sum, SMALL, SMALL, weights, map, oy - SMALL / 2u, ox - SMALL / 2u);
    } else {
        let weights = MEDIUM_W + plane * MEDIUM * MEDIUM;
        depthwise_row(&sum, MEDIUM, MEDIUM, weights, map, oy - MEDIUM / 2u, ox - MEDIUM / 2u);
    }
    for (var t = 0u; t < TILE_PIXELS; t++) {
        if (ox + t < IN_W) {
            y_put(((chunk * CHUNK_PLANES + plane) * BATCH + n) * IN_H * IN_W + oy * IN_W + ox + t, scaled(bias_plane, sum[t]));
        }
    }
}

fn long_pair(tile: u32, plane: u32) {
    if (tile >= BATCH * IN_W * TILES_Y) {
        return;
    }
    let ox = tile % IN_W;
    let oy = ((tile / IN_W) % TILES_Y) * TILE_ROWS;
    let n = tile / (IN_W * TILES_Y);
    let map = ((X_PLANE + 3u * CHUNK_PLANES + plane) * BATCH + n) * IN_H * IN_W;
    var sum: array<vec4<f32>, TILE_ROWS>;
    for (var t = 0u; t < TILE_ROWS; t++) {
        sum[t] = bias_at(TALL_BIAS + plane);
    }
    for (var r = 0u; r < TILE_ROWS + LONG - 1u; r++) {
        let iy = oy + r - LONG / 2u;
        if (iy >= IN_H) {
            continue;
        }
        var wide = bias_at(WIDE_BIAS + plane);
        for (var kx = 0u; kx < LONG; kx++) {
            let ix = ox + kx - LONG / 2u;
            if (ix < IN_W) {
                wide += w_at(WIDE_W + plane * LONG + kx) * x_at(map + iy * IN_W + ix);
            }
        }
        wide = scaled(WIDE_BIAS + plane, wide);
        // Input row oy + r − LONG/2 is tap r − t of output row oy + t.
        for (var t = 0u; t < TILE_ROWS; t++) {
            if (r - t < LONG) {
                sum[t] += w_at(TALL_W + plane * LONG + r - t) * wide;
            }
        }
    }
    for (var t = 0u; t < TILE_ROWS; t++) {
        if (oy + t < IN_H) {
            y_put(((2u * CHUNK_PLANES + plane) * BATCH + n) * IN_H * IN_W + (oy + t) * IN_W + ox, scaled(TALL_BIAS + plane, sum[t]));
        }
    }
}

@compute @workgroup_size(WORKGROUP)
fn main(@builtin(global_invocation_id) id: vec3<u32>) {
    let chunk = id.y / CHUNK_PLANES;
    let plane = id.y % CHUNK_PLANES;
    if (chunk < 2u) {
        square(id.x, plane, chunk);
    } else {
        long_pair(id.x, plane);
    }
}
