// Crop, resize and normalise one RGBA8 picture into a sample of the network's input:
// v = Σ wy · clamp(Σ wx · p, 0, 255), clamped again, then (v / 255 − mean) / std.
//
// Layout   picture: rows of RGBA8, one u32 a pixel, STRIDE pixels from one to the next. tables: a header
//          of HEADER_WORDS words (at WIDTH, HEIGHT, SAMPLE, TAPS_X, TAPS_Y, FIRST_ROW, ROWS, STRIDE; three
//          each from MEAN and INVERSE_STD), then for each axis, horizontal first, the first source index of
//          every output and the weights of every output's taps. The tables hold only the cropped range.
//          y: [batch][row][column] of vec4: red, green, blue, zero.
// Grid     x: output pixels.
//
// Everything that depends on the picture is data, so pictures of all sizes share one pipeline.

@group(0) @binding(5) var<storage, read> picture: array<u32>;
@group(0) @binding(6) var<storage, read> tables: array<u32>;

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
    let width = tables[WIDTH];
    let height = tables[HEIGHT];
    let sample = tables[SAMPLE];
    let taps_x = tables[TAPS_X];
    let taps_y = tables[TAPS_Y];
    let axis_y = HEADER_WORDS + OUT_W * (1u + taps_x);
    let first_x = tables[HEADER_WORDS + ox];
    let first_y = tables[axis_y + oy];
    let weights_x = HEADER_WORDS + OUT_W + ox * taps_x;
    let weights_y = axis_y + OUT_H + oy * taps_y;

    var color = vec3<f32>(0.0);
    for (var j = 0u; j < taps_y; j++) {
        // Outputs with fewer taps than the table is wide have zero weights at its end.
        let row = min(first_y + j, height - 1u) * tables[STRIDE];
        var line = vec3<f32>(0.0);
        for (var i = 0u; i < taps_x; i++) {
            let rgba = picture[row + min(first_x + i, width - 1u)];
            let rgb = vec3<f32>(f32(rgba & 255u), f32((rgba >> 8u) & 255u), f32((rgba >> 16u) & 255u));
            line += bitcast<f32>(tables[weights_x + i]) * rgb;
        }
        color += bitcast<f32>(tables[weights_y + j]) * clamp(line, vec3<f32>(0.0), vec3<f32>(255.0));
    }
    color = clamp(color, vec3<f32>(0.0), vec3<f32>(255.0));
    let normal = (color / 255.0 - triple(MEAN)) * triple(INVERSE_STD);
    y_put((sample * OUT_H + oy) * OUT_W + ox, vec4<f32>(normal, 0.0));
}
