// depthwise_row: adds the taps of one depthwise kernel to a row of TILE_PIXELS neighbouring
// outputs. Shared by the kernels made of depthwise convolutions.
//
// The kernel is k_h × k_w, its weights lie at w_at(weights …) as [ky][kx] of vec4 over the plane's
// four channels. (top, left) is the input pixel of the first output's first tap; above and left of
// the map it is "negative", that is a large unsigned number, which fails the comparison.
// map: where the input map (plane and sample) begins. Each input column is read once per kernel row;
// columns are STEP_X apart, those between belong to no tap.
//
// Mesa unrolls a long loop only if its counter indexes an array of as many elements, and goes through
// memory lane by lane for an array that a loop indexes otherwise: hence `taps`, and loops over all of
// it, of which k_w, known once the function is inlined, leaves the right part. It makes 7×7 kernels
// three times as fast on lavapipe, 11×11 ones four times. (SPAN is never less than k_w.)

const TAPS: u32 = min(SPAN, 64u);

fn depthwise_row(sum: ptr<function, array<vec4<f32>, TILE_PIXELS>>, k_h: u32, k_w: u32, weights: u32, map: u32, top: u32, left: u32) {
    for (var ky = 0u; ky < k_h; ky++) {
        let iy = top + ky * DILATION_Y;
        if (iy >= IN_H) {
            continue;
        }
        var columns: array<vec4<f32>, SPAN>;
        for (var s = 0u; s < SPAN; s++) {
            let ix = left + s * STEP_X;
            columns[s] = vec4<f32>(0.0);
            // A kernel narrower than the widest reaches fewer columns.
            if (s * STEP_X <= (TILE_PIXELS - 1u) * STRIDE_X + (k_w - 1u) * DILATION_X && ix < IN_W) {
                columns[s] = x_at(map + iy * IN_W + ix);
            }
        }
        if (SPAN > TAPS) {
            for (var kx = 0u; kx < k_w; kx++) {
                let tap = w_at(weights + ky * k_w + kx);
                for (var t = 0u; t < TILE_PIXELS; t++) {
                    (*sum)[t] += tap * columns[(t * STRIDE_X + kx * DILATION_X) / STEP_X];
                }
            }
            continue;
        }
        var taps: array<vec4<f32>, TAPS>;
        for (var kx = 0u; kx < TAPS; kx++) {
            if (kx < k_w) {
                taps[kx] = w_at(weights + ky * k_w + kx);
            }
        }
        for (var kx = 0u; kx < TAPS; kx++) {
            if (kx < k_w) {
                for (var t = 0u; t < TILE_PIXELS; t++) {
                    (*sum)[t] += taps[kx] * columns[min((t * STRIDE_X + kx * DILATION_X) / STEP_X, SPAN - 1u)];
                }
            }
        }
    }
}
