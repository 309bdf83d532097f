// Winograd's F(2×2, 3×3), first of three steps: y = Bᵀ x B for each 4×4 patch of the map.
//
// Layout   x: [plane][batch][row][column] of vec4 (four channels).
//          y: [plane][component][batch][tile row][tile column], 16 components, the patch row by row.
//          A patch lies two rows and columns behind the one before: it makes 2×2 outputs.
// Grid     x: all patches of the batch; y: planes.
// Tiling   One patch to an invocation: reading and writing it takes longer than its 32 additions.

const TILES_Y: u32 = (OUT_H + 1u) / 2u;
const TILES_X: u32 = (OUT_W + 1u) / 2u;
const TILES: u32 = BATCH * TILES_Y * TILES_X;

@compute @workgroup_size(WORKGROUP)
fn main(@builtin(global_invocation_id) id: vec3<u32>) {
    if (id.x >= TILES) {
        return;
    }
    // Unsigned: what lies above and left of the map wraps to a large number and fails the comparison too.
    let left = (id.x % TILES_X) * 2u - PADDING_X;
    let top = (id.x / TILES_X % TILES_Y) * 2u - PADDING_Y;
    let map = ((X_PLANE + id.y) * BATCH + id.x / (TILES_X * TILES_Y)) * IN_H * IN_W;

    var rows: array<array<vec4<f32>, 4>, 4>;
    for (var r = 0u; r < 4u; r++) {
        var d: array<vec4<f32>, 4>;
        for (var c = 0u; c < 4u; c++) {
            d[c] = vec4<f32>(0.0);
            if (top + r < IN_H && left + c < IN_W) {
                d[c] = x_at(map + (top + r) * IN_W + left + c);
            }
        }
        rows[r] = array<vec4<f32>, 4>(d[0] - d[2], d[1] + d[2], d[2] - d[1], d[1] - d[3]);
    }
    for (var c = 0u; c < 4u; c++) {
        let at = (id.y * 16u + c) * TILES + id.x;
        let next = 4u * TILES;
        y_put(at, rows[0][c] - rows[2][c]);
        y_put(at + next, rows[1][c] + rows[2][c]);
        y_put(at + 2u * next, rows[2][c] - rows[1][c]);
        y_put(at + 3u * next, rows[1][c] - rows[3][c]);
    }
}
