// Resize and crop along columns and normalise into a sample of the network's input: the second of two
// passes. level = clamp(Σ wy · line, 0, 255), rounded, then its value from a table.
//
// Layout   lines: [row][output column] of RGB8, made by preprocess_rows.wgsl. tables, y: as in
//          preprocess.wgsl.
// Grid     x: output pixels.

@group(0) @binding(6) var<storage, read> tables: array<u32>;
@group(0) @binding(8) var<storage, read> lines: array<u32>;

@compute @workgroup_size(WORKGROUP)
fn main(@builtin(global_invocation_id) id: vec3<u32>) {
    if (id.x >= OUT_H * OUT_W) {
        return;
    }
    let ox = id.x % OUT_W;
    let oy = id.x / OUT_W;
    let taps = tables[TAPS_Y];
    let axis = HEADER_WORDS + OUT_W * (1u + tables[TAPS_X]);
    let first = tables[axis + oy] - tables[FIRST_ROW];
    let last = tables[ROWS] - 1u;
    let weights = axis + OUT_H + oy * taps;
    var color = vec3<i32>(i32(1u << (PRECISION - 1u)));
    for (var j = 0u; j < taps; j++) {
        let rgb = lines[min(first + j, last) * OUT_W + ox];
        let line = vec3<i32>(i32(rgb & 255u), i32((rgb >> 8u) & 255u), i32(rgb >> 16u));
        color += bitcast<i32>(tables[weights + j]) * line;
    }
    let level = vec3<u32>(clamp(color >> vec3<u32>(PRECISION), vec3<i32>(0), vec3<i32>(255)));
    let red = bitcast<f32>(tables[LEVELS + level.x]);
    let green = bitcast<f32>(tables[LEVELS + 256u + level.y]);
    let blue = bitcast<f32>(tables[LEVELS + 512u + level.z]);
    y_put((tables[SAMPLE] * OUT_H + oy) * OUT_W + ox, vec4<f32>(red, green, blue, 0.0));
}
