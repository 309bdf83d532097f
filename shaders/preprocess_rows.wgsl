// Crop and resize one RGBA8 picture along its rows: the first of two passes, each along one axis.
// line = clamp(Σ wx · p, 0, 255), rounded; what the second pass does with it is in preprocess_columns.wgsl.
//
// Layout   picture, tables: as in preprocess.wgsl. lines: [row][output column] of RGB8 in a u32; of the
//          ROWS rows from FIRST_ROW that any output reads.
// Grid     x: output columns; y: rows.
//
// Both axes at once cost a product of their taps for each output; one after the other, a sum. PIL
// resizes so as well.

@group(0) @binding(5) var<storage, read> picture: array<u32>;
@group(0) @binding(6) var<storage, read> tables: array<u32>;
@group(0) @binding(8) var<storage, read_write> lines: array<u32>;

@compute @workgroup_size(WORKGROUP)
fn main(@builtin(global_invocation_id) id: vec3<u32>) {
    if (id.x >= OUT_W || id.y >= tables[ROWS]) {
        return;
    }
    let width = tables[WIDTH];
    let taps = tables[TAPS_X];
    let first = tables[HEADER_WORDS + id.x];
    let weights = HEADER_WORDS + OUT_W + id.x * taps;
    let row = min(tables[FIRST_ROW] + id.y, tables[HEIGHT] - 1u) * tables[STRIDE];
    var line = vec3<i32>(i32(1u << (PRECISION - 1u)));
    for (var i = 0u; i < taps; i++) {
        let rgba = picture[row + min(first + i, width - 1u)];
        let rgb = vec3<i32>(i32(rgba & 255u), i32((rgba >> 8u) & 255u), i32((rgba >> 16u) & 255u));
        line += bitcast<i32>(tables[weights + i]) * rgb;
    }
    let level = vec3<u32>(clamp(line >> vec3<u32>(PRECISION), vec3<i32>(0), vec3<i32>(255)));
    lines[id.y * OUT_W + id.x] = level.x | (level.y << 8u) | (level.z << 16u);
}
