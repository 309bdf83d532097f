// Resize and crop along columns and normalise into a sample of the network's input: the second of two
// passes. v = clamp(Σ wy · line, 0, 255), then (v / 255 − mean) / std.
//
// Layout   lines: [row][output column] of vec4, made by preprocess_rows.wgsl. tables, y: as in
//          preprocess.wgsl.
// Grid     x: output pixels.

@group(0) @binding(6) var<storage, read> tables: array<u32>;
@group(0) @binding(8) var<storage, read> lines: array<vec4<f32>>;

fn triple(i: u32) -> vec3<f32> {
    return vec3<f32>(bitcast<f32>(tables[i]), bitcast<f32>(tables[i + 1u]), bitcast<f32>(tables[i + 2u]));
}

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
    var color = vec3<f32>(0.0);
    for (var j = 0u; j < taps; j++) {
        color += bitcast<f32>(tables[weights + j]) * lines[min(first + j, last) * OUT_W + ox].xyz;
    }
    color = clamp(color, vec3<f32>(0.0), vec3<f32>(255.0));
    let normal = (color / 255.0 - triple(MEAN)) * triple(INVERSE_STD);
    y_put((tables[SAMPLE] * OUT_H + oy) * OUT_W + ox, vec4<f32>(normal, 0.0));
}
