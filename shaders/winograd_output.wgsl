// Winograd's third step: y = activate(Aᵀ x A + bias [+ residual]), 2×2 outputs of each patch.
//
// Layout   x: [plane][component][batch][tile row][tile column] of vec4 (four channels), 16
//          components; y, residual: [plane][batch][row][column]; bias: [plane].
// Grid     x: all patches of the batch; y: planes.
// Tiling   One patch to an invocation, as in winograd_input.wgsl.

const TILES_Y: u32 = (OUT_H + 1u) / 2u;
const TILES_X: u32 = (OUT_W + 1u) / 2u;
const TILES: u32 = BATCH * TILES_Y * TILES_X;
const OUT_PIXELS: u32 = BATCH * OUT_H * OUT_W;

@compute @workgroup_size(WORKGROUP)
fn main(@builtin(global_invocation_id) id: vec3<u32>) {
    if (id.x >= TILES) {
        return;
    }
    let plane = id.y;
    let left = (id.x % TILES_X) * 2u;
    let top = (id.x / TILES_X % TILES_Y) * 2u;
    let first = (id.x / (TILES_X * TILES_Y) * OUT_H + top) * OUT_W + left;

    var rows: array<array<vec4<f32>, 4>, 2>;
    for (var c = 0u; c < 4u; c++) {
        let at = (plane * 16u + c) * TILES + id.x;
        let next = 4u * TILES;
        let m1 = x_at(at + next);
        let m2 = x_at(at + 2u * next);
        rows[0][c] = x_at(at) + m1 + m2;
        rows[1][c] = m1 - m2 - x_at(at + 3u * next);
    }
    let bias = bias_at(plane);
    for (var r = 0u; r < 2u; r++) {
        if (top + r < OUT_H) {
            let pixel = first + r * OUT_W;
            store(plane, pixel, bias + rows[r][0] + rows[r][1] + rows[r][2]);
            if (left + 1u < OUT_W) {
                store(plane, pixel + 1u, bias + rows[r][1] - rows[r][2] - rows[r][3]);
            }
        }
    }
}
