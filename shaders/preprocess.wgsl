// Crop, resize and normalise one RGBA8 picture into a sample of the network's input, in integers:
// level = clamp(Σ wy · clamp(Σ wx · p, 0, 255), 0, 255), both sums rounded, then a value from a table.
//
// Layout   picture: rows of RGBA8, one u32 a pixel, STRIDE pixels from one to the next. tables: a header
//          of HEADER_WORDS words (at WIDTH, HEIGHT, SAMPLE, TAPS_X, TAPS_Y, FIRST_ROW, ROWS, STRIDE; from
//          LEVELS the value of each of 256 levels, for red, then green, then blue), then for each axis,
//          horizontal first, the first source index of every output and the weights of every output's
//          taps, with PRECISION bits behind the point. The tables hold only the cropped range.
//          y: [batch][row][column] of vec4: red, green, blue, zero.
// Grid     x: output pixels.
//
// Everything that depends on the picture is data, so pictures of all sizes share one pipeline. Integers,
// because devices round divisions and sums of floats differently.

@group(0) @binding(5) var<storage, read> picture: array<u32>;
@group(0) @binding(6) var<storage, read> tables: array<u32>;

fn levels(sum: vec3<i32>) -> vec3<i32> {
    return clamp(sum >> vec3<u32>(PRECISION), vec3<i32>(0), vec3<i32>(255));
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
    let half = vec3<i32>(i32(1u << (PRECISION - 1u)));

    var color = half;
    for (var j = 0u; j < taps_y; j++) {
        // Outputs with fewer taps than the table is wide have zero weights at its end.
        let row = min(first_y + j, height - 1u) * tables[STRIDE];
        var line = half;
        for (var i = 0u; i < taps_x; i++) {
            let rgba = picture[row + min(first_x + i, width - 1u)];
            let rgb = vec3<i32>(i32(rgba & 255u), i32((rgba >> 8u) & 255u), i32((rgba >> 16u) & 255u));
            line += bitcast<i32>(tables[weights_x + i]) * rgb;
        }
        color += bitcast<i32>(tables[weights_y + j]) * levels(line);
    }
    let level = vec3<u32>(levels(color));
    let red = bitcast<f32>(tables[LEVELS + level.x]);
    let green = bitcast<f32>(tables[LEVELS + 256u + level.y]);
    let blue = bitcast<f32>(tables[LEVELS + 512u + level.z]);
    y_put((sample * OUT_H + oy) * OUT_W + ox, vec4<f32>(red, green, blue, 0.0));
}
